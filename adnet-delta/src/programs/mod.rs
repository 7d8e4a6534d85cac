//! System programs: native code at fixed addresses, called like contracts.
//!
//! A transaction straight to a program, a call of a contract, `eth_call` and `eth_estimateGas` all
//! go through [`dispatch`]. Reads answer everybody from the state at the start of the block. What
//! writes is for a transaction itself; contracts write through the action log (`actions`), whose
//! entries are applied by the same dispatcher once the transaction has succeeded. A program that
//! refuses leaves no trace and gives a reason, which is a revert to whoever called. This module
//! knows no EVM: `evm::system` calls it and moves the wei.
//!
//! | address | program |
//! | --- | --- |
//! | `0x…0a01` | `attest`: burns sAX for AX |
//! | `0x…0a02`, `0x…0a03` | fee pool and validators: state without functions |
//! | `0x…0a04` | `actions`: the action log |
//! | `0x…0a05` | `dx`: the DX token |

pub mod actions;
pub mod attest;
pub mod dx;
pub mod native;
#[cfg(test)]
mod tests;

use crate::attest::{ATTEST_ADDRESS, FEE_POOL_ADDRESS};
use crate::validators::VALIDATORS_ADDRESS;
use alloy_primitives::{Address, Bytes, Log, U256};
use native::NativeState;

/// The last byte but one of every program's address, before which are zeros.
const PAGE: u8 = 0x0a;

const fn address(number: u8) -> Address {
    let mut address = [0; 20];
    address[18] = PAGE;
    address[19] = number;
    Address::new(address)
}

pub const ACTION_LOG_ADDRESS: Address = address(0x04);
pub const DX_ADDRESS: Address = address(0x05);

/// Every program. At genesis each has nonce 1 and the code 0xfe.
pub const PROGRAMS: [Address; 5] = [
    ATTEST_ADDRESS,
    FEE_POOL_ADDRESS,
    VALIDATORS_ADDRESS,
    ACTION_LOG_ADDRESS,
    DX_ADDRESS,
];

/// Gas of a call to a program that has no functions.
const NO_FUNCTION_GAS: u64 = 100;

/// Who calls.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A transaction itself (or a simulated one).
    Direct,
    /// An entry of the action log.
    Action,
    /// A frame below the transaction's own.
    Contract { is_static: bool },
}

/// A call of a program. The value has been moved to the program already, or will be.
#[derive(Copy, Clone, Debug)]
pub struct Call<'c> {
    pub program: Address,
    pub caller: Address,
    pub value_wei: U256,
    pub data: &'c [u8],
    pub origin: Origin,
}

impl Call<'_> {
    fn takes_no_value(&self) -> Result<(), Refused> {
        let is_zero = self.value_wei.is_zero();
        is_zero
            .then_some(())
            .ok_or(Refused("the function takes no value"))
    }
}

/// What a program has done, beside changing the native state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    pub output: Bytes,
    pub logs: Vec<Log>,
    /// Of the value at the program, this much is gone.
    pub burned_wei: U256,
}

impl Done {
    fn output(output: Bytes) -> Self {
        Self {
            output,
            ..Self::default()
        }
    }
}

/// Why a program does nothing: the reason that a revert carries.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub &'static str);

/// Whether native code answers at this address.
pub fn is_program(address: &Address) -> bool {
    let [zeros @ .., page, _] = &address.0.0;
    *page == PAGE && zeros.iter().all(|byte| *byte == 0) && PROGRAMS.contains(address)
}

/// What a call costs. Known before it runs, and the same whatever it comes to.
pub fn gas(program: &Address, data: &[u8]) -> u64 {
    match *program {
        ATTEST_ADDRESS => attest::gas(data),
        ACTION_LOG_ADDRESS => actions::gas(data),
        DX_ADDRESS => dx::gas(data),
        _ => NO_FUNCTION_GAS,
    }
}

/// Whether the program has a function that contracts may call through the action log.
fn is_action(program: &Address, data: &[u8]) -> bool {
    match *program {
        ATTEST_ADDRESS => attest::is_action(data),
        DX_ADDRESS => dx::is_action(data),
        _ => false,
    }
}

/// Calls a program. If it refuses, the native state is as it was.
pub fn dispatch(native: &mut NativeState<'_>, call: &Call<'_>) -> Result<Done, Refused> {
    let checkpoint = native.checkpoint();
    let outcome = match call.program {
        ATTEST_ADDRESS => attest::call(native, call),
        ACTION_LOG_ADDRESS => actions::call(native, call),
        DX_ADDRESS => dx::call(native, call),
        _ => Err(Refused("this system account has no functions")),
    };
    if outcome.is_err() {
        native.roll_back(checkpoint);
    }
    outcome
}
