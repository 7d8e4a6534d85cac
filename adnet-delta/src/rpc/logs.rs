//! `eth_getLogs`, and how clients say which logs they mean.

use super::chain::height_of;
use super::dispatch::ANSWER_BYTES_MAX;
use super::objects;
use super::params::BlockRef;
use super::{Answer, Arguments, Rpc, RpcError, method};
use crate::DeltaApp;
use crate::history;
use crate::history::logs::{FoundLog, LogQuery, SearchBounds, Searched, search};
use adnet_common::chain_id::ChainId;
use adnet_common::ledger;
use adnet_common::store::ReadStore;
use adnet_common::worker::Snapshot;
use alloy_primitives::{Address, B256};
use jsonrpsee::RpcModule;
use jsonrpsee::types::Params;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// Addresses of one question, and alternatives at one place of a topic.
const ALTERNATIVES_MAX: usize = 1_000;
const TOPICS_MAX: usize = 4;
/// Addresses and topics of one filter or subscription.
const STANDING_MAX: usize = 256;
/// Receipts that one question reads at most, a second's work.
const RECEIPTS_MAX: usize = 500_000;

pub fn register(module: &mut RpcModule<Rpc>) {
    method(module, "eth_getLogs", get_logs);
}

/// One value, several of which any will do, or none, which is any.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMore<T> {
    One(T),
    More(Vec<Option<T>>),
}

impl<T> OneOrMore<T> {
    /// The alternatives; none if everything will do.
    fn alternatives(self) -> Result<Vec<T>, RpcError> {
        match self {
            OneOrMore::One(value) => Ok(vec![value]),
            OneOrMore::More(values) if values.len() > ALTERNATIVES_MAX => {
                let message = format!("at most {ALTERNATIVES_MAX} addresses, or topics at a place");
                Err(RpcError::invalid_params(message))
            }
            OneOrMore::More(values) => {
                let all: Option<Vec<T>> = values.into_iter().collect();
                Ok(all.unwrap_or_default())
            }
        }
    }
}

/// A question for logs as clients write it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LogParams {
    from_block: Option<BlockRef>,
    to_block: Option<BlockRef>,
    block_hash: Option<B256>,
    address: Option<OneOrMore<Address>>,
    topics: Option<Vec<Option<OneOrMore<B256>>>>,
}

/// Where to look.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Where {
    Block(B256),
    Range { from: BlockRef, to: BlockRef },
}

impl LogParams {
    pub fn parse(self) -> Result<(LogQuery, Where), RpcError> {
        let address = self.address.map(OneOrMore::alternatives).transpose()?;
        let topics = self.topics.unwrap_or_default();
        if topics.len() > TOPICS_MAX {
            let message = format!("exceed max topics: a log has at most {TOPICS_MAX}");
            return Err(RpcError::invalid_params(message));
        }
        let each = topics
            .into_iter()
            .map(|at| at.map_or(Ok(Vec::new()), OneOrMore::alternatives));
        let query = LogQuery {
            addresses: address.unwrap_or_default(),
            topics: each.collect::<Result<_, _>>()?,
        };
        let place = match (self.block_hash, self.from_block, self.to_block) {
            (Some(hash), None, None) => Where::Block(hash),
            (Some(_), _, _) => {
                let message =
                    "cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other";
                return Err(RpcError::invalid_params(message));
            }
            (None, from, to) => Where::Range {
                from: from.unwrap_or(BlockRef::Latest),
                to: to.unwrap_or(BlockRef::Latest),
            },
        };
        Ok((query, place))
    }
}

/// A question that is kept: it may name less, because many of them wait in memory.
pub fn standing(query: LogQuery) -> Result<LogQuery, RpcError> {
    let values = query.addresses.len() + query.topics.iter().map(Vec::len).sum::<usize>();
    if values > STANDING_MAX {
        let message = format!(
            "a filter or subscription names at most {STANDING_MAX} addresses and topics: ask eth_getLogs, or make several"
        );
        return Err(RpcError::limit(message));
    }
    Ok(query)
}

async fn get_logs(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    let asked: LogParams = Arguments::of(&params).required()?;
    let (query, place) = asked.parse()?;
    logs_at(&rpc, query, place).await
}

