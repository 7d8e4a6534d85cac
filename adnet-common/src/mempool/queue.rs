//! The waiting transactions of one sender.

use crate::application::{Bid, VerifiedTx};
use crate::hash::Hash;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) struct Entry<T> {
    pub tx: Arc<VerifiedTx<T>>,
    pub expires_ms: u64,
}

/// What goes first when there is no room: the lower.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub is_pending: bool,
    tip: u128,
}

impl Rank {
    /// Of a transaction whose sender's earlier ones can (`fills`) or cannot be executed before it.
    pub fn of(bid: &Bid, price: u128, fills: bool) -> Self {
        let tip = bid.at(price);
        Self {
            is_pending: fills && tip.is_some(),
            tip: tip.unwrap_or(0),
        }
    }
}

/// Transactions by nonce. There may be gaps: what is behind one waits for it to be filled.
pub(super) struct Queue<T> {
    /// The nonce that the committed state takes next.
    account_nonce: u64,
    /// The first nonce, from there on, that is missing or does not bid the price.
    ready_end: u64,
    txs: BTreeMap<u64, Entry<T>>,
}

impl<T> Queue<T> {
    pub fn new() -> Self {
        Self {
            account_nonce: 0,
            ready_end: 0,
            txs: BTreeMap::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.txs.len()
    }

    pub fn get(&self, nonce: u64) -> Option<&Entry<T>> {
        self.txs.get(&nonce)
    }

    pub fn all(&self) -> impl Iterator<Item = &Entry<T>> {
        self.txs.values()
    }

    pub fn insert(&mut self, entry: Entry<T>, price: u128) {
        self.txs.insert(entry.tx.nonce, entry);
        self.extend_ready(price);
    }

    pub fn remove(&mut self, nonce: u64) -> Entry<T> {
        if (self.account_nonce..self.ready_end).contains(&nonce) {
            self.ready_end = nonce;
        }
        let entry = self.txs.remove(&nonce);
        entry.expect("an indexed nonce is queued")
    }

    pub fn set_account_nonce(&mut self, account_nonce: u64, price: u128) {
        if self.account_nonce != account_nonce {
            self.count(Some(account_nonce), price);
        }
    }

    /// Counts anew what is ready, at another price or from another nonce.
    pub fn count(&mut self, account_nonce: Option<u64>, price: u128) {
        self.account_nonce = account_nonce.unwrap_or(self.account_nonce);
        self.ready_end = self.account_nonce;
        self.extend_ready(price);
    }

    fn extend_ready(&mut self, price: u128) {
        let after = self.txs.range(self.ready_end..);
        for (nonce, entry) in after {
            if *nonce != self.ready_end || entry.tx.bid.at(price).is_none() {
                break;
            }
            self.ready_end += 1;
        }
    }

    /// The transactions that can be executed one after the other from the committed state.
    pub fn ready(&self) -> impl Iterator<Item = &Arc<VerifiedTx<T>>> {
        let ready = self.txs.range(self.account_nonce..self.ready_end);
        ready.map(|(_, entry)| &entry.tx)
    }

    /// The others.
    pub fn waiting(&self) -> impl Iterator<Item = &Arc<VerifiedTx<T>>> {
        let before = self.txs.range(..self.account_nonce);
        let waiting = before.chain(self.txs.range(self.ready_end..));
        waiting.map(|(_, entry)| &entry.tx)
    }

    pub fn ready_len(&self) -> usize {
        // Every nonce of the range is there.
        usize::try_from(self.ready_end - self.account_nonce).expect("no more than there are")
    }

    /// The first nonce that is missing or does not bid the price.
    pub fn ready_end(&self) -> u64 {
        self.ready_end
    }

    /// The first nonce that is missing: what is parked counts, or its sender would replace it unawares.
    pub fn next_nonce(&self) -> u64 {
        let parked = self.txs.range(self.ready_end..).zip(self.ready_end..);
        let in_order = parked.take_while(|((nonce, _), expected)| *nonce == expected);
        self.ready_end + in_order.count() as u64
    }

    /// The last transaction.
    pub fn last(&self, price: u128) -> Option<(Rank, Hash)> {
        self.ranked(self.txs.last_key_value()?, price)
    }

    /// The one before this nonce.
    pub fn before(&self, nonce: u64, price: u128) -> Option<(Rank, Hash)> {
        self.ranked(self.txs.range(..nonce).next_back()?, price)
    }

    fn ranked(&self, (nonce, entry): (&u64, &Entry<T>), price: u128) -> Option<(Rank, Hash)> {
        let fills = (self.account_nonce..self.ready_end).contains(nonce);
        Some((Rank::of(&entry.tx.bid, price, fills), entry.tx.id))
    }
}
