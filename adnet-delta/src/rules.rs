//! What the genesis fixes for Delta: chain id, gas limits, the course of the base fee, DX.

use adnet_common::genesis::Genesis;
use adnet_common::hash::Hash;

/// Copied out of the genesis; the same on every node for the life of the network.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    pub network_id: u32,
    /// Hash of the genesis.
    pub genesis: Hash,
    /// The chain id of EIP-155.
    pub chain_id: u64,
    pub block_gas_limit: u64,
    /// The most gas that one transaction may ask for.
    pub tx_gas_limit: u64,
    pub base_fee_initial_wei: u64,
    pub base_fee_change_denominator: u64,
    pub min_base_fee_wei: u64,
    /// Attestations of Alpha that one block consumes, at most.
    pub max_attestations: u32,
    /// Whether people may send DX to each other.
    pub dx_transferable: bool,
}

/// A block aims at using `gas limit / ELASTICITY` (EIP-1559).
pub const ELASTICITY: u64 = 2;

impl Rules {
    pub fn new(genesis: &Genesis) -> Self {
        let delta = &genesis.delta;
        Self {
            network_id: genesis.network_id,
            genesis: genesis.hash(),
            chain_id: delta.chain_id,
            block_gas_limit: delta.block_gas_limit,
            tx_gas_limit: delta.tx_gas_limit.min(delta.block_gas_limit),
            base_fee_initial_wei: delta.base_fee_initial_wei,
            base_fee_change_denominator: delta.base_fee_change_denominator,
            min_base_fee_wei: delta.min_base_fee_wei,
            max_attestations: genesis.attestation.max_per_block,
            dx_transferable: delta.dx_transferable,
        }
    }

    /// The base fee after a block that used `gas_used` at `base_fee_wei` (EIP-1559 with this
    /// network's denominator), never below the floor.
    pub fn next_base_fee_wei(&self, base_fee_wei: u64, gas_used: u64) -> u64 {
        let target = u128::from(self.block_gas_limit / ELASTICITY).max(1);
        let used = u128::from(gas_used);
        let base = u128::from(base_fee_wei);
        let denominator = u128::from(self.base_fee_change_denominator).max(1);
        let step = |distance: u128| base * distance / target / denominator;
        let next = if used > target {
            base + step(used - target).max(1)
        } else {
            base - step(target - used)
        };
        u64::try_from(next)
            .unwrap_or(u64::MAX)
            .max(self.min_base_fee_wei)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules {
            network_id: 1,
            genesis: Hash::ZERO,
            chain_id: 1,
            block_gas_limit: 1000,
            tx_gas_limit: 1000,
            base_fee_initial_wei: 3200,
            base_fee_change_denominator: 32,
            min_base_fee_wei: 7,
            max_attestations: 16,
            dx_transferable: false,
        }
    }

    #[test]
    fn the_base_fee_follows_the_gas_used_and_stops_at_the_floor() {
        let rules = rules();
        assert_eq!(rules.next_base_fee_wei(3200, 500), 3200);
        assert_eq!(rules.next_base_fee_wei(3200, 1000), 3300);
        assert_eq!(rules.next_base_fee_wei(3200, 0), 3100);
        assert_eq!(rules.next_base_fee_wei(7, 0), 7);
        assert_eq!(
            rules.next_base_fee_wei(8, 501),
            9,
            "it moves by one wei at least"
        );
        assert_eq!(rules.next_base_fee_wei(u64::MAX, 1000), u64::MAX);
    }
}
