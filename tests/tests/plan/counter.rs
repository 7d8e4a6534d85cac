//! A program for Delta's machine that counts its calls.

use alloy_primitives::Address;
use serde_json::Value;

/// Deploys `slot 0 += 1, return it`: PUSH1 0 SLOAD PUSH1 1 ADD DUP1 PUSH1 0 SSTORE, then MSTORE and
/// RETURN of the word.
pub const COUNTER_INIT: &[u8] = &[
    0x60, 18, 0x60, 12, 0x60, 0, 0x39, 0x60, 18, 0x60, 0, 0xf3, // the code below, as it is
    0x60, 0, 0x54, 0x60, 1, 0x01, 0x80, 0x60, 0, 0x55, 0x60, 0, 0x52, 0x60, 32, 0x60, 0, 0xf3,
];

/// Where the contract of this receipt is.
pub fn address_of_contract(receipt: &Value) -> Address {
    assert_eq!(receipt["status"], "0x1", "{receipt}");
    serde_json::from_value(receipt["contractAddress"].clone()).expect("an address")
}
