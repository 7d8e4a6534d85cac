//! Reading the chain: compact blocks, in order, any number at once.
//!
//! Blocks come from a node that may be wrong or lie, so what can be checked here is: heights and
//! parents follow each other, commitments have the positions they should have, actions are such as
//! a transaction can have. Either all blocks of a call are taken, or none.

use std::collections::BTreeMap;

use adnet_common::hash::Hash;
use adnet_common::keys::AlphaAddress;

use super::decrypt::{BadAction, Tried, try_all};
use super::history::{HistoryEntry, Kind, Payment, PoolEffect, Status, classify};
use super::note::{OwnNote, Spent};
use super::state::{BlockRef, Wallet};
use super::tree::{Leaf, TreeError};
use crate::compact::{CompactBlock, CompactTx, Unlock};

/// What was found in some blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    pub blocks: usize,
    pub actions: usize,
    pub notes_found: usize,
    pub notes_spent: usize,
    /// Own transactions that became final.
    pub finalised: Vec<Hash>,
    /// Own transactions whose time passed in these blocks.
    pub expired: Vec<Hash>,
}

/// Why blocks cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    #[error("block {given} does not follow: the wallet needs block {expected} next")]
    Gap { expected: u64, given: u64 },
    #[error(
        "block {height} does not follow the block {known} that the wallet has read before it: the node has another chain, or the network was reset"
    )]
    OtherChain { height: u64, known: Hash },
    #[error("block {height} begins with note {given}, the wallet has counted {expected}")]
    Position {
        height: u64,
        expected: u64,
        given: u64,
    },
    #[error("the node sent an action with a bad {what} in transaction {transaction}")]
    BadAction {
        transaction: Hash,
        what: &'static str,
    },
    #[error("the node sent a note of transaction {transaction} that the wallet has already")]
    NoteTwice { transaction: Hash },
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl From<BadAction> for ScanError {
    fn from(bad: BadAction) -> Self {
        let BadAction { transaction, what } = bad;
        ScanError::BadAction { transaction, what }
    }
}

impl Wallet {
    /// Reads the next blocks.
    pub fn scan(&mut self, blocks: &[CompactBlock]) -> Result<Scanned, ScanError> {
        self.check_order(blocks)?;
        let tried = try_all(&self.viewing.pool, blocks)?;
        self.check_new(blocks, &tried)?;
        let live: Vec<Hash> = self.live().map(|pending| pending.id).collect();
        let mut scanned = Scanned {
            blocks: blocks.len(),
            actions: tried.len(),
            ..Scanned::default()
        };
        let mut unspent: BTreeMap<[u8; 32], u64> = self
            .notes
            .values()
            .filter(|note| note.spent.is_none())
            .map(|note| (note.nullifier, note.position))
            .collect();
        let mut tried = tried.as_slice();
        for block in blocks {
            let count = block.txs.iter().map(|tx| tx.actions.len()).sum();
            let (own, rest) = tried.split_at(count);
            tried = rest;
            self.take_block(block, own, &mut unspent, &mut scanned)?;
        }
        let still: Vec<Hash> = self.live().map(|pending| pending.id).collect();
        let gone = |id: &Hash| !still.contains(id) && !scanned.finalised.contains(id);
        scanned.expired = live.into_iter().filter(gone).collect();
        Ok(scanned)
    }

    fn check_order(&self, blocks: &[CompactBlock]) -> Result<(), ScanError> {
        let (mut last, mut notes) = (self.tip(), self.tree.size());
        for block in blocks {
            let (expected, given) = (last.height + 1, block.height);
            if given != expected {
                return Err(ScanError::Gap { expected, given });
            }
            if block.parent != last.hash {
                let (height, known) = (block.height, last.hash);
                return Err(ScanError::OtherChain { height, known });
            }
            if block.commitments_before != notes {
                return Err(ScanError::Position {
                    height: block.height,
                    expected: notes,
                    given: block.commitments_before,
                });
            }
            let actions: usize = block.txs.iter().map(|tx| tx.actions.len()).sum();
            notes += actions as u64;
            last = block.reference();
        }
        Ok(())
    }

    /// A note of ours that comes a second time would be worth nothing, and count twice.
    fn check_new(&self, blocks: &[CompactBlock], tried: &[Tried]) -> Result<(), ScanError> {
        let mut known: std::collections::BTreeSet<[u8; 32]> =
            self.notes.values().map(|note| note.rho).collect();
        let txs = blocks.iter().flat_map(|block| &block.txs);
        let ids = txs.flat_map(|tx| std::iter::repeat_n(tx.id, tx.actions.len()));
        for (transaction, tried) in ids.zip(tried) {
            if let Some((note, _)) = &tried.note
                && !known.insert(note.rho().to_bytes())
            {
                return Err(ScanError::NoteTwice { transaction });
            }
        }
        Ok(())
    }

