//! The index of logs: which blocks may hold what a client asks for, without reading their receipts.
//!
//! Keys of `Family::DeltaTxs`: `l` + height → the 2048-bit bloom over all logs of the block (yellow
//! paper, 4.3.1), only where there are any; `m` + height → the marks of a crowded block. A bloom of
//! 2048 bits says nothing any more after some hundred different addresses and topics, so a block with
//! more than [`CROWDED`] of them has a *mark*, four bytes that stand for it, of each of them as well. Neither
//! misses anything; what they let through is compared with the receipts themselves.

use super::receipt::Receipt;
use super::{FAMILY, HistoryError, decoded, receipts_of};
use adnet_common::codec::{Reader, Writer};
use adnet_common::store::{MAX_SCAN_ENTRIES, ReadStore, Scan, Write};
use alloy_primitives::{Address, B256, Bloom, BloomInput, Log, keccak256};

/// Different addresses and topics of a block that its bloom tells apart well: three bits each leave
/// more than two thirds of the bloom empty.
const CROWDED: usize = 200;
/// A block with more marks than this has none: its bloom alone is right too, it only lets through more.
const MAX_MARKS: usize = 1 << 22;

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

    /// Hashes what is asked for, which takes longer than comparing it with a block.
    pub fn hashed(&self) -> Hashed {
        let addresses = self.addresses.iter().map(|a| HashedValue::of(a.as_slice()));
        let topics = self.topics.iter();
        let topics = topics.map(|any| any.iter().map(|t| HashedValue::of(t.as_slice())).collect());
        Hashed {
            conditions: std::iter::once(addresses.collect()).chain(topics).collect(),
        }
    }
}

/// What a query asks for, hashed once for all blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashed {
    conditions: Vec<Vec<HashedValue>>,
}

/// An address or a topic.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
struct HashedValue {
    /// What gives its bits in a bloom.
    hash: B256,
    mark: u32,
}

impl HashedValue {
    fn of(value: &[u8]) -> Self {
        Self {
            hash: keccak256(value),
            mark: mark(value),
        }
    }
}

impl Hashed {
    /// Whether each condition is met by something that `has`.
    fn is_met(&self, has: impl Fn(&HashedValue) -> bool) -> bool {
        let mut conditions = self.conditions.iter();
        conditions.all(|any| any.is_empty() || any.iter().any(&has))
    }

    /// Whether a block with this bloom may have such a log.
    pub fn may_be_in(&self, bloom: &Bloom) -> bool {
        self.is_met(|value| bloom.contains_input(BloomInput::Hash(value.hash)))
    }

    fn may_be_among(&self, marks: &[u32]) -> bool {
        self.is_met(|value| marks.binary_search(&value.mark).is_ok())
    }
}

/// Who makes two values collide makes somebody read a block in vain, and no more, so this is quick and
/// not cryptographic: a block may have a hundred thousand of them.
fn mark(value: &[u8]) -> u32 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let fold = |state: u64, chunk: &[u8]| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        (state ^ u64::from_be_bytes(word))
            .wrapping_mul(ODD)
            .rotate_left(29)
    };
    let mixed = value
        .chunks(8)
        .fold(value.len() as u64, fold)
        .wrapping_mul(ODD);
    (mixed >> 32) as u32
}

fn bloom_key(height: u64) -> Vec<u8> {
    [b"l".as_slice(), &height.to_be_bytes()].concat()
}

fn marks_key(height: u64) -> Vec<u8> {
    [b"m".as_slice(), &height.to_be_bytes()].concat()
}

/// The index's writes for one block.
pub fn writes(height: u64, bloom: &Bloom, receipts: &[Receipt]) -> Vec<Write> {
    let logs = || receipts.iter().flat_map(|receipt| &receipt.logs);
    if logs().next().is_none() {
        return Vec::new();
    }
    let mut writes = vec![Write::put(FAMILY, bloom_key(height), bloom.as_slice())];
    let mut marks: Vec<u32> = Vec::new();
    for log in logs() {
        marks.push(mark(log.address.as_slice()));
        marks.extend(log.topics().iter().map(|topic| mark(topic.as_slice())));
    }
    marks.sort_unstable();
    marks.dedup();
    writes.extend(marks_write(height, &marks));
    writes
}

/// The write of a block's marks, if they are to have one.
fn marks_write(height: u64, marks: &[u32]) -> Option<Write> {
    if marks.len() <= CROWDED || marks.len() > MAX_MARKS {
        return None;
    }
    let mut w = Writer::with_capacity(4 + 4 * marks.len());
    w.list(marks, |w, mark| {
        w.u32(*mark);
    });
    Some(Write::put(FAMILY, marks_key(height), w.finish()))
}

