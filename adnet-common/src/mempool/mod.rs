//! Transactions that wait for a block: bounded, in nonce order per sender, best fee first.
//!
//! Bounds: transactions, bytes, transactions per sender, and a time to live. When full, the
//! cheapest last transaction of a sender makes room for a dearer one. After each block everything
//! is checked against the new state. No two transactions wait that claim the same, because at most one
//! of them could ever be in a block.

mod ordering;
mod queue;
#[cfg(test)]
mod tests;

use crate::application::{Admission, TxError, VerifiedTx};
use crate::hash::Hash;
use queue::{Entry, Queue};
use std::collections::BTreeMap;
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

/// A replacement pays at least this much more, in percent.
const REPLACEMENT_PERCENT: u128 = 10;

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
    senders: BTreeMap<Sender, Queue<T>>,
    by_id: BTreeMap<Hash, (Sender, u64)>,
    /// What waiting transactions will use up → which of them. No two have the same.
    claims: BTreeMap<[u8; 32], Hash>,
    bytes: usize,
}

impl<T> Mempool<T> {
    pub fn new(limits: MempoolLimits) -> Self {
        Self {
            limits,
            senders: BTreeMap::new(),
            by_id: BTreeMap::new(),
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

    pub fn get(&self, id: &Hash) -> Option<&Arc<VerifiedTx<T>>> {
        let (sender, nonce) = self.by_id.get(id)?;
        self.senders
            .get(sender)?
            .txs
            .get(nonce)
            .map(|entry| &entry.tx)
    }

    /// The nonce after the sender's last transaction that could be executed one after the other.
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
            let waiting = self.senders.get(&tx.sender).map_or(0, |q| q.txs.len());
            if waiting >= self.limits.max_per_sender {
                let max = self.limits.max_per_sender;
                let why = format!("the sender has {max} transactions waiting, the most allowed");
                return Err(TxError::new("TOO_MANY_FROM_SENDER", why));
            }
            self.make_room(&tx)?;
        }
        if let Some(id) = rival {
            let old = self.get(&id).expect("a rival waits").raw.len();
            if self.bytes - old + tx.raw.len() > self.limits.max_bytes {
                let why = "the replacement is longer than the room that is left";
                return Err(TxError::new("MEMPOOL_FULL", why));
            }
            self.remove(&id);
        }
        self.bytes += tx.raw.len();
        self.by_id.insert(tx.id, (tx.sender, tx.nonce));
        let claims = tx.claims.iter().map(|claim| (*claim, tx.id));
        self.claims.extend(claims);
        let queue = self.senders.entry(tx.sender).or_insert_with(Queue::new);
        queue.account_nonce = admission.account_nonce;
        let expires_ms = now_ms.saturating_add(self.limits.ttl_ms);
        queue.txs.insert(tx.nonce, Entry { tx, expires_ms });
        Ok(rival.map_or(Accepted::New, Accepted::Replaced))
    }

    /// The transaction with the same sender and nonce, if the new one pays enough to replace it.
    fn rival(&self, tx: &VerifiedTx<T>) -> Result<Option<Hash>, TxError> {
        let queue = self.senders.get(&tx.sender);
        let Some(old) = queue.and_then(|q| q.txs.get(&tx.nonce)) else {
            return Ok(None);
        };
        let old_priority = old.tx.priority;
        let least = old_priority.saturating_add((old_priority * REPLACEMENT_PERCENT).div_ceil(100));
        if tx.priority < least.max(old_priority.saturating_add(1)) {
            let why = "a transaction with this nonce waits already: pay 10 % more to replace it";
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

    /// Evicts cheaper transactions until `tx` fits. Nothing is evicted if it cannot fit.
    fn make_room(&mut self, tx: &VerifiedTx<T>) -> Result<(), TxError> {
        let full = |pool: &Self| {
            pool.by_id.len() >= pool.limits.max_txs
                || pool.bytes + tx.raw.len() > pool.limits.max_bytes
        };
        let why = "the mempool is full of transactions that pay more";
        if tx.raw.len() > self.limits.max_bytes {
            return Err(TxError::new(
                "MEMPOOL_FULL",
                "larger than the whole mempool",
            ));
        }
        while full(self) {
            // Only the last of a sender goes, so that nothing behind it is stranded.
            let lasts = self
                .senders
                .iter()
                .filter(|(sender, _)| **sender != tx.sender);
            let lasts = lasts.filter_map(|(_, q)| q.txs.last_key_value());
            let cheapest = lasts.map(|(_, e)| (e.tx.priority, e.tx.id)).min();
            match cheapest {
                Some((priority, id)) if priority < tx.priority => self.remove(&id),
                _ => return Err(TxError::new("MEMPOOL_FULL", why)),
            }
        }
        Ok(())
    }

    fn remove(&mut self, id: &Hash) {
        let Some((sender, nonce)) = self.by_id.remove(id) else {
            return;
        };
        let queue = self
            .senders
            .get_mut(&sender)
            .expect("an indexed sender has a queue");
        let entry = queue
            .txs
            .remove(&nonce)
            .expect("an indexed nonce is queued");
        self.bytes -= entry.tx.raw.len();
        for claim in &entry.tx.claims {
            self.claims.remove(claim);
        }
        if queue.txs.is_empty() {
            self.senders.remove(&sender);
        }
    }

    /// Takes out transactions that can never be executed.
    pub fn reject(&mut self, ids: &[Hash]) {
        ids.iter().for_each(|id| self.remove(id));
    }

    /// After a block: drops what it included, what claims anything of what the block `used`, what is
    /// too old, and what `check` refuses now.
    pub fn on_block(
        &mut self,
        now_ms: u64,
        included: &[Hash],
        used: &[[u8; 32]],
        mut check: impl FnMut(&VerifiedTx<T>) -> Result<Admission, TxError>,
    ) {
        self.reject(included);
        let held = used.iter().filter_map(|claim| self.claims.get(claim));
        let mut gone: Vec<Hash> = held.copied().collect();
        self.reject(&gone);
        gone.clear();
        for queue in self.senders.values_mut() {
            for entry in queue.txs.values() {
                match check(&entry.tx) {
                    Ok(admission) if entry.expires_ms > now_ms => {
                        queue.account_nonce = admission.account_nonce;
                    }
                    _ => gone.push(entry.tx.id),
                }
            }
        }
        self.reject(&gone);
    }

    /// How long the transaction has waited.
    pub fn waited_ms(&self, now_ms: u64, tx: &VerifiedTx<T>) -> Option<u64> {
        let entry = self.senders.get(&tx.sender)?.txs.get(&tx.nonce)?;
        let since_ms = entry.expires_ms.saturating_sub(self.limits.ttl_ms);
        Some(now_ms.saturating_sub(since_ms))
    }

    /// Up to `max_txs` transactions for a block, of at most `max_bytes` together.
    pub fn candidates(&self, max_txs: usize, max_bytes: usize) -> Vec<Arc<VerifiedTx<T>>> {
        ordering::by_fee(self.senders.values(), max_txs, max_bytes)
    }
}
