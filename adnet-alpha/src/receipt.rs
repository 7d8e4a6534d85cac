//! Receipts: where a final transaction stands and what it cost. Key in Alpha's transaction family:
//! the transaction's id.
//!
//! A transaction that fails is not included, so a receipt always means success; the status byte is
//! there for functions that will be able to fail inside a block.

use adnet_common::codec::{DecodeError, Reader, Writer};
use adnet_common::hash::Hash;
use adnet_common::store::{Family, ReadStore, StoreError, Write};

const SUCCEEDED: u8 = 1;

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub height: u64,
    /// Place in the block's body.
    pub index: u32,
    pub fee_units: u64,
}

impl Receipt {
    pub fn write(&self, id: &Hash) -> Write {
        let mut w = Writer::with_capacity(21);
        w.u8(SUCCEEDED)
            .u64(self.height)
            .u32(self.index)
            .u64(self.fee_units);
        Write::put(Family::AlphaTxs, id.0, w.finish())
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        if r.u8("receipt status")? != SUCCEEDED {
            return Err(r.invalid("receipt status", "this release knows success (1) only"));
        }
        let receipt = Self {
            height: r.u64("receipt height")?,
            index: r.u32("receipt index")?,
            fee_units: r.u64("receipt fee")?,
        };
        r.end()?;
        Ok(receipt)
    }

    /// The receipt of a final transaction.
    pub fn read(store: &dyn ReadStore, id: &Hash) -> Result<Option<Self>, StoreError> {
        let bytes = store.get(Family::AlphaTxs, &id.0)?;
        let corrupt = |e| StoreError::Failed(format!("the receipt of {id} is corrupt: {e}"));
        bytes
            .map(|bytes| Self::decode(&bytes).map_err(corrupt))
            .transpose()
    }
}
