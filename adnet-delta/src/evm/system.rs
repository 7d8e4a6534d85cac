//! The dispatcher of system accounts: Ethereum's precompiles and the attest account.
//!
//! A refusal is a revert with a reason, never an error of the provider: that would abort the whole
//! transaction instead of giving it a receipt.

use super::DeltaContext;
use crate::attest::{ATTEST_ADDRESS, UNLOCK_GAS, abi, units};
use alloy_primitives::Bytes;
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
        addresses.insert(ATTEST_ADDRESS);
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
        if inputs.bytecode_address != ATTEST_ADDRESS {
            return self.ethereum.run(ctx, inputs);
        }
        let mut gas = Gas::new_with_regular_gas_and_reservoir(inputs.gas_limit, inputs.reservoir);
        if !gas.record_regular_cost(UNLOCK_GAS) {
            gas.spend_all();
            let result =
                InterpreterResult::new(InstructionResult::PrecompileOOG, Bytes::new(), gas);
            return Ok(Some(result));
        }
        Ok(Some(match unlock(ctx, inputs) {
            Ok(()) => InterpreterResult::new(InstructionResult::Return, Bytes::new(), gas),
            Err(reason) => {
                let output = abi::revert_reason(reason);
                InterpreterResult::new(InstructionResult::Revert, output, gas)
            }
        }))
    }

    fn warm_addresses(&self) -> &AddressSet {
        &self.addresses
    }
}

/// Burns the value that came with the call and logs the unlock. The frame has moved the value to
/// the account before; on a revert it moves it back.
fn unlock(ctx: &mut DeltaContext<'_>, inputs: &CallInputs) -> Result<(), &'static str> {
    // A transaction's own call is the frame at depth 1 whose code and storage are both ours: this
    // shuts out contracts, delegate calls and accounts that delegate here by EIP-7702.
    let direct = ctx.journal().depth() == 1 && inputs.target_address == ATTEST_ADDRESS;
    if !direct || inputs.is_static {
        return Err("unlock: only a transaction straight to this account may call it");
    }
    let recipient = abi::decode_unlock(&inputs.input.bytes(ctx));
    let recipient = recipient.ok_or("unlock: the calldata is not unlock(bytes32)")?;
    let value = inputs.transfer_value().unwrap_or_default();
    if value.is_zero() {
        return Err("unlock: send the amount as the value of the transaction");
    }
    let amount = units(value).ok_or("unlock: the value is not a multiple of 10^14 wei")?;
    let window = ctx.chain;
    if window.left == 0 {
        return Err("unlock: this block has no room for more unlocks");
    }
    let journal = ctx.journal_mut();
    let account = journal.load_account_mut(ATTEST_ADDRESS);
    let mut account = account.expect("a state in memory has no errors");
    assert!(
        account.data.decr_balance(value),
        "the frame has moved the value here"
    );
    journal.log(abi::unlock_log(window.next_sequence, recipient, amount));
    Ok(())
}
