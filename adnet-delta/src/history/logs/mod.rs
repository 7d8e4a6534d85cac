//! Logs of past blocks: what clients ask for, and how it is found. `index` says which blocks may have it.

mod index;
#[cfg(test)]
mod tests;

use super::receipt::Receipt;
use super::{HistoryError, receipts_of};
use adnet_common::store::ReadStore;
use alloy_primitives::{Address, B256, Log};
use std::ops::ControlFlow;

pub use index::{Hashed, writes};

/// Which logs a client wants: of any of these addresses, and with any of these at each place of a
/// topic. An empty set wants all; a log must have as many topics as there are places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogQuery {
    pub addresses: Vec<Address>,
    pub topics: Vec<Vec<B256>>,
}

impl LogQuery {
    pub fn matches(&self, log: &Log) -> bool {
        let topics = log.topics();
        (self.addresses.is_empty() || self.addresses.contains(&log.address))
            && self.topics.len() <= topics.len()
            && self
                .topics
                .iter()
                .zip(topics)
                .all(|(wanted, topic)| wanted.is_empty() || wanted.contains(topic))
    }
}

/// What one search may cost.
#[derive(Copy, Clone, Debug)]
pub struct SearchBounds {
    /// Logs that are found.
    pub results: usize,
    /// What they take in JSON, together.
    pub bytes: usize,
    /// Receipts that are read.
    pub receipts: usize,
    /// Data of logs that is read, which may be none of what is looked for.
    pub read_bytes: usize,
}

/// What a log takes in JSON, at most: names, hashes and numbers, and two digits for each byte.
pub fn json_bytes(log: &Log) -> usize {
    const ALONE: usize = 400;
    const TOPIC: usize = 69;
    ALONE + TOPIC * log.topics().len() + 2 * log.data.data.len()
}

/// A log in its block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundLog {
    pub height: u64,
    /// Of the transaction in the block.
    pub tx_index: u32,
    /// In the block.
    pub log_index: u32,
    pub log: Log,
}

/// How a search ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Searched {
    Through,
    /// A bound stopped it: all blocks up to this height were searched.
    Stopped {
        through: u64,
    },
    /// The first block that has any has more bytes of them than may be found, so that no range of
    /// blocks would do.
    TooManyInBlock {
        height: u64,
    },
}

/// The logs that a receipt has for `query`.
pub fn found_in<'a>(
    query: &'a LogQuery,
    height: u64,
    tx_index: u32,
    receipt: &'a Receipt,
) -> impl Iterator<Item = FoundLog> + 'a {
    let numbered = (receipt.first_log..).zip(&receipt.logs);
    let wanted = numbered.filter(|(_, log)| query.matches(log));
    wanted.map(move |(log_index, log)| FoundLog {
        height,
        tx_index,
        log_index,
        log: log.clone(),
    })
}

/// Finds the logs in the blocks `from..=to`, in order.
pub fn search(
    store: &dyn ReadStore,
    query: &LogQuery,
    from: u64,
    to: u64,
    bounds: SearchBounds,
) -> Result<(Vec<FoundLog>, Searched), HistoryError> {
    let (mut found, mut bytes) = (Vec::new(), 0);
    let (mut read, mut read_bytes) = (0, 0);
    let end = index::walk(store, &query.hashed(), from, to, |height| {
        let receipts = receipts_of(store, height)?;
        let before = found.len();
        let wanted = (0..)
            .zip(&receipts)
            .flat_map(|(index, receipt)| found_in(query, height, index, receipt));
        for log in wanted {
            bytes += json_bytes(&log.log);
            found.push(log);
            // The first block that has any may have more results, or nobody could ask for it.
            if bytes <= bounds.bytes && (before == 0 || found.len() <= bounds.results) {
                continue;
            }
            found.truncate(before);
            return Ok(ControlFlow::Break(match before {
                0 => Searched::TooManyInBlock { height },
                // Something was found in a block before this one.
                _ => Searched::Stopped {
                    through: height - 1,
                },
            }));
        }
        read += receipts.len();
        let logs = receipts.iter().flat_map(|receipt| &receipt.logs);
        read_bytes += logs.map(|log| log.data.data.len()).sum::<usize>();
        let is_enough = read > bounds.receipts || read_bytes > bounds.read_bytes;
        Ok(match is_enough && height < to {
            true => ControlFlow::Break(Searched::Stopped { through: height }),
            false => ControlFlow::Continue(()),
        })
    })?;
    Ok((found, end.unwrap_or(Searched::Through)))
}
