//! Methods about transactions.

use super::objects::{self, Position};
use super::params::BlockRef;
use super::pool;
use super::{Answer, Arguments, Rpc, RpcError, Tip, block_hash, method};
use crate::history::receipt::Receipt;
use crate::history::{self, Place};
use adnet_common::chain_id::ChainId;
use adnet_common::hash::Hash;
use adnet_common::ledger;
use adnet_common::store::ReadStore;
use alloy_primitives::{B256, Bytes, U256, keccak256};
use jsonrpsee::RpcModule;
use jsonrpsee::types::Params;
use serde_json::{Value, json};
use std::sync::Arc;

pub fn register(module: &mut RpcModule<Rpc>) {
    method(module, "eth_sendRawTransaction", send_raw);
    method(module, "eth_getTransactionByHash", by_hash);
    method(
        module,
        "eth_getTransactionByBlockNumberAndIndex",
        by_ref_and_index,
    );
    method(
        module,
        "eth_getTransactionByBlockHashAndIndex",
        by_block_hash_and_index,
    );
    method(module, "eth_getRawTransactionByHash", raw_by_hash);
    method(module, "eth_getTransactionReceipt", receipt);
}

async fn send_raw(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    let raw: Bytes = Arguments::of(&params).required()?;
    // The id is the hash of the bytes, whatever they are.
    let id = Hash(keccak256(&raw).0);
    match rpc.chain.submit(raw.to_vec()).await {
        Ok(sent) if sent.is_new => Ok(json!(B256::new(sent.id.0))),
        Ok(_) => Err(RpcError::server("already known")),
        Err(error) if error.code == "NONCE_TOO_LOW" => {
            let place = rpc.read(move |store| history::place_of(store, &id)).await?;
            let error = place.map_or(error.into(), |_| RpcError::server("already known"));
            Err(error)
        }
        Err(error) => Err(error.into()),
    }
}

/// A transaction of a block.
struct Found {
    at: Position,
    raw: Vec<u8>,
    receipt: Receipt,
}

impl Found {
    fn object(&self) -> Value {
        let tx = objects::committed_tx(&self.raw);
        objects::transaction(&tx, self.receipt.from, Some((&self.at, &self.receipt)))
    }
}

fn at(store: &dyn ReadStore, place: Place) -> Result<Option<Found>, RpcError> {
    let Some(committed) = ledger::block_at(store, ChainId::Delta, place.height)? else {
        return Ok(None);
    };
    let index = usize::try_from(place.index).unwrap_or(usize::MAX);
    let raw = committed.block.body.txs.get(index).cloned();
    let (Some(raw), Some(receipt)) = (raw, history::receipt_at(store, place)?) else {
        return Ok(None);
    };
    let at = Position {
        height: place.height,
        block_hash: committed.block.hash(),
        time_ms: committed.block.header.time_ms,
        index: place.index,
    };
    Ok(Some(Found { at, raw, receipt }))
}

fn stored(store: &dyn ReadStore, id: &Hash) -> Result<Option<Found>, RpcError> {
    match history::place_of(store, id)? {
        Some(place) => at(store, place),
        None => Ok(None),
    }
}

async fn committed(rpc: &Rpc, id: Hash) -> Result<Option<Found>, RpcError> {
    rpc.read(move |store| stored(store, &id)).await
}

/// A transaction of a block.
pub fn stored_transaction(store: &dyn ReadStore, id: &Hash) -> Answer {
    let found = stored(store, id)?;
    Ok(found.map_or(Value::Null, |found| found.object()))
}

async fn by_hash(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    let id: B256 = Arguments::of(&params).required()?;
    let id = Hash(id.0);
    if let Some(found) = committed(&rpc, id).await? {
        return Ok(found.object());
    }
    if let Some(pending) = rpc.chain.pending(id).await {
        return Ok(pool::object(&pending.raw, &pending.sender));
    }
    // It may have become final between the two looks.
    let found = committed(&rpc, id).await?;
    Ok(found.map_or(Value::Null, |found| found.object()))
}

async fn raw_by_hash(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    let id: B256 = Arguments::of(&params).required()?;
    let id = Hash(id.0);
    if let Some(pending) = rpc.chain.pending(id).await {
        return Ok(json!(Bytes::from(pending.raw)));
    }
    let found = committed(&rpc, id).await?;
    Ok(found.map_or(Value::Null, |found| json!(Bytes::from(found.raw))))
}

async fn by_ref_and_index(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    let (block, index) = {
        let mut arguments = Arguments::of(&params);
        (
            arguments.required::<BlockRef>()?,
            arguments.required::<U256>()?,
        )
    };
    by_index(&rpc, block, index).await
}

async fn by_block_hash_and_index(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    let (hash, index) = {
        let mut arguments = Arguments::of(&params);
        (arguments.required::<B256>()?, arguments.required::<U256>()?)
    };
    by_index(&rpc, BlockRef::Hash(hash), index).await
}

async fn by_index(rpc: &Rpc, block: BlockRef, index: U256) -> Answer {
    let tip = Tip::of(&rpc.snapshot());
    rpc.read(move |store| stored_by_index(store, tip, block, index))
        .await
}

/// The transaction at a place in a block.
pub fn stored_by_index(store: &dyn ReadStore, tip: Tip, block: BlockRef, index: U256) -> Answer {
    let height = super::chain::height_of(store, tip, block)?;
    let (Some(height), Ok(index)) = (height, u32::try_from(index)) else {
        return Ok(Value::Null);
    };
    let found = at(store, Place { height, index })?;
    Ok(found.map_or(Value::Null, |found| found.object()))
}

async fn receipt(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    let id: B256 = Arguments::of(&params).required()?;
    let id = Hash(id.0);
    let tip = Tip::of(&rpc.snapshot());
    rpc.read(move |store| stored_receipt(store, tip, &id)).await
}

/// The receipt of a transaction of a block.
pub fn stored_receipt(store: &dyn ReadStore, tip: Tip, id: &Hash) -> Answer {
    let Some(place) = history::place_of(store, id)? else {
        return Ok(Value::Null);
    };
    // A block that is durable but not shown yet is not there yet.
    if place.height > tip.height {
        return Ok(Value::Null);
    }
    let hash = block_hash(store, tip, place.height)?;
    let figures = history::figures(store, place.height)?;
    let receipt = history::receipt_at(store, place)?;
    let (Some(block_hash), Some(figures), Some(receipt)) = (hash, figures, receipt) else {
        return Ok(Value::Null);
    };
    let Place { height, index } = place;
    let at = Position {
        height,
        block_hash,
        time_ms: figures.time_ms,
        index,
    };
    Ok(objects::receipt(&at, id, &receipt))
}
