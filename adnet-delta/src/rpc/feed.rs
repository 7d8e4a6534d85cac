//! What is new, for everybody who has subscribed: blocks with what is in them, and transactions that
//! come into the mempool.
//!
//! One task reads each block once for all. Subscribers take from a ring of a few blocks; who falls
//! behind by more is told so and has lost its place. Nobody misses a block unawares: where one cannot be
//! read, all subscriptions to blocks end. Where nobody listens, nothing is read. A block that has left
//! the ring is kept by those who are being told of it, each for a bounded time (`Socket::tell`).

use super::{ReceiptRoots, objects, pool};
use crate::DeltaApp;
use crate::history::block::BlockFigures;
use crate::history::receipt::Receipt;
use crate::history::{self, HistoryError};
use crate::rules::Rules;
use adnet_common::api::Close;
use adnet_common::chain_id::ChainId;
use adnet_common::hash::Hash;
use adnet_common::ledger::{self, CommittedBlock, LedgerError};
use adnet_common::store::ReadStore;
use adnet_common::worker::ChainHandle;
use alloy_primitives::{B256, keccak256};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, Once, OnceLock};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OnceCell, broadcast, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};

/// Blocks, or handfuls of transactions, that a subscriber may be behind.
const BEHIND_MAX: usize = 16;
/// How often the mempool is asked what is new while anybody wants to know.
const PENDING_EVERY: Duration = Duration::from_millis(100);
/// How often, and how many times, a block is read anew while the store fails.
const READ_AGAIN_AFTER: Duration = Duration::from_millis(250);
const READS_MAX: u32 = 20;

/// A block and what it came to. What many are told alike is made once for all of them.
pub struct NewBlock {
    pub committed: CommittedBlock,
    pub hash: Hash,
    pub figures: BlockFigures,
    pub receipts: Vec<Receipt>,
    /// As subscribers to heads see it.
    pub head: Value,
    /// Messages of the stream, made when somebody wants the first.
    pub block_message: OnceLock<String>,
    pub transactions_message: OnceLock<String>,
    tx_ids: OnceLock<Vec<Hash>>,
}

impl NewBlock {
    /// The hashes of its transactions.
    pub fn tx_ids(&self) -> &[Hash] {
        self.tx_ids.get_or_init(|| {
            let txs = self.committed.block.body.txs.iter();
            txs.map(|raw| Hash(keccak256(raw).0)).collect()
        })
    }
}

/// Transactions that have come into the mempool.
pub struct NewPending {
    pub ids: Vec<Hash>,
    /// With each that is still there, read when somebody wants the first.
    whole: OnceCell<Vec<(B256, Option<Value>)>>,
}

impl NewPending {
    /// The hashes, and those transactions that still wait, read once for all who want them; none where
    /// the node is busy.
    pub async fn whole(&self, chain: &ChainHandle<DeltaApp>) -> Option<&[(B256, Option<Value>)]> {
        let read = || async {
            let waiting = chain.waiting_of(self.ids.clone()).await.ok_or(())?;
            let show = move || {
                let each = waiting.iter();
                each.map(|tx| (tx.id, pool::object(&tx.raw, &tx.sender)))
                    .collect::<BTreeMap<Hash, Value>>()
            };
            let objects = tokio::task::spawn_blocking(show).await;
            let mut objects = objects.map_err(drop)?;
            let ids = self.ids.iter();
            Ok::<_, ()>(
                ids.map(|id| (B256::new(id.0), objects.remove(id)))
                    .collect(),
            )
        };
        self.whole
            .get_or_try_init(read)
            .await
            .ok()
            .map(Vec::as_slice)
    }
}

/// The place of one subscriber in a feed, if it has one.
pub struct Reader<T>(Option<broadcast::Receiver<Arc<T>>>);

impl<T> Default for Reader<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Reader<T> {
    pub fn has_place(&self) -> bool {
        self.0.is_some()
    }

