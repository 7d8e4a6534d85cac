//! DX, the token of governance and staking, as an ERC-20 (`contracts/IDX.sol`).
//!
//! All of it exists since genesis. Wallets and contracts read it like any token; it moves by
//! `transfer` only where the genesis lets people send it, and nobody can spend for another.
//!
//! | slot of [`DX_ADDRESS`] | value, in 10^-18 DX |
//! | --- | --- |
//! | 0 | total supply |
//! | 2^160 + address | balance of that account |

use super::native::NativeState;
use super::{Call, DX_ADDRESS, Done, Origin, Refused};
use crate::abi::{self, address, address_word, selector, words};
use crate::state::WorldState;
use adnet_common::genesis::{DX_SUPPLY_UNITS, WEI_PER_UNIT};
use alloy_primitives::{Address, B256, Bytes, Log, LogData, U256, keccak256};
use std::sync::LazyLock;

pub const NAME: &str = "DX";
pub const SYMBOL: &str = "DX";
pub const DECIMALS: u64 = 18;
const READ_GAS: u64 = 2_600;
const TRANSFER_GAS: u64 = 25_000;

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Function {
    Name,
    Symbol,
    Decimals,
    TotalSupply,
    BalanceOf,
    Allowance,
    Transfer,
    Approve,
    TransferFrom,
}

static FUNCTIONS: LazyLock<[([u8; 4], Function); 9]> = LazyLock::new(|| {
    [
        (selector("name()"), Function::Name),
        (selector("symbol()"), Function::Symbol),
        (selector("decimals()"), Function::Decimals),
        (selector("totalSupply()"), Function::TotalSupply),
        (selector("balanceOf(address)"), Function::BalanceOf),
        (selector("allowance(address,address)"), Function::Allowance),
        (selector("transfer(address,uint256)"), Function::Transfer),
        (selector("approve(address,uint256)"), Function::Approve),
        (
            selector("transferFrom(address,address,uint256)"),
            Function::TransferFrom,
        ),
    ]
});

static TRANSFER_TOPIC: LazyLock<B256> =
    LazyLock::new(|| keccak256("Transfer(address,address,uint256)"));

/// The function that calldata names, and its arguments.
fn function(data: &[u8]) -> Option<(Function, &[u8])> {
    let (named, arguments) = data.split_first_chunk::<4>()?;
    let found = FUNCTIONS.iter().find(|(selector, _)| selector == named);
    found.map(|(_, function)| (*function, arguments))
}

pub(super) fn gas(data: &[u8]) -> u64 {
    match function(data) {
        Some((Function::Transfer, _)) => TRANSFER_GAS,
        _ => READ_GAS,
    }
}

pub(super) fn is_action(data: &[u8]) -> bool {
    matches!(function(data), Some((Function::Transfer, _)))
}

pub(super) fn call(native: &mut NativeState<'_>, call: &Call<'_>) -> Result<Done, Refused> {
    call.takes_no_value()?;
    let (function, arguments) = function(call.data).ok_or(Refused("DX: no such function"))?;
    const MALFORMED: Refused = Refused("DX: the arguments are malformed");
    let output = match function {
        Function::Name => abi::string(none(arguments).map(|()| NAME)?),
        Function::Symbol => abi::string(none(arguments).map(|()| SYMBOL)?),
        Function::Decimals => none(arguments).map(|()| word(U256::from(DECIMALS)))?,
        Function::TotalSupply => none(arguments).map(|()| word(total_supply(native.at_start())))?,
        Function::BalanceOf => {
            let [owner] = words(arguments).ok_or(MALFORMED)?;
            let owner = address(owner).ok_or(MALFORMED)?;
            word(balance(native.at_start(), &owner))
        }
        Function::Allowance => {
            let [owner, spender] = words(arguments).ok_or(MALFORMED)?;
            address(owner).and(address(spender)).ok_or(MALFORMED)?;
            word(U256::ZERO)
        }
        Function::Transfer => {
            let [to, amount] = words(arguments).ok_or(MALFORMED)?;
            let to = address(to).ok_or(MALFORMED)?;
            let log = transfer(native, call, to, amount)?;
            return Ok(Done {
                output: word(U256::from(1)),
                logs: vec![log],
                burned_wei: U256::ZERO,
            });
        }
        Function::Approve | Function::TransferFrom => {
            return Err(Refused(
                "DX: nobody spends for another, there are no allowances",
            ));
        }
    };
    Ok(Done::output(output))
}

