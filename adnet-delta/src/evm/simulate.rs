//! Calls without a transaction, on a version of the state: `eth_call` and `eth_estimateGas`.
//!
//! They run in the block after it, by the same EVM and dispatcher as a block's
//! transactions, so an unlock or a revert shows what it would come to. Nonces are not checked,
//! fees only where the caller names a price.

use super::fees::Sender;
use super::overrides::BlockOverrides;
use super::{BlockPlace, DeltaEvm, Refusal, build, halt_name, run};
use crate::app::DeltaView;
use adnet_common::hash::Hash;
use alloy_primitives::{Address, Bytes, TxKind, U256};
use revm::context::TxEnv;
use revm::context::result::{ExecutionResult, HaltReason, InvalidTransaction};
use revm::context_interface::either::Either;
use revm::context_interface::transaction::{AccessList, SignedAuthorization};
use std::sync::Arc;

/// Gas of one simulation at most.
pub const GAS_CAP: u64 = 50_000_000;
const TRANSFER_GAS: u64 = 21_000;
/// What a call with value gives its callee for free: an estimate leaves as much headroom.
const CALL_STIPEND: u64 = 2_300;
/// The search for the least gas stops when it is this close, as geth's does.
const ESTIMATE_ERROR: f64 = 0.015;

/// What to call.
#[derive(Clone, Debug, Default)]
pub struct Call {
    pub from: Address,
    pub to: Option<Address>,
    pub gas: Option<u64>,
    /// The most to pay per gas, in wei; zero switches fees off.
    pub max_fee_per_gas_wei: u128,
    pub max_priority_fee_per_gas_wei: Option<u128>,
    pub value: U256,
    pub data: Bytes,
    pub access_list: AccessList,
    /// Delegations that the call sets first (EIP-7702).
    pub authorizations: Vec<SignedAuthorization>,
    /// What it is to be, where nonces count: in a strict simulation of blocks.
    pub nonce: Option<u64>,
}

/// Where calls are simulated.
#[derive(Clone)]
pub struct Scene {
    pub view: Arc<DeltaView>,
    pub place: BlockPlace,
    pub block: BlockOverrides,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Success {
        output: Bytes,
        gas_used: u64,
        gas_refunded: u64,
    },
    Revert {
        output: Bytes,
        gas_used: u64,
    },
    /// It ran out of gas or did what no code may; the reason by name.
    Halt {
        reason: String,
        out_of_gas: bool,
        gas_used: u64,
    },
}

/// Why there is no estimate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EstimateError {
    Refused(Refusal),
    Revert(Bytes),
    Halt(String),
    /// Not even all the gas that the caller may spend is enough.
    Exceeds {
        allowance: u64,
    },
}

/// The block that would follow a snapshot whose last block is `tip`.
pub fn next_place(view: &DeltaView, tip: Hash, time_ms: u64) -> BlockPlace {
    BlockPlace {
        height: view.height + 1,
        time_ms,
        parent: tip,
        base_fee_wei: view.next_base_fee_wei(),
    }
}

/// Executes a call with at most [`GAS_CAP`] gas and forgets its changes.
pub fn call(scene: &Scene, call: &Call) -> Result<Outcome, Refusal> {
    execute(scene, call, call.gas.unwrap_or(GAS_CAP).min(GAS_CAP))
}

/// The EVM of a scene, and a call as it takes it.
pub(super) fn prepare<'a>(scene: &'a Scene, call: &Call, gas_limit: u64) -> (DeltaEvm<'a>, TxEnv) {
    let view = &*scene.view;
    let nonce = view
        .state
        .account(&call.from)
        .map_or(0, |account| account.nonce);
    let tx = environment(call, nonce, gas_limit, view.rules.chain_id);
    let mut evm = build(&view.rules, &view.state, &view.hashes, &scene.place);
    scene.block.apply(&mut evm);
    evm.ctx.cfg.tx_gas_limit_cap = Some(u64::MAX);
    evm.ctx.block.gas_limit = evm.ctx.block.gas_limit.max(gas_limit);
    if call.max_fee_per_gas_wei == 0 {
        evm.ctx.block.basefee = 0;
    }
    (evm, tx)
}

/// A call as a transaction.
pub(super) fn environment(call: &Call, nonce: u64, gas_limit: u64, chain_id: u64) -> TxEnv {
    let tx_type = if !call.authorizations.is_empty() {
        4
    } else if call.max_priority_fee_per_gas_wei.is_some() {
        2
    } else {
        1
    };
    let authorizations = call.authorizations.iter().cloned().map(Either::Left);
    TxEnv {
        tx_type,
        caller: call.from,
        gas_limit,
        gas_price: call.max_fee_per_gas_wei,
        kind: call.to.map_or(TxKind::Create, TxKind::Call),
        value: call.value,
        data: call.data.clone(),
        nonce,
        chain_id: Some(chain_id),
        access_list: call.access_list.clone(),
        gas_priority_fee: call.max_priority_fee_per_gas_wei,
        blob_hashes: Vec::new(),
        max_fee_per_blob_gas: 0,
        authorization_list: authorizations.collect(),
    }
}

