//! Where the consensus of a chain keeps what must outlive a crash, in the chain's consensus family.
//!
//! | key | value |
//! | --- | --- |
//! | `w` + height + index | an entry of the write-ahead log |
//! | `b` + height + hash | the body of a block that is not decided yet |
//! | `p` + height + round | the hash of the one block that we built for that round |
//! | `e` + height + round + step + validator | evidence that no block holds yet |
//! | [`MARK_PREFIX`] + height + round + step | a sign mark, written by the signer alone |
//!
//! All numbers are big-endian, so that keys sort as heights do. Everything of a height is
//! superseded by the commit of that height, but the marks, which the signer deletes itself, and
//! evidence, which goes when a block holds it or it is too old.

use crate::chain_id::ChainId;
use crate::codec::{DecodeError, Reader};
use crate::consensus::{EquivocationSlot, SignSlot, WalEntry};
use crate::hash::Hash;
use crate::store::{Family, MARK_PREFIX, Part, ReadStore, StoreError, Write, scan_all};

const WAL: u8 = b'w';
const BODY: u8 = b'b';
const BUILT: u8 = b'p';
const EVIDENCE: u8 = b'e';

/// A half-open range of keys: from (inclusive), to (exclusive).
pub type KeyRange = (Vec<u8>, Vec<u8>);

fn key(kind: u8, height: u64, rest: &[u8]) -> Vec<u8> {
    [&[kind], height.to_be_bytes().as_slice(), rest].concat()
}

/// All keys of one kind and height.
fn height_range(kind: u8, height: u64) -> KeyRange {
    let to = match height.checked_add(1) {
        Some(next) => key(kind, next, &[]),
        None => vec![kind + 1],
    };
    (key(kind, height, &[]), to)
}

/// Key of an entry of the log.
pub fn wal_key(height: u64, index: u64) -> Vec<u8> {
    key(WAL, height, &index.to_be_bytes())
}

/// All entries of a height's log, in order.
pub fn wal_range(height: u64) -> KeyRange {
    height_range(WAL, height)
}

/// Key of a body that is not decided yet.
pub fn body_key(height: u64, hash: &Hash) -> Vec<u8> {
    key(BODY, height, hash.as_bytes())
}

/// All undecided bodies of a height.
pub fn body_range(height: u64) -> KeyRange {
    height_range(BODY, height)
}

/// Key of the hash of the block that we built for (height, round).
pub fn built_key(height: u64, round: u32) -> Vec<u8> {
    key(BUILT, height, &round.to_be_bytes())
}

/// Everything that we built for a height.
pub fn built_range(height: u64) -> KeyRange {
    height_range(BUILT, height)
}

/// Key of evidence that waits for a block.
pub fn evidence_key(slot: &EquivocationSlot) -> Vec<u8> {
    [[EVIDENCE].as_slice(), &slot.encode()].concat()
}

/// All evidence that waits.
pub fn evidence_range() -> KeyRange {
    (vec![EVIDENCE], vec![EVIDENCE + 1])
}

/// Key of a sign mark.
pub fn mark_key(slot: &SignSlot) -> Vec<u8> {
    [[MARK_PREFIX].as_slice(), &slot.encode()].concat()
}

/// All sign marks of a chain.
pub fn mark_range() -> KeyRange {
    (vec![MARK_PREFIX], vec![MARK_PREFIX + 1])
}

/// The slot that a mark's key names.
///
/// # Errors
/// A key that [`mark_key`] does not make.
pub fn mark_slot(key: &[u8]) -> Result<SignSlot, DecodeError> {
    let mut r = Reader::new(key);
    if r.u8("mark prefix")? != MARK_PREFIX {
        return Err(r.invalid("mark prefix", "not a sign mark"));
    }
    SignSlot::decode(r.take("mark slot", r.remaining())?)
}

/// The writes that append entries to the log.
pub fn wal_writes(chain: ChainId, entries: &[WalEntry]) -> Vec<Write> {
    let family = Family::of(chain, Part::Consensus);
    let put = |e: &WalEntry| Write::put(family, wal_key(e.height, e.index), e.bytes.clone());
    entries.iter().map(put).collect()
}