    /// What is next; without a place it never comes. May be dropped and called again.
    ///
    /// # Errors
    /// What to tell a subscriber that has lost its place, or when a block cannot be read.
    pub async fn next(&mut self) -> Result<Arc<T>, Close> {
        let Some(place) = &mut self.0 else {
            return std::future::pending().await;
        };
        place.recv().await.map_err(|error| match error {
            RecvError::Lagged(missed) => {
                let reason = format!("too slow: {missed} messages could not wait for this reader");
                Close::new(Close::POLICY, reason)
            }
            RecvError::Closed => {
                let reason = "a block cannot be told, and none is to be missed: subscribe again";
                Close::new(Close::TRY_LATER, reason)
            }
        })
    }
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Feed {
    inner: Arc<Inner>,
}

struct Inner {
    chain: ChainHandle<DeltaApp>,
    receipt_roots: ReceiptRoots,
    /// Another one where all subscriptions have ended.
    blocks: Mutex<broadcast::Sender<Arc<NewBlock>>>,
    pending: broadcast::Sender<Arc<NewPending>>,
    blocks_task: Once,
    pending_task: Once,
    /// The number of the first arrival in the mempool that subscribers have not heard of; absent while
    /// there are none.
    untold: Mutex<Option<u64>>,
}

impl Feed {
    pub fn new(chain: ChainHandle<DeltaApp>, receipt_roots: ReceiptRoots) -> Self {
        Self {
            inner: Arc::new(Inner {
                chain,
                receipt_roots,
                blocks: Mutex::new(broadcast::channel(BEHIND_MAX).0),
                pending: broadcast::channel(BEHIND_MAX).0,
                blocks_task: Once::new(),
                pending_task: Once::new(),
                untold: Mutex::new(None),
            }),
        }
    }

    /// Every block from now on.
    pub fn blocks(&self) -> Reader<NewBlock> {
        let inner = &self.inner;
        let place = inner.blocks().subscribe();
        // A task belongs to the runtime that connections are served on, so the first of them starts it.
        inner.blocks_task.call_once(|| {
            let mut heights = inner.chain.heights();
            let told = *heights.borrow_and_update();
            tokio::spawn(tell_blocks(Arc::clone(inner), heights, told));
        });
        Reader(Some(place))
    }

    /// Every transaction that comes into the mempool from when this has answered; nothing where the node
    /// is busy.
    pub async fn pending(&self) -> Option<Reader<NewPending>> {
        let inner = &self.inner;
        let place = inner.pending.subscribe();
        let from = inner.chain.arrivals(u64::MAX).await?.next;
        inner.untold().get_or_insert(from);
        inner.pending_task.call_once(|| {
            tokio::spawn(tell_pending(Arc::clone(inner)));
        });
        Some(Reader(Some(place)))
    }
}

/// Why a block cannot be told.
#[derive(Debug, thiserror::Error)]
enum Gap {
    #[error("this node has not executed it: a snapshot has brought it further")]
    NotExecuted,
    #[error(transparent)]
    Read(#[from] FeedError),
}

impl Inner {
    fn blocks(&self) -> MutexGuard<'_, broadcast::Sender<Arc<NewBlock>>> {
        let guard = self.blocks.lock();
        guard.expect("nobody panics while holding the ring")
    }

    fn untold(&self) -> MutexGuard<'_, Option<u64>> {
        let guard = self.untold.lock();
        guard.expect("nobody panics while holding a number")
    }

    /// Tells subscribers of the blocks after `told` up to `tip`, or ends what they have subscribed to.
    async fn tell_blocks(&self, told: u64, tip: u64) {
        for height in told + 1..=tip {
            if self.blocks().receiver_count() == 0 {
                return;
            }
            match self.read_block(height).await {
                // Without a receiver it is nobody's.
                Ok(block) => drop(self.blocks().send(Arc::new(block))),
                Err(gap) => {
                    tracing::warn!(%gap, height, "a block cannot be told: subscriptions end");
                    *self.blocks() = broadcast::channel(BEHIND_MAX).0;
                    return;
                }
            }
        }
    }

