//! `eth_getLogs`, and the search behind it.

mod params;

use super::chain::height_of;
use super::dispatch::ANSWER_BYTES_MAX;
use super::objects;
use super::params::BlockRef;
use super::{Answer, Arguments, Rpc, RpcError, Tip, method};
use crate::DeltaApp;
use crate::history;
use crate::history::logs::{FoundLog, LogQuery, SearchBounds, Searched, search};
use adnet_common::chain_id::ChainId;
use adnet_common::ledger;
use adnet_common::store::ReadStore;
use adnet_common::worker::Snapshot;
use jsonrpsee::RpcModule;
use jsonrpsee::types::Params;
use serde_json::Value;
use std::sync::Arc;

pub use params::{LogParams, Where, standing};

/// Receipts that one question reads at most, a second's work.
const RECEIPTS_MAX: usize = 500_000;
/// Data of logs that one question reads at most, and a block more.
const READ_BYTES_MAX: usize = 256 << 20;

pub fn register(module: &mut RpcModule<Rpc>) {
    method(module, "eth_getLogs", get_logs);
}

async fn get_logs(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    let asked: LogParams = Arguments::of(&params).required()?;
    let (query, place) = asked.parse()?;
    logs_at(&rpc, query, place).await
}

/// The logs at `place`, as of the last block: all of them, or an error that says which would do.
pub async fn logs_at(rpc: &Rpc, query: LogQuery, place: Where) -> Answer {
    let snapshot = rpc.snapshot();
    let (results, blocks_max) = (results_max(rpc), rpc.bounds.logs_max_blocks);
    searching(rpc, move |store| {
        let (from, to) = range(store, &snapshot, place)?;
        let blocks = to - from + 1;
        if blocks > blocks_max {
            let end = from + blocks_max - 1;
            let message = format!(
                "query spans {blocks} blocks, at most {blocks_max} go: try with this block range [{from:#x}, {end:#x}]"
            );
            return Err(RpcError::limit(message));
        }
        let (found, end) = search(store, &query, from, to, search_bounds(results))?;
        match end {
            Searched::Through => Ok(Value::Array(shown(store, &found)?)),
            Searched::Stopped { through } => {
                let message = format!(
                    "query returned more than {results} results, is too large or takes too long: try with this block range [{from:#x}, {through:#x}], or with an address"
                );
                Err(RpcError::limit(message))
            }
            Searched::TooManyInBlock { height } => Err(too_many_in(height)),
        }
    })
    .await
}

/// What somebody who has seen all logs below a height is told next.
pub struct News {
    /// The logs of some blocks, whole; an error where one block alone has too many.
    pub logs: Answer,
    /// Where to go on.
    pub next: u64,
}

/// The logs from height `from` on, at most up to `to`, both of blocks that exist: as many blocks as one
/// answer may hold.
pub async fn news(rpc: &Rpc, query: LogQuery, from: u64, to: u64) -> Result<News, RpcError> {
    let bounds = search_bounds(results_max(rpc));
    searching(rpc, move |store| news_in(store, &query, from, to, bounds)).await
}

fn news_in(
    store: &dyn ReadStore,
    query: &LogQuery,
    from: u64,
    to: u64,
    bounds: SearchBounds,
) -> Result<News, RpcError> {
    let (found, end) = search(store, query, from, to, bounds)?;
    let last = match end {
        Searched::Through => to,
        Searched::Stopped { through } => through,
        // It is told once. Who insisted on it would never hear of the blocks after it.
        Searched::TooManyInBlock { height } => {
            let (logs, next) = (Err(too_many_in(height)), height + 1);
            return Ok(News { logs, next });
        }
    };
    let (logs, next) = (Ok(Value::Array(shown(store, &found)?)), last + 1);
    Ok(News { logs, next })
}

/// Searches the store in one of the slots. The slot is the search's own: it is not free while the search
/// goes on for nobody.
async fn searching<T: Send + 'static>(
    rpc: &Rpc,
    work: impl FnOnce(&dyn ReadStore) -> Result<T, RpcError> + Send + 'static,
) -> Result<T, RpcError> {
    let slot = rpc.calls.take().await?;
    let search = rpc.read(move |store| {
        let _slot = slot;
        work(store)
    });
    search.await
}

fn results_max(rpc: &Rpc) -> usize {
    usize::try_from(rpc.bounds.logs_max_results).unwrap_or(usize::MAX)
}

fn search_bounds(results: usize) -> SearchBounds {
    SearchBounds {
        results,
        bytes: ANSWER_BYTES_MAX,
        receipts: RECEIPTS_MAX,
        read_bytes: READ_BYTES_MAX,
    }
}

fn too_many_in(height: u64) -> RpcError {
    RpcError::limit(format!(
        "the logs of block {height:#x} alone are larger than an answer may be ({ANSWER_BYTES_MAX} bytes): ask for fewer addresses or topics, or for the receipts of its transactions"
    ))
}

