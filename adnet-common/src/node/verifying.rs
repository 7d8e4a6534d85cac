//! Transactions that were handed out to be verified, and what waits for them.
//!
//! Verifying takes milliseconds per transaction, so it is never done in a step: a job goes out as
//! [`Output::Verify`], and votes, timers and everybody else go on until it comes back as
//! `Input::Verified`. Each job is answered once, sooner or later, in any order.
//!
//! A gossiped transaction waits for its verdict; the same bytes of several peers are one job. A block
//! waits until each of its transactions is known to be valid, or the first is known not to be; only
//! those that nobody has verified before are handed out. The job of a block
//! that nobody wants any more is abandoned; that of one which is in more of a hurry by now is handed out
//! anew.
//!
//! Bounds: gossiped transactions in number and bytes, and the senders that wait for each; jobs of
//! blocks. A block that finds no place waits for the end of another job, each of which looks again.

use super::event::{Output, Peer};
use super::gossip::GossipId;
use super::verified::Verified;
use crate::application::{Application, TxError, VerifiedTx};
use crate::block::Block;
use crate::consensus::{BlockRef, CommitCertificate, Equivocation};
use crate::hash::Hash;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Gossiped transactions handed out at once. The router knows of far fewer at a time; the rest is for
/// those that it has given up.
pub(super) const GOSSIPED_MAX: usize = 256;
const GOSSIPED_BYTES_MAX: usize = 8 << 20;
/// Senders of the same bytes that wait for one verdict.
const SENDERS_MAX: usize = 8;
/// Blocks whose transactions are handed out at once.
const BLOCK_JOBS_MAX: usize = 16;

/// What is to be done first.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// A block that is proposed or decided: votes wait for it.
    Consensus,
    /// A decided block of a peer, while this node is behind.
    Sync,
    /// A transaction for the mempool.
    Gossip,
}

/// Transactions to be verified. The answer has a result for each, in order; it may end with the first
/// that is not valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyJob {
    pub id: u64,
    pub urgency: Urgency,
    pub txs: Vec<Vec<u8>>,
}

/// What came of one transaction of a job.
pub type Checked<T> = Result<Arc<VerifiedTx<T>>, TxError>;

/// How far a block's transactions are.
pub(super) enum BlockTxs<T> {
    Verified(Vec<Arc<VerifiedTx<T>>>),
    Invalid(TxError),
    /// Some are handed out, or will be when there is a place.
    Waiting,
}

/// Somebody who waits for the verdict on a gossiped transaction.
#[derive(Copy, Clone)]
pub(super) struct Sender {
    pub peer: Peer,
    pub id: GossipId,
}

struct Gossiped {
    bytes: usize,
    senders: Vec<Sender>,
}

/// What a job is for.
enum Work {
    Gossip(Hash),
    /// The block, and which of its transactions, with what they are found by.
    Block(Hash, Vec<(usize, Hash)>),
}

enum Stage<T> {
    /// What was known before the job with this number, which brings the rest.
    Waiting(u64, Vec<Option<Arc<VerifiedTx<T>>>>),
    Verified(Vec<Arc<VerifiedTx<T>>>),
    Invalid(TxError),
}

struct Pending<T> {
    height: u64,
    urgency: Urgency,
    stage: Stage<T>,
}

impl<T> Pending<T> {
    /// The job that it waits for.
    fn job(&self) -> Option<u64> {
        match self.stage {
            Stage::Waiting(job, _) => Some(job),
            Stage::Verified(_) | Stage::Invalid(_) => None,
        }
    }
}

/// What is to go on when a job has ended.
pub(super) enum Ended<T> {
    /// Verdicts for these are due.
    Gossip(Vec<Sender>, Checked<T>),
    /// Blocks may be complete now.
    Block,
}

