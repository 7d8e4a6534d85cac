//! Transactions that wait for a block: bounded, in nonce order per sender, best bid first.
//!
//! A transaction is *pending* if it could be executed in the next block after those of its sender
//! before it: no nonce is missing, and each bids the price of the next block at least. Any other is
//! *queued*: behind a gap, or parked until the price falls.
//!
//! Bounds: transactions, bytes, transactions per sender, queued ones (a part of all), and a time to
//! live. When full, the last transaction of some sender makes room: a queued one before a pending
//! one, then the lowest tip. After each block everything is checked against the new state and price.
//! No two transactions wait that claim the same, because at most one of them could ever be in a block.

mod arrivals;
mod ordering;
mod overview;
mod queue;
#[cfg(test)]
mod tests;

pub use arrivals::{Arrivals, News};
pub use overview::{Overview, Shown};

use crate::application::{Admission, TxError, VerifiedTx};
use crate::hash::Hash;
use queue::{Entry, Queue, Rank};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A sender as in [`VerifiedTx::sender`].
pub type Sender = [u8; 32];

/// Bounds of a mempool.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct MempoolLimits {
    pub max_txs: usize,
    pub max_bytes: usize,
    pub max_per_sender: usize,
    pub ttl_ms: u64,
}

/// One in so many places may be taken by a queued transaction.
const QUEUED_PART: usize = 4;

/// What a client hears of a transaction that waits now.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    pub id: Hash,
    /// Whether it did not wait before.
    pub is_new: bool,
}

/// What became of an accepted transaction.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    New,
    /// It waits already.
    Known,
    /// It took the place of another one with the same nonce.
    Replaced(Hash),
}

/// See the module.
pub struct Mempool<T> {
    limits: MempoolLimits,
    /// What a place in the next block costs at least, in the measure of bids.
    price: u128,
    senders: BTreeMap<Sender, Queue<T>>,
    by_id: BTreeMap<Hash, (Sender, u64)>,
    /// The last transaction of each sender, by what goes first when there is no room.
    lasts: BTreeSet<(Rank, Hash, Sender)>,
    pending: usize,
    /// What waiting transactions will use up → which of them. No two have the same.
    claims: BTreeMap<[u8; 32], Hash>,
    bytes: usize,
}