fn none(arguments: &[u8]) -> Result<(), Refused> {
    let is_none = arguments.is_empty();
    is_none
        .then_some(())
        .ok_or(Refused("DX: the function has no parameters"))
}

fn word(value: U256) -> Bytes {
    value.to_be_bytes::<32>().into()
}

fn transfer(
    native: &mut NativeState<'_>,
    call: &Call<'_>,
    to: Address,
    amount: U256,
) -> Result<Log, Refused> {
    if !native.dx_transferable() {
        return Err(Refused("DX: not transferable on this network"));
    }
    if let Origin::Contract { .. } = call.origin {
        return Err(Refused(
            "DX: a contract transfers through the action log, 0x...0a04",
        ));
    }
    if to.is_zero() {
        return Err(Refused("DX: transfer to the zero address"));
    }
    let from = call.caller;
    let (from_slot, to_slot) = (balance_slot(&from), balance_slot(&to));
    let left = native.word(&DX_ADDRESS, from_slot).checked_sub(amount);
    let left = left.ok_or(Refused("DX: transfer amount exceeds balance"))?;
    native.set_word(&DX_ADDRESS, from_slot, left);
    // Read only now: the recipient may be the sender.
    let sum = native.word(&DX_ADDRESS, to_slot).checked_add(amount);
    // Only a simulation can suppose balances above the total supply.
    let sum = sum.ok_or(Refused("DX: the balance would overflow"))?;
    native.set_word(&DX_ADDRESS, to_slot, sum);
    let topics = vec![*TRANSFER_TOPIC, from.into_word(), to.into_word()];
    Ok(Log {
        address: DX_ADDRESS,
        data: LogData::new_unchecked(topics, word(amount)),
    })
}

fn balance_slot(owner: &Address) -> U256 {
    address_word(owner) | (U256::from(1) << 160)
}

/// In 10^-18 DX, as of this state.
pub fn balance(state: &WorldState, owner: &Address) -> U256 {
    state.storage(&DX_ADDRESS, &balance_slot(owner))
}

/// In 10^-18 DX.
pub fn total_supply(state: &WorldState) -> U256 {
    state.storage(&DX_ADDRESS, &U256::ZERO)
}

/// Whether the balances add up to the total supply, which is that of the genesis. Walks them all.
pub fn holds(state: &WorldState) -> bool {
    let supply = total_supply(state);
    let mut sum = U256::ZERO;
    if let Some(account) = state.account(&DX_ADDRESS) {
        account
            .storage()
            .for_each(|word| sum = sum.saturating_add(*word));
    }
    supply == units(DX_SUPPLY_UNITS) && sum.checked_sub(supply) == Some(supply)
}

/// Of an amount in 10^-4 DX, as the genesis counts.
fn units(units: u64) -> U256 {
    U256::from(u128::from(units) * WEI_PER_UNIT)
}

/// The words of DX in the genesis state, from balances in units.
pub fn genesis_words(balances: impl Iterator<Item = (Address, u64)>) -> Vec<(U256, U256)> {
    let balances = balances.map(|(owner, amount)| (balance_slot(&owner), units(amount)));
    std::iter::once((U256::ZERO, units(DX_SUPPLY_UNITS)))
        .chain(balances)
        .filter(|(_, word)| !word.is_zero())
        .collect()
}
