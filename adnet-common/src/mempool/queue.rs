//! The waiting transactions of one sender.

use crate::application::VerifiedTx;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) struct Entry<T> {
    pub tx: Arc<VerifiedTx<T>>,
    pub expires_ms: u64,
}

/// Transactions by nonce. There may be gaps: what is behind one waits for it to be filled.
pub(super) struct Queue<T> {
    /// The nonce that the committed state takes next.
    pub account_nonce: u64,
    pub txs: BTreeMap<u64, Entry<T>>,
}

impl<T> Queue<T> {
    pub fn new() -> Self {
        Self {
            account_nonce: 0,
            txs: BTreeMap::new(),
        }
    }

    /// The transactions that can be executed one after the other from the committed state.
    pub fn ready(&self) -> impl Iterator<Item = &Arc<VerifiedTx<T>>> {
        let from = self.account_nonce;
        let in_order = self.txs.range(from..).zip(from..);
        let without_gap = in_order.take_while(|((nonce, _), expected)| *nonce == expected);
        without_gap.map(|((_, entry), _)| &entry.tx)
    }

    pub fn next_nonce(&self) -> u64 {
        self.account_nonce + self.ready().count() as u64
    }
}
