//! Rows that help light wallets to find their place in the note commitment tree.
//!
//! They stand in Alpha's transaction family beside the receipts, whose keys have 32 bytes where these
//! have 9, and are written in the block's batch. No root covers them: a wallet checks what it builds
//! from them against the anchors, which a root does cover. All numbers are big-endian.
//!
//! | key | value |
//! | --- | --- |
//! | `s` height | note commitments before that block's first: u64 |
//! | `t` height | frontier of the tree after that block, every [`TREE_STATE_EVERY_BLOCKS`] heights |
//! | `u` index | root of that subtree of 2^16 commitments: 32 bytes, height that completed it: u64 |

use adnet_common::codec::{DecodeError, Reader, Writer};
use adnet_common::ledger::LedgerError;
use adnet_common::store::{Family, ReadStore, Scan, Write};

/// Heights divisible by this keep the frontier for ever.
pub const TREE_STATE_EVERY_BLOCKS: u64 = 64;

const FAMILY: Family = Family::AlphaTxs;
const COMMITMENTS: u8 = b's';
const TREE_STATE: u8 = b't';
const SUBTREE: u8 = b'u';

/// A complete subtree of 2^16 note commitments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subtree {
    /// Counts the subtrees from the left, from 0.
    pub index: u64,
    pub root: [u8; 32],
    /// The block that completed it.
    pub height: u64,
}

fn key(kind: u8, number: u64) -> Vec<u8> {
    [&[kind][..], &number.to_be_bytes()].concat()
}

fn corrupt(what: String) -> impl FnOnce(DecodeError) -> LedgerError {
    |error| LedgerError::Corrupt { what, error }
}

/// The row that says where the commitments of the block at `height` begin.
pub fn commitments_write(height: u64, commitments_before: u64) -> Write {
    let value = commitments_before.to_be_bytes();
    Write::put(FAMILY, key(COMMITMENTS, height), value)
}

/// Note commitments of all blocks before the one at `height`; `None` if that block is not here.
pub fn commitments_before(store: &dyn ReadStore, height: u64) -> Result<Option<u64>, LedgerError> {
    let row = store.get(FAMILY, &key(COMMITMENTS, height))?;
    let decode = |bytes: Vec<u8>| {
        let mut r = Reader::new(&bytes);
        let number = r.u64("commitments before");
        let read = number.and_then(|n| r.end().map(|()| n));
        read.map_err(corrupt(format!(
            "the place of block {height}'s commitments"
        )))
    };
    row.map(decode).transpose()
}

/// The row that keeps the tree's frontier after the block at `height`, which is to be divisible by
/// [`TREE_STATE_EVERY_BLOCKS`].
pub fn tree_state_write(height: u64, frontier: Vec<u8>) -> Write {
    Write::put(FAMILY, key(TREE_STATE, height), frontier)
}

/// The encoded frontier after the block at `height`, if a row keeps it.
pub fn tree_state(store: &dyn ReadStore, height: u64) -> Result<Option<Vec<u8>>, LedgerError> {
    Ok(store.get(FAMILY, &key(TREE_STATE, height))?)
}

/// The row of a subtree that a block has completed.
pub fn subtree_write(subtree: &Subtree) -> Write {
    let mut w = Writer::with_capacity(40);
    w.raw(&subtree.root).u64(subtree.height);
    Write::put(FAMILY, key(SUBTREE, subtree.index), w.finish())
}

/// Complete subtrees in order, beginning with number `from`, at most `limit` and what one scan of the
/// store gives.
pub fn subtrees(store: &dyn ReadStore, from: u64, limit: u32) -> Result<Vec<Subtree>, LedgerError> {
    let page = store.scan(&Scan {
        family: FAMILY,
        from: key(SUBTREE, from),
        to: key(SUBTREE, from.saturating_add(u64::from(limit))),
        limit: u32::MAX,
        reverse: false,
    })?;
    // A receipt may have a key within: its 32 bytes tell it apart.
    let rows = page.entries.into_iter().filter(|(key, _)| key.len() == 9);
    rows.map(|(key, value)| decode_subtree(&key, &value).map_err(corrupt("a subtree".into())))
        .collect()
}

fn decode_subtree(key: &[u8], value: &[u8]) -> Result<Subtree, DecodeError> {
    let (mut k, mut v) = (Reader::new(&key[1..]), Reader::new(value));
    let subtree = Subtree {
        index: k.u64("subtree index")?,
        root: v.array("subtree root")?,
        height: v.u64("subtree height")?,
    };
    v.end()?;
    Ok(subtree)
}

#[cfg(test)]
mod tests {
    use super::*;
    use adnet_common::hash::Hash;
    use adnet_common::memory_store::MemoryStore;

    #[test]
    fn rows_come_back_as_they_were_written_and_receipts_are_not_taken_for_them() {
        let mut store = MemoryStore::new();
        let subtree = |index: u64| Subtree {
            index,
            root: [index as u8; 32],
            height: 10 * index,
        };
        let mut writes = vec![
            commitments_write(7, 1_234),
            tree_state_write(64, vec![1, 2, 3]),
        ];
        writes.extend((0..3).map(|index| subtree_write(&subtree(index))));
        // A receipt whose transaction id begins like the key of a subtree.
        let mut id = [0; 32];
        id[..9].copy_from_slice(&key(SUBTREE, 1));
        writes.push(
            crate::Receipt {
                height: 1,
                index: 0,
                fee_units: 5,
            }
            .write(&Hash(id)),
        );
        store.apply(&writes);
        assert_eq!(commitments_before(&store, 7), Ok(Some(1_234)));
        assert_eq!(commitments_before(&store, 8), Ok(None));
        assert_eq!(tree_state(&store, 64), Ok(Some(vec![1, 2, 3])));
        assert_eq!(tree_state(&store, 128), Ok(None));
        let found = subtrees(&store, 1, 10).expect("they decode");
        assert_eq!(found, [subtree(1), subtree(2)]);
        assert_eq!(subtrees(&store, 0, 1).expect("they decode"), [subtree(0)]);
        assert_eq!(subtrees(&store, u64::MAX, 10).expect("none"), []);
    }

    #[test]
    fn a_row_that_does_not_decode_is_named() {
        let mut store = MemoryStore::new();
        store.apply(&[
            Write::put(FAMILY, key(COMMITMENTS, 7), [1, 2]),
            Write::put(FAMILY, key(SUBTREE, 0), [0; 41]),
        ]);
        let error = commitments_before(&store, 7).expect_err("two bytes");
        assert!(error.to_string().contains("block 7"), "{error}");
        assert!(subtrees(&store, 0, 1).is_err());
    }
}
