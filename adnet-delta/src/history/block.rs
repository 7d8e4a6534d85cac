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
    /// Tips of the transactions, ascending, each with the gas used: what `eth_feeHistory` and
    /// the suggested tip are made from.
    pub tips: Vec<Tip>,
}

/// What one transaction paid above the base fee.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tip {
    pub wei_per_gas: u128,
    pub gas_used: u64,
}

const MAX_TIPS: usize = adnet_common::block::MAX_TXS;

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
        let tip = |receipt: &Receipt| Tip {
            wei_per_gas: receipt
                .effective_gas_price_wei
                .saturating_sub(u128::from(base_fee_wei)),
            gas_used: receipt.gas_used,
        };
        let mut tips: Vec<Tip> = receipts.iter().map(tip).collect();
        tips.sort_unstable();
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
            tips,
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
        w.list(&self.tips, |w, tip| {
            w.u128(tip.wei_per_gas).u64(tip.gas_used);
        });
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
            tips: r.list("tips", MAX_TIPS, |r| {
                let (wei_per_gas, gas_used) = (r.u128("tip")?, r.u64("gas used")?);
                Ok(Tip {
                    wei_per_gas,
                    gas_used,
                })
            })?,
        })
    }

    /// The tip at `percentile` (0 to 100) of the gas used; zero in an empty block.
    pub fn tip_at(&self, percentile: f64) -> u128 {
        let threshold = self.gas_used as f64 * percentile / 100.0;
        let mut sum = 0.0;
        for tip in &self.tips {
            sum += tip.gas_used as f64;
            if sum >= threshold {
                return tip.wei_per_gas;
            }
        }
        self.tips.last().map_or(0, |tip| tip.wei_per_gas)
    }
}
