//! A block's figures that its header does not hold.

use super::receipt::Receipt;
use crate::evm::BlockPlace;
use adnet_common::codec::{DecodeError, Reader, Writer};
use adnet_common::hash::Hash;
use alloy_primitives::Bloom;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockFigures {
    pub height: u64,
    pub parent: Hash,
    pub time_ms: u64,
    pub base_fee_wei: u64,
    pub gas_used: u64,
    pub gas_limit: u64,
    /// Over the logs of all receipts.
    pub logs_bloom: Bloom,
}

impl BlockFigures {
    pub fn new(place: &BlockPlace, gas_limit: u64, receipts: &[Receipt]) -> Self {
        let BlockPlace {
            height,
            time_ms,
            parent,
            base_fee_wei,
        } = *place;
        let mut logs_bloom = Bloom::ZERO;
        receipts
            .iter()
            .for_each(|receipt| logs_bloom |= receipt.bloom());
        Self {
            height,
            parent,
            time_ms,
            base_fee_wei,
            gas_used: receipts
                .last()
                .map_or(0, |receipt| receipt.cumulative_gas_used),
            gas_limit,
            logs_bloom,
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(320);
        w.hash(&self.parent)
            .u64(self.time_ms)
            .u64(self.base_fee_wei)
            .u64(self.gas_used)
            .u64(self.gas_limit);
        w.raw(self.logs_bloom.as_slice());
        w.finish()
    }

    pub fn decode(height: u64, r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            height,
            parent: r.hash("parent")?,
            time_ms: r.u64("time")?,
            base_fee_wei: r.u64("base fee")?,
            gas_used: r.u64("gas used")?,
            gas_limit: r.u64("gas limit")?,
            logs_bloom: Bloom::new(r.array("logs bloom")?),
        })
    }
}
