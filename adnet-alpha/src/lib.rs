//! Alpha, the privacy chain: `credits.alpha` on public accounts and in the shielded pool, its state
//! tree, its HTTP API.
//!
//! [`tx`] is the transaction format, [`pool`] the shielded pool, [`rules`] what holds whatever the
//! state, [`state`] the leaves, the tree and execution, [`AlphaApp`] the chain as the chain core runs
//! it, [`api`] the HTTP API, [`compact`] what light wallets read of blocks.
//! The crate knows nothing of Delta but the messages that cross between the chains.

pub mod api;
mod app;
pub mod compact;
mod open;
pub mod pool;
pub mod pool_index;
pub mod processor;
mod receipt;
mod refusal;
pub mod rules;
pub mod state;
pub mod tx;
pub mod wallet;

pub use app::{AlphaApp, AlphaPending, AlphaView, SNAPSHOT_EVERY_BLOCKS};
pub use receipt::Receipt;
pub use refusal::Refusal;

#[cfg(test)]
mod tests;
