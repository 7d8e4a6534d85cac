//! What both chains share: formats, the chain core, the worker shell, configuration and keys.
//!
//! The chain core is sans-io: time, messages and answers of the store come in, decisions go out.
//! Only the worker shell touches rings, sockets and the clock.

pub mod api;
pub mod application;
pub mod attestation;
pub mod block;
pub mod cadence;
pub mod chain_id;
pub mod codec;
pub mod config;
pub mod consensus;
pub mod consensus_keys;
pub mod durable_file;
pub mod genesis;
pub mod hash;
pub mod header;
pub mod ipc;
pub mod keys;
pub mod ledger;
pub mod light_client;
pub mod memory_store;
pub mod mempool;
pub mod merkle;
pub mod messages;
pub mod metrics;
pub mod node;
pub mod restore;
pub mod state_proof;
pub mod store;
pub mod supply;
pub mod trusted_block;
pub mod validators;
pub mod worker;
