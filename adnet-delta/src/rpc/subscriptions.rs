//! What one WebSocket connection has subscribed to.

use super::logs::{LogParams, standing};
use super::objects;
use super::{Arguments, NewBlock, RpcError};
use crate::history::logs::{FoundLog, Hashed, LogQuery, found_in};
use alloy_primitives::{B256, U64};
use jsonrpsee::types::Params;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::iter;

/// What is subscribed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topic {
    Heads,
    Logs {
        query: LogQuery,
        hashed: Hashed,
    },
    /// Transactions of the mempool: their hashes, or all of them.
    Pending {
        full: bool,
    },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum PendingParams {
    Full(bool),
    #[serde(rename_all = "camelCase")]
    Object {
        include_transactions: bool,
    },
}

impl Topic {
    pub fn parse(params: &Params<'_>) -> Result<Self, RpcError> {
        let mut arguments = Arguments::of(params);
        let name: String = arguments.required()?;
        match name.as_str() {
            "newHeads" => Ok(Topic::Heads),
            "logs" => {
                let asked: LogParams = arguments.optional()?.unwrap_or_default();
                let query = standing(asked.parse()?.0)?;
                let hashed = query.hashed();
                Ok(Topic::Logs { query, hashed })
            }
            "newPendingTransactions" => {
                let asked: Option<PendingParams> = arguments.optional()?;
                let full = match asked {
                    None => false,
                    Some(PendingParams::Full(full)) => full,
                    Some(PendingParams::Object {
                        include_transactions,
                    }) => include_transactions,
                };
                Ok(Topic::Pending { full })
            }
            other => {
                let message = format!(
                    "no \"{other}\" subscription: newHeads, logs and newPendingTransactions exist"
                );
                Err(RpcError::invalid_params(message))
            }
        }
    }
}

/// Messages, each made when the one before has been taken: together they may be many times a block.
pub type Messages<'a> = Box<dyn Iterator<Item = String> + Send + 'a>;

/// The subscriptions of one connection, by id.
pub struct Subscriptions {
    topics: BTreeMap<u64, Topic>,
    ids: RandomState,
    max: usize,
}

impl Subscriptions {
    pub fn new(max: u64) -> Self {
        Self {
            topics: BTreeMap::new(),
            ids: RandomState::new(),
            max: usize::try_from(max).unwrap_or(usize::MAX),
        }
    }

    pub fn add(&mut self, topic: Topic) -> Result<u64, RpcError> {
        if self.topics.len() >= self.max {
            let message = format!(
                "at most {} subscriptions per connection: unsubscribe from one first",
                self.max
            );
            return Err(RpcError::limit(message));
        }
        let mut id = self.ids.hash_one(self.topics.len());
        while self.topics.contains_key(&id) {
            id = self.ids.hash_one(id);
        }
        self.topics.insert(id, topic);
        Ok(id)
    }

    pub fn remove(&mut self, id: u64) -> bool {
        self.topics.remove(&id).is_some()
    }

    pub fn wants_blocks(&self) -> bool {
        let wants = |topic: &Topic| matches!(topic, Topic::Heads | Topic::Logs { .. });
        self.topics.values().any(wants)
    }

    pub fn wants_pending(&self) -> bool {
        let wants = |topic: &Topic| matches!(topic, Topic::Pending { .. });
        self.topics.values().any(wants)
    }

    pub fn wants_whole_pending(&self) -> bool {
        self.topics
            .values()
            .any(|topic| *topic == Topic::Pending { full: true })
    }

    /// What each subscription is told of a block, in order.
    pub fn of_block<'a>(&'a self, block: &'a NewBlock) -> Messages<'a> {
        let topics = self.topics.iter();
        Box::new(topics.flat_map(|(id, topic)| topic.of_block(*id, block)))
    }

    /// What each subscription is told of a transaction that came into the mempool: hash, and the object
    /// where it is still there and wanted.
    pub fn of_pending<'a>(&'a self, hash: B256, object: Option<&'a Value>) -> Messages<'a> {
        let topics = self.topics.iter();
        Box::new(topics.filter_map(move |(id, topic)| match topic {
            Topic::Pending { full: false } => Some(message(*id, &json!(hash))),
            Topic::Pending { full: true } => object.map(|object| message(*id, object)),
            Topic::Heads | Topic::Logs { .. } => None,
        }))
    }
}

impl Topic {
    fn of_block<'a>(&'a self, id: u64, block: &'a NewBlock) -> Messages<'a> {
        match self {
            Topic::Heads => Box::new(iter::once_with(move || message(id, &block.head))),
            Topic::Logs { query, hashed } if hashed.may_be_in(&block.figures.logs_bloom) => {
                let height = block.figures.height;
                let receipts = (0..).zip(&block.receipts);
                let found = receipts
                    .flat_map(move |(index, receipt)| found_in(query, height, index, receipt));
                Box::new(found.map(move |log| message(id, &shown(block, &log))))
            }
            Topic::Logs { .. } | Topic::Pending { .. } => Box::new(iter::empty()),
        }
    }
}

fn shown(block: &NewBlock, log: &FoundLog) -> Value {
    let id = usize::try_from(log.tx_index)
        .ok()
        .and_then(|index| block.tx_ids().get(index));
    let id = id.expect("each receipt is one of a transaction of its block");
    objects::found_log(&block.committed.block.header, block.hash, id, log)
}

fn message(id: u64, result: &Value) -> String {
    json!({
        "jsonrpc": "2.0",
        "method": "eth_subscription",
        "params": { "subscription": U64::from(id), "result": result },
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_subscription_to_the_mempool_is_told_what_it_wants() {
        let mut subscriptions = Subscriptions::new(3);
        let hashes = subscriptions.add(Topic::Pending { full: false });
        let whole = subscriptions.add(Topic::Pending { full: true });
        subscriptions.add(Topic::Heads).expect("room");
        let (hashes, whole) = (hashes.expect("room"), whole.expect("room"));
        let (hash, object) = (B256::repeat_byte(1), json!({ "nonce": "0x0" }));
        let told = |object| {
            let mut messages: Vec<String> = subscriptions.of_pending(hash, object).collect();
            messages.sort();
            messages
        };
        assert_eq!(told(None), [message(hashes, &json!(hash))]);
        let mut both = [message(hashes, &json!(hash)), message(whole, &object)];
        both.sort();
        assert_eq!(told(Some(&object)), both);
    }
}
