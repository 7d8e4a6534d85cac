//! The supervisor: starts the workers, watches them, restarts them, and stops them in order.
//!
//! One thread sleeps on the signals, the workers' pidfds and a waker for the other threads. It does
//! no chain logic and touches no untrusted byte.

use super::announce::{Announcer, blocks_progress};
use super::dead_letters;
use super::events::{Event, Events};
use super::shared::{Shared, build_id, chain_config};
use super::slot::{Started, WorkerSlot};
use super::standby::Standby;
use super::worker::WorkerOrder;
use crate::logging;
use crate::process::child::Exit;
use crate::process::death::{Waker, wait_readable};
use crate::process::exit_code;
use crate::process::hang::HangLimits;
use crate::process::panic;
use crate::process::restart::{RestartDecision, RestartHistory, RestartLimits};
use crate::process::signals::{Signals, StopRequest};
use crate::process::sockets::PassedSockets;
use crate::process::spawn::Spawner;
use adnet_common::chain_id::ChainId;
use adnet_common::config::Config;
use adnet_common::hash::Hash;
use adnet_common::messages::SCHEMA_HASH;
use adnet_common::worker::Launch;
use adnet_common::worker::clock::monotonic_ns;
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// How often the pulse of the workers is felt.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long a worker may take from its start until it is at work, or from its kill until it is gone,
/// before the watchdog counts it as stuck.
const CHANGE_PATIENCE: Duration = Duration::from_secs(120);

struct Supervisor {
    config: Config,
    shared: Shared,
    spawner: Spawner,
    signals: Signals,
    waker: Arc<Waker>,
    inbox: mpsc::Receiver<Event>,
    events: Events,
    workers: BTreeMap<ChainId, WorkerSlot>,
    ready: BTreeMap<ChainId, bool>,
    announcer: Announcer,
}

/// How the main loop ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Ending {
    Orderly(i32),
    AtOnce,
}

pub fn run(config: Config) -> anyhow::Result<i32> {
    panic::abort_on_panic("supervisor");
    let signals = Signals::supervisor()?;
    let spawner = Spawner::start()?;
    let waker = Arc::new(Waker::new()?);
    let (events, inbox) = Events::new(Arc::clone(&waker));
    let mut passed = PassedSockets::from_env()?;
    let mode = config.node.mode;
    let wanted = |chain: &ChainId| match chain {
        ChainId::Alpha => mode.runs_alpha(),
        ChainId::Delta => mode.runs_delta(),
    };
    let chains: Vec<ChainId> = ChainId::ALL.into_iter().filter(wanted).collect();
    let mut listeners = BTreeMap::new();
    let mut listens = BTreeMap::new();
    for chain in &chains {
        let address = chain_config(&config, *chain).api_listen;
        let (name, key) = (format!("{chain}-api"), format!("{chain}.api_listen"));
        let listener = passed.take_or_bind(&name, &key, address)?;
        listens.insert(*chain, listener.local_addr()?);
        listeners.insert(*chain, listener);
    }
    let metrics = passed.take_or_bind("metrics", "metrics.listen", config.metrics.listen)?;
    let metrics_at = metrics.local_addr()?;
    let shared = Shared::open(&config, &chains, &listens, metrics, &events)?;
    for (chain, address) in &listens {
        tracing::info!(%chain, %address, "the API listens");
    }
    tracing::info!(address = %metrics_at, "metrics, health and readiness listen");

    let mut workers = BTreeMap::new();
    for (chain, listener) in listeners {
        workers.insert(chain, slot(&config, &shared, chain, listener)?);
    }
    let supervisor = Supervisor {
        ready: chains.iter().map(|c| (*c, false)).collect(),
        announcer: Announcer::from_env(),
        config,
        shared,
        spawner,
        signals,
        waker,
        inbox,
        events,
        workers,
    };
    supervisor.run()
}

