//! Which logs clients mean, as they write it.

use crate::history::logs::LogQuery;
use crate::rpc::RpcError;
use crate::rpc::params::BlockRef;
use alloy_primitives::{Address, B256};
use serde::Deserialize;

/// Addresses of one question, and alternatives at one place of a topic.
const ALTERNATIVES_MAX: usize = 1_000;
const TOPICS_MAX: usize = 4;
/// Addresses and topics of one filter or subscription.
const STANDING_MAX: usize = 256;

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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

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
}
