//! Where fees go: the whole effective price, base fee included, to the fee pool.
//!
//! On Ethereum the base fee is burned. Here every wei is backed by a lock on Alpha, so nothing may
//! vanish: the sum of balances stays exactly what was minted less what was unlocked.

use super::DeltaEvm;
use super::database::LoadedState;
use alloy_primitives::U256;
use revm::context::journaled_state::account::JournaledAccountTr;
use revm::context::result::{EVMError, HaltReason, InvalidTransaction};
use revm::context::{Block, ContextTr, Database, JournalTr, Transaction};
use revm::handler::pre_execution::calculate_caller_fee;
use revm::handler::{EvmTr, FrameResult, Handler, pre_execution};
use revm::interpreter::InitialAndFloorGas;
use std::marker::PhantomData;

/// Who sends what is executed.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The signer of a transaction: its nonce must be the next, and it must not be a contract.
    Signed,
    /// Whoever a simulated call names, contracts included.
    Anybody,
}

/// Ethereum's handler but for the fees, and for who may send in a simulation.
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
        let (block, tx, _, journal, _, _) = evm.ctx().all_mut();
        let price = tx.effective_gas_price(u128::from(block.basefee()));
        let fee = U256::from(price) * U256::from(result.gas().used());
        let mut pool = journal.load_account_mut(block.beneficiary())?;
        assert!(pool.data.incr_balance(fee), "all wei together fit 128 bits");
        Ok(())
    }
}
