//! What a block does in the shielded pool.

use adnet_common::hash::Hash;

use super::super::StateKey;
use super::{BALANCED, Draft, add};
use crate::pool::Bundle;
use crate::pool::bundle::flag_byte;
use crate::pool::tree::{ANCHOR_WINDOW_BLOCKS, Anchors, NoteTree};
use crate::pool_index::Subtree;
use crate::refusal::Refusal;

/// The tree of note commitments after the block.
pub(super) struct Notes {
    pub tree: NoteTree,
    pub anchors: Anchors,
    pub subtrees: Vec<Subtree>,
}

impl Draft<'_> {
    /// Contextual validity of a bundle: its anchor is recent, its nullifiers are fresh, and the pool
    /// has what leaves it.
    pub(super) fn check_bundle(&self, bundle: &Bundle) -> Result<(), Refusal> {
        let window = ANCHOR_WINDOW_BLOCKS;
        let height = self.height;
        let may_spend = bundle.flags == flag_byte(true);
        if may_spend && !self.committed.anchors.allows(&bundle.anchor, height) {
            return Err(Refusal::AnchorUnknown { height, window });
        }
        for action in &bundle.actions {
            let nullifier = &action.nullifier;
            if self.nullifiers.contains(nullifier) || self.spent_before.contains(nullifier) {
                return Err(Refusal::NullifierSpent(Hash(*nullifier)));
            }
        }
        let balance = bundle.value_balance;
        let (held_units, needed_units) = (self.supply.pool_units, balance.unsigned_abs());
        if balance > 0 && held_units < needed_units {
            return Err(Refusal::PoolExceeded {
                held_units,
                needed_units,
            });
        }
        if balance < 0 && held_units.checked_add(needed_units).is_none() {
            return Err(Refusal::SupplyOverflow);
        }
        Ok(())
    }

    /// Spends and makes the notes of a bundle that was checked. What leaves the pool is on its way:
    /// the caller puts it where it belongs.
    pub(super) fn apply_bundle(&mut self, bundle: &Bundle) {
        for action in &bundle.actions {
            let is_fresh = self.nullifiers.insert(action.nullifier);
            assert!(is_fresh, "checked before");
            let key = StateKey::Nullifier(action.nullifier);
            self.records.insert(key, self.height.to_be_bytes().to_vec());
            self.commitments.push(action.cmx);
        }
        let units = bundle.value_balance.unsigned_abs();
        if bundle.value_balance < 0 {
            add(&mut self.supply.pool_units, units);
        } else {
            let left = self.supply.pool_units.checked_sub(units);
            self.supply.pool_units = left.expect(BALANCED);
        }
    }

    /// Puts the block's new notes into the tree, and its root among the anchors.
    pub(super) fn finish_notes(&mut self) -> Notes {
        let mut tree = self.committed.notes.clone();
        let mut anchors = self.committed.anchors.clone();
        let commitments = std::mem::take(&mut self.commitments);
        let height = self.height;
        let filled = tree.extend(&commitments).into_iter();
        let subtree = |(index, root)| Subtree {
            index,
            root,
            height,
        };
        let subtrees: Vec<Subtree> = filled.map(subtree).collect();
        if !commitments.is_empty() {
            anchors.push(self.height, tree.root());
            let leaves = [
                (StateKey::NoteCommitments, tree.encode()),
                (StateKey::Anchors, anchors.encode()),
            ];
            self.records.extend(leaves);
        }
        Notes {
            tree,
            anchors,
            subtrees,
        }
    }
}
