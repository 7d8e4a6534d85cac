//! The state of height 0: the genesis' accounts and the system accounts, with what they begin with.

use crate::attest::{ATTEST_ADDRESS, FEE_POOL_ADDRESS, wei};
use crate::programs::{DX_ADDRESS, PROGRAMS, dx};
use crate::rules::Rules;
use crate::state::trie::Trie;
use crate::state::{Account, Code, WorldState, leaves};
use crate::validators;
use adnet_common::genesis::Genesis;
use adnet_common::store::Write;
use adnet_common::supply::DeltaSupply;
use adnet_common::validators::Validators;
use alloy_primitives::{Address, Bytes, U256};
use revm::bytecode::Bytecode;
use std::collections::BTreeMap;

/// INVALID: what would run where native code answers, or where nothing may.
const NO_CODE: &[u8] = &[0xfe];

pub fn state(genesis: &Genesis) -> (WorldState, Vec<Write>) {
    let rules = Rules::new(genesis);
    let mut state = WorldState::default();
    let mut writes = Vec::new();

    let bytecode = Bytecode::new_legacy(Bytes::from_static(NO_CODE));
    let code = Code::new(bytecode.hash_slow(), bytecode).expect("0xfe is not the empty code");
    writes.push(leaves::put_code(&code.hash(), NO_CODE));
    // Nonce 1 and code keep a system account from being pruned as empty (EIP-161), and let
    // Solidity's check that a callee has code pass.
    let system = Account::new(1, U256::ZERO, Some(code), Trie::default());

    let mut accounts = BTreeMap::from(PROGRAMS.map(|address| (address, system.clone())));
    let mut minted_total_units = 0u64;
    for account in &genesis.delta.accounts {
        let units = account.balance_units;
        let total = minted_total_units.checked_add(units);
        minted_total_units = total.expect("a valid genesis has a supply that fits u64");
        accounts
            .entry(Address::new(account.address.0))
            .or_default()
            .balance += wei(units);
    }
    for (address, account) in accounts {
        if !account.is_empty() {
            state.set_account(&address, account, &mut writes);
        }
    }

    let supply = DeltaSupply {
        minted_total_units,
        ..DeltaSupply::default()
    };
    let base_fee_wei = rules.base_fee_initial_wei.max(rules.min_base_fee_wei);
    let mut words = vec![
        (
            ATTEST_ADDRESS,
            U256::ZERO,
            U256::from_be_bytes(supply.encode()),
        ),
        (FEE_POOL_ADDRESS, U256::ZERO, U256::from(base_fee_wei)),
    ];
    let owners = genesis.delta.dx_accounts.iter();
    let owners = owners.map(|owner| (Address::new(owner.address.0), owner.balance_units));
    let dx = dx::genesis_words(owners).into_iter();
    words.extend(dx.map(|(slot, word)| (DX_ADDRESS, slot, word)));
    for (address, slot, word) in words {
        if !word.is_zero() {
            state.set_slot(&address, slot, word, &mut writes);
        }
    }
    let validators = genesis.validator_set();
    let validators = Validators::genesis(validators.expect("a valid genesis has validators"));
    validators::write(&mut state, None, &validators, &mut writes);
    (state, writes)
}
