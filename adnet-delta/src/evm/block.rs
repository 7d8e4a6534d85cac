//! A block's transactions, executed one after the other on a state that stays as it is.

use super::fees::Sender;
use super::{BlockPlace, DeltaEvm, RecentHashes, Refusal, build, run};
use crate::attest::wei;
use crate::history::receipt::Receipt;
use crate::programs::native::NativeState;
use crate::rules::Rules;
use crate::state::WorldState;
use crate::transaction::DeltaTx;
use alloy_primitives::Address;
use revm::context::result::{ExecutionResult, InvalidTransaction};
use revm::context::{ContextTr, JournalTr, Transaction};
use revm::database::BundleState;
use revm::database::states::bundle_state::BundleRetention;
use revm::database_interface::DatabaseCommitExt;
use revm::{Database, DatabaseCommit};

/// See the module.
pub struct BlockRun<'a> {
    pub(super) evm: DeltaEvm<'a>,
    base_fee_wei: u64,
    gas_limit: u64,
    gas_used: u64,
    logs: u32,
    receipts: Vec<Receipt>,
}

/// What a block has come to.
pub struct BlockResult<'a> {
    pub bundle: BundleState,
    pub native: NativeState<'a>,
    pub gas_used: u64,
    pub receipts: Vec<Receipt>,
}

impl<'a> BlockRun<'a> {
    /// On the state after the parent.
    pub fn new(
        rules: &Rules,
        state: &'a WorldState,
        hashes: &'a RecentHashes,
        place: &BlockPlace,
    ) -> Self {
        Self {
            evm: build(rules, state, hashes, place),
            base_fee_wei: place.base_fee_wei,
            gas_limit: rules.block_gas_limit,
            gas_used: 0,
            logs: 0,
            receipts: Vec::new(),
        }
    }

    /// Mints the sAX of the next lock. `None`, and no change, if the total would overflow.
    pub fn mint(&mut self, recipient: [u8; 20], amount_units: u64) -> Option<()> {
        let mut supply = self.evm.ctx.chain.supply();
        let minted = supply.minted_total_units.checked_add(amount_units)?;
        if amount_units > 0 {
            let amount = u128::try_from(wei(amount_units)).expect("2^64 units fit 128 bits of wei");
            let credited = self
                .evm
                .ctx
                .db_mut()
                .increment_balances([(Address::new(recipient), amount)]);
            credited.expect("a state in memory has no errors");
        }
        supply.minted_total_units = minted;
        self.evm.ctx.chain.set_supply(&supply);
        self.consumed();
        Some(())
    }

    /// Counts a message of Alpha.
    pub fn consumed(&mut self) {
        let native = &mut self.evm.ctx.chain;
        let mut supply = native.supply();
        supply.last_consumed += 1;
        native.set_supply(&supply);
    }

    /// Whether gas is left for a transaction with this limit.
    pub fn has_room(&self, gas_limit: u64) -> bool {
        self.gas_used
            .checked_add(gas_limit)
            .is_some_and(|sum| sum <= self.gas_limit)
    }

    /// Whether the outbox takes another unlock.
    pub fn has_unlock_room(&self) -> bool {
        self.evm.ctx.chain.has_outbox_room()
    }

    /// The sender's next nonce as of now.
    pub fn nonce(&mut self, sender: Address) -> u64 {
        let account = self.evm.ctx.db_mut().basic(sender);
        account
            .expect("a state in memory has no errors")
            .map_or(0, |info| info.nonce)
    }

    /// Executes a transaction and takes its receipt, or refuses it and changes nothing.
    pub fn execute(&mut self, tx: &DeltaTx) -> Result<(), Refusal> {
        if !self.has_room(tx.env.gas_limit) {
            return Err(Refusal::Invalid(
                InvalidTransaction::CallerGasLimitMoreThanBlock,
            ));
        }
        let nonce = tx.env.nonce;
        let result = run(&mut self.evm, tx.env.clone(), Sender::Signed);
        // The journal is emptied either way; what a refused transaction has read is not a change.
        let changes = self.evm.ctx.journal_mut().finalize();
        let result = result?;
        self.evm.ctx.db_mut().commit(changes);

        self.gas_used += result.tx_gas_used();
        let contract = (tx.env.kind.is_create()).then(|| tx.env.caller.create(nonce));
        let success = result.is_success();
        let gas_used = result.tx_gas_used();
        // Halts and reverts undo their logs.
        let logs = match result {
            ExecutionResult::Success { logs, .. } => logs,
            ExecutionResult::Revert { .. } | ExecutionResult::Halt { .. } => Vec::new(),
        };
        let first_log = self.logs;
        self.logs += u32::try_from(logs.len()).expect("gas bounds the logs of a block");
        self.receipts.push(Receipt {
            tx_type: tx.env.tx_type,
            from: tx.env.caller,
            to: tx.env.kind.into_to(),
            success,
            gas_used,
            cumulative_gas_used: self.gas_used,
            effective_gas_price_wei: tx.env.effective_gas_price(u128::from(self.base_fee_wei)),
            contract,
            first_log,
            logs,
        });
        Ok(())
    }

    pub fn finish(mut self) -> BlockResult<'a> {
        let state = self.evm.ctx.db_mut();
        state.merge_transitions(BundleRetention::PlainState);
        let bundle = state.take_bundle();
        BlockResult {
            bundle,
            native: self.evm.ctx.chain,
            gas_used: self.gas_used,
            receipts: self.receipts,
        }
    }
}