fn marks_of(store: &dyn ReadStore, height: u64) -> Result<Option<Vec<u32>>, HistoryError> {
    let bytes = store.get(FAMILY, &marks_key(height))?;
    let list = |r: &mut Reader<'_>| r.list("marks", MAX_MARKS, |r| r.u32("mark"));
    let decode = |bytes: Vec<u8>| decoded("the marks of a block's logs", &bytes, list);
    bytes.map(decode).transpose()
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
    /// A bound stopped it: blocks up to this height were searched, if any.
    Stopped {
        through: Option<u64>,
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
    let (mut found, mut bytes, mut read) = (Vec::new(), 0, 0);
    let asked = query.hashed();
    let mut scan = Scan {
        family: FAMILY,
        from: bloom_key(from),
        to: [&bloom_key(to)[..], &[0]].concat(),
        limit: MAX_SCAN_ENTRIES,
        reverse: false,
    };
    loop {
        let page = store.scan(&scan)?;
        for (key, value) in page.entries {
            let (height, bloom) = decode_row(&key, &value)?;
            if !asked.may_be_in(&bloom) {
                continue;
            }
            if let Some(marks) = marks_of(store, height)?
                && !asked.may_be_among(&marks)
            {
                continue;
            }
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
                if before == 0 {
                    return Ok((found, Searched::TooManyInBlock { height }));
                }
                let through = height.checked_sub(1).filter(|h| *h >= from);
                return Ok((found, Searched::Stopped { through }));
            }
            read += receipts.len();
            if read > bounds.receipts && height < to {
                let through = Some(height);
                return Ok((found, Searched::Stopped { through }));
            }
        }
        match page.next {
            Some(next) => scan.from = next,
            None => return Ok((found, Searched::Through)),
        }
    }
}

fn decode_row(key: &[u8], value: &[u8]) -> Result<(u64, Bloom), HistoryError> {
    let what = "a bloom of the log index";
    let height = decoded(what, key, |r| {
        r.u8("prefix")?;
        r.u64("height")
    })?;
    let bloom = decoded(what, value, |r| Ok(Bloom::new(r.array("bloom")?)))?;
    Ok((height, bloom))
}

#[cfg(test)]
mod tests {
    use super::super::receipt_key;
    use super::*;
    use adnet_common::memory_store::MemoryStore;
    use alloy_primitives::{Bytes, LogData};

    fn log(address: u8, topics: &[u64]) -> Log {
        let topics = topics.iter().map(|n| keccak256(n.to_be_bytes())).collect();
        Log {
            address: Address::repeat_byte(address),
            data: LogData::new_unchecked(topics, Bytes::new()),
        }
    }

    fn topic(n: u64) -> Vec<B256> {
        vec![keccak256(n.to_be_bytes())]
    }

    /// A block with these logs, one per transaction.
    fn block(store: &mut MemoryStore, height: u64, logs: Vec<Log>) {
        let receipts: Vec<Receipt> = (0..)
            .zip(logs)
            .map(|(first_log, log)| Receipt {
                tx_type: 2,
                from: Address::ZERO,
                to: None,
                success: true,
                gas_used: 1,
                cumulative_gas_used: 1,
                effective_gas_price_wei: 1,
                contract: None,
                first_log,
                logs: vec![log],
            })
            .collect();
        let mut bloom = Bloom::ZERO;
        receipts.iter().for_each(|r| bloom |= r.bloom());
        store.apply(&writes(height, &bloom, &receipts));
        for (index, receipt) in (0..).zip(&receipts) {
            let key = receipt_key(height, index);
            store.apply(&[Write::put(FAMILY, key, receipt.encode())]);
        }
    }

    const BOUNDS: SearchBounds = SearchBounds {
        results: 10,
        bytes: 1 << 20,
        receipts: 10_000,
    };

