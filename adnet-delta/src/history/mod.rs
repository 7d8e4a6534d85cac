//! What is kept of past blocks beside the blocks themselves: receipts, the transaction index and
//! a block's figures.
//!
//! Keys of `Family::DeltaTxs`: `b` + height → [`block::BlockFigures`]; `q` + height → [`tips::Tips`],
//! where there are any; `r` + height + index → [`receipt::Receipt`]; `t` + transaction hash → height and
//! index; `l` and `m` are the index of [`logs`], `u` is of [`crate::state::undo`]. Numbers are big-endian.
//! They are written in the block's own batch.

pub mod block;
pub mod logs;
pub mod receipt;
pub mod tips;

use adnet_common::codec::{DecodeError, Reader, Writer};
use adnet_common::hash::Hash;
use adnet_common::store::{Family, ReadStore, Scan, StoreError, Write};
use block::BlockFigures;
use receipt::Receipt;
use std::ops::ControlFlow;
use tips::Tips;

const FAMILY: Family = Family::DeltaTxs;

/// What is stored does not decode, or the store failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{what} in the database is corrupt: {error}")]
    Corrupt {
        what: &'static str,
        error: DecodeError,
    },
}

/// Where a transaction is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub height: u64,
    pub index: u32,
}

fn block_key(height: u64) -> Vec<u8> {
    [b"b".as_slice(), &height.to_be_bytes()].concat()
}

fn tips_key(height: u64) -> Vec<u8> {
    [b"q".as_slice(), &height.to_be_bytes()].concat()
}

fn receipt_key(height: u64, index: u32) -> Vec<u8> {
    [b"r".as_slice(), &height.to_be_bytes(), &index.to_be_bytes()].concat()
}

fn tx_key(id: &Hash) -> Vec<u8> {
    [b"t".as_slice(), &id.0].concat()
}

fn index_of(position: usize) -> u32 {
    u32::try_from(position).expect("a block has at most 100,000 transactions")
}

/// The writes of one block. `ids` and `receipts` go in the order of execution.
pub fn block_writes(figures: &BlockFigures, ids: &[Hash], receipts: &[Receipt]) -> Vec<Write> {
    assert_eq!(
        ids.len(),
        receipts.len(),
        "every executed transaction has a receipt"
    );
    let height = figures.height;
    let mut writes = vec![Write::put(FAMILY, block_key(height), figures.encode())];
    let tips = Tips::new(figures.base_fee_wei, receipts);
    if !tips.is_empty() {
        writes.push(Write::put(FAMILY, tips_key(height), tips.encode()));
    }
    writes.extend(logs::writes(height, &figures.logs_bloom, receipts));
    for (position, (id, receipt)) in ids.iter().zip(receipts).enumerate() {
        let index = index_of(position);
        let mut place = Writer::with_capacity(12);
        place.u64(height).u32(index);
        writes.push(Write::put(FAMILY, tx_key(id), place.finish()));
        writes.push(Write::put(
            FAMILY,
            receipt_key(height, index),
            receipt.encode(),
        ));
    }
    writes
}

fn decoded<T>(
    what: &'static str,
    bytes: &[u8],
    decode: impl FnOnce(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<T, HistoryError> {
    let mut r = Reader::new(bytes);
    let value = decode(&mut r).and_then(|value| r.end().map(|()| value));
    value.map_err(|error| HistoryError::Corrupt { what, error })
}

pub fn figures(store: &dyn ReadStore, height: u64) -> Result<Option<BlockFigures>, HistoryError> {
    let bytes = store.get(FAMILY, &block_key(height))?;
    let decode = |b: Vec<u8>| decoded("a block's figures", &b, |r| BlockFigures::decode(height, r));
    bytes.map(decode).transpose()
}

/// The tips of a block; none in an empty one.
pub fn tips(store: &dyn ReadStore, height: u64) -> Result<Tips, HistoryError> {
    let bytes = store.get(FAMILY, &tips_key(height))?;
    let decode = |b: Vec<u8>| decoded("the tips of a block", &b, Tips::decode);
    Ok(bytes.map(decode).transpose()?.unwrap_or_default())
}

pub fn place_of(store: &dyn ReadStore, id: &Hash) -> Result<Option<Place>, HistoryError> {
    let bytes = store.get(FAMILY, &tx_key(id))?;
    let decode = |b: Vec<u8>| {
        decoded("a transaction's place", &b, |r| {
            let (height, index) = (r.u64("height")?, r.u32("index")?);
            Ok(Place { height, index })
        })
    };
    bytes.map(decode).transpose()
}

pub fn receipt_at(store: &dyn ReadStore, place: Place) -> Result<Option<Receipt>, HistoryError> {
    let bytes = store.get(FAMILY, &receipt_key(place.height, place.index))?;
    bytes
        .map(|b| decoded("a receipt", &b, Receipt::decode))
        .transpose()
}

/// All receipts of a block, in order.
pub fn receipts_of(store: &dyn ReadStore, height: u64) -> Result<Vec<Receipt>, HistoryError> {
    let mut receipts = Vec::new();
    each_receipt(store, height, |receipt| {
        receipts.push(receipt);
        ControlFlow::Continue(())
    })?;
    Ok(receipts)
}

/// Reads the receipts of a block in order, until `take` has enough: those of one block may be 100 MB.
pub fn each_receipt(
    store: &dyn ReadStore,
    height: u64,
    mut take: impl FnMut(Receipt) -> ControlFlow<()>,
) -> Result<(), HistoryError> {
    let mut scan = Scan {
        family: FAMILY,
        from: receipt_key(height, 0),
        to: [&receipt_key(height, u32::MAX)[..], &[0]].concat(),
        limit: u32::MAX,
        reverse: false,
    };
    loop {
        let page = store.scan(&scan)?;
        for (_, bytes) in page.entries {
            let receipt = decoded("a receipt", &bytes, Receipt::decode)?;
            if take(receipt).is_break() {
                return Ok(());
            }
        }
        match page.next {
            Some(next) => scan.from = next,
            None => return Ok(()),
        }
    }
}