fn slot(
    config: &Config,
    shared: &Shared,
    chain: ChainId,
    listener: std::net::TcpListener,
) -> anyhow::Result<WorkerSlot> {
    let settings = &config.supervisor;
    let journal = logging::journal_connection(&config.log);
    let limits = RestartLimits {
        deaths_max: usize::try_from(settings.restart_limit)?,
        window_ms: settings.restart_window_s.saturating_mul(1000),
    };
    let hang = HangLimits {
        warn_ns: settings.hang_warn_ms.saturating_mul(1_000_000),
        kill_ns: settings.hang_kill_ms.saturating_mul(1_000_000),
    };
    let order = WorkerOrder {
        launch: Launch {
            chain,
            incarnation: 0,
            schema_hash: Hash(SCHEMA_HASH),
            // A worker begins in the root directory.
            genesis: std::path::absolute(config.node.genesis_file())?,
            validator: shared.validator,
            config: chain_config(config, chain).clone(),
            alpha_api: config.alpha_api.clone(),
            delta_api: config.delta_api.clone(),
            rings: shared.topology.worker_rings(chain),
        },
        log: config.log.clone(),
        require_sandbox: settings.require_sandbox,
        has_journal: journal.is_some(),
        is_standby: false,
    };
    let history = RestartHistory::new(limits, getrandom::u64()?);
    let letters = dead_letters::restore(chain, &shared.store)?;
    let mut slot = WorkerSlot::new(chain, order, listener, history, letters, hang, journal);
    let has_standby = match chain {
        ChainId::Alpha => settings.alpha_standby,
        ChainId::Delta => false, // ready at once
    };
    if has_standby {
        let history = RestartHistory::new(limits, getrandom::u64()?);
        slot.standby = Some(Standby::new(chain, history));
    }
    Ok(slot)
}

impl Supervisor {
    fn run(mut self) -> anyhow::Result<i32> {
        let build = hex::encode(build_id());
        tracing::info!(
            pid = std::process::id(),
            build,
            "the supervisor starts its workers"
        );
        let chains: Vec<ChainId> = self.workers.keys().copied().collect();
        for chain in &chains {
            self.spawn(*chain)?;
        }
        let ending = self.watch()?;
        let code = match ending {
            Ending::Orderly(code) => self.stop_in_order(code)?,
            Ending::AtOnce => self.end_at_once(),
        };
        let Supervisor {
            shared,
            spawner,
            workers,
            ..
        } = self;
        let watches = workers
            .into_values()
            .filter_map(|slot| slot.watch)
            .collect();
        drop(spawner);
        shared.close(watches);
        tracing::info!(code, "the node has stopped");
        Ok(code)
    }

    /// The main loop, until something asks to stop.
    fn watch(&mut self) -> anyhow::Result<Ending> {
        loop {
            if let Some(request) = self.sleep(LOOK_EVERY)? {
                return Ok(match request {
                    StopRequest::Orderly => Ending::Orderly(exit_code::OK),
                    StopRequest::AtOnce => Ending::AtOnce,
                });
            }
            while let Ok(event) = self.inbox.try_recv() {
                match event {
                    Event::Ready(chain, incarnation) => self.on_ready(chain, incarnation)?,
                    Event::Dying(chain, incarnation) => self.on_dying(chain, incarnation),
                    Event::StoreFailed => {
                        tracing::error!("the database failed: the node stops");
                        return Ok(Ending::Orderly(exit_code::STORE_FAILED));
                    }
                    Event::StopAsked => return Ok(Ending::Orderly(exit_code::OK)),
                }
            }
            if let Some(code) = self.reap()? {
                return Ok(Ending::Orderly(code));
            }
            if self.shared.store.is_failed() {
                // Seen in the background, by a flush that no request waited for.
                self.shared
                    .state
                    .store_failed("the database failed in the background");
                return Ok(Ending::Orderly(exit_code::STORE_FAILED));
            }
            self.restart_due()?;
            for slot in self.workers.values_mut() {
                slot.look(&self.shared.topology);
            }
            self.look_at_standbys()?;
            self.tell_systemd();
        }
    }