/// Heights as a place means them: blocks that this node has executed.
fn range(
    store: &dyn ReadStore,
    snapshot: &Snapshot<DeltaApp>,
    place: Where,
) -> Result<(u64, u64), RpcError> {
    let (from, to) = match place {
        Where::Block(hash) => {
            let height = height_of(store, Tip::of(snapshot), BlockRef::Hash(hash))?;
            let height = height.ok_or_else(|| RpcError::server("unknown block"))?;
            (height, height)
        }
        Where::Range { from, to } => {
            let tip = snapshot.status.height;
            let number = |block| match block {
                BlockRef::Latest | BlockRef::Pending => Ok(tip),
                BlockRef::Height(height) => Ok(height),
                BlockRef::Hash(_) => {
                    let message = "a block range is from one number to another";
                    Err(RpcError::invalid_params(message))
                }
            };
            let (from, to) = (number(from)?, number(to)?);
            if from > to {
                return Err(RpcError::invalid_params("invalid block range params"));
            }
            if to > tip {
                let message = "block range extends beyond current head block";
                return Err(RpcError::invalid_params(message));
            }
            (from, to)
        }
    };
    // The genesis block has no logs. A block without figures is from before a snapshot.
    if history::figures(store, from.max(1))?.is_none() && to > 0 {
        let message = format!("pruned history unavailable: block {from} was not executed here");
        return Err(RpcError::pruned(message));
    }
    Ok((from, to))
}

/// Logs in order of their blocks as clients see them.
pub fn shown(store: &dyn ReadStore, found: &[FoundLog]) -> Result<Vec<Value>, RpcError> {
    let mut shown = Vec::with_capacity(found.len());
    for of_block in found.chunk_by(|a, b| a.height == b.height) {
        let block = ledger::block_at(store, ChainId::Delta, of_block[0].height)?;
        let block = block.ok_or_else(|| RpcError::internal(&"a block with receipts is missing"))?;
        let (block, hash) = (&block.block, block.block.hash());
        for of_tx in of_block.chunk_by(|a, b| a.tx_index == b.tx_index) {
            let id = objects::tx_id(block, of_tx[0].tx_index);
            let each = of_tx.iter();
            shown.extend(each.map(|log| objects::found_log(&block.header, hash, &id, log)));
        }
    }
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evm::BlockPlace;
    use crate::history::block::BlockFigures;
    use crate::history::block_writes;
    use crate::history::logs::json_bytes;
    use crate::history::receipt::Receipt;
    use adnet_common::hash::Hash;
    use adnet_common::memory_store::MemoryStore;
    use alloy_primitives::{Address, B256, Log, LogData};

    fn log(topics: usize, data: usize) -> Log {
        let topics = vec![B256::repeat_byte(0xff); topics];
        Log {
            address: Address::repeat_byte(0xff),
            data: LogData::new_unchecked(topics, vec![0xff; data].into()),
        }
    }

    #[test]
    fn a_block_with_too_many_logs_is_told_once_and_passed_over() {
        let receipt = Receipt {
            tx_type: 2,
            from: Address::ZERO,
            to: None,
            success: true,
            gas_used: 1,
            cumulative_gas_used: 1,
            effective_gas_price_wei: 1,
            contract: None,
            first_log: 0,
            logs: vec![log(1, 0), log(1, 0)],
        };
        let place = BlockPlace {
            height: 5,
            time_ms: 0,
            parent: Hash::ZERO,
            base_fee_wei: 0,
        };
        let figures = BlockFigures::new(&place, 1, std::slice::from_ref(&receipt));
        let mut store = MemoryStore::new();
        store.apply(&block_writes(&figures, &[Hash::ZERO], &[receipt]));
        let bounds = SearchBounds {
            bytes: json_bytes(&log(1, 0)),
            ..search_bounds(10)
        };
        let query = LogQuery::default();
        let news = |from| news_in(&store, &query, from, 9, bounds).expect("it reads");
        let first = news(3);
        assert_eq!(first.next, 6);
        let error = first.logs.expect_err("too many");
        assert!(error.to_string().contains("block 0x5"), "{error}");
        let rest = news(first.next);
        assert_eq!((rest.logs, rest.next), (Ok(Value::Array(Vec::new())), 10));
    }

    #[test]
    fn the_estimate_of_a_log_is_hardly_more_than_it_takes() {
        let log = log(4, 1000);
        let at = objects::Position {
            height: u64::MAX,
            block_hash: Hash([0xff; 32]),
            time_ms: u64::MAX,
            index: u32::MAX,
        };
        let shown = objects::log(&at, &Hash([0xff; 32]), u32::MAX, &log);
        let (takes, estimate) = (shown.to_string().len(), json_bytes(&log));
        assert!(
            (takes..takes + 20).contains(&estimate),
            "{takes}, {estimate}"
        );
    }
}
