//! Methods about the state as of the last block.

use super::chain::height_of;
use super::objects::quantity;
use super::params::{BlockRef, CallParams};
use super::{Answer, Arguments, Rpc, RpcError, method};
use crate::DeltaApp;
use crate::app::DeltaView;
use crate::evm::BlockPlace;
use crate::evm::simulate::{self, Call, Outcome};
use crate::state::Account;
use adnet_common::worker::Snapshot;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use alloy_trie::EMPTY_ROOT_HASH;
use jsonrpsee::RpcModule;
use jsonrpsee::types::Params;
use serde_json::json;
use std::sync::Arc;

/// Slots of one `eth_getProof`, at most.
const PROOF_SLOTS_MAX: usize = 256;

pub fn register(module: &mut RpcModule<Rpc>) {
    method(module, "eth_getBalance", balance);
    method(module, "eth_getCode", code);
    method(module, "eth_getStorageAt", storage);
    method(module, "eth_getTransactionCount", nonce);
    method(module, "eth_getProof", proof);
    method(module, "eth_call", call);
    method(module, "eth_estimateGas", estimate);
}

/// The last snapshot, if `block` means its block.
async fn snapshot_at(rpc: &Rpc, block: BlockRef) -> Result<Arc<Snapshot<DeltaApp>>, RpcError> {
    let snapshot = rpc.snapshot();
    if matches!(block, BlockRef::Latest | BlockRef::Pending) {
        return Ok(snapshot);
    }
    let asked = Arc::clone(&snapshot);
    let height = rpc
        .read(move |store| height_of(store, &asked, block))
        .await?;
    match height {
        Some(height) if height == snapshot.status.height => Ok(snapshot),
        Some(height) => {
            let message = format!("historical state is not kept: block {height} is not the latest");
            Err(RpcError::server(message))
        }
        None => Err(RpcError::server("header not found")),
    }
}

async fn account(rpc: &Rpc, params: &Params<'_>) -> Result<Option<Account>, RpcError> {
    let (address, block) = {
        let mut arguments = Arguments::of(params);
        (arguments.required::<Address>()?, arguments.block()?)
    };
    let snapshot = snapshot_at(rpc, block).await?;
    Ok(snapshot.view.state.account(&address).cloned())
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
fn slot_of(text: &str) -> Result<U256, RpcError> {
    let digits = text.strip_prefix("0x").filter(|digits| digits.len() <= 64);
    let slot = digits.and_then(|digits| {
        if digits.is_empty() {
            Some(U256::ZERO)
        } else {
            U256::from_str_radix(digits, 16).ok()
        }
    });
    slot.ok_or_else(|| RpcError::invalid_params("invalid argument: a storage slot has 32 bytes"))
}

async fn storage(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    let (address, slot, block) = {
        let mut arguments = Arguments::of(&params);
        let address: Address = arguments.required()?;
        let slot: String = arguments.required()?;
        (address, slot_of(&slot)?, arguments.block()?)
    };
    let snapshot = snapshot_at(&rpc, block).await?;
    let value = snapshot.view.state.storage(&address, &slot);
    Ok(json!(B256::from(value)))
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
    let snapshot = snapshot_at(&rpc, block).await?;
    let state = &snapshot.view.state;
    let account = state.account(&address);
    let each = slots.iter().map(|text| {
        let slot = slot_of(text)?;
        let value = account.map_or(U256::ZERO, |account| account.slot(&slot));
        let nodes = account.map_or(Vec::new(), |account| account.storage_proof(&slot));
        Ok(json!({ "key": text, "value": value, "proof": nodes }))
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

/// The call, the snapshot it runs on, and the block it runs in.
async fn prepare(
    rpc: &Rpc,
    params: &Params<'_>,
) -> Result<(Arc<DeltaView>, BlockPlace, Call), RpcError> {
    let (call, block) = {
        let mut arguments = Arguments::of(params);
        let call: CallParams = arguments.required()?;
        let block = arguments.block()?;
        let overrides: Option<serde_json::Map<String, serde_json::Value>> = arguments.optional()?;
        if overrides.is_some_and(|overrides| !overrides.is_empty()) {
            return Err(RpcError::invalid_params(
                "state overrides are not supported",
            ));
        }
        (call.into_call()?, block)
    };
    let snapshot = snapshot_at(rpc, block).await?;
    let status = &snapshot.status;
    let time_ms = status
        .block_time_ms
        .saturating_add(status.block_interval_ms);
    let place = simulate::next_place(&snapshot.view, status.block_hash, time_ms);
    Ok((Arc::clone(&snapshot.view), place, call))
}

/// Runs a simulation on a thread that may block, in one of the bounded slots.
async fn simulated<T: Send + 'static>(
    rpc: &Rpc,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, RpcError> {
    let done = rpc.calls.run(tokio::task::spawn_blocking(work)).await?;
    done.map_err(|error| RpcError::internal(&error))
}

async fn call(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    let (view, place, call) = prepare(&rpc, &params).await?;
    match simulated(&rpc, move || simulate::call(&view, &place, &call)).await?? {
        Outcome::Success { output, .. } => Ok(json!(output)),
        Outcome::Revert { output } => Err(RpcError::reverted(output)),
        Outcome::Halt { reason, .. } => Err(RpcError::server(reason)),
    }
}

async fn estimate(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    let (view, place, call) = prepare(&rpc, &params).await?;
    let gas = simulated(&rpc, move || simulate::estimate(&view, &place, &call)).await??;
    Ok(json!(quantity(gas)))
}
