//! Worker ↔ supervisor: readiness, progress, validators, metrics, peers, the request to stop.

use rkyv::{Archive, Deserialize, Serialize};

/// The worker has opened its chain and answers its API.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ReadyMsg {
    pub pid: u32,
    pub incarnation: u32,
    pub height: u64,
}

/// After each committed block.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ProgressMsg {
    pub height: u64,
    pub block_time_ms: u64,
    pub block_hash: [u8; 32],
    pub sibling_height: u64,
    pub inbox_waiting: u64,
    pub mempool_txs: u64,
}

/// A member of a validator set.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct MemberMsg {
    pub key: [u8; 32],
    pub power: u64,
}

/// Who decides the next heights: when a worker is ready, and whenever the set changes.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ValidatorsMsg {
    /// The first height that this set decides.
    pub from_height: u64,
    pub members: Vec<MemberMsg>,
}

/// One metric family in the text format, without the role label.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct FamilyMsg {
    pub name: String,
    pub help: String,
    pub kind: u8,
    pub lines: Vec<String>,
}

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct MetricsMsg {
    pub families: Vec<FamilyMsg>,
}

/// A linked peer of the worker's chain.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct LinkedPeer {
    pub peer: [u8; 32],
    /// `address:port`, as the connection has it now.
    pub address: String,
    /// The peer opened the connection.
    pub is_inbound: bool,
    pub is_validator: bool,
    pub height: u64,
    pub connected_unix_ms: u64,
    pub round_trip_us: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// In whole points.
    pub score: i32,
}

/// Supervisor → worker, every few seconds: who its peers are, for its API.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct PeersMsg {
    pub peers: Vec<LinkedPeer>,
}

/// Supervisor → worker: stop accepting, drain, exit.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct StopMsg {
    pub deadline_ms: u64,
}
