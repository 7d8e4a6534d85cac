//! The wallet's core: what it knows and does, without a file, a clock or a socket.
//!
//! ```text
//! mnemonic ─▶ keys ─▶ viewing_key        24 words, all keys of an account, what sees without spending
//! tree, tree_codec                       the paths of the own notes
//! memo, note, history, pending, intent   what is remembered
//! state                                  the wallet: all of that, and how far it has read
//! file                                   it as JSON
//! decrypt, scan, enrich                  reading the chain: compact blocks, then some whole transactions
//! balance, select                        what can be spent, and by which notes
//! plan, build, prove, mint               making transactions
//! ```
//!
//! The caller reads and writes files, asks nodes, and tells the time. A wallet reads the chain with
//! viewing keys alone; spending keys are needed to build a transaction and for nothing else.

mod balance;
mod build;
mod check;
pub(crate) mod decrypt;
mod enrich;
mod file;
mod hex_bytes;
mod history;
mod intent;
pub mod keys;
mod memo;
mod mint;
pub mod mnemonic;
mod note;
mod pending;
mod plan;
mod prove;
mod scan;
pub mod select;
mod state;
pub mod tree;
mod tree_codec;
pub mod viewing_key;

pub use balance::{AccountPending, PoolBalance};
pub use build::{BuildError, Built};
pub use check::CheckError;
pub use enrich::EnrichError;
pub use file::{FileError, VERSION};
pub use history::{HistoryEntry, Kind, Party, Payment, Status};
pub use intent::{Intent, Source};
pub use memo::{MEMO_BYTES, Memo, MemoError};
pub use mint::{PrivateMint, add_approval};
pub use note::{OwnNote, Spent};
pub use pending::Pending;
pub use plan::{Account, Conditions, Plan, PlanError};
pub use prove::{Phase, prepare_proving};
pub use scan::{ScanError, Scanned};
pub use state::{
    ANCHOR_DEPTH_BLOCKS, Birthday, BlockRef, Network, OtherNetwork, RewindError, Wallet,
};
pub use tree_codec::TreeCodecError;

#[cfg(test)]
mod tests;
