//! What waits, as a person looks at it: which transactions a next block could take, and which wait for
//! one before them or for a lower price.

use super::{Mempool, Sender};
use crate::application::VerifiedTx;
use std::sync::Arc;

/// What to look at.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Transactions of this sender, or of all.
    pub sender: Option<Sender>,
    /// At most so many transactions of either kind.
    pub txs: usize,
    /// At most so many bytes of either kind.
    pub bytes: usize,
}

/// See the module.
pub struct Overview<T> {
    /// All that could be executed one after the other, and all that could not.
    pub ready_total: usize,
    pub held_back_total: usize,
    /// Those of them that were asked for, by sender and nonce.
    pub ready: Vec<Arc<VerifiedTx<T>>>,
    pub held_back: Vec<Arc<VerifiedTx<T>>>,
}

impl<T> Mempool<T> {
    /// Counts what waits, and shows some of it.
    pub fn overview(&self, shown: &Shown) -> Overview<T> {
        let queues = || {
            let senders = match shown.sender {
                Some(sender) => self.senders.range(sender..=sender),
                None => self.senders.range::<Sender, _>(..),
            };
            senders.map(|(_, queue)| queue)
        };
        let (ready_total, held_back_total) = (self.pending_len(), self.queued_len());
        // Most queues hold nothing back, and the search ends with the last that does.
        let holding_back = queues().filter(|queue| queue.ready_len() < queue.len());
        let ready = queues().flat_map(|queue| queue.ready()).take(ready_total);
        let held_back = holding_back.flat_map(|queue| queue.waiting());
        Overview {
            ready_total,
            held_back_total,
            ready: first(shown, ready),
            held_back: first(shown, held_back.take(held_back_total)),
        }
    }
}

/// As many as are to be shown.
fn first<'a, T: 'a>(
    shown: &Shown,
    txs: impl Iterator<Item = &'a Arc<VerifiedTx<T>>>,
) -> Vec<Arc<VerifiedTx<T>>> {
    let mut room = shown.bytes;
    let fits = |tx: &&Arc<VerifiedTx<T>>| {
        let left = room.checked_sub(tx.raw.len());
        room = left.unwrap_or(0);
        left.is_some()
    };
    let txs = txs.take(shown.txs).take_while(fits);
    txs.map(Arc::clone).collect()
}
