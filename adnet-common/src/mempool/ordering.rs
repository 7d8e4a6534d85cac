//! The order in which a proposer offers transactions: each sender's by nonce, among senders the
//! highest tip first. Ties go to the smaller id, so that the order is the same everywhere.

use super::queue::Queue;
use crate::application::VerifiedTx;
use crate::hash::Hash;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

pub(super) fn by_tip<'a, T: 'a>(
    queues: impl Iterator<Item = &'a Queue<T>>,
    price: u128,
    max_txs: usize,
    max_bytes: usize,
) -> Vec<Arc<VerifiedTx<T>>> {
    let tip = |tx: &VerifiedTx<T>| tx.bid.at(price).expect("what is ready bids the price");
    let mut rows: Vec<_> = queues.map(Queue::ready).collect();
    // The heap holds the first transaction that each sender has left.
    let mut heads: BinaryHeap<(u128, Reverse<Hash>, usize)> = BinaryHeap::new();
    let mut next: Vec<Option<&Arc<VerifiedTx<T>>>> = Vec::with_capacity(rows.len());
    for (row, txs) in rows.iter_mut().enumerate() {
        let head = txs.next();
        heads.extend(head.map(|tx| (tip(tx), Reverse(tx.id), row)));
        next.push(head);
    }
    let (mut chosen, mut bytes) = (Vec::new(), 0usize);
    while let Some((_, _, row)) = heads.pop() {
        let tx = next[row].expect("a row in the heap has a head");
        if chosen.len() == max_txs {
            break;
        }
        if bytes + tx.raw.len() > max_bytes {
            continue; // the rest of this sender has to wait, a smaller one may still fit
        }
        bytes += tx.raw.len();
        chosen.push(Arc::clone(tx));
        next[row] = rows[row].next();
        heads.extend(next[row].map(|tx| (tip(tx), Reverse(tx.id), row)));
    }
    chosen
}
