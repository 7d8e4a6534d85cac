//! What a supervisor tells a worker at its birth: rings with their epochs, and what to run.
//!
//! Travels as JSON in one environment variable. The supervisor is trusted by its workers; the
//! checks here are against a worker and a supervisor of different builds.

use crate::chain_id::ChainId;
use crate::config::{AlphaApiConfig, ChainConfig, DeltaApiConfig};
use crate::keys::PublicKey;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The environment variable that holds the launch.
pub const LAUNCH_VARIABLE: &str = "ADNET_WORKER_LAUNCH";

/// One end of a ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingEnd {
    /// Name below /dev/shm.
    pub name: String,
    pub ring_id: u32,
    /// The epoch under which this incarnation attaches.
    pub epoch: u32,
}

/// The ends that a worker holds. `up` is towards the supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerRings {
    pub data_up: RingEnd,
    pub data_down: RingEnd,
    pub query_up: RingEnd,
    pub query_down: RingEnd,
    pub control_up: RingEnd,
    pub control_down: RingEnd,
    pub network_up: RingEnd,
    pub network_down: RingEnd,
    /// To and from the other chain; absent where only one chain runs.
    pub attest_out: Option<RingEnd>,
    pub attest_in: Option<RingEnd>,
    pub heartbeat: RingEnd,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    pub chain: ChainId,
    /// Counts the lives of this worker since the supervisor started, from 1.
    pub incarnation: u32,
    /// Digest over the message definitions of the supervisor's build.
    pub schema_hash: crate::hash::Hash,
    pub genesis: PathBuf,
    /// The validator key that the supervisor signs with.
    pub validator: Option<PublicKey>,
    pub config: ChainConfig,
    /// For the worker of Alpha.
    pub alpha_api: AlphaApiConfig,
    /// For the worker of Delta.
    pub delta_api: DeltaApiConfig,
    pub rings: WorkerRings,
}
