//! Filters: questions that a client asks again and again, answered with what is new since.
//!
//! They live in this node's memory, in a bounded number, an eighth of it for one address, and one
//! that nobody asks for a while is forgotten. Ids cannot be guessed, because whoever has one may use it.

use super::logs::{LogParams, Where, logs_at, standing};
use super::params::BlockRef;
use super::{Answer, Arguments, Rpc, RpcError, method, method_of_client};
use crate::history::logs::LogQuery;
use adnet_common::api::Client;
use adnet_common::chain_id::ChainId;
use adnet_common::config::DeltaApiConfig;
use adnet_common::ledger;
use adnet_common::store::ReadStore;
use alloy_primitives::{B256, U64};
use jsonrpsee::RpcModule;
use jsonrpsee::types::Params;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Hashes of blocks in one answer: an hour of them.
const BLOCKS_MAX: u64 = 1_200;

pub fn register(module: &mut RpcModule<Rpc>) {
    method_of_client(module, "eth_newFilter", new_log_filter);
    method_of_client(module, "eth_newBlockFilter", new_block_filter);
    method_of_client(
        module,
        "eth_newPendingTransactionFilter",
        new_pending_filter,
    );
    method(module, "eth_getFilterChanges", changes);
    method(module, "eth_getFilterLogs", filter_logs);
    method(module, "eth_uninstallFilter", uninstall);
}

/// What a filter is about, and what its client has seen already.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Filter {
    /// Blocks from height `next` on.
    Blocks { next: u64 },
    /// Transactions of the mempool from number `next` on.
    Pending { next: u64 },
    /// Logs from height `next` on, up to `last`.
    Logs {
        query: LogQuery,
        whole: Where,
        next: u64,
        last: u64,
    },
}

struct Entry {
    filter: Filter,
    owner: Client,
    asked: Instant,
}

/// All filters of a node.
pub struct Filters {
    entries: Mutex<BTreeMap<u64, Entry>>,
    /// Keys what ids are made from.
    ids: RandomState,
    max: usize,
    ttl: Duration,
}

impl Filters {
    pub fn new(bounds: &DeltaApiConfig) -> Self {
        Self {
            entries: Mutex::default(),
            ids: RandomState::new(),
            max: usize::try_from(bounds.filters_max).unwrap_or(usize::MAX),
            ttl: Duration::from_secs(bounds.filter_ttl_s),
        }
    }

    /// The filters that live at `now`.
    fn living(&self, now: Instant) -> MutexGuard<'_, BTreeMap<u64, Entry>> {
        let mut entries = self
            .entries
            .lock()
            .expect("nobody panics while holding filters");
        entries.retain(|_, entry| now.saturating_duration_since(entry.asked) < self.ttl);
        entries
    }

    fn add(&self, filter: Filter, owner: Client, now: Instant) -> Result<u64, RpcError> {
        let mut entries = self.living(now);
        let own = entries
            .values()
            .filter(|entry| entry.owner == owner)
            .count();
        if entries.len() >= self.max || own >= (self.max / 8).max(1) {
            let message = "too many filters exist: uninstall those that you do not need, or use a subscription";
            return Err(RpcError::limit(message));
        }
        let mut id = self.ids.hash_one((entries.len(), now));
        while entries.contains_key(&id) {
            id = self.ids.hash_one(id);
        }
        let asked = now;
        entries.insert(
            id,
            Entry {
                filter,
                owner,
                asked,
            },
        );
        Ok(id)
    }

    /// The filter, which lives on because somebody asks it.
    fn ask(&self, id: u64, now: Instant) -> Result<Filter, RpcError> {
        let mut entries = self.living(now);
        let entry = entries.get_mut(&id).ok_or_else(not_found)?;
        entry.asked = now;
        Ok(entry.filter.clone())
    }

    /// Remembers what has been seen by now. Who asks twice at a time may come back in any order.
    fn saw(&self, id: u64, seen: u64) {
        let mut entries = self.living(Instant::now());
        if let Some(entry) = entries.get_mut(&id) {
            match &mut entry.filter {
                Filter::Blocks { next } | Filter::Pending { next } | Filter::Logs { next, .. } => {
                    *next = seen.max(*next);
                }
            }
        }
    }

    fn remove(&self, id: u64) -> bool {
        self.living(Instant::now()).remove(&id).is_some()
    }
}

fn not_found() -> RpcError {
    RpcError::server("filter not found")
}

fn installed(rpc: &Rpc, client: Client, filter: Filter) -> Answer {
    let id = rpc.filters.add(filter, client, Instant::now())?;
    Ok(json!(U64::from(id)))
}

async fn new_block_filter(rpc: Arc<Rpc>, client: Client, _params: Params<'static>) -> Answer {
    let next = rpc.snapshot().status.height + 1;
    installed(&rpc, client, Filter::Blocks { next })
}

async fn new_pending_filter(rpc: Arc<Rpc>, client: Client, _params: Params<'static>) -> Answer {
    let news = rpc.chain.arrivals(u64::MAX).await.ok_or_else(busy)?;
    installed(&rpc, client, Filter::Pending { next: news.next })
}