    /// Sleeps until something happens, and says if a signal asked to stop.
    fn sleep(&mut self, timeout: Duration) -> anyhow::Result<Option<StopRequest>> {
        let mut fds = vec![self.signals.as_fd(), self.waker.as_fd()];
        let children = self.workers.values().filter_map(|slot| slot.child.as_ref());
        fds.extend(children.map(|child| child.pidfd()));
        let standbys = self.workers.values().filter_map(|s| s.standby.as_ref());
        fds.extend(standbys.flat_map(Standby::fds));
        let next = self
            .workers
            .values()
            .filter_map(|slot| slot.restart_at_ns)
            .min();
        let until = next.map(|at| Duration::from_nanos(at.saturating_sub(monotonic_ns())));
        let ready = wait_readable(&fds, Some(until.map_or(timeout, |u| u.min(timeout))))?;
        if ready.contains(&1) {
            self.waker.clear()?;
        }
        Ok(if ready.contains(&0) {
            self.signals.take()?
        } else {
            None
        })
    }

    fn spawn(&mut self, chain: ChainId) -> anyhow::Result<()> {
        let slot = self
            .workers
            .get_mut(&chain)
            .expect("a wanted chain has a slot");
        let (topology, stop) = (&self.shared.topology, self.shared.stop_flag());
        let Started { pid, by_standby } =
            slot.spawn(&self.spawner, topology, &self.events, stop)?;
        self.shared.state.worker_started(chain, pid, by_standby);
        tracing::info!(%chain, pid, incarnation = slot.incarnation, by_standby, "worker started");
        Ok(())
    }

    /// Takes in what became of the standbys, and starts those that are due beside a worker at work.
    fn look_at_standbys(&mut self) -> anyhow::Result<()> {
        for (chain, slot) in &mut self.workers {
            if self.ready[chain] {
                slot.spawn_due_standby(&self.spawner, &self.shared.topology);
            }
            if let Some(standby) = &mut slot.standby {
                standby.look()?;
                self.shared.state.standby(*chain, standby.state());
            }
        }
        Ok(())
    }

    fn end_standbys(&mut self) {
        for (chain, slot) in &mut self.workers {
            if let Some(standby) = &mut slot.standby {
                standby.end();
                self.shared.state.standby(*chain, standby.state());
            }
        }
    }

    fn on_ready(&mut self, chain: ChainId, incarnation: u32) -> anyhow::Result<()> {
        let slot = self
            .workers
            .get_mut(&chain)
            .expect("a wanted chain has a slot");
        if slot.incarnation != incarnation {
            return Ok(()); // said before it died
        }
        slot.ready(&self.shared.topology, now_ms());
        self.shared.state.worker_running(chain);
        self.ready.insert(chain, true);
        if !self.announcer.is_ready() && self.ready.values().all(|ready| *ready) {
            self.announcer.ready(&self.shared.state);
        }
        Ok(())
    }

    /// The kernel's early word. The pidfd is the authority, so nothing is decided here.
    fn on_dying(&mut self, chain: ChainId, incarnation: u32) {
        if self
            .workers
            .get(&chain)
            .is_some_and(|slot| slot.incarnation == incarnation)
        {
            self.ready.insert(chain, false);
            tracing::debug!(%chain, incarnation, "a worker is dying");
        }
    }

    /// Takes in dead workers. An exit code if the node cannot go on.
    fn reap(&mut self) -> anyhow::Result<Option<i32>> {
        for (chain, slot) in &mut self.workers {
            let Some(child) = &mut slot.child else {
                continue;
            };
            let Some(exit) = child.try_reap()? else {
                continue;
            };
            self.ready.insert(*chain, false);
            if let Exit::Code(code @ (exit_code::SANDBOX_REFUSED | exit_code::SCHEMA_MISMATCH)) =
                exit
            {
                slot.child = None;
                self.shared.state.worker_ended(*chain, true);
                tracing::error!(%chain, code, "the worker refuses to run, and another one would too: the node stops");
                return Ok(Some(code));
            }
            let decision = slot.bury(&exit, &self.shared.topology, &self.shared.store, now_ms());
            match decision {
                RestartDecision::RestartAfter { delay_ms } => {
                    self.shared.state.worker_died(*chain);
                    let delay_ns = delay_ms.saturating_mul(1_000_000);
                    slot.restart_at_ns = Some(monotonic_ns().saturating_add(delay_ns));
                }
                RestartDecision::GiveUp { deaths } => {
                    self.shared.state.worker_ended(*chain, true);
                    tracing::error!(%chain, deaths, "a worker died too often: the node stops");
                    return Ok(Some(exit_code::RESTART_LIMIT));
                }
            }
        }
        Ok(None)
    }