    async fn read_block(&self, height: u64) -> Result<NewBlock, Gap> {
        let rules = *self.chain.rules();
        let mut reads = 1;
        loop {
            let roots = self.receipt_roots.clone();
            let read = move |store: &dyn ReadStore| block(&rules, &roots, store, height);
            match self.chain.read(read).await {
                Ok(block) => return block.ok_or(Gap::NotExecuted),
                Err(error) if reads == READS_MAX => return Err(error.into()),
                Err(error) => tracing::debug!(%error, height, "a block is read again"),
            }
            reads += 1;
            sleep(READ_AGAIN_AFTER).await;
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum FeedError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    History(#[from] HistoryError),
}

fn block(
    rules: &Rules,
    roots: &ReceiptRoots,
    store: &dyn ReadStore,
    height: u64,
) -> Result<Option<NewBlock>, FeedError> {
    let committed = ledger::block_at(store, ChainId::Delta, height)?;
    let figures = history::figures(store, height)?;
    let (Some(committed), Some(figures)) = (committed, figures) else {
        return Ok(None); // a snapshot brought it
    };
    let receipts = history::receipts_of(store, height)?;
    let root = roots.compute(height, &receipts);
    Ok(Some(NewBlock {
        head: objects::header(rules, &committed, Some(&figures), root),
        block_message: OnceLock::new(),
        transactions_message: OnceLock::new(),
        tx_ids: OnceLock::new(),
        hash: committed.block.hash(),
        committed,
        figures,
        receipts,
    }))
}

async fn tell_blocks(inner: Arc<Inner>, mut heights: watch::Receiver<u64>, mut told: u64) {
    while heights.changed().await.is_ok() {
        let tip = *heights.borrow_and_update();
        inner.tell_blocks(told, tip).await;
        told = tip;
    }
}

async fn tell_pending(inner: Arc<Inner>) {
    let mut every = interval(PENDING_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let from = {
            let mut untold = inner.untold();
            if inner.pending.receiver_count() == 0 {
                *untold = None;
            }
            *untold
        };
        // A first subscriber is just about to say where it begins.
        let Some(from) = from else { continue };
        // A busy node is asked again with the next tick.
        if let Some(news) = inner.chain.arrivals(from).await {
            *inner.untold() = Some(news.next);
            if !news.ids.is_empty() {
                let (ids, whole) = (news.ids, OnceCell::new());
                drop(inner.pending.send(Arc::new(NewPending { ids, whole })));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::tests::{Chain, dev_genesis};
    use adnet_common::mempool::Arrivals;
    use adnet_common::worker::Request;
    use std::time::Instant;
    use tokio::time::timeout;

    const DEADLINE: Duration = Duration::from_secs(20);

    /// A feed of a chain without blocks, and the arrivals that its mempool tells of.
    fn feed() -> (Feed, Arc<Mutex<Arrivals>>) {
        let chain = Chain::new(dev_genesis());
        let (handle, requests) = chain.handle();
        let arrivals = Arc::new(Mutex::new(Arrivals::default()));
        let played = Arc::clone(&arrivals);
        std::thread::spawn(move || {
            for request in requests {
                if let Request::Arrivals { since, reply } = request {
                    let arrivals = played.lock().expect("nobody panics");
                    let _ = reply.send(arrivals.since(since)); // the test may be over
                }
            }
        });
        (Feed::new(handle, ReceiptRoots::default()), arrivals)
    }

    fn id(n: u8) -> Hash {
        Hash([n; 32])
    }

    async fn heard(reader: &mut Reader<NewPending>) -> Vec<Hash> {
        let news = timeout(DEADLINE, reader.next()).await;
        news.expect("in time").expect("not behind").ids.clone()
    }

    #[tokio::test]
    async fn what_arrives_right_after_subscribing_is_told_and_what_nobody_waited_for_is_not() {
        let (feed, arrivals) = feed();
        let note = |n| arrivals.lock().expect("nobody panics").note(id(n));
        note(1);
        let mut first = feed.pending().await.expect("not busy");
        note(2);
        assert_eq!(heard(&mut first).await, [id(2)]);
        let mut second = feed.pending().await.expect("not busy");
        note(3);
        assert_eq!(heard(&mut first).await, [id(3)]);
        assert_eq!(heard(&mut second).await, [id(3)]);
        drop((first, second));
        let end = Instant::now() + DEADLINE;
        while feed.inner.untold().is_some() {
            assert!(Instant::now() < end, "the task goes on for nobody");
            sleep(Duration::from_millis(10)).await;
        }
        note(4);
        let mut third = feed.pending().await.expect("not busy");
        note(5);
        assert_eq!(heard(&mut third).await, [id(5)]);
    }

    #[tokio::test]
    async fn a_block_that_was_not_executed_here_ends_subscriptions_and_new_ones_begin() {
        let (feed, _) = feed();
        let mut before = feed.blocks();
        feed.inner.tell_blocks(0, 1_000_000).await;
        let told = timeout(DEADLINE, before.next()).await.expect("in time");
        assert!(told.is_err_and(|close| close.code == Close::TRY_LATER));
        let after = feed.blocks();
        assert_eq!(feed.inner.blocks().receiver_count(), 1);
        drop(after);
    }
}
