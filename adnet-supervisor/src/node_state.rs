//! What the node is doing, as the supervisor knows it: read by `/health`, `/ready`, `/metrics` and
//! the control socket, written by the supervisor's loop.
//!
//! Invariant: readers never block a writer for longer than a copy, and see each chain at one
//! moment.

use adnet_common::chain_id::ChainId;
use adnet_common::hash::Hash;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What never changes while the node runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeIdentity {
    /// Version of this release.
    pub version: String,
    pub network_name: String,
    pub network_id: u32,
    pub genesis: Hash,
    pub data_dir: std::path::PathBuf,
}

/// What never changes of one chain.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ChainPlan {
    pub chain: ChainId,
    /// The cadence of the genesis.
    pub block_interval: Duration,
    /// Where its API listens.
    pub api_listen: Option<std::net::SocketAddr>,
}

/// Where a worker is in its life.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkerState {
    /// Forked, not yet at work.
    Starting,
    Running,
    /// Died; the next incarnation comes at once or after a back-off.
    Restarting,
    /// Ended in order.
    Stopped,
    /// Died too often; the supervisor has given up on it.
    Failed,
}

impl WorkerState {
    pub const ALL: [WorkerState; 5] = [
        WorkerState::Starting,
        WorkerState::Running,
        WorkerState::Restarting,
        WorkerState::Stopped,
        WorkerState::Failed,
    ];

    pub fn name(self) -> &'static str {
        match self {
            WorkerState::Starting => "starting",
            WorkerState::Running => "running",
            WorkerState::Restarting => "restarting",
            WorkerState::Stopped => "stopped",
            WorkerState::Failed => "failed",
        }
    }
}

/// One wanted chain at one moment.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ChainState {
    pub worker: WorkerState,
    /// Process id of the worker, while there is one.
    pub pid: Option<u32>,
    /// Counts the workers of this chain since the node started, from 1.
    pub incarnation: u32,
    /// Unplanned deaths since the node started.
    pub restarts: u64,
    /// How many of them a standby stood in for.
    pub takeovers: u64,
    /// `None` where the worker is to have no standby.
    pub standby: Option<StandbyState>,
    /// Last committed height; `None` before the genesis block.
    pub height: Option<u64>,
    /// When this run of the node last saw a block committed.
    pub last_block: Option<Instant>,
    pub last_block_unix_ms: Option<u64>,
    /// What the worker said after its last block.
    pub progress: Option<ChainProgress>,
}

/// The standby of a worker that is to have one.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandbyState {
    /// Its process, while there is one.
    pub pid: Option<u32>,
    /// It has prepared itself and can be called.
    pub is_ready: bool,
}

/// What a worker reports after each block.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainProgress {
    pub block_hash: Hash,
    /// The time in the block's header.
    pub block_time_ms: u64,
    /// Height of the other chain that our light client holds for final.
    pub sibling_height: u64,
    /// Attestations of the other chain that wait for a block.
    pub inbox_waiting: u64,
    pub mempool_txs: u64,
}

impl ChainState {
    const NEW: ChainState = ChainState {
        worker: WorkerState::Starting,
        pid: None,
        incarnation: 0,
        restarts: 0,
        takeovers: 0,
        standby: None,
        height: None,
        last_block: None,
        last_block_unix_ms: None,
        progress: None,
    };
}

/// A chain counts as stalled after so many intervals without a block.
const STALL_INTERVALS: u32 = 3;
/// But not before this: short intervals of test networks leave room for a busy machine.
const STALL_MIN: Duration = Duration::from_secs(2);

struct Chain {
    plan: ChainPlan,
    state: Mutex<ChainState>,
}

/// The state of the whole node.
pub struct NodeState {
    pub identity: NodeIdentity,
    started: Instant,
    started_unix_ms: u64,
    /// The wanted chains only.
    chains: Vec<Chain>,
    store_failure: OnceLock<String>,
    stopping: AtomicBool,
}

impl NodeState {
    /// A node that has just begun to start the workers of `plans`.
    pub fn new(identity: NodeIdentity, plans: &[ChainPlan]) -> Self {
        let chain = |plan: &ChainPlan| Chain {
            plan: *plan,
            state: Mutex::new(ChainState::NEW),
        };
        Self {
            identity,
            started: Instant::now(),
            started_unix_ms: unix_ms(),
            chains: plans.iter().map(chain).collect(),
            store_failure: OnceLock::new(),
            stopping: AtomicBool::new(false),
        }
    }

