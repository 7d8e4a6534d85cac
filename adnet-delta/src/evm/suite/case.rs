//! One transaction of a state test, by the very code that executes a block's transactions.
//!
//! What the chain decides and Ethereum decides otherwise is set to Ethereum's here, and nothing else:
//! the fork, the block's environment, and what is burned. Our fee pool gets the whole price, and what a
//! contract that destroys itself leaves; on Ethereum the base fee's part and this are burned, so they
//! are taken away again afterwards.

use super::fixture::{Env, Outcome, PreAccount, StateTest};
use crate::attest::FEE_POOL_ADDRESS;
use crate::evm::block::BlockRun;
use crate::evm::system::SystemPrecompiles;
use crate::evm::{BlockPlace, RecentHashes};
use crate::rules::Rules;
use crate::state::account::slot_path;
use crate::state::trie::Trie;
use crate::state::{Account, Code, WorldState};
use crate::transaction::recover::recover;
use crate::transaction::{self, DeltaTx};
use adnet_common::application::TxError;
use adnet_common::hash::Hash;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use revm::bytecode::Bytecode;
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::handler::instructions::EthInstructions;
use revm::primitives::eip4844::{
    BLOB_BASE_FEE_UPDATE_FRACTION_CANCUN, BLOB_BASE_FEE_UPDATE_FRACTION_PRAGUE,
};
use revm::primitives::hardfork::SpecId;
use std::collections::BTreeMap;

/// What our executor makes of a case.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    /// A blob transaction, refused by the decoder as such.
    Blob,
    Failed(String),
}

/// Executes `outcome`'s transaction and compares.
pub fn judge(spec: SpecId, test: &StateTest, outcome: &Outcome) -> Verdict {
    let rules = rules(&test.env);
    let state = before(&test.pre);
    let tx = match decode(&rules, &outcome.txbytes) {
        Err(error) if error.code == "UNSUPPORTED_TX_TYPE" => return Verdict::Blob,
        decoded => decoded.map_err(|error| error.to_string()),
    };
    let executed = tx.and_then(|tx| execute(spec, &rules, &test.env, &state, &tx));
    let (after, logs) = match (&executed, &outcome.exception) {
        (Ok(_), Some(expected)) => {
            return Verdict::Failed(format!("it was executed, and {expected} was expected"));
        }
        (Err(refusal), None) => return Verdict::Failed(format!("it was refused: {refusal}")),
        (Err(_), Some(_)) => (&state, keccak256(alloy_rlp::encode(Vec::<u8>::new()))),
        (Ok((after, logs)), None) => (after, *logs),
    };
    if logs != outcome.logs {
        return Verdict::Failed(format!("the logs hash to {logs}, not {}", outcome.logs));
    }
    let root = after.root();
    if root != outcome.hash {
        return Verdict::Failed(format!("the root is {root}, not {}", outcome.hash));
    }
    Verdict::Passed
}

fn u64_of(number: U256) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn rules(env: &Env) -> Rules {
    Rules {
        chain_id: 1,
        block_gas_limit: u64_of(env.current_gas_limit),
        tx_gas_limit: u64::MAX,
        min_base_fee_wei: 0,
        ..Rules::new(&crate::app::tests::dev_genesis())
    }
}

/// The state before, with accounts that hold nothing as well: some tests begin with such.
fn before(pre: &BTreeMap<Address, PreAccount>) -> WorldState {
    let accounts = pre.iter().map(|(address, pre)| {
        let bytecode = Bytecode::new_raw(pre.code.clone());
        let code = Code::new(bytecode.hash_slow(), bytecode);
        let account = Account::new(u64_of(pre.nonce), pre.balance, code, Trie::default());
        let slots = pre.storage.iter();
        let account = slots.fold(account, |mut account, (slot, value)| {
            account.set_slot(&slot_path(slot), *value);
            account
        });
        (keccak256(address), account)
    });
    WorldState::of_leaves(accounts)
}

/// By the rules of the chain, but for transactions without a chain id, which it does not take.
fn decode(rules: &Rules, raw: &Bytes) -> Result<DeltaTx, TxError> {
    match transaction::verify(rules, raw) {
        Err(error) if error.code == "CHAIN_ID_REQUIRED" => {
            let envelope = transaction::decode(raw)?;
            let signature = envelope.signature();
            let (digest, odd) = (envelope.signature_hash(), signature.v());
            let sender = recover(&digest, odd, signature.r(), signature.s());
            let sender = sender.map_err(|e| TxError::new("INVALID_SIGNATURE", e.to_string()))?;
            let env = transaction::environment(&envelope, sender);
            Ok(DeltaTx::new(env))
        }
        verified => Ok(verified?.inner),
    }
}

/// The state after the transaction and the hash of its logs, or why it was refused.
fn execute(
    spec: SpecId,
    rules: &Rules,
    env: &Env,
    state: &WorldState,
    tx: &DeltaTx,
) -> Result<(WorldState, B256), String> {
    let number = u64_of(env.current_number);
    let base_fee_wei = env.current_base_fee.map_or(0, u64_of);
    let place = BlockPlace {
        height: number,
        time_ms: 0,
        parent: hash_of(number.saturating_sub(1)),
        base_fee_wei,
    };
    let hashes = (number.saturating_sub(256)..number.saturating_sub(1))
        .fold(RecentHashes::default(), |hashes, height| {
            hashes.with(height, hash_of(height))
        });
    let mut run = BlockRun::new(rules, state, &hashes, &place);
    let block = &mut run.evm.ctx.block;
    block.beneficiary = env.current_coinbase;
    block.timestamp = env.current_timestamp;
    block.prevrandao = Some(env.current_random.unwrap_or_default());
    block.blob_excess_gas_and_price = Some(BlobExcessGasAndPrice::new(
        env.current_excess_blob_gas.map_or(0, u64_of),
        if spec >= SpecId::PRAGUE {
            BLOB_BASE_FEE_UPDATE_FRACTION_PRAGUE
        } else {
            BLOB_BASE_FEE_UPDATE_FRACTION_CANCUN
        },
    ));
    run.evm.ctx.cfg.set_spec_and_mainnet_gas_params(spec);
    run.evm.instruction = EthInstructions::new_mainnet_with_spec(spec);
    run.evm.precompiles = SystemPrecompiles::new(spec);

    run.execute(tx).map_err(|refusal| refusal.to_string())?;
    let result = run.finish();
    let logs = keccak256(alloy_rlp::encode(&result.receipts[0].logs));
    let mut after = state.clone();
    after.apply_bundle(result.bundle, &mut Vec::new());
    let burned = U256::from(base_fee_wei) * U256::from(result.gas_used);
    // One that destroyed itself lost its reward with it.
    if let Some(beneficiary) = after.account(&env.current_coinbase) {
        let mut beneficiary = beneficiary.clone();
        let left = beneficiary.balance.checked_sub(burned);
        beneficiary.balance = left.expect("it was paid at least that much");
        after.set_account(&env.current_coinbase, beneficiary, &mut Vec::new());
    }
    // What a contract that destroys itself would take out of the world is the fee pool's here.
    let pool = state
        .account(&FEE_POOL_ADDRESS)
        .cloned()
        .unwrap_or_default();
    after.set_account(&FEE_POOL_ADDRESS, pool, &mut Vec::new());
    Ok((after, logs))
}

/// State tests have no blocks before: BLOCKHASH gives the hash of the number in decimal digits.
fn hash_of(height: u64) -> Hash {
    Hash(keccak256(height.to_string()).0)
}