fn execute(scene: &Scene, call: &Call, gas_limit: u64) -> Result<Outcome, Refusal> {
    let (mut evm, tx) = prepare(scene, call, gas_limit);
    Ok(outcome_of(run(&mut evm, tx, Sender::Anybody)?))
}

pub(super) fn outcome_of(result: ExecutionResult) -> Outcome {
    match result {
        ExecutionResult::Success { output, gas, .. } => Outcome::Success {
            gas_used: gas.tx_gas_used(),
            gas_refunded: gas.inner_refunded(),
            output: output.into_data(),
        },
        ExecutionResult::Revert { output, gas, .. } => Outcome::Revert {
            output,
            gas_used: gas.tx_gas_used(),
        },
        ExecutionResult::Halt { reason, gas, .. } => Outcome::Halt {
            out_of_gas: matches!(reason, HaltReason::OutOfGas(_)),
            reason: halt_name(&reason),
            gas_used: gas.tx_gas_used(),
        },
    }
}

/// The least gas limit with which a call succeeds, give or take 1.5 %: found by bisection, because
/// a call may need more gas in flight than it uses in the end.
pub fn estimate(scene: &Scene, call: &Call) -> Result<u64, EstimateError> {
    let allowance = allowance(&scene.view, call)?;
    let plain = call.data.is_empty() && call.to.is_some_and(|to| !has_code(&scene.view, &to));
    if plain && allowance >= TRANSFER_GAS && succeeds(scene, call, TRANSFER_GAS)? {
        return Ok(TRANSFER_GAS);
    }
    let (used, refunded) = match execute(scene, call, allowance) {
        Ok(Outcome::Success {
            gas_used,
            gas_refunded,
            ..
        }) => (gas_used, gas_refunded),
        Ok(Outcome::Revert { output, .. }) => return Err(EstimateError::Revert(output)),
        Ok(Outcome::Halt {
            out_of_gas: true, ..
        }) => return Err(EstimateError::Exceeds { allowance }),
        Ok(Outcome::Halt { reason, .. }) => return Err(EstimateError::Halt(reason)),
        Err(refusal) if needs_more_gas(&refusal) => {
            return Err(EstimateError::Exceeds { allowance });
        }
        Err(refusal) => return Err(EstimateError::Refused(refusal)),
    };
    // `low` fails, `high` succeeds.
    let (mut low, mut high) = (used.saturating_sub(1), allowance);
    // Most calls succeed with what they used, the 1/64 that calls hold back, and a stipend.
    let optimistic = (used + refunded + CALL_STIPEND) * 64 / 63;
    if optimistic < high {
        if succeeds(scene, call, optimistic)? {
            high = optimistic;
        } else {
            low = optimistic;
        }
    }
    while low + 1 < high {
        if ((high - low) as f64) / (high as f64) < ESTIMATE_ERROR {
            break;
        }
        // Most of the answers lie near the lower end.
        let middle = (low + (high - low) / 2).min(low.saturating_mul(2));
        if succeeds(scene, call, middle)? {
            high = middle;
        } else {
            low = middle;
        }
    }
    Ok(high)
}

fn has_code(view: &DeltaView, address: &Address) -> bool {
    view.state
        .account(address)
        .is_some_and(|account| account.code.is_some())
}

/// The gas that the caller may ask for: by the call, our cap, and what its balance pays.
fn allowance(view: &DeltaView, call: &Call) -> Result<u64, EstimateError> {
    let asked = call
        .gas
        .filter(|gas| *gas >= TRANSFER_GAS)
        .unwrap_or(view.rules.tx_gas_limit);
    let cap = asked.min(GAS_CAP);
    if call.max_fee_per_gas_wei == 0 {
        return Ok(cap);
    }
    let balance = view
        .state
        .account(&call.from)
        .map_or(U256::ZERO, |account| account.balance);
    let Some(left) = balance.checked_sub(call.value) else {
        let invalid = InvalidTransaction::LackOfFundForMaxFee {
            fee: Box::new(call.value),
            balance: Box::new(balance),
        };
        return Err(EstimateError::Refused(Refusal::Invalid(invalid)));
    };
    let payable = left / U256::from(call.max_fee_per_gas_wei);
    Ok(u64::try_from(payable).unwrap_or(u64::MAX).min(cap))
}

fn succeeds(scene: &Scene, call: &Call, gas_limit: u64) -> Result<bool, EstimateError> {
    match execute(scene, call, gas_limit) {
        Ok(outcome) => Ok(matches!(outcome, Outcome::Success { .. })),
        Err(refusal) if needs_more_gas(&refusal) => Ok(false),
        Err(refusal) => Err(EstimateError::Refused(refusal)),
    }
}

fn needs_more_gas(refusal: &Refusal) -> bool {
    use InvalidTransaction::{CallGasCostMoreThanGasLimit, GasFloorMoreThanGasLimit};
    matches!(
        refusal,
        Refusal::Invalid(CallGasCostMoreThanGasLimit { .. } | GasFloorMoreThanGasLimit { .. })
    )
}
