//! The mempool against a plain model of its rules: a list that is searched from end to end.

use super::*;

#[derive(Clone, Debug)]
enum Op {
    Insert {
        sender: u8,
        nonce: u64,
        cap: u128,
        tip: u128,
        len: usize,
    },
    /// Takes so many of the candidates; the next block costs `price`.
    Block { taken: usize, price: u128 },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        9 => (0u8..5, 0u64..5, 0u128..40, 0u128..40, 1usize..300).prop_map(
            |(sender, nonce, cap, tip, len)| Op::Insert { sender, nonce, cap, tip, len }),
        1 => (0usize..4, 0u128..30).prop_map(|(taken, price)| Op::Block { taken, price }),
    ]
}

type Tx = Arc<VerifiedTx<()>>;

#[derive(Clone, Default)]
struct Model {
    txs: Vec<Tx>,
    nonces: [u64; 5],
    price: u128,
}

impl Model {
    fn nonce(&self, tx: &Tx) -> u64 {
        self.nonces[usize::from(tx.sender[0])]
    }

    fn at(&self, sender: [u8; 32], nonce: u64) -> Option<&Tx> {
        let mut all = self.txs.iter();
        all.find(|tx| tx.sender == sender && tx.nonce == nonce)
    }

    /// Whether this one, in the list or not, could be executed now.
    fn is_pending(&self, tx: &Tx) -> bool {
        let pays = |tx: &Tx| tx.bid.cap >= self.price;
        let mut before = self.nonce(tx)..tx.nonce;
        pays(tx) && before.all(|nonce| self.at(tx.sender, nonce).is_some_and(pays))
    }

    fn tip(&self, tx: &Tx) -> u128 {
        tx.bid.tip.min(tx.bid.cap.saturating_sub(self.price))
    }

    fn rank(&self, tx: &Tx) -> (bool, u128) {
        (self.is_pending(tx), self.tip(tx))
    }

    fn is_over(&self, new: &Tx) -> bool {
        let queued = self.txs.iter().filter(|tx| !self.is_pending(tx)).count();
        let bytes: usize = self.txs.iter().map(|tx| tx.raw.len()).sum();
        self.txs.len() + 1 > LIMITS.max_txs
            || bytes + new.raw.len() > LIMITS.max_bytes
            || (!self.is_pending(new) && queued + 1 > LIMITS.max_txs / 4)
    }

    fn insert(&mut self, new: &Tx) -> Result<(), &'static str> {
        if self.txs.iter().any(|tx| tx.id == new.id) {
            return Ok(());
        }
        let mut after = self.clone();
        if let Some(old) = self.at(new.sender, new.nonce) {
            let (old_id, old, new) = (old.id, old.bid, new.bid);
            let more = |new: u128, old: u128| new > old && new * 100 >= old * 110;
            if !more(new.cap, old.cap) || !more(new.tip, old.tip) {
                return Err("REPLACEMENT_UNDERPRICED");
            }
            after.txs.retain(|tx| tx.id != old_id);
        }
        let replaced = after.txs.len() < self.txs.len();
        let own = self.txs.iter().filter(|tx| tx.sender == new.sender);
        if !replaced && own.count() >= LIMITS.max_per_sender {
            return Err("TOO_MANY_FROM_SENDER");
        }
        let bytes: usize = after.txs.iter().map(|tx| tx.raw.len()).sum();
        if replaced && bytes + new.raw.len() > LIMITS.max_bytes {
            return Err("MEMPOOL_FULL");
        }
        while !replaced && after.is_over(new) {
            let is_last = |tx: &&Tx| {
                let mut row = after.txs.iter().filter(|other| other.sender == tx.sender);
                tx.sender != new.sender && row.all(|other| other.nonce <= tx.nonce)
            };
            let lasts = after.txs.iter().filter(is_last);
            let lowest = lasts.min_by_key(|tx| (after.rank(tx), tx.id));
            let Some(lowest) = lowest
                .filter(|tx| after.rank(tx) < after.rank(new))
                .cloned()
            else {
                return Err("MEMPOOL_FULL");
            };
            after.txs.retain(|tx| tx.id != lowest.id);
        }
        after.txs.push(Arc::clone(new));
        *self = after;
        Ok(())
    }

    /// The best that can come next, again and again.
    fn candidates(&self) -> Vec<Hash> {
        let (mut left, mut chosen) = (self.clone(), Vec::new());
        loop {
            let is_next = |tx: &&Tx| left.nonce(tx) == tx.nonce && left.is_pending(tx);
            let ready = left.txs.iter().filter(is_next);
            let best = ready.max_by_key(|tx| (left.tip(tx), std::cmp::Reverse(tx.id)));
            let Some(best) = best.cloned() else {
                return chosen;
            };
            chosen.push(best.id);
            left.nonces[usize::from(best.sender[0])] += 1;
            left.txs.retain(|tx| tx.id != best.id);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn it_does_what_the_model_does(ops in prop::collection::vec(op(), 1..80)) {
        let mut pool = Mempool::new(LIMITS, 0);
        let mut model = Model::default();
        for op in ops {
            match op {
                Op::Insert { sender, nonce, cap, tip, len } => {
                    let bid = Bid { cap, tip };
                    let new = Arc::into_inner(tx(sender, nonce, cap * 1_000 + tip, len));
                    let new = Arc::new(VerifiedTx { bid, ..new.expect("it is new") });
                    let account_nonce = model.nonces[usize::from(sender)];
                    if nonce < account_nonce {
                        continue; // the application refuses it
                    }
                    let expected = model.insert(&new);
                    let said = pool.insert(0, new, at(account_nonce));
                    prop_assert_eq!(said.map(|_| ()).map_err(|e| e.code), expected);
                }
                Op::Block { taken, price } => {
                    let candidates = pool.candidates(taken, usize::MAX);
                    for tx in &candidates {
                        model.nonces[usize::from(tx.sender[0])] += 1;
                        model.txs.retain(|other| other.id != tx.id);
                    }
                    model.price = price;
                    let ids: Vec<Hash> = candidates.iter().map(|tx| tx.id).collect();
                    let nonces = model.nonces;
                    pool.on_block(0, price, &ids, &[], |tx| Ok(at(nonces[usize::from(tx.sender[0])])));
                }
            }
            let pending = model.txs.iter().filter(|tx| model.is_pending(tx)).count();
            prop_assert_eq!((pool.len(), pool.pending_len()), (model.txs.len(), pending));
            prop_assert_eq!(pool.bytes(), model.txs.iter().map(|tx| tx.raw.len()).sum::<usize>());
            prop_assert!(model.txs.iter().all(|tx| pool.get(&tx.id).is_some()));
            let ids: Vec<Hash> = pool.candidates(100, usize::MAX).iter().map(|tx| tx.id).collect();
            prop_assert_eq!(ids, model.candidates());
            let all = Shown { sender: None, txs: 100, bytes: usize::MAX };
            let overview = pool.overview(&all);
            prop_assert_eq!((overview.ready_total, overview.ready.len()), (pending, pending));
            let queued = pool.queued_len();
            prop_assert_eq!((overview.held_back_total, overview.held_back.len()), (queued, queued));
            prop_assert_eq!(pool.lasts.len(), pool.senders.len());
        }
    }
}