/// The writes that forget log, bodies and built blocks of a height: part of its commit.
pub fn clear_height(chain: ChainId, height: u64) -> Vec<Write> {
    let family = Family::of(chain, Part::Consensus);
    [WAL, BODY, BUILT]
        .map(|kind| {
            let (from, to) = height_range(kind, height);
            Write::DeleteRange { family, from, to }
        })
        .to_vec()
}

/// What is stored of a height's log cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadWalError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a key of the consensus log of height {height} is corrupt: {error}")]
    Key { height: u64, error: DecodeError },
}

/// All entries stored for `height`, in the order of their index.
///
/// # Errors
/// A store that fails, or a key of the log that is not (height, index). Gaps are for the engine to
/// find.
pub fn load_wal(
    store: &dyn ReadStore,
    chain: ChainId,
    height: u64,
) -> Result<Vec<WalEntry>, LoadWalError> {
    let (from, to) = wal_range(height);
    let mut entries = Vec::new();
    scan_all(
        store,
        Family::of(chain, Part::Consensus),
        from,
        to,
        |key, bytes| {
            let index = wal_index(&key).map_err(|error| LoadWalError::Key { height, error })?;
            entries.push(WalEntry {
                height,
                index,
                bytes,
            });
            Ok::<_, LoadWalError>(())
        },
    )?;
    Ok(entries)
}

/// The index in a log's key whose kind and height are known from the range that it was found in.
fn wal_index(key: &[u8]) -> Result<u64, DecodeError> {
    let mut r = Reader::new(key);
    r.take("kind and height", 9)?;
    let index = r.u64("index")?;
    r.end()?;
    Ok(index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::Step;
    use crate::memory_store::MemoryStore;

    #[test]
    fn a_log_is_read_in_order_and_cleared_without_its_neighbours() {
        let entry = |height, index: u64| WalEntry {
            height,
            index,
            bytes: vec![index as u8; 3],
        };
        // More than a byte's worth, so that an order by text or by low byte would show.
        let seven: Vec<_> = (0..300).map(|i| entry(7, i)).collect();
        let mut store = MemoryStore::new();
        store.apply(&wal_writes(ChainId::Delta, &seven));
        store.apply(&wal_writes(ChainId::Delta, &[entry(6, 0), entry(8, 0)]));
        assert_eq!(load_wal(&store, ChainId::Delta, 7), Ok(seven));
        assert_eq!(load_wal(&store, ChainId::Alpha, 7), Ok(vec![]));
        store.apply(&clear_height(ChainId::Delta, 7));
        assert_eq!(load_wal(&store, ChainId::Delta, 7), Ok(vec![]));
        assert_eq!(load_wal(&store, ChainId::Delta, 6), Ok(vec![entry(6, 0)]));
        assert_eq!(load_wal(&store, ChainId::Delta, 8), Ok(vec![entry(8, 0)]));
    }

    #[test]
    fn the_last_height_has_a_range_too() {
        let (from, to) = wal_range(u64::MAX);
        let key = wal_key(u64::MAX, u64::MAX);
        assert!(from <= key && key < to);
    }

    #[test]
    fn a_worker_may_clear_its_heights_and_never_its_marks() {
        for write in clear_height(ChainId::Alpha, 3) {
            assert!(write.is_allowed(ChainId::Alpha));
            assert!(!write.is_allowed(ChainId::Delta));
        }
        let slot = SignSlot {
            height: 3,
            round: 1,
            step: Step::Prevote,
        };
        let key = mark_key(&slot);
        assert_eq!(mark_slot(&key), Ok(slot));
        let mark = Write::put(Family::AlphaConsensus, key.clone(), []);
        assert!(!mark.is_allowed(ChainId::Alpha));
        assert!(mark_slot(&key[..8]).is_err());
        assert!(mark_slot(&wal_key(3, 1)).is_err());
    }
}