async fn new_log_filter(rpc: Arc<Rpc>, client: Client, params: Params<'static>) -> Answer {
    let asked: LogParams = Arguments::of(&params).optional()?.unwrap_or_default();
    let (query, whole) = asked.parse()?;
    let query = standing(query)?;
    let next = rpc.snapshot().status.height + 1;
    let (first, last) = match whole {
        Where::Range {
            from: BlockRef::Height(from),
            to: BlockRef::Height(to),
        } if from > to => return Err(RpcError::invalid_params("invalid block range params")),
        Where::Range { from, to } => (height(from).unwrap_or(0), height(to).unwrap_or(u64::MAX)),
        // There is nothing to come in a block that exists.
        Where::Block(_) => (0, 0),
    };
    let filter = Filter::Logs {
        query,
        whole,
        next: next.max(first),
        last,
    };
    installed(&rpc, client, filter)
}

fn height(block: BlockRef) -> Option<u64> {
    match block {
        BlockRef::Height(height) => Some(height),
        BlockRef::Latest | BlockRef::Pending | BlockRef::Hash(_) => None,
    }
}

fn busy() -> RpcError {
    RpcError::limit("the node is busy: send it again in a moment")
}

fn id_of(params: &Params<'_>) -> Result<u64, RpcError> {
    let id: U64 = Arguments::of(params).required()?;
    Ok(id.to())
}

async fn uninstall(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    Ok(json!(rpc.filters.remove(id_of(&params)?)))
}

async fn filter_logs(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    match rpc.filters.ask(id_of(&params)?, Instant::now())? {
        Filter::Logs { query, whole, .. } => logs_at(&rpc, query, whole).await,
        Filter::Blocks { .. } | Filter::Pending { .. } => Err(not_found()),
    }
}

/// What is new since the last time.
async fn changes(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    let id = id_of(&params)?;
    let tip = rpc.snapshot().status.height;
    match rpc.filters.ask(id, Instant::now())? {
        Filter::Pending { next } => {
            let news = rpc.chain.arrivals(next).await.ok_or_else(busy)?;
            rpc.filters.saw(id, news.next);
            let ids = news.ids.iter().map(|id| B256::new(id.0));
            Ok(json!(ids.collect::<Vec<B256>>()))
        }
        Filter::Blocks { next } => {
            let end = tip.min(next.saturating_add(BLOCKS_MAX - 1));
            let hashes = rpc.read(move |store| hashes(store, next, end)).await?;
            rpc.filters.saw(id, next.max(end + 1));
            Ok(json!(hashes))
        }
        Filter::Logs {
            query, next, last, ..
        } => {
            let end = tip
                .min(last)
                .min(next.saturating_add(rpc.bounds.logs_max_blocks - 1));
            if next > end {
                return Ok(json!([]));
            }
            let place = Where::Range {
                from: BlockRef::Height(next),
                to: BlockRef::Height(end),
            };
            let logs: Value = logs_at(&rpc, query, place).await?;
            rpc.filters.saw(id, end + 1);
            Ok(logs)
        }
    }
}

/// Hashes of the blocks `from..=to`.
fn hashes(store: &dyn ReadStore, from: u64, to: u64) -> Result<Vec<B256>, RpcError> {
    if from > to {
        return Ok(Vec::new());
    }
    let headers = ledger::headers(store, ChainId::Delta, from, to)?;
    Ok(headers
        .iter()
        .map(|header| B256::new(header.hash().0))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(max: u64) -> Filters {
        Filters::new(&DeltaApiConfig {
            filters_max: max,
            filter_ttl_s: 10,
            ..DeltaApiConfig::default()
        })
    }

    const BLOCKS: Filter = Filter::Blocks { next: 1 };

    #[test]
    fn filters_are_bounded_an_eighth_for_one_address_and_die_unless_asked() {
        let filters = filters(16);
        let (a, b) = (Client::V4([1; 4]), Client::V4([2; 4]));
        let start = Instant::now();
        let first = filters.add(BLOCKS, a, start).expect("room");
        let second = filters.add(BLOCKS, a, start).expect("room");
        assert_ne!(first, second);
        assert!(
            filters.add(BLOCKS, a, start).is_err(),
            "an eighth for one address"
        );
        filters.add(BLOCKS, b, start).expect("room");
        let later = start + Duration::from_secs(9);
        assert_eq!(filters.ask(first, later), Ok(BLOCKS));
        let dead = start + Duration::from_secs(11);
        assert_eq!(filters.ask(second, dead), Err(not_found()));
        assert_eq!(
            filters.ask(first, dead),
            Ok(BLOCKS),
            "it was asked in between"
        );
    }

    #[test]
    fn a_filter_goes_on_from_what_was_seen() {
        let filters = filters(4);
        let id = filters
            .add(BLOCKS, Client::V4([1; 4]), Instant::now())
            .expect("room");
        filters.saw(id, 8);
        filters.saw(id, 5);
        let now = Instant::now();
        assert_eq!(filters.ask(id, now), Ok(Filter::Blocks { next: 8 }));
        assert!(filters.remove(id));
        assert!(!filters.remove(id));
    }
}
