//! Delta, the exchange chain: Ethereum-signed transactions on `revm`, sAX as the native currency.
//!
//! [`app::DeltaApp`] is the chain for the chain core; [`api::router`] is its HTTP and JSON-RPC API;
//! [`tx`] signs transactions for the command line.

pub mod abi;
pub mod api;
pub mod app;
pub mod attest;
pub mod evm;
pub mod history;
pub mod programs;
pub mod rpc;
pub mod rules;
pub mod state;
pub mod transaction;
pub mod tx;
pub mod validators;

pub use app::{DeltaApp, SNAPSHOT_EVERY_BLOCKS};
