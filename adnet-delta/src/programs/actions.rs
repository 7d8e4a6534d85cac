//! The action log: how contracts write to programs (`contracts/IActionLog.sol`).
//!
//! A contract calls `send(program, data)`, with value if the program takes any. That only logs an
//! action, so a frame that reverts takes it back with its other logs, and the value waits at the
//! log's account. When the whole transaction has succeeded, its actions are applied in order by the
//! same dispatcher that direct calls go through. What became of each is a log of the same receipt;
//! the value of a refused one goes back to its sender.

use super::native::NativeState;
use super::{ACTION_LOG_ADDRESS, Call, Done, Origin, Refused, dispatch};
use crate::abi::{self, decode_with_bytes, encode_with_bytes, selector};
use alloy_primitives::{Address, B256, Bytes, Log, LogData, U256, keccak256};
use std::sync::LazyLock;

/// Calldata of one action, at most.
pub const MAX_ACTION_BYTES: usize = 1024;
/// Calldata of any function of any program, at most: that of `send` with the longest action.
pub const MAX_CALLDATA_BYTES: usize = 4 + 3 * 32 + MAX_ACTION_BYTES;
/// Gas of `send`, beside what the program's function takes: for three logs and keeping the action.
const SEND_GAS: u64 = 10_000;
const SEND_GAS_PER_BYTE: u64 = 16;

pub static SEND: LazyLock<[u8; 4]> = LazyLock::new(|| selector("send(address,bytes)"));
static ACTION_TOPIC: LazyLock<B256> =
    LazyLock::new(|| keccak256("Action(address,address,uint256,bytes)"));
static APPLIED_TOPIC: LazyLock<B256> =
    LazyLock::new(|| keccak256("ActionApplied(address,address,uint256)"));
static REFUSED_TOPIC: LazyLock<B256> =
    LazyLock::new(|| keccak256("ActionRefused(address,address,uint256,string)"));

/// An action as it was logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    pub sender: Address,
    pub program: Address,
    pub value_wei: U256,
    pub data: Bytes,
}

/// Calldata of `send(program, data)`.
pub fn send_calldata(program: &Address, data: &[u8]) -> Bytes {
    let arguments = encode_with_bytes(abi::address_word(program), data);
    [SEND.as_slice(), &arguments].concat().into()
}

/// Program and calldata that a call of `send` names.
pub fn decode_send(data: &[u8]) -> Option<(Address, &[u8])> {
    let arguments = data.strip_prefix(SEND.as_slice())?;
    let (program, data) = decode_with_bytes(arguments, MAX_ACTION_BYTES)?;
    Some((abi::address(program)?, data))
}

pub(super) fn gas(data: &[u8]) -> u64 {
    let inner = decode_send(data).filter(|(program, _)| *program != ACTION_LOG_ADDRESS);
    let inner = inner.map_or(0, |(program, data)| {
        super::gas(&program, data) + SEND_GAS_PER_BYTE * data.len() as u64
    });
    SEND_GAS + inner
}

pub(super) fn call(native: &NativeState<'_>, call: &Call<'_>) -> Result<Done, Refused> {
    match call.origin {
        Origin::Direct | Origin::Contract { is_static: false } => {}
        Origin::Contract { is_static: true } => {
            return Err(Refused("send: not within a static call"));
        }
        Origin::Action => return Err(Refused("send: an action sends no action")),
    }
    let decoded = decode_send(call.data);
    let (program, data) = decoded.ok_or(Refused(
        "send: the calldata is not send(address,bytes) of at most 1024 bytes",
    ))?;
    if !super::is_action(&program, data) {
        return Err(Refused("send: the program has no such action"));
    }
    if !native.has_action_room() {
        return Err(Refused("send: this block has no room for more actions"));
    }
    let topics = vec![*ACTION_TOPIC, call.caller.into_word(), program.into_word()];
    let log = log(topics, encode_with_bytes(call.value_wei, data));
    Ok(Done {
        output: Bytes::new(),
        logs: vec![log],
        burned_wei: U256::ZERO,
    })
}

fn log(topics: Vec<B256>, data: Bytes) -> Log {
    Log {
        address: ACTION_LOG_ADDRESS,
        data: LogData::new_unchecked(topics, data),
    }
}

/// The action that a log of a successful transaction stands for. No other code logs at this address.
pub fn action_of(log: &Log) -> Option<Action> {
    if log.address != ACTION_LOG_ADDRESS {
        return None;
    }
    let [topic, sender, program] = log.topics() else {
        return None;
    };
    if topic != &*ACTION_TOPIC {
        return None;
    }
    let (value_wei, data) = decode_with_bytes(&log.data.data, MAX_ACTION_BYTES)?;
    Some(Action {
        sender: Address::from_word(*sender),
        program: Address::from_word(*program),
        value_wei,
        data: Bytes::copy_from_slice(data),
    })
}

/// Applies one action to the native state, or refuses it and leaves the state as it was. Its value
/// is for the caller to move: to the program if it was applied, else back to the sender.
pub fn apply(native: &mut NativeState<'_>, action: &Action) -> Result<Done, Refused> {
    if !native.take_action() {
        return Err(Refused("send: this block has no room for more actions"));
    }
    let call = Call {
        program: action.program,
        caller: action.sender,
        value_wei: action.value_wei,
        data: &action.data,
        origin: Origin::Action,
    };
    dispatch(native, &call)
}

/// What tells users that their action, the one at `index` in its transaction, was applied.
pub fn applied_log(action: &Action, index: usize) -> Log {
    let index = U256::from(index).to_be_bytes::<32>();
    log(outcome_topics(&APPLIED_TOPIC, action), index.into())
}

/// What tells users why it was not.
pub fn refused_log(action: &Action, index: usize, refused: Refused) -> Log {
    let data = encode_with_bytes(U256::from(index), refused.0.as_bytes());
    log(outcome_topics(&REFUSED_TOPIC, action), data)
}

fn outcome_topics(topic: &B256, action: &Action) -> Vec<B256> {
    vec![
        *topic,
        action.sender.into_word(),
        action.program.into_word(),
    ]
}
