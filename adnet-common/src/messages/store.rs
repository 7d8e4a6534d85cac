//! Worker ↔ supervisor: reads, commits, the consensus log and signatures.
//!
//! Each request has an id that its answer repeats; ids of an earlier life of a worker are never
//! used again, so a late answer is recognised.

use crate::store::Write;
use rkyv::{Archive, Deserialize, Serialize};

/// Why a request failed. `kind` is 0 for the database, 1 for a forbidden write, 2 for a refused
/// signature, 3 for a missing key.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub kind: u8,
    pub text: String,
}

/// Values of keys, read at one point in time.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct GetMsg {
    pub id: u64,
    pub family: u8,
    pub keys: Vec<Vec<u8>>,
}

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct GotMsg {
    pub id: u64,
    pub values: Vec<Option<Vec<u8>>>,
    pub failure: Option<Failure>,
}

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ScanMsg {
    pub id: u64,
    pub family: u8,
    pub from: Vec<u8>,
    pub to: Vec<u8>,
    pub limit: u32,
    pub reverse: bool,
}

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct PageMsg {
    pub id: u64,
    pub entries: Vec<(Vec<u8>, Vec<u8>)>,
    pub next: Option<Vec<u8>>,
    pub failure: Option<Failure>,
}

/// One block's batch: atomic, and if so asked synced before the answer.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct CommitMsg {
    pub id: u64,
    pub height: u64,
    pub is_synced: bool,
    pub writes: Vec<Write>,
}

/// Everything that was written before is synced before the answer.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct SyncMsg {
    pub id: u64,
}

/// Appends to the consensus family, durable against a loss of power from the next sync on.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct AppendMsg {
    pub id: u64,
    pub writes: Vec<Write>,
}

/// A part of a state that comes from peers.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct RestoreMsg {
    pub id: u64,
    pub starts: bool,
    pub writes: Vec<Write>,
    pub ends: Option<u64>,
}

/// The answer to [`CommitMsg`], [`RestoreMsg`], [`SyncMsg`] and [`AppendMsg`].
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct DoneMsg {
    pub id: u64,
    pub failure: Option<Failure>,
}

/// An entry of the consensus log.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct WalMsg {
    pub height: u64,
    pub index: u64,
    pub bytes: Vec<u8>,
}

/// Log entries and what is to be signed: stored with the sign mark in one synced batch.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct SignMsg {
    pub id: u64,
    pub wal: Vec<WalMsg>,
    pub height: u64,
    pub round: u32,
    pub step: u8,
    pub value: Option<[u8; 32]>,
    pub pol_round: Option<u32>,
}

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct SignedMsg {
    pub id: u64,
    pub signature: Option<[u8; 64]>,
    pub failure: Option<Failure>,
}
