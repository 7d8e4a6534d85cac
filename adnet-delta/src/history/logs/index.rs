//! The index of logs: which blocks may hold what a client asks for, without reading their receipts.
//!
//! Keys of `Family::DeltaTxs`: `l` + height → the 2048-bit bloom over all logs of the block (yellow
//! paper, 4.3.1), only where there are any; `m` + height → the marks of a crowded block. A bloom of
//! 2048 bits says nothing any more after some hundred different addresses and topics, so a block with
//! more than [`CROWDED`] of them has a *mark*, four bytes that stand for it, of each of them as well. Neither
//! misses anything; what they let through is compared with the receipts themselves.

use super::LogQuery;
use crate::history::receipt::Receipt;
use crate::history::{FAMILY, HistoryError, decoded};
use adnet_common::codec::{Reader, Writer};
use adnet_common::store::{MAX_SCAN_ENTRIES, ReadStore, Scan, Write};
use alloy_primitives::{B256, Bloom, BloomInput, keccak256};
use std::ops::ControlFlow;

/// Different addresses and topics of a block that its bloom tells apart well: three bits each leave
/// more than two thirds of the bloom empty.
const CROWDED: usize = 200;
/// A block with more marks than this has none: its bloom alone is right too, it only lets through more.
pub(super) const MAX_MARKS: usize = 1 << 22;

impl LogQuery {
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

    pub(super) fn may_be_among(&self, marks: &[u32]) -> bool {
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
pub(super) fn marks_write(height: u64, marks: &[u32]) -> Option<Write> {
    if marks.len() <= CROWDED || marks.len() > MAX_MARKS {
        return None;
    }
    let mut w = Writer::with_capacity(4 + 4 * marks.len());
    w.list(marks, |w, mark| {
        w.u32(*mark);
    });
    Some(Write::put(FAMILY, marks_key(height), w.finish()))
}

pub(super) fn marks_of(
    store: &dyn ReadStore,
    height: u64,
) -> Result<Option<Vec<u32>>, HistoryError> {
    let bytes = store.get(FAMILY, &marks_key(height))?;
    let list = |r: &mut Reader<'_>| r.list("marks", MAX_MARKS, |r| r.u32("mark"));
    let decode = |bytes: Vec<u8>| decoded("the marks of a block's logs", &bytes, list);
    bytes.map(decode).transpose()
}

/// Names each block of `from..=to` that may have such logs, in order, until it is told to stop, and by
/// what.
pub(super) fn walk<T>(
    store: &dyn ReadStore,
    asked: &Hashed,
    from: u64,
    to: u64,
    mut look: impl FnMut(u64) -> Result<ControlFlow<T>, HistoryError>,
) -> Result<Option<T>, HistoryError> {
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
            let marks = marks_of(store, height)?;
            if marks.is_some_and(|marks| !asked.may_be_among(&marks)) {
                continue;
            }
            if let ControlFlow::Break(end) = look(height)? {
                return Ok(Some(end));
            }
        }
        match page.next {
            Some(next) => scan.from = next,
            None => return Ok(None),
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
