//! One worker as the supervisor sees it: its process, its record, its pulse, its standby.

use super::call::{Call, Caller};
use super::dead_letters;
use super::events::{Event, Events};
use super::standby::Standby;
use super::worker::{CALL_FD, DOORBELL_FD, JOURNAL_FD, LISTENER_FD, WorkerOrder};
use crate::process::child::{Child, Exit};
use crate::process::dead_letter::DeadLetters;
use crate::process::hang::{Beat, HangJudge, HangLimits, Verdict};
use crate::process::proc_stat;
use crate::process::restart::{RestartDecision, RestartHistory};
use crate::process::spawn::{FdGrant, SpawnError, SpawnRequest, Spawner};
use crate::store::Store;
use crate::topology::Topology;
use adnet_common::chain_id::ChainId;
use adnet_common::worker::LAUNCH_VARIABLE;
use adnet_common::worker::clock::monotonic_ns;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

pub struct WorkerSlot {
    pub chain: ChainId,
    /// The order of every incarnation, but for its rings and number.
    pub order: WorkerOrder,
    pub listener: TcpListener,
    pub child: Option<Child>,
    /// Where this worker is to have one.
    pub standby: Option<Standby>,
    pub incarnation: u32,
    pub history: RestartHistory,
    pub letters: DeadLetters,
    /// The thread that waits for the kernel's early word of this incarnation's death.
    pub watch: Option<JoinHandle<()>>,
    /// Judges the pulse once the worker is ready.
    judge: Option<HangJudge>,
    limits: HangLimits,
    /// When to start the next incarnation, on the monotonic clock.
    pub restart_at_ns: Option<u64>,
    /// When it was last started or killed.
    changed_at_ns: u64,
    warned: bool,
    /// Its connection to the journal, if the node has one.
    journal: Option<OwnedFd>,
}

/// An incarnation that was started.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Started {
    pub pid: u32,
    /// It was the standby.
    pub by_standby: bool,
}

/// What a look at a worker's pulse asks for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Pulse {
    Good,
    /// It hangs and was killed.
    Killed,
}

impl WorkerSlot {
    pub fn new(
        chain: ChainId,
        order: WorkerOrder,
        listener: TcpListener,
        history: RestartHistory,
        letters: DeadLetters,
        limits: HangLimits,
        journal: Option<OwnedFd>,
    ) -> Self {
        Self {
            chain,
            order,
            listener,
            child: None,
            standby: None,
            incarnation: 0,
            history,
            letters,
            watch: None,
            judge: None,
            limits,
            restart_at_ns: None,
            changed_at_ns: monotonic_ns(),
            warned: false,
            journal,
        }
    }

    /// Starts the next incarnation under the present epochs of the rings: the standby if it is ready,
    /// else a fresh process.
    pub fn spawn(
        &mut self,
        spawner: &Spawner,
        topology: &Arc<Topology>,
        events: &Events,
        stop: Arc<AtomicBool>,
    ) -> Result<Started, SpawnError> {
        self.incarnation += 1;
        self.restart_at_ns = None;
        self.changed_at_ns = monotonic_ns();
        self.judge = None;
        self.warned = false;
        let call = Call {
            incarnation: self.incarnation,
            rings: topology.worker_rings(self.chain),
        };
        let called = self.standby.as_mut().and_then(|s| s.call(&call));
        let by_standby = called.is_some();
        let child = match called {
            Some(child) => child,
            None => self.execute(spawner, topology, call, None)?,
        };
        let pid = child.pid();
        self.child = Some(child);
        self.watch = watch_for_death(
            self.chain,
            self.incarnation,
            Arc::clone(topology),
            events.clone(),
            stop,
        );
        Ok(Started {
            pid: u32::try_from(pid).expect("a pid is positive"),
            by_standby,
        })
    }

    /// Starts a standby, if it is time for one.
    pub fn spawn_due_standby(&mut self, spawner: &Spawner, topology: &Topology) {
        if !self.standby.as_ref().is_some_and(Standby::is_due) {
            return;
        }
        let started = Caller::pair().map_err(anyhow::Error::from);
        let started = started.and_then(|(caller, socket)| {
            // It learns its number and epochs when it is called.
            let uncalled = Call {
                incarnation: 0,
                rings: topology.worker_rings(self.chain),
            };
            let child = self.execute(spawner, topology, uncalled, Some(socket))?;
            Ok((child, caller))
        });
        if let Some(standby) = &mut self.standby {
            standby.started(started);
        }
    }