/// See the module.
pub(super) struct Verifying<T> {
    next_id: u64,
    jobs: BTreeMap<u64, Work>,
    block_jobs: usize,
    gossiped: BTreeMap<Hash, Gossiped>,
    gossiped_bytes: usize,
    blocks: BTreeMap<Hash, Pending<T>>,
    /// A decision that waits for the transactions of its block.
    pub deciding: Option<(CommitCertificate, Vec<Equivocation>)>,
    /// A height and round whose block was built before a restart and waits for its transactions.
    pub building: Option<(u64, u32)>,
    /// A block that a certificate names, and that the engine waits for.
    pub synced: Option<BlockRef>,
}

impl<T> Default for Verifying<T> {
    fn default() -> Self {
        Self {
            next_id: 0,
            jobs: BTreeMap::new(),
            block_jobs: 0,
            gossiped: BTreeMap::new(),
            gossiped_bytes: 0,
            blocks: BTreeMap::new(),
            deciding: None,
            building: None,
            synced: None,
        }
    }
}

impl<T> Verifying<T> {
    /// Hands a gossiped transaction out, or lets its sender wait with those of the same bytes. False
    /// if there is no room: then nobody waits.
    pub fn gossiped<A: Application<Tx = T>>(
        &mut self,
        key: Hash,
        sender: Sender,
        bytes: &[u8],
        outputs: &mut Vec<Output<A>>,
    ) -> bool {
        if let Some(known) = self.gossiped.get_mut(&key) {
            let has_room = known.senders.len() < SENDERS_MAX;
            if has_room {
                known.senders.push(sender);
            }
            return has_room;
        }
        if self.gossiped.len() >= GOSSIPED_MAX
            || self.gossiped_bytes + bytes.len() > GOSSIPED_BYTES_MAX
        {
            return false;
        }
        self.gossiped_bytes += bytes.len();
        let gossiped = Gossiped {
            bytes: bytes.len(),
            senders: vec![sender],
        };
        self.gossiped.insert(key, gossiped);
        let job = self.job(Work::Gossip(key), Urgency::Gossip, vec![bytes.to_vec()]);
        outputs.push(Output::Verify(job));
        true
    }

    /// How far the transactions of a block are; those that nobody has verified are handed out.
    pub fn of_block<A: Application<Tx = T>>(
        &mut self,
        verified: &Verified<T>,
        hash: Hash,
        block: &Block,
        urgency: Urgency,
        outputs: &mut Vec<Output<A>>,
    ) -> BlockTxs<T> {
        let mut slower = None;
        if let Some(pending) = self.blocks.get(&hash) {
            match &pending.stage {
                Stage::Waiting(job, _) if urgency < pending.urgency => slower = Some(*job),
                Stage::Waiting(..) => return BlockTxs::Waiting,
                Stage::Verified(txs) => return BlockTxs::Verified(txs.clone()),
                Stage::Invalid(error) => return BlockTxs::Invalid(error.clone()),
            }
        }
        let raws = &block.body.txs;
        let keys: Vec<Hash> = raws.iter().map(|raw| verified.key(raw)).collect();
        let known: Vec<_> = keys.iter().map(|key| verified.get(key)).collect();
        let unknown: Vec<(usize, Hash)> = (0..keys.len())
            .filter(|index| known[*index].is_none())
            .map(|index| (index, keys[index]))
            .collect();
        let height = block.header.height;
        if unknown.is_empty() {
            let txs: Vec<_> = known.into_iter().flatten().collect();
            self.set(hash, height, urgency, Stage::Verified(txs.clone()));
            self.abandon(slower, outputs);
            return BlockTxs::Verified(txs);
        }
        if self.block_jobs < BLOCK_JOBS_MAX || slower.is_some() {
            let txs = unknown.iter().map(|(index, _)| raws[*index].clone());
            let txs = txs.collect();
            self.block_jobs += 1;
            let job = self.job(Work::Block(hash, unknown), urgency, txs);
            self.set(hash, height, urgency, Stage::Waiting(job.id, known));
            outputs.push(Output::Verify(job));
            self.abandon(slower, outputs);
        }
        BlockTxs::Waiting
    }

    fn set(&mut self, block: Hash, height: u64, urgency: Urgency, stage: Stage<T>) {
        let pending = Pending {
            height,
            urgency,
            stage,
        };
        self.blocks.insert(block, pending);
    }

