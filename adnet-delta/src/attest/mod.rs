//! Delta's side of locks and unlocks: what the attest account counts, and in which units.
//!
//! A lock of Alpha mints sAX. An unlock burns sAX (`programs::attest`); `contracts/IAttest.sol` is the
//! interface. Slot 0 of the account is the [`DeltaSupply`] leaf.

pub mod abi;

use adnet_common::genesis::WEI_PER_UNIT;
use adnet_common::supply::{DELTA_ATTEST_ADDRESS, DeltaSupply};
use alloy_primitives::{Address, U256};

use crate::state::WorldState;

/// The system account that burns sAX for AX.
pub const ATTEST_ADDRESS: Address = Address::new(DELTA_ATTEST_ADDRESS);
/// The system account that base fees and tips go to. Its slot 0 is the next block's base fee in wei.
pub const FEE_POOL_ADDRESS: Address = {
    let mut address = DELTA_ATTEST_ADDRESS;
    address[19] = 0x02;
    Address::new(address)
};

/// Wei of an amount in units.
pub fn wei(units: u64) -> U256 {
    U256::from(u128::from(units) * WEI_PER_UNIT)
}

/// The units that `wei` is a whole number of, if it is one.
pub fn units(wei: U256) -> Option<u64> {
    let (units, rest) = wei.div_rem(U256::from(WEI_PER_UNIT));
    rest.is_zero().then(|| u64::try_from(units).ok()).flatten()
}

/// Delta's supply leaf.
pub fn supply(state: &WorldState) -> DeltaSupply {
    DeltaSupply::decode(&state.storage(&ATTEST_ADDRESS, &U256::ZERO).to_be_bytes())
}

/// The base fee of the next block.
pub fn next_base_fee_wei(state: &WorldState) -> u64 {
    let slot = state.storage(&FEE_POOL_ADDRESS, &U256::ZERO);
    u64::try_from(slot).expect("only this crate writes the slot, and it writes a u64")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_wei_convert_exactly_or_not_at_all() {
        assert_eq!(wei(10_000), U256::from(10u128.pow(18)));
        assert_eq!(units(wei(u64::MAX)), Some(u64::MAX));
        assert_eq!(units(wei(3) + U256::from(1)), None);
        assert_eq!(units(U256::MAX), None);
    }
}
