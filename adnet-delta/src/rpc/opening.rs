//! JSON-RPC while the state is rebuilt after a start: what the store alone answers.
//!
//! Blocks, transactions and receipts are read as ever. Accounts and slots are read from the rows that the
//! state is rebuilt from, and are those of the last block; who asks for an earlier one is told to wait.
//! Nothing waits in the mempool yet. So each answer is the one that the open chain gives. Only that the rows
//! lead to the root of the last header is not known yet: a chain that finds that they do not never opens,
//! and ends the worker.

use super::chain::{self, height_of};
use super::objects::quantity;
use super::params::BlockRef;
use super::state::{no_header, slot_of};
use super::{Answer, Arguments, ReceiptRoots, RpcError, Tip, dispatch, method, transactions};
use crate::DeltaApp;
use crate::rules::Rules;
use crate::state::account::slot_path;
use crate::state::leaves::{self, AccountRow};
use adnet_common::hash::Hash;
use adnet_common::header::Header;
use adnet_common::store::ReadStore;
use adnet_common::worker;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use jsonrpsee::RpcModule;
use jsonrpsee::types::Params;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use std::sync::Arc;

const WAIT_FOR_EARLIER: &str = "the node is starting: ask for earlier states in a moment";

/// What the methods get.
pub struct Opening {
    rules: Rules,
    tip: Tip,
    receipt_roots: ReceiptRoots,
    reader: Arc<dyn ReadStore + Send + Sync>,
}

impl Opening {
    /// What there is to be read, if the chain has a block.
    pub fn of(opening: &worker::Opening<DeltaApp>) -> Option<Self> {
        let header: &Header = opening.tip.as_ref()?;
        let (height, hash) = (header.height, header.hash());
        Some(Self {
            rules: opening.rules,
            tip: Tip { height, hash },
            receipt_roots: ReceiptRoots::default(),
            reader: Arc::clone(&opening.reader),
        })
    }

    /// Reads the store on a thread that may block.
    async fn read(&self, work: impl FnOnce(&dyn ReadStore) -> Answer + Send + 'static) -> Answer {
        let reader = Arc::clone(&self.reader);
        let done = tokio::task::spawn_blocking(move || work(&*reader)).await;
        done.expect("reads of the store do not panic")
    }

    /// The row of an account as of the block that is meant, which must be the last.
    async fn account(
        &self,
        address: Address,
        block: BlockRef,
        make: impl FnOnce(&dyn ReadStore, Option<AccountRow>) -> Answer + Send + 'static,
    ) -> Answer {
        let tip = self.tip;
        self.read(move |store| {
            only_last(store, tip, block)?;
            let row = leaves::account(store, &keccak256(address))?;
            make(store, row)
        })
        .await
    }
}

fn only_last(store: &dyn ReadStore, tip: Tip, block: BlockRef) -> Result<(), RpcError> {
    if matches!(block, BlockRef::Latest | BlockRef::Pending) {
        return Ok(());
    }
    let height = height_of(store, tip, block)?.ok_or_else(no_header)?;
    match height == tip.height {
        true => Ok(()),
        false => Err(RpcError::limit(WAIT_FOR_EARLIER)),
    }
}

/// Whether all requests in a body can be answered. What is no request can be: by an error.
pub fn serves(module: &RpcModule<Opening>, body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Named {
        method: String,
    }
    let is_known = |request: &RawValue| {
        let named = serde_json::from_str::<Named>(request.get());
        named.map_or(true, |Named { method }| module.method(&method).is_some())
    };
    let Ok(text) = std::str::from_utf8(body) else {
        return true;
    };
    match dispatch::is_batch(text) {
        true => dispatch::batch(text).map_or(true, |all| all.iter().all(|one| is_known(one))),
        false => serde_json::from_str::<Box<RawValue>>(text).map_or(true, |one| is_known(&one)),
    }
}

/// The methods that need no more than the store.
pub fn module(opening: Opening) -> RpcModule<Opening> {
    let mut all = RpcModule::new(opening);
    chain::register_constants(&mut all);
    method(&mut all, "eth_chainId", |opening, _| async move {
        chain::chain_id(&opening.rules)
    });
    method(&mut all, "net_version", |opening, _| async move {
        chain::net_version(&opening.rules)
    });
    method(&mut all, "eth_blockNumber", |opening, _| async move {
        Ok(json!(quantity(opening.tip.height)))
    });
    register_blocks(&mut all);
    register_transactions(&mut all);
    method(&mut all, "eth_getBalance", balance);
    method(&mut all, "eth_getCode", code);
    method(&mut all, "eth_getStorageAt", storage);
    method(&mut all, "eth_getTransactionCount", nonce);
    all
}

