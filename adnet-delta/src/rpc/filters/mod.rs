//! Filters: questions that a client asks again and again, answered with what is new since.
//!
//! One that nobody asks for a while is forgotten. Ids cannot be guessed, because whoever has one may use
//! it. What is too much for one answer comes with the next: a filter goes on from the last block that it has
//! told of whole.

mod table;

use super::logs::{LogParams, News, Where, logs_at, news, standing};
use super::params::BlockRef;
use super::{Answer, Arguments, Rpc, RpcError, method, method_of_client};
use adnet_common::api::Client;
use adnet_common::chain_id::ChainId;
use adnet_common::ledger;
use adnet_common::store::ReadStore;
use alloy_primitives::{B256, U64};
use jsonrpsee::RpcModule;
use jsonrpsee::types::Params;
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;
use table::{Filter, not_found};

pub use table::Filters;

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
            let blocks = rpc.bounds.logs_max_blocks;
            let end = tip.min(last).min(next.saturating_add(blocks - 1));
            if next > end {
                return Ok(json!([]));
            }
            let News { logs, next } = news(&rpc, query, next, end).await?;
            rpc.filters.saw(id, next);
            logs
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
