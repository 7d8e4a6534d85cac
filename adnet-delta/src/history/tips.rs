//! What the transactions of a block paid above its base fee, by how much gas: fee histories and the
//! suggested tip are made from it.
//!
//! Equal tips are one entry, so a block of thousands of transactions that pay alike is one entry long.

use super::receipt::Receipt;
use adnet_common::codec::{DecodeError, Reader, Writer};

const MAX_TIPS: usize = adnet_common::block::MAX_TXS;

/// Tips in wei per gas, ascending and different, each with the gas that paid it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tips(Vec<(u128, u64)>);

impl Tips {
    pub fn new(base_fee_wei: u64, receipts: &[Receipt]) -> Self {
        let tip = |receipt: &Receipt| {
            let price = receipt.effective_gas_price_wei;
            let tip_wei = price.saturating_sub(u128::from(base_fee_wei));
            (tip_wei, receipt.gas_used)
        };
        let mut each: Vec<(u128, u64)> = receipts.iter().map(tip).collect();
        each.sort_unstable();
        each.dedup_by(|next, kept| {
            let equal = next.0 == kept.0;
            if equal {
                kept.1 += next.1;
            }
            equal
        });
        Self(each)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The tip at `percentile` (0 to 100) of the gas used; zero in an empty block.
    pub fn at(&self, percentile: f64) -> u128 {
        self.at_each(&[percentile])[0]
    }

    /// The tips at percentiles that ascend.
    pub fn at_each(&self, percentiles: &[f64]) -> Vec<u128> {
        let total: u64 = self.0.iter().map(|(_, gas)| gas).sum();
        let mut tips = self.0.iter();
        let (mut tip, mut sum) = tips.next().map_or((0, 0), |first| *first);
        let at = |percentile: &f64| {
            let threshold = total as f64 * percentile / 100.0;
            while (sum as f64) < threshold
                && let Some((next, gas)) = tips.next()
            {
                tip = *next;
                sum += gas;
            }
            tip
        };
        percentiles.iter().map(at).collect()
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(4 + 24 * self.0.len());
        w.list(&self.0, |w, (tip, gas)| {
            w.u128(*tip).u64(*gas);
        });
        w.finish()
    }

    pub fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let tips = r.list("tips", MAX_TIPS, |r| {
            Ok((r.u128("tip")?, r.u64("gas used")?))
        })?;
        Ok(Self(tips))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_gas_and_equal_tips_are_one_entry() {
        let receipt = |tip: u128, gas_used: u64| Receipt {
            tx_type: 2,
            from: Default::default(),
            to: None,
            success: true,
            gas_used,
            cumulative_gas_used: 0,
            effective_gas_price_wei: 7 + tip,
            contract: None,
            first_log: 0,
            logs: Vec::new(),
        };
        let tips = Tips::new(7, &[receipt(5, 30), receipt(1, 40), receipt(5, 30)]);
        assert_eq!(tips.0, [(1, 40), (5, 60)]);
        let at = |p: f64| tips.at(p);
        assert_eq!((at(0.0), at(40.0), at(40.1), at(100.0)), (1, 1, 5, 5));
        let each = tips.at_each(&[0.0, 40.0, 40.1, 40.1, 100.0]);
        assert_eq!(each, [1, 1, 5, 5, 5]);
        assert_eq!(Tips::default().at_each(&[0.0, 50.0]), [0, 0]);
        let bytes = tips.encode();
        assert_eq!(Tips::decode(&mut Reader::new(&bytes)), Ok(tips));
    }
}
