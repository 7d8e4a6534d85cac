//! Simulated sequences of blocks: what they may suppose of fees, and how much may come of them.

use super::*;
use crate::attest::FEE_POOL_ADDRESS;
use crate::evm::Refusal;
use crate::evm::overrides::{AccountOverride, BlockOverrides};
use crate::evm::sequence::{
    Beginning, BlockCalls, SequenceError, SimulatedBlock, SimulatedCall, sequence,
};
use crate::evm::simulate::{self, Call, Outcome};
use revm::context::result::InvalidTransaction;

/// Where code is supposed to be.
const CODE: Address = Address::repeat_byte(0xc0);
/// Has nothing.
const NOBODY: Address = Address::repeat_byte(0xc1);
const BASE_FEE_WEI: u64 = 10;

fn simulated(
    chain: &Chain,
    strict: bool,
    blocks: Vec<BlockCalls>,
) -> Result<Vec<SimulatedBlock>, SequenceError> {
    let view = chain.app.view();
    let time_ms = chain.context().time_ms;
    let beginning = Beginning {
        place: simulate::next_place(&view, chain.parent, time_ms),
        parent_time_s: time_ms / 1000 - 3,
        interval_s: 3,
        strict,
        notes_transfers: false,
        view,
    };
    sequence(&beginning, blocks)
}

/// Calls of `code`, in a block with a base fee.
fn block_of(code: &[u8], calls: Vec<Call>) -> BlockCalls {
    let supposed = AccountOverride {
        code: Some(Bytes::copy_from_slice(code)),
        ..AccountOverride::default()
    };
    BlockCalls {
        block: BlockOverrides {
            base_fee_wei: Some(BASE_FEE_WEI),
            ..BlockOverrides::default()
        },
        state: [(CODE, supposed)].into(),
        calls,
    }
}

fn call_of(from: Address, max_fee_per_gas_wei: u128) -> Call {
    Call {
        from,
        to: Some(CODE),
        max_fee_per_gas_wei,
        ..Call::default()
    }
}

fn word_of(call: &SimulatedCall) -> U256 {
    match &call.outcome {
        Outcome::Success { output, .. } => U256::from_be_slice(output),
        other => panic!("the call succeeds: {other:?}"),
    }
}

#[test]
fn a_call_without_a_price_pays_none_in_a_block_that_has_a_base_fee() {
    let chain = Chain::new(dev_genesis());
    // BASEFEE, then BALANCE of the fee pool: a word of either.
    let base_fee = [0x48, 0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3];
    let mut pool = vec![0x73];
    pool.extend_from_slice(FEE_POOL_ADDRESS.as_slice());
    pool.extend_from_slice(&[0x31, 0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3]);
    // It destroys itself in favour of itself, so all wei before and after are counted.
    let burns = Call {
        from: address(0),
        data: vec![0x30, 0xff].into(),
        value: U256::from(5),
        ..Call::default()
    };
    let blocks = vec![
        block_of(&base_fee, vec![call_of(NOBODY, 0), burns]),
        block_of(&pool, vec![call_of(NOBODY, 0)]),
    ];
    let made = simulated(&chain, false, blocks).expect("nobody pays");
    assert_eq!(made[0].base_fee_wei, BASE_FEE_WEI);
    assert_eq!(word_of(&made[0].calls[0]), U256::from(BASE_FEE_WEI));
    let before = chain.balance(FEE_POOL_ADDRESS);
    assert_eq!(word_of(&made[1].calls[0]), before + U256::from(5));

    let too_little = SequenceError::Refused(Refusal::Invalid(
        InvalidTransaction::GasPriceLessThanBasefee,
    ));
    for (strict, price) in [(false, 9), (true, 0)] {
        let blocks = vec![block_of(&base_fee, vec![call_of(address(0), price)])];
        let refused = simulated(&chain, strict, blocks);
        assert_eq!(refused.err(), Some(too_little.clone()), "{strict} {price}");
    }
    let blocks = vec![block_of(&base_fee, vec![call_of(address(0), 10)])];
    let made = simulated(&chain, false, blocks).expect("it pays the base fee");
    assert_eq!(word_of(&made[0].calls[0]), U256::from(BASE_FEE_WEI));
}

#[test]
fn what_all_calls_return_together_is_bounded() {
    let chain = Chain::new(dev_genesis());
    // PUSH3 101000, PUSH0, REVERT
    let reverts = [0x62, 0x01, 0x8a, 0x88, 0x5f, 0xfd];
    let calls = |count| block_of(&reverts, vec![call_of(NOBODY, 0); count]);
    let made = simulated(&chain, false, vec![calls(27), calls(28)]).expect("16.7 MB");
    assert_eq!(made[1].calls.len(), 28);
    let refused = simulated(&chain, false, vec![calls(28), calls(28)]);
    assert_eq!(refused.err(), Some(SequenceError::TooLarge), "17.0 MB");
    // JUMPDEST, PUSH0, PUSH0, LOG0, and again while there is gas: GAS, PUSH2 10000, LT, PUSH0, JUMPI
    let logs = [
        0x5b, 0x5f, 0x5f, 0xa0, 0x5a, 0x61, 0x27, 0x10, 0x10, 0x5f, 0x57, 0x00,
    ];
    let call = |gas| Call {
        gas: Some(gas),
        ..call_of(NOBODY, 0)
    };
    let made = simulated(&chain, false, vec![block_of(&logs, vec![call(1_000_000)])]);
    let made = made.expect("a few logs");
    assert!(made[0].calls[0].logs.len() > 2_000);
    let refused = simulated(&chain, false, vec![block_of(&logs, vec![call(40_000_000)])]);
    assert_eq!(refused.err(), Some(SequenceError::TooLarge));
}
