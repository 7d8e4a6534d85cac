//! Methods about the chain and its blocks.

use super::objects::{self, Position, quantity};
use super::params::BlockRef;
use super::{Answer, Arguments, Rpc, RpcError, method};
use crate::history;
use adnet_common::chain_id::ChainId;
use adnet_common::hash::Hash;
use adnet_common::ledger::{self, CommittedBlock};
use adnet_common::store::ReadStore;
use adnet_common::worker::Snapshot;
use alloy_primitives::{B256, keccak256};
use jsonrpsee::RpcModule;
use jsonrpsee::types::Params;
use serde_json::{Value, json};
use std::sync::Arc;

use crate::DeltaApp;

/// HTTP has no way back.
const SUBSCRIBE_NOTICE: &str = "notifications not supported: subscribe over WebSocket";

pub fn register(module: &mut RpcModule<Rpc>) {
    method(
        module,
        "eth_chainId",
        |rpc, _| async move { chain_id(&rpc) },
    );
    method(
        module,
        "net_version",
        |rpc, _| async move { net_version(&rpc) },
    );
    method(module, "net_listening", |_, _| async { Ok(json!(true)) });
    method(module, "web3_clientVersion", |_, _| async {
        Ok(json!(concat!(
            "adnet/v",
            env!("CARGO_PKG_VERSION"),
            "/delta"
        )))
    });
    method(
        module,
        "web3_sha3",
        |_, params| async move { sha3(&params) },
    );
    method(module, "eth_syncing", |_, _| async { Ok(json!(false)) });
    method(module, "eth_accounts", |_, _| async { Ok(json!([])) });
    method(module, "net_peerCount", |rpc, _| async move {
        Ok(json!(quantity(rpc.chain.peers().len() as u64)))
    });
    for name in ["eth_subscribe", "eth_unsubscribe"] {
        method(module, name, |_, _| async {
            Err(RpcError::numbered(-32601, SUBSCRIBE_NOTICE))
        });
    }
    method(module, "eth_blockNumber", |rpc, _| async move {
        Ok(json!(quantity(rpc.snapshot().status.height)))
    });
    method(module, "eth_getBlockByNumber", block_by_ref);
    method(module, "eth_getBlockByHash", block_by_hash);
    method(module, "eth_getBlockTransactionCountByNumber", count_by_ref);
    method(module, "eth_getBlockTransactionCountByHash", count_by_hash);
    method(module, "eth_getBlockReceipts", block_receipts);
    method(module, "eth_getUncleCountByBlockNumber", uncles_by_ref);
    method(module, "eth_getUncleCountByBlockHash", uncles_by_hash);
}

fn chain_id(rpc: &Rpc) -> Answer {
    Ok(json!(quantity(rpc.chain.rules().chain_id)))
}

fn net_version(rpc: &Rpc) -> Answer {
    Ok(json!(rpc.chain.rules().chain_id.to_string()))
}

fn sha3(params: &Params<'_>) -> Answer {
    let bytes: alloy_primitives::Bytes = Arguments::of(params).required()?;
    Ok(json!(keccak256(bytes)))
}

/// The height that a client means, if the chain has it.
pub fn height_of(
    store: &dyn ReadStore,
    snapshot: &Snapshot<DeltaApp>,
    block: BlockRef,
) -> Result<Option<u64>, RpcError> {
    let tip = snapshot.status.height;
    Ok(match block {
        BlockRef::Latest | BlockRef::Pending => Some(tip),
        BlockRef::Height(height) => (height <= tip).then_some(height),
        BlockRef::Hash(hash) => ledger::height_of(store, ChainId::Delta, &Hash(hash.0))?,
    })
}

/// The block that a client means, if the chain has it.
fn find(
    store: &dyn ReadStore,
    snapshot: &Snapshot<DeltaApp>,
    block: BlockRef,
) -> Result<Option<CommittedBlock>, RpcError> {
    let Some(height) = height_of(store, snapshot, block)? else {
        return Ok(None);
    };
    Ok(ledger::block_at(store, ChainId::Delta, height)?)
}

async fn block_by_ref(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    let mut arguments = Arguments::of(&params);
    let (block, full) = (
        arguments.required()?,
        arguments.optional()?.unwrap_or(false),
    );
    self::block(&rpc, block, full).await
}

async fn block_by_hash(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    let mut arguments = Arguments::of(&params);
    let (hash, full): (B256, _) = (
        arguments.required()?,
        arguments.optional()?.unwrap_or(false),
    );
    self::block(&rpc, BlockRef::Hash(hash), full).await
}

async fn block(rpc: &Rpc, block: BlockRef, full: bool) -> Answer {
    let snapshot = rpc.snapshot();
    rpc.read(move |store| -> Answer {
        let Some(committed) = find(store, &snapshot, block)? else {
            return Ok(Value::Null);
        };
        let height = committed.block.header.height;
        let figures = history::figures(store, height)?;
        if figures.is_none() && height > 0 {
            // The block of a snapshot was not executed here.
            return Ok(Value::Null);
        }
        let receipts = full
            .then(|| history::receipts_of(store, height))
            .transpose()?;
        let rules = &snapshot.view.rules;
        Ok(objects::block(
            rules,
            &committed,
            figures.as_ref(),
            receipts.as_deref(),
        ))
    })
    .await
}

async fn count_by_ref(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    let block = Arguments::of(&params).required()?;
    count(&rpc, block).await
}

async fn count_by_hash(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    let hash: B256 = Arguments::of(&params).required()?;
    count(&rpc, BlockRef::Hash(hash)).await
}

async fn count(rpc: &Rpc, block: BlockRef) -> Answer {
    let snapshot = rpc.snapshot();
    let found = rpc.read(move |store| find(store, &snapshot, block)).await?;
    Ok(json!(found.map(|committed| quantity(
        committed.block.body.txs.len() as u64
    ))))
}

/// There are no uncles, but only a block that exists has none.
async fn uncles_by_ref(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    let count = count_by_ref(rpc, params).await?;
    Ok(if count.is_null() { count } else { json!("0x0") })
}

async fn uncles_by_hash(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    let count = count_by_hash(rpc, params).await?;
    Ok(if count.is_null() { count } else { json!("0x0") })
}

async fn block_receipts(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    let block = Arguments::of(&params).required()?;
    let snapshot = rpc.snapshot();
    rpc.read(move |store| -> Answer {
        let Some(committed) = find(store, &snapshot, block)? else {
            return Ok(Value::Null);
        };
        let header = &committed.block.header;
        let receipts = history::receipts_of(store, header.height)?;
        let block_hash = committed.block.hash();
        let txs = committed.block.body.txs.iter().zip(&receipts).enumerate();
        let each = txs.map(|(index, (raw, receipt))| {
            let at = Position {
                height: header.height,
                block_hash,
                time_ms: header.time_ms,
                index: index as u32,
            };
            objects::receipt(&at, &Hash(keccak256(raw).0), receipt)
        });
        Ok(each.collect())
    })
    .await
}
