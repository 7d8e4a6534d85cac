//! Where the EVM meets the system programs: calls to their addresses, and the action log.
//!
//! A refusal is a revert with a reason, never an error of the provider: that would abort the whole
//! transaction instead of giving it a receipt.

use super::DeltaContext;
use crate::abi::revert_reason;
use crate::programs::actions::MAX_CALLDATA_BYTES;
use crate::programs::actions::{self, Action, applied_log, refused_log};
use crate::programs::{self, ACTION_LOG_ADDRESS, Call, Done, Origin, PROGRAMS, Refused};
use alloy_primitives::{Address, Bytes, U256};
use revm::context::journaled_state::account::JournaledAccountTr;
use revm::context::{Cfg, ContextTr, JournalTr};
use revm::handler::{EthPrecompiles, PrecompileProvider};
use revm::interpreter::{CallInputs, Gas, InstructionResult, InterpreterResult};
use revm::primitives::AddressSet;
use revm::primitives::hardfork::SpecId;

pub struct SystemPrecompiles {
    ethereum: EthPrecompiles,
    addresses: AddressSet,
}

impl SystemPrecompiles {
    pub fn new(spec: SpecId) -> Self {
        let ethereum = EthPrecompiles::new(spec);
        let mut addresses = ethereum.warm_addresses().clone();
        addresses.extend(PROGRAMS);
        Self {
            ethereum,
            addresses,
        }
    }
}

impl<'a> PrecompileProvider<DeltaContext<'a>> for SystemPrecompiles {
    type Output = InterpreterResult;

    fn set_spec(&mut self, spec: <revm::context::CfgEnv as Cfg>::Spec) -> bool {
        let changed = spec != self.ethereum.spec;
        if changed {
            *self = Self::new(spec);
        }
        changed
    }

    fn run(
        &mut self,
        ctx: &mut DeltaContext<'a>,
        inputs: &CallInputs,
    ) -> Result<Option<InterpreterResult>, String> {
        let program = inputs.bytecode_address;
        if !programs::is_program(&program) {
            return self.ethereum.run(ctx, inputs);
        }
        // A caller has not paid for its bytes yet: nothing is copied that no program could want.
        let data = match inputs.input.len() <= MAX_CALLDATA_BYTES {
            true => Some(inputs.input.bytes(ctx)),
            false => None,
        };
        let charged = programs::gas(&program, data.as_ref().map_or(&[], |data| data.as_ref()));
        let mut gas = Gas::new_with_regular_gas_and_reservoir(inputs.gas_limit, inputs.reservoir);
        if !gas.record_regular_cost(charged) {
            gas.spend_all();
            let result =
                InterpreterResult::new(InstructionResult::PrecompileOOG, Bytes::new(), gas);
            return Ok(Some(result));
        }
        let called = match data {
            Some(data) => call(ctx, inputs, &data),
            None => Err(Refused("the calldata is longer than any function takes")),
        };
        Ok(Some(match called {
            Ok(done) => {
                let journal = ctx.journal_mut();
                done.logs.into_iter().for_each(|log| journal.log(log));
                InterpreterResult::new(InstructionResult::Return, done.output, gas)
            }
            Err(Refused(reason)) => {
                InterpreterResult::new(InstructionResult::Revert, revert_reason(reason), gas)
            }
        }))
    }

    fn warm_addresses(&self) -> &AddressSet {
        &self.addresses
    }
}

/// The frame has moved the value to the program before; on a revert it moves it back.
fn call(ctx: &mut DeltaContext<'_>, inputs: &CallInputs, data: &[u8]) -> Result<Done, Refused> {
    let program = inputs.bytecode_address;
    // Code and storage must both be the program's: this shuts out DELEGATECALL, CALLCODE, and
    // accounts that delegate here by EIP-7702.
    if inputs.target_address != program {
        return Err(Refused("a system program lends its code to nobody"));
    }
    let is_static = inputs.is_static;
    // The frame of the transaction itself is at depth 1.
    let origin = if ctx.journal().depth() == 1 && !is_static {
        Origin::Direct
    } else {
        Origin::Contract { is_static }
    };
    let call = Call {
        program,
        caller: inputs.caller,
        value_wei: inputs.transfer_value().unwrap_or_default(),
        data,
        origin,
    };
    let done = programs::dispatch(&mut ctx.chain, &call)?;
    withdraw(ctx, program, done.burned_wei);
    Ok(done)
}

/// Applies what a transaction that has succeeded has written into the action log, in order, and
/// logs what became of it.
pub fn apply_actions(ctx: &mut DeltaContext<'_>) {
    let logs = ctx.journal().logs().iter();
    let actions: Vec<Action> = logs.filter_map(actions::action_of).collect();
    for (index, action) in actions.iter().enumerate() {
        withdraw(ctx, ACTION_LOG_ADDRESS, action.value_wei);
        let (logs, last) = match actions::apply(&mut ctx.chain, action) {
            Ok(done) => {
                deposit(ctx, action.program, action.value_wei);
                withdraw(ctx, action.program, done.burned_wei);
                (done.logs, applied_log(action, index))
            }
            Err(refused) => {
                deposit(ctx, action.sender, action.value_wei);
                (Vec::new(), refused_log(action, index, refused))
            }
        };
        let journal = ctx.journal_mut();
        logs.into_iter().for_each(|log| journal.log(log));
        journal.log(last);
    }
}

fn withdraw(ctx: &mut DeltaContext<'_>, from: Address, wei: U256) {
    if wei.is_zero() {
        return;
    }
    let account = ctx.journal_mut().load_account_mut(from);
    let mut account = account.expect("a state in memory has no errors");
    assert!(
        account.data.decr_balance(wei),
        "the value that came with a call is at the program"
    );
}

fn deposit(ctx: &mut DeltaContext<'_>, to: Address, wei: U256) {
    if wei.is_zero() {
        return;
    }
    let account = ctx.journal_mut().load_account_mut(to);
    let mut account = account.expect("a state in memory has no errors");
    assert!(
        account.data.incr_balance(wei),
        "all wei together fit 128 bits"
    );
}