fn register_blocks(all: &mut RpcModule<Opening>) {
    method(all, "eth_getBlockByNumber", |opening, params| async move {
        let mut arguments = Arguments::of(&params);
        let (block, full) = (arguments.required()?, arguments.optional()?);
        block_of(&opening, block, full).await
    });
    method(all, "eth_getBlockByHash", |opening, params| async move {
        let mut arguments = Arguments::of(&params);
        let (hash, full) = (arguments.required()?, arguments.optional()?);
        block_of(&opening, BlockRef::Hash(hash), full).await
    });
    method(
        all,
        "eth_getBlockTransactionCountByNumber",
        |opening, params| async move {
            let (tip, block) = (opening.tip, Arguments::of(&params).required()?);
            let count = move |store: &dyn ReadStore| chain::stored_count(store, tip, block);
            opening.read(count).await
        },
    );
    method(
        all,
        "eth_getBlockTransactionCountByHash",
        |opening, params| async move {
            let (tip, hash) = (opening.tip, Arguments::of(&params).required()?);
            let block = BlockRef::Hash(hash);
            let count = move |store: &dyn ReadStore| chain::stored_count(store, tip, block);
            opening.read(count).await
        },
    );
    method(all, "eth_getBlockReceipts", |opening, params| async move {
        let (tip, block) = (opening.tip, Arguments::of(&params).required()?);
        let receipts = move |store: &dyn ReadStore| chain::stored_receipts(store, tip, block);
        opening.read(receipts).await
    });
}

async fn block_of(opening: &Opening, block: BlockRef, full: Option<bool>) -> Answer {
    let (rules, tip, full) = (opening.rules, opening.tip, full.unwrap_or(false));
    let roots = opening.receipt_roots.clone();
    let read =
        move |store: &dyn ReadStore| chain::stored_block(store, &rules, &roots, tip, block, full);
    opening.read(read).await
}

fn register_transactions(all: &mut RpcModule<Opening>) {
    method(
        all,
        "eth_getTransactionByHash",
        |opening, params| async move {
            let id: B256 = Arguments::of(&params).required()?;
            let read =
                move |store: &dyn ReadStore| transactions::stored_transaction(store, &Hash(id.0));
            opening.read(read).await
        },
    );
    method(
        all,
        "eth_getTransactionByBlockNumberAndIndex",
        |opening, params| async move {
            let mut arguments = Arguments::of(&params);
            let (block, index): (BlockRef, U256) = (arguments.required()?, arguments.required()?);
            by_index(&opening, block, index).await
        },
    );
    method(
        all,
        "eth_getTransactionByBlockHashAndIndex",
        |opening, params| async move {
            let mut arguments = Arguments::of(&params);
            let (hash, index): (B256, U256) = (arguments.required()?, arguments.required()?);
            by_index(&opening, BlockRef::Hash(hash), index).await
        },
    );
    method(
        all,
        "eth_getTransactionReceipt",
        |opening, params| async move {
            let (tip, id): (Tip, B256) = (opening.tip, Arguments::of(&params).required()?);
            let read =
                move |store: &dyn ReadStore| transactions::stored_receipt(store, tip, &Hash(id.0));
            opening.read(read).await
        },
    );
}

async fn by_index(opening: &Opening, block: BlockRef, index: U256) -> Answer {
    let tip = opening.tip;
    let read = move |store: &dyn ReadStore| transactions::stored_by_index(store, tip, block, index);
    opening.read(read).await
}

fn address_and_block(params: &Params<'_>) -> Result<(Address, BlockRef), RpcError> {
    let mut arguments = Arguments::of(params);
    Ok((arguments.required()?, arguments.block()?))
}

async fn balance(opening: Arc<Opening>, params: Params<'static>) -> Answer {
    let (address, block) = address_and_block(&params)?;
    let make = |_: &dyn ReadStore, row: Option<AccountRow>| {
        Ok(json!(row.map_or(U256::ZERO, |row| row.balance)))
    };
    opening.account(address, block, make).await
}

async fn nonce(opening: Arc<Opening>, params: Params<'static>) -> Answer {
    let (address, block) = address_and_block(&params)?;
    let make = |_: &dyn ReadStore, row: Option<AccountRow>| {
        Ok(json!(quantity(row.map_or(0, |row| row.nonce))))
    };
    opening.account(address, block, make).await
}

async fn code(opening: Arc<Opening>, params: Params<'static>) -> Answer {
    let (address, block) = address_and_block(&params)?;
    let make = |store: &dyn ReadStore, row: Option<AccountRow>| {
        let hash = row.map_or(KECCAK256_EMPTY, |row| row.code_hash);
        let code = match hash {
            KECCAK256_EMPTY => Vec::new(),
            // The rebuilt state does not open without it.
            hash => leaves::code(store, &hash)
                .map_err(leaves::RowError::from)?
                .unwrap_or_default(),
        };
        Ok(json!(Bytes::from(code)))
    };
    opening.account(address, block, make).await
}

async fn storage(opening: Arc<Opening>, params: Params<'static>) -> Answer {
    let (address, slot, block) = {
        let mut arguments = Arguments::of(&params);
        let address: Address = arguments.required()?;
        let slot: String = arguments.required()?;
        (address, slot_of(&slot)?, arguments.block()?)
    };
    let tip = opening.tip;
    let read = move |store: &dyn ReadStore| -> Answer {
        only_last(store, tip, block)?;
        let value = leaves::slot(store, &keccak256(address), &slot_path(&slot))?;
        Ok(json!(B256::from(value)))
    };
    opening.read(read).await
}

#[cfg(test)]
mod tests;
