//! What a simulation supposes to be different from the state and the block that it runs on.

use super::DeltaEvm;
use crate::programs::is_program;
use crate::state::account::slot_path;
use crate::state::{Account, Code, WorldState};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use revm::bytecode::Bytecode;
use std::collections::BTreeMap;

/// An account as it is supposed to be; what is absent stays as it is.
#[derive(Clone, Debug, Default)]
pub struct AccountOverride {
    pub balance: Option<U256>,
    pub nonce: Option<u64>,
    pub code: Option<Bytes>,
    /// All of the storage.
    pub storage: Option<BTreeMap<U256, U256>>,
    /// Some slots of it.
    pub slots: BTreeMap<U256, U256>,
}

pub type StateOverrides = BTreeMap<Address, AccountOverride>;

/// The block as it is supposed to be.
#[derive(Clone, Debug, Default)]
pub struct BlockOverrides {
    pub number: Option<u64>,
    /// In seconds.
    pub time_s: Option<u64>,
    pub gas_limit: Option<u64>,
    pub fee_recipient: Option<Address>,
    pub prev_randao: Option<B256>,
    pub base_fee_wei: Option<u64>,
}

/// Balances add up in 256 bits whatever a simulation supposes: nobody needs more than this.
const BALANCE_MAX: U256 = U256::from_limbs([u64::MAX, u64::MAX, u64::MAX, 0xffff_ffff]);

/// Why an override cannot be supposed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Impossible {
    #[error("the code of {address} is no code: {problem}")]
    Code { address: Address, problem: String },
    #[error("{0} is an account of the system: native code relies on what it holds")]
    System(Address),
}

/// Changes `state`, which is a version of its own, as supposed.
pub fn suppose(state: &mut WorldState, overrides: &StateOverrides) -> Result<(), Impossible> {
    // Nobody stores a supposed state.
    let mut writes = Vec::new();
    for (address, supposed) in overrides {
        if is_program(address) {
            return Err(Impossible::System(*address));
        }
        let mut account = state.account(address).cloned().unwrap_or_default();
        change(&mut account, supposed).map_err(|problem| Impossible::Code {
            address: *address,
            problem,
        })?;
        state.set_account(address, account, &mut writes);
        writes.clear();
    }
    Ok(())
}

fn change(account: &mut Account, supposed: &AccountOverride) -> Result<(), String> {
    if let Some(balance) = supposed.balance {
        account.balance = balance.min(BALANCE_MAX);
    }
    if let Some(nonce) = supposed.nonce {
        account.nonce = nonce;
    }
    if let Some(code) = &supposed.code {
        let bytecode = Bytecode::new_raw_checked(code.clone());
        let bytecode = bytecode.map_err(|error| error.to_string())?;
        account.code = Code::new(keccak256(code), bytecode);
    }
    if let Some(storage) = &supposed.storage {
        account.clear_storage();
        set_slots(account, storage);
    }
    set_slots(account, &supposed.slots);
    Ok(())
}

fn set_slots(account: &mut Account, slots: &BTreeMap<U256, U256>) {
    for (slot, value) in slots {
        account.set_slot(&slot_path(slot), *value);
    }
}

impl BlockOverrides {
    /// Changes the block that the EVM runs in. The number does not change what BLOCKHASH knows.
    pub(super) fn apply(&self, evm: &mut DeltaEvm<'_>) {
        let block = &mut evm.ctx.block;
        if let Some(number) = self.number {
            block.number = U256::from(number);
        }
        if let Some(time_s) = self.time_s {
            block.timestamp = U256::from(time_s);
        }
        if let Some(gas_limit) = self.gas_limit {
            block.gas_limit = gas_limit;
        }
        if let Some(recipient) = self.fee_recipient {
            block.beneficiary = recipient;
        }
        if self.prev_randao.is_some() {
            block.prevrandao = self.prev_randao;
        }
        if let Some(base_fee_wei) = self.base_fee_wei {
            block.basefee = base_fee_wei;
        }
    }
}
