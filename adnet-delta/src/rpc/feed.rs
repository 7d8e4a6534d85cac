//! What is new, for everybody who has subscribed: blocks with what is in them, and transactions that
//! come into the mempool.
//!
//! One task reads each block once for all. Subscribers take from a ring of a few blocks; who falls
//! behind by more is told so and has lost its place. Where nobody listens, nothing is read.

use super::{objects, pool};
use crate::DeltaApp;
use crate::history::block::BlockFigures;
use crate::history::receipt::Receipt;
use crate::history::{self, HistoryError};
use crate::rules::Rules;
use adnet_common::chain_id::ChainId;
use adnet_common::hash::Hash;
use adnet_common::ledger::{self, CommittedBlock, LedgerError};
use adnet_common::store::ReadStore;
use adnet_common::worker::ChainHandle;
use alloy_primitives::{B256, keccak256};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Once, OnceLock};
use std::time::Duration;
use tokio::sync::{OnceCell, broadcast};
use tokio::time::{MissedTickBehavior, interval};

/// Blocks, or handfuls of transactions, that a subscriber may be behind.
const BEHIND_MAX: usize = 16;
/// How often the mempool is asked what is new while anybody wants to know.
const PENDING_EVERY: Duration = Duration::from_millis(100);

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

/// Cheap to clone.
#[derive(Clone)]
pub struct Feed {
    inner: Arc<Inner>,
}

struct Inner {
    chain: ChainHandle<DeltaApp>,
    blocks: broadcast::Sender<Arc<NewBlock>>,
    pending: broadcast::Sender<Arc<NewPending>>,
    blocks_task: Once,
    pending_task: Once,
}

impl Feed {
    pub fn new(chain: ChainHandle<DeltaApp>) -> Self {
        Self {
            inner: Arc::new(Inner {
                chain,
                blocks: broadcast::channel(BEHIND_MAX).0,
                pending: broadcast::channel(BEHIND_MAX).0,
                blocks_task: Once::new(),
                pending_task: Once::new(),
            }),
        }
    }

    /// Every block from now on.
    pub fn blocks(&self) -> broadcast::Receiver<Arc<NewBlock>> {
        let receiver = self.inner.blocks.subscribe();
        let inner = &self.inner;
        // A task belongs to the runtime that connections are served on, so the first of them starts it.
        inner.blocks_task.call_once(|| {
            tokio::spawn(tell_blocks(Arc::clone(inner)));
        });
        receiver
    }

    /// Every transaction that comes into the mempool from now on.
    pub fn pending(&self) -> broadcast::Receiver<Arc<NewPending>> {
        let receiver = self.inner.pending.subscribe();
        let inner = &self.inner;
        inner.pending_task.call_once(|| {
            tokio::spawn(tell_pending(Arc::clone(inner)));
        });
        receiver
    }
}

#[derive(Debug, thiserror::Error)]
enum FeedError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    History(#[from] HistoryError),
}

fn block(rules: &Rules, store: &dyn ReadStore, height: u64) -> Result<Option<NewBlock>, FeedError> {
    let committed = ledger::block_at(store, ChainId::Delta, height)?;
    let figures = history::figures(store, height)?;
    let (Some(committed), Some(figures)) = (committed, figures) else {
        return Ok(None); // a snapshot brought it
    };
    let receipts = history::receipts_of(store, height)?;
    Ok(Some(NewBlock {
        head: objects::header(rules, &committed, Some(&figures)),
        block_message: OnceLock::new(),
        transactions_message: OnceLock::new(),
        tx_ids: OnceLock::new(),
        hash: committed.block.hash(),
        committed,
        figures,
        receipts,
    }))
}

async fn tell_blocks(inner: Arc<Inner>) {
    let mut heights = inner.chain.heights();
    let mut told = *heights.borrow_and_update();
    let rules = *inner.chain.rules();
    while heights.changed().await.is_ok() {
        let tip = *heights.borrow_and_update();
        for height in told + 1..=tip {
            if inner.blocks.receiver_count() == 0 {
                break;
            }
            match inner
                .chain
                .read(move |store| block(&rules, store, height))
                .await
            {
                // Without a receiver it is nobody's.
                Ok(Some(block)) => drop(inner.blocks.send(Arc::new(block))),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, height, "a block cannot be told to subscribers");
                }
            }
        }
        told = tip;
    }
}

async fn tell_pending(inner: Arc<Inner>) {
    let mut every = interval(PENDING_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut next = None;
    loop {
        every.tick().await;
        if inner.pending.receiver_count() == 0 {
            next = None;
            continue;
        }
        // A busy node is asked again with the next tick.
        if let Some(news) = inner.chain.arrivals(next.unwrap_or(u64::MAX)).await {
            next = Some(news.next);
            if !news.ids.is_empty() {
                let (ids, whole) = (news.ids, OnceCell::new());
                drop(inner.pending.send(Arc::new(NewPending { ids, whole })));
            }
        }
    }
}