    /// Executes a worker, or a standby that hears its call on `call_socket`.
    fn execute(
        &self,
        spawner: &Spawner,
        topology: &Topology,
        call: Call,
        call_socket: Option<OwnedFd>,
    ) -> Result<Child, SpawnError> {
        let mut order = self.order.clone();
        order.launch.incarnation = call.incarnation;
        order.launch.rings = call.rings;
        order.is_standby = call_socket.is_some();
        let order_text = serde_json::to_string(&order).expect("an order is plain data");
        let grant = |fd: std::os::fd::BorrowedFd<'_>, target| {
            let duplicate = FdGrant::duplicate(fd, target);
            duplicate.map_err(|source| SpawnError::Prepare {
                what: "duplicate a descriptor",
                source,
            })
        };
        let mut grants = vec![
            grant(self.listener.as_fd(), LISTENER_FD)?,
            grant(topology.doorbell(self.chain), DOORBELL_FD)?,
        ];
        if let Some(journal) = &self.journal {
            grants.push(grant(journal.as_fd(), JOURNAL_FD)?);
        }
        grants.extend(call_socket.map(|source| FdGrant {
            source,
            target: CALL_FD,
        }));
        spawner.spawn(SpawnRequest {
            args: ["run", "--role", self.chain.name()]
                .map(Into::into)
                .to_vec(),
            env: vec![(LAUNCH_VARIABLE.into(), order_text.into())],
            grants,
            incarnation: order.launch.incarnation.into(),
        })
    }

    /// The worker says that it is at work: from now on its pulse counts.
    pub fn ready(&mut self, topology: &Topology, now_ms: u64) {
        self.history.healthy(now_ms);
        let beat = beat(topology, self.chain);
        self.judge = Some(HangJudge::new(self.limits, beat, monotonic_ns()));
        if let Some(standby) = &mut self.standby {
            standby.want();
        }
    }

    /// Looks at the pulse of a running worker, and kills one that hangs.
    pub fn look(&mut self, topology: &Topology) -> Pulse {
        let (Some(judge), Some(child)) = (&mut self.judge, &self.child) else {
            return Pulse::Good;
        };
        let pid = child.pid();
        let verdict = judge.look(beat(topology, self.chain), monotonic_ns(), || {
            proc_stat::sample(pid)
        });
        let chain = self.chain;
        match verdict {
            Verdict::Fine => {
                self.warned = false;
                Pulse::Good
            }
            Verdict::Warn { silent_ns } => {
                if !self.warned {
                    let silent_ms = silent_ns / 1_000_000;
                    tracing::warn!(%chain, pid, silent_ms, "a worker has not beaten for a while");
                }
                self.warned = true;
                Pulse::Good
            }
            Verdict::Kill { silent_ns, kind } => {
                let silent_ms = silent_ns / 1_000_000;
                tracing::error!(%chain, pid, silent_ms, ?kind, "a worker hangs: it is killed");
                if let Err(error) = child.kill() {
                    tracing::error!(%chain, pid, %error, "the hanging worker cannot be killed");
                }
                self.judge = None;
                self.changed_at_ns = monotonic_ns();
                Pulse::Killed
            }
        }
    }

    /// Whether it is at work, or on its way back to it: not silent for longer than `silence_max`, and
    /// started or killed less than `change_max` ago. Else what is wrong.
    pub fn progresses(&self, silence_max: Duration, change_max: Duration) -> Result<(), String> {
        let now_ns = monotonic_ns();
        let chain = self.chain;
        let (since_ns, allowed, what) = match (&self.child, &self.judge) {
            (None, _) => return Ok(()), // its restart has its own schedule
            (Some(_), Some(judge)) => (judge.silent_since_ns(), silence_max, "silent"),
            (Some(_), None) => (self.changed_at_ns, change_max, "neither at work nor gone"),
        };
        let passed = Duration::from_nanos(now_ns.saturating_sub(since_ns));
        if passed <= allowed {
            return Ok(());
        }
        let seconds = passed.as_secs();
        Err(format!(
            "{chain}: the worker has been {what} for {seconds} s"
        ))
    }

    /// After the pidfd: fences the dead process off, looks for what it died on, and says what is
    /// to be done.
    pub fn bury(
        &mut self,
        exit: &Exit,
        topology: &Topology,
        store: &Store,
        now_ms: u64,
    ) -> RestartDecision {
        let chain = self.chain;
        self.child = None;
        self.judge = None;
        // One that was killed before it had its rings, as a standby on its call, had nothing in hand.
        let had_begun = topology.has_begun(chain);
        for (ring, error) in topology.fence(chain) {
            tracing::error!(%chain, ring, %error, "a ring does not pass its audit");
        }
        if had_begun {
            dead_letters::examine(chain, &topology.inputs(chain), &mut self.letters, store);
        }
        let decision = self.history.died(now_ms);
        tracing::warn!(%chain, incarnation = self.incarnation, %exit, ?decision, "a worker died");
        decision
    }
}

fn beat(topology: &Topology, chain: ChainId) -> Beat {
    let read = topology.heartbeat(chain).read();
    Beat {
        progress: read.progress,
        beat_ns: read.monotonic_ns,
    }
}

/// Waits on the robust futex of an incarnation: the kernel marks it before it tears down the
/// memory, so this is earlier than the pidfd.
fn watch_for_death(
    chain: ChainId,
    incarnation: u32,
    topology: Arc<Topology>,
    events: Events,
    stop: Arc<AtomicBool>,
) -> Option<JoinHandle<()>> {
    const LOOK: Duration = Duration::from_millis(100);
    let epoch = topology.heartbeat(chain).epoch();
    let watch = move || {
        let heartbeat = topology.heartbeat(chain);
        // Until it is buried, or the node ends.
        while heartbeat.epoch() == epoch && !stop.load(Ordering::Acquire) {
            if !heartbeat.is_watched() {
                std::thread::sleep(LOOK / 4); // it has not announced its watch yet
            }
            if heartbeat.wait_for_death(LOOK) {
                return events.send(Event::Dying(chain, incarnation));
            }
        }
    };
    let name = format!("{chain}-death");
    let spawned = std::thread::Builder::new().name(name).spawn(watch);
    spawned
        .inspect_err(|error| tracing::warn!(%chain, %error, "no early warning of this death"))
        .ok()
}