impl<T> Mempool<T> {
    /// An empty one, before a block whose places cost `price` at least.
    pub fn new(limits: MempoolLimits, price: u128) -> Self {
        Self {
            limits,
            price,
            senders: BTreeMap::new(),
            by_id: BTreeMap::new(),
            lasts: BTreeSet::new(),
            pending: 0,
            claims: BTreeMap::new(),
            bytes: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many could be executed in the next block, were there room.
    pub fn pending_len(&self) -> usize {
        self.pending
    }

    /// How many wait behind a gap of nonces, or for a lower price.
    pub fn queued_len(&self) -> usize {
        self.by_id.len() - self.pending
    }

    pub fn get(&self, id: &Hash) -> Option<&Arc<VerifiedTx<T>>> {
        let (sender, nonce) = self.by_id.get(id)?;
        let entry = self.senders.get(sender)?.get(*nonce)?;
        Some(&entry.tx)
    }

    /// The nonce after the sender's transactions that follow each other without a gap.
    pub fn next_nonce(&self, sender: &Sender) -> Option<u64> {
        self.senders.get(sender).map(Queue::next_nonce)
    }

    /// Takes in a transaction that the application has admitted.
    pub fn insert(
        &mut self,
        now_ms: u64,
        tx: Arc<VerifiedTx<T>>,
        admission: Admission,
    ) -> Result<Accepted, TxError> {
        if self.by_id.contains_key(&tx.id) {
            return Ok(Accepted::Known);
        }
        let rival = self.rival(&tx)?;
        self.check_claims(&tx, rival.as_ref())?;
        if rival.is_none() {
            self.check_sender(&tx)?;
            self.make_room(&tx, admission)?;
        }
        if let Some(id) = rival {
            let old = self.get(&id).expect("a rival waits").raw.len();
            if self.bytes - old + tx.raw.len() > self.limits.max_bytes {
                let why = "txpool is full: the replacement is longer than the room that is left";
                return Err(TxError::new("MEMPOOL_FULL", why));
            }
            self.remove(&id);
        }
        self.bytes += tx.raw.len();
        self.by_id.insert(tx.id, (tx.sender, tx.nonce));
        let claims = tx.claims.iter().map(|claim| (*claim, tx.id));
        self.claims.extend(claims);
        let (sender, price) = (tx.sender, self.price);
        let expires_ms = now_ms.saturating_add(self.limits.ttl_ms);
        let account_nonce = admission.account_nonce;
        self.change(sender, |queue| {
            queue.set_account_nonce(account_nonce, price);
            queue.insert(Entry { tx, expires_ms }, price);
        });
        Ok(rival.map_or(Accepted::New, Accepted::Replaced))
    }

    /// The transaction with the same sender and nonce, if the new one pays enough to replace it.
    fn rival(&self, tx: &VerifiedTx<T>) -> Result<Option<Hash>, TxError> {
        let queue = self.senders.get(&tx.sender);
        let Some(old) = queue.and_then(|queue| queue.get(tx.nonce)) else {
            return Ok(None);
        };
        if !tx.bid.replaces(&old.tx.bid) {
            let why = "replacement transaction underpriced: one with this nonce waits already, and \
                another must pay 10 % more, in all and as a tip";
            return Err(TxError::new("REPLACEMENT_UNDERPRICED", why));
        }
        Ok(Some(old.tx.id))
    }

    /// The first that claims something keeps it, whoever pays more: only what it replaces itself, by the
    /// rule for one sender and nonce, gives its claims up for it.
    fn check_claims(&self, tx: &VerifiedTx<T>, rival: Option<&Hash>) -> Result<(), TxError> {
        let mut holders = tx.claims.iter().filter_map(|claim| self.claims.get(claim));
        match holders.find(|holder| rival != Some(holder)) {
            None => Ok(()),
            Some(holder) => {
                let why = format!("transaction {holder} waits already and uses up the same");
                Err(TxError::new("CLAIMED", why))
            }
        }
    }

    fn check_sender(&self, tx: &VerifiedTx<T>) -> Result<(), TxError> {
        let max = self.limits.max_per_sender;
        if self.senders.get(&tx.sender).map_or(0, Queue::len) >= max {
            let why = format!("account limit exceeded: the sender has {max} transactions waiting");
            return Err(TxError::new("TOO_MANY_FROM_SENDER", why));
        }
        Ok(())
    }

    /// Evicts transactions that rank lower until `tx` fits. Nothing is evicted if it cannot fit.
    fn make_room(&mut self, tx: &VerifiedTx<T>, admission: Admission) -> Result<(), TxError> {
        let full = |why| TxError::new("MEMPOOL_FULL", why);
        let len = tx.raw.len();
        if len > self.limits.max_bytes {
            return Err(full("txpool is full: larger than the whole mempool"));
        }
        let end = self.senders.get(&tx.sender).map(Queue::ready_end);
        let fills = tx.nonce <= end.unwrap_or(admission.account_nonce);
        let rank = Rank::of(&tx.bid, self.price, fills);
        let max_queued = (self.limits.max_txs / QUEUED_PART).max(1);
        let is_over = |txs: usize, queued: usize, bytes: usize| {
            txs > self.limits.max_txs
                || bytes > self.limits.max_bytes
                || (!rank.is_pending && queued > max_queued)
        };
        let (mut txs, mut bytes) = (self.len() + 1, self.bytes + len);
        let mut queued = self.queued_len() + usize::from(!rank.is_pending);
        let mut gone = Vec::new();
        // Only the last of a sender goes, so that nothing behind it is stranded.
        let mut lasts = self.lasts.iter();
        let mut deeper: BTreeSet<(Rank, Hash, Sender)> = BTreeSet::new();
        while is_over(txs, queued, bytes) {
            let from_deeper = match (deeper.first(), lasts.clone().next()) {
                (Some(mine), Some(other)) => mine < other,
                (deeper, _) => deeper.is_some(),
            };
            let lowest = if from_deeper {
                deeper.pop_first()
            } else {
                lasts.next().copied()
            };
            let Some((lowest, id, sender)) = lowest.filter(|(lowest, ..)| *lowest < rank) else {
                return Err(full("txpool is full of transactions that pay more"));
            };
            if sender == tx.sender {
                continue;
            }
            let queue = self
                .senders
                .get(&sender)
                .expect("it has a last transaction");
            txs -= 1;
            queued -= usize::from(!lowest.is_pending);
            bytes -= self.get(&id).expect("it waits").raw.len();
            let (_, nonce) = self.by_id[&id];
            deeper.extend(
                queue
                    .before(nonce, self.price)
                    .map(|(rank, id)| (rank, id, sender)),
            );
            gone.push(id);
        }
        self.reject(&gone);
        Ok(())
    }

    fn remove(&mut self, id: &Hash) {
        let Some((sender, nonce)) = self.by_id.remove(id) else {
            return;
        };
        let entry = self.change(sender, |queue| queue.remove(nonce));
        self.bytes -= entry.tx.raw.len();
        for claim in &entry.tx.claims {
            self.claims.remove(claim);
        }
    }

    /// Changes a sender's queue, and with it what is counted and ordered by it.
    fn change<R>(&mut self, sender: Sender, change: impl FnOnce(&mut Queue<T>) -> R) -> R {
        let price = self.price;
        let queue = self.senders.entry(sender).or_insert_with(Queue::new);
        if let Some((rank, id)) = queue.last(price) {
            self.lasts.remove(&(rank, id, sender));
        }
        self.pending -= queue.ready_len();
        let result = change(queue);
        self.pending += queue.ready_len();
        match queue.last(price) {
            Some((rank, id)) => {
                self.lasts.insert((rank, id, sender));
            }
            None => {
                self.senders.remove(&sender);
            }
        }
        result
    }

    /// Takes out transactions that can never be executed.
    pub fn reject(&mut self, ids: &[Hash]) {
        ids.iter().for_each(|id| self.remove(id));
    }

    /// After a block: drops what it included, what claims anything of what the block `used`, what is
    /// too old, and what `check` refuses now. Places in the next block cost `price` at least.
    pub fn on_block(
        &mut self,
        now_ms: u64,
        price: u128,
        included: &[Hash],
        used: &[[u8; 32]],
        mut check: impl FnMut(&VerifiedTx<T>) -> Result<Admission, TxError>,
    ) {
        self.reject(included);
        let held = used.iter().filter_map(|claim| self.claims.get(claim));
        let mut gone: Vec<Hash> = held.copied().collect();
        self.reject(&gone);
        gone.clear();
        self.price = price;
        self.lasts.clear();
        self.pending = 0;
        for (sender, queue) in &mut self.senders {
            let mut account_nonce = None;
            for entry in queue.all() {
                match check(&entry.tx) {
                    Ok(admission) if entry.expires_ms > now_ms => {
                        account_nonce = Some(admission.account_nonce);
                    }
                    _ => gone.push(entry.tx.id),
                }
            }
            queue.count(account_nonce, price);
            self.pending += queue.ready_len();
            let last = queue.last(price);
            let last = last.map(|(rank, id)| (rank, id, *sender));
            self.lasts.extend(last);
        }
        self.reject(&gone);
    }

    /// How long the transaction has waited.
    pub fn waited_ms(&self, now_ms: u64, tx: &VerifiedTx<T>) -> Option<u64> {
        let entry = self.senders.get(&tx.sender)?.get(tx.nonce)?;
        let since_ms = entry.expires_ms.saturating_sub(self.limits.ttl_ms);
        Some(now_ms.saturating_sub(since_ms))
    }

    /// Up to `max_txs` pending transactions for a block, of at most `max_bytes` together.
    pub fn candidates(&self, max_txs: usize, max_bytes: usize) -> Vec<Arc<VerifiedTx<T>>> {
        ordering::by_tip(self.senders.values(), self.price, max_txs, max_bytes)
    }
}
