//! The standby of a worker as the supervisor sees it: a second process of the same role that has built
//! what takes long to build, entered its sandbox, and waits to be called.
//!
//! It is started once its worker is at work. When the worker dies, the standby that is ready takes its
//! place as the next incarnation, and the next standby is started; one that is not ready yet, or that
//! is stopped, is left out, and a fresh worker is executed.
//!
//! Invariant: a standby is no condition for anything. Its deaths count in a record of their own, which
//! makes the next one come later and never ends the node.

use super::call::{Call, Caller};
use crate::node_state::StandbyState;
use crate::process::child::Child;
use crate::process::hang::RunState;
use crate::process::proc_stat;
use crate::process::restart::{HEALTHY_RESET_MS, RestartDecision, RestartHistory};
use adnet_common::chain_id::ChainId;
use adnet_common::worker::clock::monotonic_ns;
use std::os::fd::{AsFd, BorrowedFd};

pub struct Standby {
    chain: ChainId,
    history: RestartHistory,
    process: Option<Waiting>,
    /// When the next one is to be started, on the monotonic clock.
    start_at_ns: Option<u64>,
    /// The last one, killed when the node began to stop. It is reaped when this is dropped.
    ended: Option<Child>,
}

struct Waiting {
    child: Child,
    /// `None` once something was wrong with it; its process is being killed then.
    caller: Option<Caller>,
    is_ready: bool,
}

impl Standby {
    /// None yet, and none wanted before [`Standby::want`].
    pub fn new(chain: ChainId, history: RestartHistory) -> Standby {
        Standby {
            chain,
            history,
            process: None,
            start_at_ns: None,
            ended: None,
        }
    }

    /// The worker is at work: from now on it is to have a standby.
    pub fn want(&mut self) {
        if self.process.is_none() && self.start_at_ns.is_none() {
            self.start_at_ns = Some(monotonic_ns());
        }
    }

    /// Whether one is to be started now.
    pub fn is_due(&self) -> bool {
        self.start_at_ns.is_some_and(|at| at <= monotonic_ns())
    }

    /// Takes in the one that was started, or why it was not.
    pub fn started(&mut self, started: anyhow::Result<(Child, Caller)>) {
        let chain = self.chain;
        self.start_at_ns = None;
        match started {
            Ok((child, caller)) => {
                tracing::info!(%chain, pid = child.pid(), "standby started");
                self.process = Some(Waiting {
                    child,
                    caller: Some(caller),
                    is_ready: false,
                });
            }
            Err(error) => {
                tracing::error!(%chain, "a standby cannot be started: {error:#}");
                self.start_later();
            }
        }
    }

    /// Descriptors that are readable when there is something to look at.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.process.iter().flat_map(|waiting| {
            // From a ready one nothing more comes.
            let caller = waiting.caller.as_ref().filter(|_| !waiting.is_ready);
            let socket = caller.map(AsFd::as_fd);
            [waiting.child.pidfd()].into_iter().chain(socket)
        })
    }

    /// Hears whether it is ready, and takes in its death.
    pub fn look(&mut self) -> std::io::Result<()> {
        let chain = self.chain;
        let Some(waiting) = &mut self.process else {
            return Ok(());
        };
        let pid = waiting.child.pid();
        if let Some(exit) = waiting.child.try_reap()? {
            tracing::warn!(%chain, pid, %exit, "a standby died");
            self.process = None;
            self.start_later();
            return Ok(());
        }
        if waiting.is_ready {
            return Ok(());
        }
        match waiting.caller.as_mut().map(Caller::hears_ready) {
            None | Some(Ok(false)) => {}
            Some(Ok(true)) => {
                waiting.is_ready = true;
                self.history.healthy(now_ms());
                tracing::info!(event = "standby_ready", %chain, pid, "the standby is ready to take over");
            }
            Some(Err(error)) => {
                tracing::warn!(%chain, pid, %error, "a standby is not heard any more: it is killed");
                waiting.caller = None;
                waiting.child.kill()?;
            }
        }
        Ok(())
    }

    /// Calls the standby to be the worker. `None` where none can be.
    pub fn call(&mut self, call: &Call) -> Option<Child> {
        let chain = self.chain;
        let waiting = self.process.take_if(|waiting| waiting.is_ready)?;
        let Waiting { child, caller, .. } = waiting;
        let pid = child.pid();
        // Dropped, a child is killed and reaped.
        if proc_stat::sample(pid).is_ok_and(|sample| sample.state == RunState::Stopped) {
            tracing::warn!(%chain, pid, "the standby is stopped: it is killed and not called");
            return None;
        }
        let called = caller.map(|caller| caller.call(call));
        match called {
            Some(Ok(())) => Some(child),
            Some(Err(error)) => {
                tracing::warn!(%chain, pid, %error, "the standby does not hear its call");
                None
            }
            None => None,
        }
    }

    /// Ends it for good: it holds nothing that could be lost, and nobody waits for its end here.
    pub fn end(&mut self) {
        self.start_at_ns = None;
        self.ended = self.process.take().map(|waiting| waiting.child);
        if let Some(Err(error)) = self.ended.as_ref().map(Child::kill) {
            tracing::error!(chain = %self.chain, %error, "a standby cannot be killed");
        }
    }

    pub fn state(&self) -> StandbyState {
        let process = self.process.as_ref();
        let pid = process.map(|waiting| waiting.child.pid());
        StandbyState {
            pid: pid.map(|pid| u32::try_from(pid).expect("a pid is positive")),
            is_ready: process.is_some_and(|waiting| waiting.is_ready),
        }
    }

    /// One has died, or could not be started.
    fn start_later(&mut self) {
        let delay_ms = match self.history.died(now_ms()) {
            RestartDecision::RestartAfter { delay_ms } => delay_ms,
            RestartDecision::GiveUp { deaths } => {
                let (chain, pause_ms) = (self.chain, HEALTHY_RESET_MS);
                tracing::error!(%chain, deaths, pause_ms, "standbys die too often: the worker is without one for a while");
                pause_ms
            }
        };
        let delay_ns = delay_ms.saturating_mul(1_000_000);
        self.start_at_ns = Some(monotonic_ns().saturating_add(delay_ns));
    }
}

fn now_ms() -> u64 {
    monotonic_ns() / 1_000_000
}