    /// Lets the job of a block go, if it has not been answered.
    fn abandon<A: Application<Tx = T>>(&mut self, job: Option<u64>, outputs: &mut Vec<Output<A>>) {
        if let Some(job) = job
            && self.jobs.remove(&job).is_some()
        {
            self.block_jobs -= 1;
            outputs.push(Output::Abandon(job));
        }
    }

    fn job(&mut self, work: Work, urgency: Urgency, txs: Vec<Vec<u8>>) -> VerifyJob {
        let id = self.next_id;
        self.next_id += 1;
        self.jobs.insert(id, work);
        VerifyJob { id, urgency, txs }
    }

    /// Takes in what came of a job. `None` for one that was abandoned, or handed out in another life.
    pub fn ended(
        &mut self,
        verified: &Verified<T>,
        id: u64,
        mut checked: Vec<Checked<T>>,
    ) -> Option<Ended<T>> {
        match self.jobs.remove(&id)? {
            Work::Gossip(key) => {
                let result = checked.pop().expect("a job is answered");
                if let Ok(tx) = &result {
                    verified.add(key, tx);
                }
                let gossiped = self.gossiped.remove(&key);
                let gossiped = gossiped.expect("it waits as long as its job");
                self.gossiped_bytes -= gossiped.bytes;
                Some(Ended::Gossip(gossiped.senders, result))
            }
            Work::Block(hash, asked) => {
                self.block_jobs -= 1;
                let is_whole =
                    checked.len() == asked.len() || matches!(checked.last(), Some(Err(_)));
                assert!(is_whole, "an answer ends early at what is not valid only");
                // It may be gone, or wait for another job since the chain began anew.
                let mut stage = self.blocks.get_mut(&hash).map(|pending| &mut pending.stage);
                stage = stage.filter(|stage| matches!(stage, Stage::Waiting(job, _) if *job == id));
                for ((index, key), result) in asked.into_iter().zip(checked) {
                    match (result, stage.as_deref_mut()) {
                        (Ok(tx), stage) => {
                            verified.add(key, &tx);
                            if let Some(Stage::Waiting(_, slots)) = stage {
                                slots[index] = Some(tx);
                            }
                        }
                        (Err(error), Some(stage @ Stage::Waiting(..))) => {
                            *stage = Stage::Invalid(error);
                        }
                        (Err(_), _) => {}
                    }
                }
                if let Some(stage) = stage
                    && let Stage::Waiting(_, slots) = stage
                {
                    let txs = std::mem::take(slots).into_iter();
                    let txs = txs.map(|tx| tx.expect("known before, or in the whole answer"));
                    *stage = Stage::Verified(txs.collect());
                }
                Some(Ended::Block)
            }
        }
    }

    /// Whether a decision waits, and with it everything that comes after.
    pub fn is_deciding(&self) -> bool {
        self.deciding.is_some()
    }

    /// Whether all transactions of this block are verified.
    pub fn is_verified(&self, hash: &Hash) -> bool {
        let pending = self.blocks.get(hash);
        pending.is_some_and(|pending| matches!(pending.stage, Stage::Verified(_)))
    }

    /// Forgets the blocks up to a committed height.
    pub fn end_height<A: Application<Tx = T>>(
        &mut self,
        height: u64,
        outputs: &mut Vec<Output<A>>,
    ) {
        let ended = self
            .blocks
            .extract_if(.., |_, pending| pending.height <= height);
        let ended: Vec<u64> = ended.filter_map(|(_, pending)| pending.job()).collect();
        for job in ended {
            self.abandon(Some(job), outputs);
        }
        self.building = None;
        self.synced = None;
    }

    /// The chain begins anew on another state, in the same life: only verdicts are still waited for.
    pub fn forget_blocks<A: Application<Tx = T>>(&mut self, outputs: &mut Vec<Output<A>>) {
        self.end_height(u64::MAX, outputs);
        self.deciding = None;
    }
}
