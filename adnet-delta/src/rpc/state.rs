//! Methods about the state as of the last blocks.

use super::chain::height_of;
use super::objects::quantity;
use super::params::BlockRef;
use super::simulations::Moment;
use super::{Answer, Arguments, Rpc, RpcError, Tip, method};
use crate::history;
use crate::state::Account;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use alloy_trie::EMPTY_ROOT_HASH;
use jsonrpsee::RpcModule;
use jsonrpsee::types::Params;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Slots of one `eth_getProof`, at most.
const PROOF_SLOTS_MAX: usize = 256;
/// Slots of one `eth_getStorageValues`, at most.
const STORAGE_SLOTS_MAX: usize = 1_024;

pub fn register(module: &mut RpcModule<Rpc>) {
    method(module, "eth_getBalance", balance);
    method(module, "eth_getCode", code);
    method(module, "eth_getStorageAt", storage);
    method(module, "eth_getTransactionCount", nonce);
    method(module, "eth_getProof", proof);
    method(module, "eth_getStorageValues", storage_values);
}

/// The state after the block that is meant, if it is kept: an error otherwise, never another state.
pub async fn state_at(rpc: &Rpc, block: BlockRef) -> Result<Moment, RpcError> {
    let snapshot = rpc.snapshot();
    let latest = || {
        let status = &snapshot.status;
        let next_time_ms = status
            .block_time_ms
            .saturating_add(status.block_interval_ms);
        Moment {
            view: Arc::clone(&snapshot.view),
            block_hash: status.block_hash,
            next_time_ms,
        }
    };
    if matches!(block, BlockRef::Latest | BlockRef::Pending) {
        return Ok(latest());
    }
    let tip = Tip::of(&snapshot);
    let height = rpc.read(move |store| height_of(store, tip, block)).await?;
    let height = height.ok_or_else(no_header)?;
    if height == snapshot.status.height {
        return Ok(latest());
    }
    let pruned = || not_kept(height, snapshot.view.first_kept());
    let view = snapshot.view.at(height).ok_or_else(pruned)?;
    let block_hash = snapshot.view.hashes.get(height);
    let next = rpc
        .read(move |store| history::figures(store, height + 1))
        .await?;
    Ok(Moment {
        view,
        block_hash: block_hash.ok_or_else(pruned)?,
        next_time_ms: next.ok_or_else(pruned)?.time_ms,
    })
}

pub fn no_header() -> RpcError {
    RpcError::server("header not found")
}

fn not_kept(height: u64, first: u64) -> RpcError {
    RpcError::pruned(format!(
        "historical state is not kept: block {height} is before block {first}, the first whose state is here"
    ))
}

async fn account(rpc: &Rpc, params: &Params<'_>) -> Result<Option<Account>, RpcError> {
    let (address, block) = {
        let mut arguments = Arguments::of(params);
        (arguments.required::<Address>()?, arguments.block()?)
    };
    let moment = state_at(rpc, block).await?;
    Ok(moment.view.state.account(&address).cloned())
}

async fn balance(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    let account = account(&rpc, &params).await?;
    Ok(json!(account.map_or(U256::ZERO, |account| account.balance)))
}

async fn code(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    let code = account(&rpc, &params)
        .await?
        .and_then(|account| account.code);
    Ok(json!(code.map_or(Bytes::new(), |code| code.bytes())))
}

async fn nonce(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    let (address, block) = {
        let mut arguments = Arguments::of(&params);
        (arguments.required::<Address>()?, arguments.block()?)
    };
    let committed = account(&rpc, &params)
        .await?
        .map_or(0, |account| account.nonce);
    let waiting = if block == BlockRef::Pending {
        rpc.chain.next_nonce(address.into_word().0).await
    } else {
        None
    };
    Ok(json!(quantity(waiting.unwrap_or(0).max(committed))))
}

/// A slot as clients write it: a quantity, or 32 bytes.
pub fn slot_of(text: &str) -> Result<U256, RpcError> {
    let wrong = |why| RpcError::invalid_params(format!("{why}: {text:?}"));
    let digits = text
        .strip_prefix("0x")
        .ok_or_else(|| wrong("invalid hex in storage key"))?;
    if digits.len() > 64 {
        return Err(wrong("storage key too long (want at most 32 bytes)"));
    }
    if digits.is_empty() {
        return Ok(U256::ZERO);
    }
    U256::from_str_radix(digits, 16).map_err(|_| wrong("invalid hex in storage key"))
}

async fn storage(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    let (address, slot, block) = {
        let mut arguments = Arguments::of(&params);
        let address: Address = arguments.required()?;
        let slot: String = arguments.required()?;
        (address, slot_of(&slot)?, arguments.block()?)
    };
    let moment = state_at(&rpc, block).await?;
    let value = moment.view.state.storage(&address, &slot);
    Ok(json!(B256::from(value)))
}

/// Slots of several accounts at once.
async fn storage_values(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    let (asked, block) = {
        let mut arguments = Arguments::of(&params);
        let asked: BTreeMap<Address, Vec<String>> = arguments.required()?;
        (asked, arguments.block()?)
    };
    let slots: usize = asked.values().map(Vec::len).sum();
    if asked.is_empty() {
        return Err(RpcError::invalid_params("empty request"));
    }
    if slots > STORAGE_SLOTS_MAX {
        let message = format!("at most {STORAGE_SLOTS_MAX} slots are read at once");
        return Err(RpcError::limit(message));
    }
    let moment = state_at(&rpc, block).await?;
    let mut values = serde_json::Map::new();
    for (address, slots) in &asked {
        let value = |text: &String| {
            let value = moment.view.state.storage(address, &slot_of(text)?);
            Ok(B256::from(value))
        };
        let of_account = slots
            .iter()
            .map(value)
            .collect::<Result<Vec<B256>, RpcError>>()?;
        values.insert(format!("{address:#x}"), json!(of_account));
    }
    Ok(values.into())
}

/// A key comes back as it was asked for: as a word, or as a number without leading zeros.
fn key_of(text: &str, slot: U256) -> serde_json::Value {
    if text.len() == 66 {
        json!(B256::from(slot))
    } else {
        json!(slot)
    }
}

async fn proof(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    let (address, slots, block) = {
        let mut arguments = Arguments::of(&params);
        let address: Address = arguments.required()?;
        let slots: Vec<String> = arguments.required()?;
        (address, slots, arguments.block()?)
    };
    if slots.len() > PROOF_SLOTS_MAX {
        return Err(RpcError::limit(format!(
            "at most {PROOF_SLOTS_MAX} slots are proved at once"
        )));
    }
    let moment = state_at(&rpc, block).await?;
    let state = &moment.view.state;
    let account = state.account(&address);
    let each = slots.iter().map(|text| {
        let slot = slot_of(text)?;
        let value = account.map_or(U256::ZERO, |account| account.slot(&slot));
        let nodes = account.map_or(Vec::new(), |account| account.storage_proof(&slot));
        Ok(json!({ "key": key_of(text, slot), "value": value, "proof": nodes }))
    });
    let storage_proof = each.collect::<Result<Vec<_>, RpcError>>()?;
    Ok(json!({
        "address": address,
        "accountProof": state.account_proof(&address),
        "balance": account.map_or(U256::ZERO, |account| account.balance),
        "nonce": quantity(account.map_or(0, |account| account.nonce)),
        "codeHash": account.map_or(KECCAK256_EMPTY, Account::code_hash),
        "storageHash": account.map_or(EMPTY_ROOT_HASH, Account::storage_root),
        "storageProof": storage_proof,
    }))
}