    /// A worker has been forked, or its standby called: the next incarnation of its chain.
    pub fn worker_started(&self, chain: ChainId, pid: u32, by_standby: bool) {
        self.change(chain, |state| {
            state.incarnation += 1;
            state.takeovers += u64::from(by_standby);
            state.pid = Some(pid);
            state.worker = WorkerState::Starting;
        });
    }

    /// What is known of the standby now.
    pub fn standby(&self, chain: ChainId, standby: StandbyState) {
        self.change(chain, |state| state.standby = Some(standby));
    }

    /// The worker has said that it is at work.
    pub fn worker_running(&self, chain: ChainId) {
        self.change(chain, |state| state.worker = WorkerState::Running);
    }

    /// The worker is dead without having been asked to stop; another follows.
    pub fn worker_died(&self, chain: ChainId) {
        self.change(chain, |state| {
            state.restarts += 1;
            state.pid = None;
            state.worker = WorkerState::Restarting;
        });
    }

    /// The worker is gone for good: in order, or given up on.
    pub fn worker_ended(&self, chain: ChainId, failed: bool) {
        self.change(chain, |state| {
            state.pid = None;
            state.worker = if failed {
                WorkerState::Failed
            } else {
                WorkerState::Stopped
            };
        });
    }

    /// The height that was found in the store at the start.
    pub fn found_height(&self, chain: ChainId, height: Option<u64>) {
        self.change(chain, |state| state.height = height);
    }

    /// A block is durable.
    pub fn block_committed(&self, chain: ChainId, height: u64) {
        let (now, unix_ms) = (Instant::now(), unix_ms());
        self.change(chain, |state| {
            state.height = Some(height);
            state.last_block = Some(now);
            state.last_block_unix_ms = Some(unix_ms);
        });
    }

    /// The worker has reported on its last block.
    pub fn progressed(&self, chain: ChainId, progress: ChainProgress) {
        self.change(chain, |state| state.progress = Some(progress));
    }

    /// The store answers no more writes. The first reason stays.
    pub fn store_failed(&self, why: impl Into<String>) {
        // A later reason is a consequence of the first.
        let _ = self.store_failure.set(why.into());
    }

    /// The orderly stop has begun.
    pub fn set_stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub fn store_failure(&self) -> Option<&str> {
        self.store_failure.get().map(String::as_str)
    }

    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    pub fn started_unix_ms(&self) -> u64 {
        self.started_unix_ms
    }

    /// The wanted chains, each with its state now.
    pub fn chains(&self) -> Vec<(ChainPlan, ChainState)> {
        self.chains
            .iter()
            .map(|chain| (chain.plan, *lock(chain)))
            .collect()
    }

    /// Why the node is not ready, in words; empty when it is. Ready means: every wanted chain has
    /// a running worker and has committed a block in this run and within three intervals, and the
    /// store works.
    pub fn not_ready(&self) -> Vec<String> {
        let mut why = Vec::new();
        if let Some(failure) = self.store_failure() {
            why.push(format!("the database failed: {failure}"));
        }
        if self.is_stopping() {
            why.push("the node is stopping".to_owned());
        }
        for (plan, state) in self.chains() {
            why.extend(stalled(&plan, &state, Instant::now()));
        }
        why
    }

    /// The chains that make no progress, each with why.
    pub fn stalled_chains(&self) -> BTreeMap<ChainId, String> {
        let now = Instant::now();
        let stalled = |(plan, state): (ChainPlan, ChainState)| {
            stalled_since(&plan, &state, self.started, now).map(|why| (plan.chain, why))
        };
        self.chains().into_iter().filter_map(stalled).collect()
    }

    fn change(&self, chain: ChainId, change: impl FnOnce(&mut ChainState)) {
        let wanted = self.chains.iter().find(|c| c.plan.chain == chain);
        let wanted = wanted.expect("the supervisor runs only the chains that it planned");
        change(&mut lock(wanted));
    }
}

fn lock(chain: &Chain) -> MutexGuard<'_, ChainState> {
    chain
        .state
        .lock()
        .expect("nobody panics while holding a chain's state")
}

