//! Alpha's state: what its leaves are, the tree over them, and how a block changes them.

mod draft;
mod leaves;
mod node_cache;
mod nullifiers;
mod pieces;
mod restore;
mod store_keys;
mod tree;

pub use draft::{Changes, Draft};
pub(crate) use leaves::{ACCOUNT_PREFIX, MINT_PREFIX, MISBEHAVIOUR_PREFIX, TOMBSTONE_PREFIX};
pub use leaves::{Account, BurnRecord, LockRecord, MintRecord, StateKey, UnlockRecord};
pub use node_cache::NodeCache;
pub use nullifiers::spent;
pub use pieces::piece;
pub use restore::AlphaRestore;
pub(crate) use store_keys::{decode_leaf, leaf_range};
pub use tree::{KEPT_VERSIONS, Leaf, TreeUpdate, leaf_proof, root_at, update};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use adnet_common::hash::Hash;
use adnet_common::keys::PublicKey;
use adnet_common::supply::AlphaSupply;
use adnet_common::validators::Validators;

use crate::pool::tree::{Anchors, NoteTree};

/// The committed state as execution needs it: all public accounts, the numbers of all executed mint
/// orders and the validators, in memory (about 100 bytes per account). Nullifiers are too many for
/// that, and nothing of them is ever changed: they are looked up in the store.
///
/// Invariant: equal to the leaves of the tree at `height`, whose root is `root`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub height: u64,
    pub root: Hash,
    pub accounts: BTreeMap<[u8; 32], Account>,
    pub executed_orders: BTreeSet<u64>,
    pub supply: AlphaSupply,
    pub validators: Arc<Validators>,
    /// Where the tree of note commitments ends, and its recent roots.
    pub notes: NoteTree,
    pub anchors: Anchors,
    /// Validators that Delta has been told of.
    pub reported: BTreeSet<PublicKey>,
}

impl Committed {
    pub fn account(&self, owner: &[u8; 32]) -> Account {
        self.accounts.get(owner).copied().unwrap_or_default()
    }
}