    fn restart_due(&mut self) -> anyhow::Result<()> {
        let now_ns = monotonic_ns();
        let due = |slot: &&WorkerSlot| slot.restart_at_ns.is_some_and(|at| at <= now_ns);
        let due: Vec<ChainId> = self.workers.values().filter(due).map(|s| s.chain).collect();
        for chain in due {
            self.spawn(chain)?;
        }
        Ok(())
    }

    fn tell_systemd(&mut self) {
        let Supervisor {
            announcer,
            shared,
            workers,
            ..
        } = self;
        let silence_max = announcer.silence_max().unwrap_or(CHANGE_PATIENCE);
        announcer.turn(&shared.state, || {
            for slot in workers.values() {
                slot.progresses(silence_max, CHANGE_PATIENCE)?;
            }
            if shared.decides_alone() {
                blocks_progress(&shared.state)?;
            }
            Ok(())
        });
    }

    /// Stop accepting, drain, Delta, then Alpha, flush; whatever is late is killed.
    fn stop_in_order(&mut self, mut code: i32) -> anyhow::Result<i32> {
        let deadline = Duration::from_millis(self.config.supervisor.shutdown_deadline_ms);
        let end = Instant::now() + deadline;
        self.shared.state.set_stopping();
        self.announcer.stopping(deadline);
        self.end_standbys();
        tracing::info!(
            deadline_ms = self.config.supervisor.shutdown_deadline_ms,
            "stopping in order"
        );
        for chain in [ChainId::Delta, ChainId::Alpha] {
            let slot = self.workers.get(&chain);
            if slot.is_none_or(|slot| slot.child.is_none()) {
                continue;
            }
            // The first to stop leaves half of the time to the other.
            let left = end.saturating_duration_since(Instant::now());
            let until = Instant::now()
                + if chain == ChainId::Delta {
                    left / 2
                } else {
                    left
                };
            self.shared
                .ask_to_stop(chain, until.saturating_duration_since(Instant::now()));
            loop {
                let slot = self.workers.get_mut(&chain).expect("looked at above");
                let child = slot.child.as_mut().expect("it has not ended yet");
                if let Some(exit) = child.try_reap()? {
                    tracing::info!(%chain, %exit, "worker stopped");
                    slot.child = None;
                    self.shared.state.worker_ended(chain, false);
                    break;
                }
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    let exit = child.kill_and_reap()?;
                    tracing::warn!(%chain, %exit, "the worker did not stop in time and was killed");
                    slot.child = None;
                    self.shared.state.worker_ended(chain, true);
                    if code == exit_code::OK {
                        code = exit_code::ENDED_AT_ONCE;
                    }
                    break;
                }
                if self.sleep(left.min(LOOK_EVERY))? == Some(StopRequest::AtOnce) {
                    return Ok(self.end_at_once());
                }
            }
        }
        Ok(code)
    }

    fn end_at_once(&mut self) -> i32 {
        tracing::warn!("ending at once");
        self.end_standbys();
        for slot in self.workers.values_mut() {
            if let Some(child) = &mut slot.child
                && let Err(error) = child.kill_and_reap()
            {
                tracing::error!(chain = %slot.chain, %error, "a worker cannot be killed");
            }
            slot.child = None;
        }
        exit_code::ENDED_AT_ONCE
    }
}

fn now_ms() -> u64 {
    monotonic_ns() / 1_000_000
}