/// Why a chain makes no progress, if so.
fn stalled(plan: &ChainPlan, state: &ChainState, now: Instant) -> Option<String> {
    let chain = plan.chain;
    if state.worker != WorkerState::Running {
        return Some(format!("{chain}: the worker is {}", state.worker.name()));
    }
    let Some(last_block) = state.last_block else {
        return Some(format!("{chain}: no block yet since the node started"));
    };
    let silent = now.saturating_duration_since(last_block);
    (silent > stall_bound(plan))
        .then(|| format!("{chain}: no block for {:.1} s", silent.as_secs_f64()))
}

/// Why a chain stands still: three intervals without a block, also from the start of the node on.
/// (A node that has just started is not ready yet, but nothing is wrong with it.)
fn stalled_since(
    plan: &ChainPlan,
    state: &ChainState,
    started: Instant,
    now: Instant,
) -> Option<String> {
    let from = state.last_block.unwrap_or(started);
    let silent = now.saturating_duration_since(from);
    let (chain, bound) = (plan.chain, stall_bound(plan));
    (silent > bound).then(|| format!("{chain}: no block for {:.1} s", silent.as_secs_f64()))
}

fn stall_bound(plan: &ChainPlan) -> Duration {
    let bound = plan.block_interval.saturating_mul(STALL_INTERVALS);
    bound.max(STALL_MIN)
}

/// Milliseconds since the UNIX epoch, for people and reports.
fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(chain: ChainId) -> ChainPlan {
        ChainPlan {
            chain,
            block_interval: Duration::from_secs(3),
            api_listen: None,
        }
    }

    fn node() -> NodeState {
        let identity = NodeIdentity {
            version: "1".into(),
            network_name: "test".into(),
            network_id: 7,
            genesis: Hash::ZERO,
            data_dir: "data".into(),
        };
        NodeState::new(identity, &[plan(ChainId::Alpha), plan(ChainId::Delta)])
    }

    #[test]
    fn ready_needs_a_block_of_each_chain_from_a_running_worker() {
        let node = node();
        assert_eq!(node.not_ready().len(), 2);
        for chain in ChainId::ALL {
            node.worker_started(chain, 1, false);
            node.worker_running(chain);
            node.block_committed(chain, 5);
        }
        assert_eq!(node.not_ready(), Vec::<String>::new());
        node.worker_died(ChainId::Alpha);
        assert_eq!(node.not_ready(), ["alpha: the worker is restarting"]);
        node.worker_started(ChainId::Alpha, 2, true);
        node.worker_running(ChainId::Alpha);
        assert!(node.not_ready().is_empty());
        let (_, alpha) = node.chains()[0];
        assert_eq!(
            (alpha.incarnation, alpha.restarts, alpha.pid),
            (2, 1, Some(2))
        );
        assert_eq!((alpha.takeovers, alpha.standby), (1, None));
        node.store_failed("the disk is full");
        node.store_failed("another");
        node.set_stopping();
        let why = [
            "the database failed: the disk is full",
            "the node is stopping",
        ];
        assert_eq!(node.not_ready(), why);
    }

    #[test]
    fn the_alarm_counts_from_the_start_where_no_block_ever_came() {
        let started = Instant::now();
        let plan = plan(ChainId::Alpha);
        let at = |secs| started + Duration::from_secs(secs);
        assert_eq!(stalled_since(&plan, &ChainState::NEW, started, at(9)), None);
        let why = stalled_since(&plan, &ChainState::NEW, started, at(10));
        assert_eq!(why.as_deref(), Some("alpha: no block for 10.0 s"));
        let state = ChainState {
            last_block: Some(at(10)),
            ..ChainState::NEW
        };
        assert_eq!(stalled_since(&plan, &state, started, at(19)), None);
    }

    #[test]
    fn a_silent_chain_stalls_after_three_intervals() {
        let now = Instant::now();
        let plan = plan(ChainId::Delta);
        let state = ChainState {
            worker: WorkerState::Running,
            last_block: Some(now),
            ..ChainState::NEW
        };
        assert_eq!(stalled(&plan, &state, now + Duration::from_secs(9)), None);
        let why = stalled(&plan, &state, now + Duration::from_millis(9_500));
        assert_eq!(why.as_deref(), Some("delta: no block for 9.5 s"));
    }
}
