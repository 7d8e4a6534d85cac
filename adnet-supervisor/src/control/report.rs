//! What `adnet status` shows: the node's state as JSON.

use crate::node_state::{
    ChainPlan, ChainProgress, ChainState, NodeIdentity, NodeState, StandbyState, WorkerState,
};
use adnet_common::chain_id::ChainId;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// The whole node at one moment. Fields may be added; none changes its meaning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReport {
    pub node: NodeIdentity,
    /// Process id of the supervisor.
    pub pid: u32,
    pub started_unix_ms: u64,
    pub uptime_ms: u64,
    pub ready: bool,
    /// Why the node is not ready, in words; empty when it is.
    pub reasons: Vec<String>,
    pub stopping: bool,
    pub store_failure: Option<String>,
    /// The wanted chains.
    pub chains: Vec<ChainReport>,
}

/// One chain and its worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainReport {
    pub chain: ChainId,
    pub worker: WorkerState,
    /// Process id of the worker, while there is one.
    pub pid: Option<u32>,
    pub incarnation: u32,
    /// Unplanned deaths since the node started.
    pub restarts: u64,
    /// How many of them a standby stood in for.
    #[serde(default)]
    pub takeovers: u64,
    /// `None` where the worker is to have no standby.
    #[serde(default)]
    pub standby: Option<StandbyState>,
    pub api_listen: Option<SocketAddr>,
    pub block_interval_ms: u64,
    /// Last committed height; `None` before the genesis block.
    pub height: Option<u64>,
    /// When this run of the node last saw a block become durable.
    pub last_block_unix_ms: Option<u64>,
    pub last_block_age_ms: Option<u64>,
    pub progress: Option<ChainProgress>,
}

impl StatusReport {
    pub fn of(state: &NodeState) -> Self {
        let reasons = state.not_ready();
        Self {
            node: state.identity.clone(),
            pid: std::process::id(),
            started_unix_ms: state.started_unix_ms(),
            uptime_ms: millis(state.uptime()),
            ready: reasons.is_empty(),
            reasons,
            stopping: state.is_stopping(),
            store_failure: state.store_failure().map(str::to_owned),
            chains: state.chains().into_iter().map(ChainReport::of).collect(),
        }
    }
}

impl ChainReport {
    fn of((plan, state): (ChainPlan, ChainState)) -> Self {
        Self {
            chain: plan.chain,
            worker: state.worker,
            pid: state.pid,
            incarnation: state.incarnation,
            restarts: state.restarts,
            takeovers: state.takeovers,
            standby: state.standby,
            api_listen: plan.api_listen,
            block_interval_ms: millis(plan.block_interval),
            height: state.height,
            last_block_unix_ms: state.last_block_unix_ms,
            last_block_age_ms: state.last_block.map(|at| millis(at.elapsed())),
            progress: state.progress,
        }
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
