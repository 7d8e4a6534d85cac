//! Where fees go: the whole effective price, base fee included, to the fee pool.
//!
//! On Ethereum the base fee is burned. Here every wei is backed by a lock on Alpha, so nothing may
//! vanish: the sum of balances stays exactly what was minted less what was unlocked. The other way
//! in which Ethereum burns, a contract that destroys itself in favour of itself, ends here as well.

use super::database::LoadedState;
use super::system::apply_actions;
use super::{DeltaContext, DeltaEvm};
use crate::attest::FEE_POOL_ADDRESS;
use alloy_primitives::{Address, U256};
use revm::context::journaled_state::account::JournaledAccountTr;
use revm::context::result::{EVMError, HaltReason, InvalidTransaction};
use revm::context::{Block, ContextTr, Database, JournalTr, Transaction};
use revm::handler::pre_execution::calculate_caller_fee;
use revm::handler::{EvmTr, FrameResult, Handler, pre_execution, validation};
use revm::inspector::InspectorHandler;
use revm::interpreter::InitialAndFloorGas;
use revm::interpreter::interpreter::EthInterpreter;
use std::marker::PhantomData;
use std::mem;

/// Who sends what is executed.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The signer of a transaction: its nonce must be the next, and it must not be a contract.
    Signed,
    /// Whoever a simulated call names, contracts included.
    Anybody,
}

/// Ethereum's handler but for the fees, for who may send in a simulation, and for the actions that
/// follow a transaction.
pub struct FeePoolHandler<'a> {
    sender: Sender,
    evm: PhantomData<&'a ()>,
}

impl FeePoolHandler<'_> {
    pub fn new(sender: Sender) -> Self {
        let evm = PhantomData;
        Self { sender, evm }
    }
}

impl<'a> Handler for FeePoolHandler<'a> {
    type Evm = DeltaEvm<'a>;
    type Error = EVMError<<LoadedState<'a> as Database>::Error, InvalidTransaction>;
    type HaltReason = HaltReason;

    /// A simulated call without a price pays none, whatever the block's base fee, which code reads all
    /// the same.
    fn validate_env(&self, evm: &mut Self::Evm) -> Result<(), Self::Error> {
        let ctx = evm.ctx();
        if self.sender == Sender::Signed || ctx.tx.gas_price > 0 {
            return validation::validate_env(ctx);
        }
        let base_fee_wei = mem::take(&mut ctx.block.basefee);
        let valid = validation::validate_env(&mut *ctx);
        ctx.block.basefee = base_fee_wei;
        valid
    }

    fn validate_against_state_and_deduct_caller(
        &self,
        evm: &mut Self::Evm,
        _gas: &mut InitialAndFloorGas,
    ) -> Result<(), Self::Error> {
        if self.sender == Sender::Signed {
            return pre_execution::validate_against_state_and_deduct_caller(evm.ctx());
        }
        let (block, tx, cfg, journal, _, _) = evm.ctx().all_mut();
        let mut caller = journal.load_account_with_code_mut(tx.caller())?.data;
        // The last nonce makes no contract (EIP-2681); a call does not need another one.
        if tx.kind().is_create() && caller.nonce() == u64::MAX {
            return Err(InvalidTransaction::NonceOverflowInTransaction.into());
        }
        let balance = calculate_caller_fee(*caller.balance(), tx, block, cfg)?;
        caller.set_balance(balance);
        if tx.kind().is_call() {
            caller.bump_nonce();
        }
        Ok(())
    }

    fn reward_beneficiary(
        &self,
        evm: &mut Self::Evm,
        result: &mut FrameResult,
    ) -> Result<(), Self::Error> {
        let ctx = evm.ctx();
        let price = ctx
            .tx()
            .effective_gas_price(u128::from(ctx.block().basefee()));
        let recipient = ctx.block().beneficiary();
        let fee = U256::from(price) * U256::from(result.gas().used());
        give(ctx, recipient, fee);
        // The last hook before the journal is closed: what happens here is still this transaction's.
        if result.interpreter_result().result.is_ok() {
            apply_actions(ctx);
        }
        let destroyed = destroyed_wei(ctx);
        if !destroyed.is_zero() {
            give(ctx, FEE_POOL_ADDRESS, destroyed);
        }
        Ok(())
    }
}

impl InspectorHandler for FeePoolHandler<'_> {
    type IT = EthInterpreter;
}

fn give(ctx: &mut DeltaContext<'_>, to: Address, wei: U256) {
    let account = ctx.journal_mut().load_account_mut(to);
    let mut account = account.expect("a state in memory has no errors");
    let fits = account.data.incr_balance(wei);
    assert!(fits, "all wei together fit 256 bits");
}

/// What contracts that destroy themselves in the transaction that makes them (EIP-6780) would take
/// out of the world: by naming themselves as the heir, or by being sent something afterwards.
fn destroyed_wei(ctx: &DeltaContext<'_>) -> U256 {
    let accounts = ctx.journal().evm_state();
    if !accounts.values().any(|a| a.is_selfdestructed()) {
        return U256::ZERO;
    }
    let (mut before, mut after) = (U256::ZERO, ctx.chain.burned_wei());
    for account in accounts.values() {
        before += account.original_info().balance;
        if !account.is_selfdestructed() {
            after += account.info.balance;
        }
    }
    let destroyed = before.checked_sub(after);
    destroyed.expect("a transaction makes no wei")
}