    fn take_block(
        &mut self,
        block: &CompactBlock,
        tried: &[Tried],
        unspent: &mut BTreeMap<[u8; 32], u64>,
        scanned: &mut Scanned,
    ) -> Result<(), ScanError> {
        let mut position = self.tree.size();
        let leaves: Vec<Leaf> = (tried.iter())
            .map(|action| (action.leaf, action.note.is_some()))
            .collect();
        self.tree.append(block.height, &leaves)?;
        for (index, unlock) in block.unlocks.iter().enumerate() {
            self.take_unlock(block, index, unlock);
        }
        let mut tried = tried;
        for tx in &block.txs {
            let (own, rest) = tried.split_at(tx.actions.len());
            tried = rest;
            let effect = self.take_actions(block, tx, own, position, unspent, scanned)?;
            position += own.len() as u64;
            self.take_public(block, tx, &effect, scanned);
        }
        self.remember(block.reference());
        Ok(())
    }

    fn take_actions(
        &mut self,
        block: &CompactBlock,
        tx: &CompactTx,
        tried: &[Tried],
        first: u64,
        unspent: &mut BTreeMap<[u8; 32], u64>,
        scanned: &mut Scanned,
    ) -> Result<PoolEffect, ScanError> {
        let mut effect = PoolEffect::default();
        for (position, action) in (first..).zip(tried) {
            if let Some(spent) = unspent.remove(&action.nullifier) {
                let note = self.notes.get_mut(&spent).expect("unspent notes are notes");
                note.spent = Some(Spent {
                    height: block.height,
                    transaction: tx.id,
                });
                effect.spent_units = effect.spent_units.saturating_add(note.value_units);
                self.tree.forget(spent, block.height)?;
                scanned.notes_spent += 1;
            }
            if let Some((note, is_change)) = &action.note {
                let key = &self.viewing.pool;
                let (height, id) = (block.height, tx.id);
                let note = OwnNote::found(note, key, *is_change, position, height, id);
                match is_change {
                    true => {
                        effect.change_units = effect.change_units.saturating_add(note.value_units)
                    }
                    false => effect.received_units.push(note.value_units),
                }
                unspent.insert(note.nullifier, position);
                self.notes.insert(position, note);
                scanned.notes_found += 1;
            }
        }
        Ok(effect)
    }

    fn take_public(
        &mut self,
        block: &CompactBlock,
        tx: &CompactTx,
        effect: &PoolEffect,
        scanned: &mut Scanned,
    ) {
        let account = &self.viewing.alpha.0;
        if let Some(entry) = classify(&tx.public, tx.fee_units, account, effect) {
            self.history.push(HistoryEntry {
                id: tx.id,
                height: Some(block.height),
                time_ms: Some(block.time_ms),
                status: Status::Final,
                ..entry
            });
        }
        if let Some(pending) = self.drop_pending(&tx.id) {
            scanned.finalised.push(tx.id);
            // What one has made oneself need not be fetched.
            if let Some(transaction) = pending.transaction() {
                self.complete(&transaction);
            }
            self.settle(pending, block.height);
        }
    }

    fn take_unlock(&mut self, block: &CompactBlock, index: usize, unlock: &Unlock) {
        let Unlock {
            recipient,
            amount_units,
        } = unlock;
        if AlphaAddress(*recipient) != self.viewing.alpha {
            return;
        }
        let place = [block.hash.as_bytes(), &(index as u64).to_be_bytes()[..]];
        let payment = Payment {
            party: None,
            amount_units: *amount_units,
            memo: None,
        };
        self.history.push(HistoryEntry {
            id: Hash::of("adnet/wallet/unlock/v1", &place),
            height: Some(block.height),
            time_ms: Some(block.time_ms),
            kind: Kind::Unlocked,
            status: Status::Final,
            amount_units: *amount_units,
            fee_units: 0,
            pool_change_units: 0,
            public_change_units: i64::try_from(*amount_units).unwrap_or(i64::MAX),
            payments: vec![payment],
            is_complete: true,
        });
    }
}

impl CompactBlock {
    fn reference(&self) -> BlockRef {
        BlockRef {
            height: self.height,
            hash: self.hash,
        }
    }
}
