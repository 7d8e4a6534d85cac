//! What this node has verified: the one place where it looks before anything is verified again.
//!
//! A transaction is found by all of its bytes, witness included, and by the rules that it was verified
//! by. A chain's transaction ids leave the witness out, so they would let anybody put another proof
//! under the name of one that was verified. The rules of a network are those of its genesis and never
//! change; were they ever to change at a height, what names them here would have to change with them.
//!
//! What is not valid is not remembered: it costs its sender its standing, and a memory for it would be
//! one that strangers fill.
//!
//! Bounded in transactions and bytes. The oldest go first, but not while the mempool or a block still
//! holds them, whose own bounds keep those few.

use crate::application::VerifiedTx;
use crate::hash::Hash;
use crate::mempool::MempoolLimits;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

/// Room beside the mempool's, for what it has dropped and what only blocks have brought.
const RECENT_TXS: usize = 16_384;
const RECENT_BYTES: usize = 32 << 20;

/// See the module. The chain's thread fills it; those that verify only look.
pub struct Verified<T> {
    rules: Hash,
    max_txs: usize,
    max_bytes: usize,
    kept: Mutex<Kept<T>>,
}

struct Kept<T> {
    txs: BTreeMap<Hash, Arc<VerifiedTx<T>>>,
    /// The oldest first; each is in `txs` and here once.
    order: VecDeque<Hash>,
    /// The sum over `txs`.
    bytes: usize,
}

impl<T> Verified<T> {
    /// For the rules of the genesis with this hash, beside a mempool with these bounds.
    pub fn new(genesis: Hash, mempool: &MempoolLimits) -> Self {
        let kept = Kept {
            txs: BTreeMap::new(),
            order: VecDeque::new(),
            bytes: 0,
        };
        Self {
            rules: genesis,
            max_txs: mempool.max_txs.saturating_add(RECENT_TXS),
            max_bytes: mempool.max_bytes.saturating_add(RECENT_BYTES),
            kept: Mutex::new(kept),
        }
    }

    /// What these bytes are found by.
    pub fn key(&self, raw: &[u8]) -> Hash {
        Hash::of("adnet/verified/v1", &[&self.rules.0, raw])
    }

    pub fn get(&self, key: &Hash) -> Option<Arc<VerifiedTx<T>>> {
        self.kept().txs.get(key).cloned()
    }

    /// Remembers a transaction with [`Verified::key`] of its bytes.
    pub fn add(&self, key: Hash, tx: &Arc<VerifiedTx<T>>) {
        let mut kept = self.kept();
        if kept.txs.contains_key(&key) {
            return;
        }
        kept.bytes += tx.raw.len();
        kept.txs.insert(key, Arc::clone(tx));
        kept.order.push_back(key);
        // Those in use move behind the others, each once at most before one that is in use goes too.
        let mut spared = 0;
        while kept.txs.len() > self.max_txs || kept.bytes > self.max_bytes {
            let oldest = kept.order.pop_front().expect("what is kept has its order");
            let held = kept.txs.get(&oldest).expect("what has an order is kept");
            if Arc::strong_count(held) > 1 && spared < kept.order.len() {
                kept.order.push_back(oldest);
                spared += 1;
                continue;
            }
            let gone = kept.txs.remove(&oldest).expect("seen above");
            kept.bytes -= gone.raw.len();
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept<T>> {
        let kept = self.kept.lock();
        kept.expect("nobody panics while holding what was verified")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::Bid;

    fn tx(name: u16, len: usize) -> Arc<VerifiedTx<()>> {
        let mut raw = vec![0; len.max(2)];
        raw[..2].copy_from_slice(&name.to_be_bytes());
        Arc::new(VerifiedTx {
            id: Hash([7; 32]), // the same for all: ids leave the witness out
            raw,
            sender: [0; 32],
            nonce: 0,
            bid: Bid::flat(0),
            last_valid_height: 0,
            claims: Vec::new(),
            inner: (),
        })
    }

    fn cache(max_txs: usize, max_bytes: usize) -> Verified<()> {
        let limits = MempoolLimits {
            max_txs: 0,
            max_bytes: 0,
            max_per_sender: 0,
            ttl_ms: 0,
        };
        Verified {
            max_txs,
            max_bytes,
            ..Verified::new(Hash([1; 32]), &limits)
        }
    }

    fn add(cache: &Verified<()>, tx: &Arc<VerifiedTx<()>>) {
        cache.add(cache.key(&tx.raw), tx);
    }

    fn has(cache: &Verified<()>, tx: &Arc<VerifiedTx<()>>) -> bool {
        cache.get(&cache.key(&tx.raw)).is_some()
    }

    #[test]
    fn every_byte_and_the_rules_count() {
        let cache = cache(10, 1_000);
        let one = tx(1, 50);
        add(&cache, &one);
        assert!(has(&cache, &one));
        for place in 0..50 {
            let mut other = one.raw.clone();
            other[place] ^= 1;
            assert!(cache.get(&cache.key(&other)).is_none(), "byte {place}");
        }
        let limits = MempoolLimits {
            max_txs: 1,
            max_bytes: 1,
            max_per_sender: 1,
            ttl_ms: 1,
        };
        let elsewhere = Verified::<()>::new(Hash([2; 32]), &limits);
        assert_ne!(cache.key(&one.raw), elsewhere.key(&one.raw));
    }

    #[test]
    fn the_oldest_go_but_not_while_they_are_in_use() {
        let cache = cache(4, 1_000);
        let held = tx(0, 10);
        add(&cache, &held);
        for name in 1..20 {
            add(&cache, &tx(name, 10));
            add(&cache, &tx(name, 10)); // once more is no more
            assert!(cache.kept().txs.len() <= 4);
        }
        assert!(has(&cache, &held));
        assert!(has(&cache, &tx(19, 10)) && !has(&cache, &tx(15, 10)));
        // Even if all are in use the bound holds.
        let all: Vec<_> = (30..40).map(|name| tx(name, 10)).collect();
        all.iter().for_each(|tx| add(&cache, tx));
        assert_eq!(cache.kept().txs.len(), 4);
        drop(all);
    }

    #[test]
    fn bytes_are_bounded() {
        let cache = cache(100, 1_000);
        for name in 0..50 {
            add(&cache, &tx(name, 300));
            let kept = cache.kept();
            let sum: usize = kept.txs.values().map(|tx| tx.raw.len()).sum();
            assert_eq!((kept.bytes, kept.order.len()), (sum, kept.txs.len()));
            assert!(kept.bytes <= 1_000);
        }
        add(&cache, &tx(99, 2_000));
        assert_eq!(cache.kept().bytes, 0, "what is larger than all is not kept");
    }
}