    #[test]
    fn a_search_finds_what_a_walk_over_all_receipts_finds() {
        let mut store = MemoryStore::new();
        block(&mut store, 1, vec![log(1, &[1, 2]), log(2, &[1])]);
        block(&mut store, 2, Vec::new());
        block(
            &mut store,
            3,
            (0..3000).map(|n| log(3, &[1, 100 + n])).collect(),
        );
        block(&mut store, 4, vec![log(1, &[]), log(1, &[7, 2])]);
        let heights = |query: &LogQuery, from, to| {
            let (found, end) = search(&store, query, from, to, BOUNDS).expect("it reads");
            assert_eq!(end, Searched::Through);
            found
                .iter()
                .map(|f| (f.height, f.tx_index, f.log_index))
                .collect::<Vec<_>>()
        };
        let of = |addresses: &[u8], topics: Vec<Vec<B256>>| LogQuery {
            addresses: addresses.iter().map(|b| Address::repeat_byte(*b)).collect(),
            topics,
        };
        let by_address = of(&[1], vec![]);
        assert_eq!(
            heights(&by_address, 1, 4),
            [(1, 0, 0), (4, 0, 0), (4, 1, 1)]
        );
        assert_eq!(heights(&by_address, 2, 3), []);
        let second = of(&[], vec![vec![], topic(2)]);
        assert_eq!(heights(&second, 0, 9), [(1, 0, 0), (4, 1, 1)]);
        let one_of_thousands = of(&[3], vec![topic(1), topic(1234)]);
        assert_eq!(heights(&one_of_thousands, 1, 4), [(3, 1134, 1134)]);
        let both = of(&[1, 2], vec![[topic(1), topic(7)].concat()]);
        assert_eq!(heights(&both, 1, 4), [(1, 0, 0), (1, 1, 1), (4, 1, 1)]);
        assert_eq!(heights(&of(&[9], vec![]), 1, 4), []);
    }

    #[test]
    fn a_crowded_block_is_passed_over_by_its_marks() {
        let mut store = MemoryStore::new();
        block(&mut store, 5, (0..3000).map(|n| log(3, &[n])).collect());
        let marks = marks_of(&store, 5).expect("it reads").expect("crowded");
        assert!(marks.len() > 2990, "few collide: {}", marks.len());
        let query = LogQuery {
            addresses: Vec::new(),
            topics: vec![topic(1_000_000)],
        };
        let full = Bloom::repeat_byte(0xff);
        let asked = query.hashed();
        assert!(asked.may_be_in(&full), "the bloom alone says nothing");
        assert!(!asked.may_be_among(&marks));
        block(&mut store, 6, vec![log(1, &[1])]);
        assert_eq!(marks_of(&store, 6).expect("it reads"), None);
    }

    #[test]
    fn marks_that_would_not_be_read_back_are_not_written() {
        let mut store = MemoryStore::new();
        let mut marks: Vec<u32> = (0..).take(MAX_MARKS).collect();
        store.apply(&[marks_write(1, &marks).expect("as many as may be")]);
        assert_eq!(marks_of(&store, 1).expect("it reads"), Some(marks.clone()));
        marks.push(u32::MAX);
        assert_eq!(marks_write(2, &marks), None);
    }

    #[test]
    fn bounds_stop_a_search_and_tell_how_far_it_came() {
        let mut store = MemoryStore::new();
        for height in 1..=8 {
            block(&mut store, height, (0..4).map(|_| log(1, &[])).collect());
        }
        let all = LogQuery::default();
        let (found, end) = search(&store, &all, 1, 8, BOUNDS).expect("it reads");
        assert_eq!(
            (found.len(), end),
            (8, Searched::Stopped { through: Some(2) })
        );
        let few = SearchBounds {
            results: 100,
            receipts: 10,
            ..BOUNDS
        };
        let (found, end) = search(&store, &all, 1, 8, few).expect("it reads");
        assert_eq!(
            (found.len(), end),
            (12, Searched::Stopped { through: Some(3) })
        );
        let tiny = SearchBounds {
            results: 1,
            ..BOUNDS
        };
        let (found, _) = search(&store, &all, 3, 8, tiny).expect("it reads");
        assert_eq!(found.len(), 4, "the first block comes whole");
    }

    #[test]
    fn bytes_stop_a_search_even_in_the_first_block() {
        let mut store = MemoryStore::new();
        block(&mut store, 2, vec![log(1, &[1]), log(2, &[2])]);
        block(&mut store, 3, vec![log(1, &[1]), log(2, &[2])]);
        let each = json_bytes(&log(1, &[1]));
        let all = LogQuery::default();
        let of = |query: &LogQuery, bytes| {
            let bounds = SearchBounds { bytes, ..BOUNDS };
            let (found, end) = search(&store, query, 1, 3, bounds).expect("it reads");
            (found.len(), end)
        };
        assert_eq!(of(&all, 4 * each), (4, Searched::Through));
        let stopped = Searched::Stopped { through: Some(2) };
        assert_eq!(of(&all, 4 * each - 1), (2, stopped));
        let too_many = Searched::TooManyInBlock { height: 2 };
        assert_eq!(of(&all, 2 * each - 1), (0, too_many));
        let narrow = LogQuery {
            addresses: vec![Address::repeat_byte(1)],
            topics: Vec::new(),
        };
        assert_eq!(of(&narrow, 2 * each), (2, Searched::Through));
    }
}
