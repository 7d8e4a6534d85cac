//! Transactions that were signed and are not in a block yet.

use adnet_common::hash::Hash;
use serde::{Deserialize, Serialize};

use super::history::{HistoryEntry, Status};
use super::intent::Intent;
use super::state::Wallet;
use crate::tx::Transaction;

/// A transaction of this wallet, from its signature to its block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    pub id: Hash,
    /// What it is for, to build it again if its time passes.
    pub intent: Intent,
    /// The last height whose block may include it.
    pub expiry_height: u64,
    /// Positions of the notes it spends; nothing else may spend them while it can come.
    pub spends: Vec<u64>,
    /// Number of the account's transaction, if the account pays.
    pub nonce: Option<u64>,
    /// How the history shows it until it is final.
    pub(super) entry: HistoryEntry,
    /// The encoded transaction, in hexadecimal: to send it again.
    pub(super) raw: String,
}

impl Pending {
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// As the history shows it.
    pub fn entry(&self) -> &HistoryEntry {
        &self.entry
    }

    pub(super) fn transaction(&self) -> Option<Transaction> {
        Transaction::decode(&hex::decode(&self.raw).ok()?).ok()
    }
}

impl Wallet {
    /// Forgets a transaction that the node has refused, or that has expired. Whoever drops one that
    /// may still come to a block can pay twice.
    pub fn drop_pending(&mut self, id: &Hash) -> Option<Pending> {
        let at = self.pending.iter().position(|pending| pending.id == *id)?;
        Some(self.pending.remove(at))
    }

    /// Remembers one that is in the block of `height`, for as long as the wallet can go back.
    pub(super) fn settle(&mut self, mut pending: Pending, height: u64) {
        pending.entry.height = Some(height);
        self.settled.push(pending);
    }

    /// Those of blocks after `height` are pending again.
    pub(super) fn unsettle(&mut self, height: u64) {
        let settled = std::mem::take(&mut self.settled).into_iter();
        let (again, kept) = settled.partition(|pending| pending.entry.height > Some(height));
        self.settled = kept;
        let again: Vec<Pending> = again;
        self.pending.extend(again.into_iter().map(|mut pending| {
            pending.entry.height = None;
            pending
        }));
    }

    /// Those that can still come.
    pub(super) fn live(&self) -> impl Iterator<Item = &Pending> {
        let live = |pending: &&Pending| self.status(pending) == Status::Pending;
        self.pending.iter().filter(live)
    }

    /// The number of the account's next transaction, after those that wait.
    pub fn next_nonce(&self, of_the_chain: u64) -> u64 {
        let waiting = self.live().filter_map(|pending| pending.nonce);
        waiting.fold(of_the_chain, |next, nonce| {
            next.max(nonce.saturating_add(1))
        })
    }
}