/// The logs at `place`, as of the last block.
pub async fn logs_at(rpc: &Rpc, query: LogQuery, place: Where) -> Answer {
    let snapshot = rpc.snapshot();
    let bounds = rpc.bounds.clone();
    // The slot is the search's own: it is not free while the search goes on for nobody.
    let slot = rpc.calls.take().await?;
    let search = rpc.read(move |store| -> Answer {
        let _slot = slot;
        let (from, to) = range(store, &snapshot, place)?;
        let blocks = to - from + 1;
        if blocks > bounds.logs_max_blocks {
            let end = from + bounds.logs_max_blocks - 1;
            let message = format!(
                "query spans {blocks} blocks, at most {} go: try with this block range [{from:#x}, {end:#x}]",
                bounds.logs_max_blocks
            );
            return Err(RpcError::limit(message));
        }
        let results = usize::try_from(bounds.logs_max_results).unwrap_or(usize::MAX);
        logs_between(store, &query, from, to, results)
    });
    search.await
}

/// Heights as a place means them: blocks that this node has executed.
fn range(
    store: &dyn ReadStore,
    snapshot: &Snapshot<DeltaApp>,
    place: Where,
) -> Result<(u64, u64), RpcError> {
    let (from, to) = match place {
        Where::Block(hash) => {
            let height = height_of(store, snapshot, BlockRef::Hash(hash))?;
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

fn logs_between(
    store: &dyn ReadStore,
    query: &LogQuery,
    from: u64,
    to: u64,
    results: usize,
) -> Answer {
    let bounds = SearchBounds {
        results,
        bytes: ANSWER_BYTES_MAX,
        receipts: RECEIPTS_MAX,
    };
    let (found, end) = search(store, query, from, to, bounds)?;
    match end {
        Searched::Through => Ok(Value::Array(shown(store, &found)?)),
        Searched::Stopped { through } => {
            let end = through.unwrap_or(from);
            let message = format!(
                "query returned more than {results} results, is too large or takes too long: try with this block range [{from:#x}, {end:#x}], or with an address"
            );
            Err(RpcError::limit(message))
        }
        Searched::TooManyInBlock { height } => {
            let message = format!(
                "the logs of block {height:#x} alone are larger than an answer may be ({ANSWER_BYTES_MAX} bytes): ask for fewer addresses or topics, or for the receipts of its transactions"
            );
            Err(RpcError::limit(message))
        }
    }
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
    use crate::history::logs::json_bytes;
    use adnet_common::hash::Hash;
    use alloy_primitives::{Log, LogData};
    use serde_json::json;

    fn parse(value: Value) -> Result<(LogQuery, Where), RpcError> {
        let params: LogParams = serde_json::from_value(value).expect("it has the form");
        params.parse()
    }

    #[test]
    fn logs_are_asked_for_in_every_way_that_clients_use() {
        let (a, b) = (B256::repeat_byte(1), B256::repeat_byte(2));
        let at = Address::repeat_byte(3);
        let (query, place) =
            parse(json!({ "address": at, "topics": [a, null, [a, b]] })).expect("good");
        assert_eq!(query.addresses, [at]);
        assert_eq!(query.topics, [vec![a], vec![], vec![a, b]]);
        let latest = BlockRef::Latest;
        assert_eq!(
            place,
            Where::Range {
                from: latest,
                to: latest
            }
        );
        let (query, place) =
            parse(json!({ "address": [at], "topics": [[null, a]], "blockHash": b })).expect("good");
        assert_eq!((query.addresses.len(), query.topics), (1, vec![vec![]]));
        assert_eq!(place, Where::Block(b));
        let (_, place) = parse(json!({ "fromBlock": "0x5" })).expect("good");
        assert_eq!(
            place,
            Where::Range {
                from: BlockRef::Height(5),
                to: latest
            }
        );
    }

    #[test]
    fn what_is_too_much_or_contradicts_itself_is_refused() {
        let topic = B256::ZERO;
        let many = vec![topic; ALTERNATIVES_MAX + 1];
        for wrong in [
            json!({ "topics": [null, null, null, null, null] }),
            json!({ "topics": [many] }),
            json!({ "blockHash": topic, "toBlock": "latest" }),
        ] {
            assert!(parse(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_estimate_of_a_log_is_hardly_more_than_it_takes() {
        let topics = vec![B256::repeat_byte(0xff); 4];
        let log = Log {
            address: Address::repeat_byte(0xff),
            data: LogData::new_unchecked(topics, vec![0xff; 1000].into()),
        };
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
