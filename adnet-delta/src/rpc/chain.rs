//! Methods about the chain and its blocks.

use super::dispatch::ANSWER_BYTES_MAX;
use super::objects::{self, Position, quantity};
use super::params::BlockRef;
use super::receipt_roots::ReceiptRoots;
use super::{Answer, Arguments, Rpc, RpcError, Tip, method};
use crate::history;
use crate::history::receipt::Receipt;
use crate::rules::Rules;
use adnet_common::chain_id::ChainId;
use adnet_common::hash::Hash;
use adnet_common::ledger::{self, CommittedBlock};
use adnet_common::store::ReadStore;
use alloy_primitives::{B256, keccak256};
use alloy_trie::EMPTY_ROOT_HASH;
use jsonrpsee::RpcModule;
use jsonrpsee::types::Params;
use serde_json::{Value, json};
use std::ops::ControlFlow;
use std::sync::Arc;

/// HTTP has no way back.
const SUBSCRIBE_NOTICE: &str = "notifications not supported: subscribe over WebSocket";

pub fn register(module: &mut RpcModule<Rpc>) {
    register_constants(module);
    method(module, "eth_chainId", |rpc, _| async move {
        chain_id(rpc.chain.rules())
    });
    method(module, "net_version", |rpc, _| async move {
        net_version(rpc.chain.rules())
    });
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

/// What needs nothing of the chain.
pub fn register_constants<C: Send + Sync + 'static>(module: &mut RpcModule<C>) {
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
}

pub fn chain_id(rules: &Rules) -> Answer {
    Ok(json!(quantity(rules.chain_id)))
}

pub fn net_version(rules: &Rules) -> Answer {
    Ok(json!(rules.chain_id.to_string()))
}

fn sha3(params: &Params<'_>) -> Answer {
    let bytes: alloy_primitives::Bytes = Arguments::of(params).required()?;
    Ok(json!(keccak256(bytes)))
}

/// The height that a client means, if the chain has it.
pub fn height_of(
    store: &dyn ReadStore,
    tip: Tip,
    block: BlockRef,
) -> Result<Option<u64>, RpcError> {
    Ok(match block {
        BlockRef::Latest | BlockRef::Pending => Some(tip.height),
        BlockRef::Height(height) => (height <= tip.height).then_some(height),
        BlockRef::Hash(hash) => ledger::height_of(store, ChainId::Delta, &Hash(hash.0))?,
    })
}

/// The block that a client means, if the chain has it.
fn find(
    store: &dyn ReadStore,
    tip: Tip,
    block: BlockRef,
) -> Result<Option<CommittedBlock>, RpcError> {
    let Some(height) = height_of(store, tip, block)? else {
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

/// Whole transactions take a slot: they are the largest answers there are, beside receipts. So does a root
/// of many receipts.
async fn block(rpc: &Rpc, block: BlockRef, full: bool) -> Answer {
    let (tip, rules) = (Tip::of(&rpc.snapshot()), *rpc.chain.rules());
    let roots = rpc.receipt_roots.clone();
    let mut slot = None;
    if full || takes_long(rpc, tip, block).await? {
        slot = Some(rpc.calls.take().await?);
    }
    rpc.read(move |store| {
        let _slot = slot;
        stored_block(store, &rules, &roots, tip, block, full)
    })
    .await
}

/// Whether the root of the block's receipts does.
async fn takes_long(rpc: &Rpc, tip: Tip, block: BlockRef) -> Result<bool, RpcError> {
    let roots = rpc.receipt_roots.clone();
    rpc.read(move |store| {
        let figures = match height_of(store, tip, block)? {
            Some(height) => history::figures(store, height)?,
            None => None,
        };
        Ok::<_, RpcError>(figures.is_some_and(|figures| roots.takes_long(&figures)))
    })
    .await
}

/// A block, with the hashes of its transactions or all of them.
pub fn stored_block(
    store: &dyn ReadStore,
    rules: &Rules,
    roots: &ReceiptRoots,
    tip: Tip,
    block: BlockRef,
    full: bool,
) -> Answer {
    let Some(committed) = find(store, tip, block)? else {
        return Ok(Value::Null);
    };
    let height = committed.block.header.height;
    let figures = history::figures(store, height)?;
    if figures.is_none() && height > 0 {
        // The block of a snapshot was not executed here.
        return Ok(Value::Null);
    }
    let receipts = full.then(|| receipts_for(store, &committed)).transpose()?;
    let root = figures.as_ref().map(|figures| roots.read(store, figures));
    Ok(objects::block(
        rules,
        &committed,
        figures.as_ref(),
        root.transpose()?.unwrap_or(EMPTY_ROOT_HASH),
        receipts.as_deref(),
    ))
}

/// The receipts that belong to whole transactions, without their logs, which nobody asks for here.
fn receipts_for(
    store: &dyn ReadStore,
    committed: &CommittedBlock,
) -> Result<Vec<Receipt>, RpcError> {
    let height = committed.block.header.height;
    let txs = committed.block.body.txs.iter();
    if txs.map(|raw| objects::tx_bytes(raw)).sum::<usize>() > ANSWER_BYTES_MAX {
        let message = format!(
            "block {height:#x} with all its transactions is larger than an answer may be (about {ANSWER_BYTES_MAX} bytes): ask for their hashes, and for each by its hash"
        );
        return Err(RpcError::limit(message));
    }
    let mut receipts = Vec::new();
    history::each_receipt(store, height, |mut receipt| {
        receipt.logs = Vec::new();
        receipts.push(receipt);
        ControlFlow::Continue(())
    })?;
    Ok(receipts)
}

/// All receipts of a block, if they fit an answer.
fn whole_receipts(store: &dyn ReadStore, height: u64) -> Result<Vec<Receipt>, RpcError> {
    let (mut receipts, mut bytes) = (Vec::new(), 0);
    history::each_receipt(store, height, |receipt| {
        bytes += objects::receipt_bytes(&receipt);
        if bytes > ANSWER_BYTES_MAX {
            return ControlFlow::Break(());
        }
        receipts.push(receipt);
        ControlFlow::Continue(())
    })?;
    if bytes > ANSWER_BYTES_MAX {
        let message = format!(
            "the receipts of block {height:#x} are larger than an answer may be (about {ANSWER_BYTES_MAX} bytes): ask for each by its transaction's hash, or for logs"
        );
        return Err(RpcError::limit(message));
    }
    Ok(receipts)
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
    let tip = Tip::of(&rpc.snapshot());
    rpc.read(move |store| stored_count(store, tip, block)).await
}

/// How many transactions a block has.
pub fn stored_count(store: &dyn ReadStore, tip: Tip, block: BlockRef) -> Answer {
    let found = find(store, tip, block)?;
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
    let tip = Tip::of(&rpc.snapshot());
    let slot = rpc.calls.take().await?;
    rpc.read(move |store| {
        let _slot = slot;
        stored_receipts(store, tip, block)
    })
    .await
}

/// All receipts of a block.
pub fn stored_receipts(store: &dyn ReadStore, tip: Tip, block: BlockRef) -> Answer {
    let Some(committed) = find(store, tip, block)? else {
        return Ok(Value::Null);
    };
    let header = &committed.block.header;
    if header.height > 0 && history::figures(store, header.height)?.is_none() {
        // The block of a snapshot was not executed here.
        return Ok(Value::Null);
    }
    let receipts = whole_receipts(store, header.height)?;
    let block_hash = committed.block.hash();
    let txs = committed.block.body.txs.iter().zip(receipts).enumerate();
    let each = txs.map(|(index, (raw, receipt))| {
        let at = Position {
            height: header.height,
            block_hash,
            time_ms: header.time_ms,
            index: index as u32,
        };
        objects::receipt(&at, &Hash(keccak256(raw).0), &receipt)
    });
    Ok(each.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::tests::{Chain, dev_genesis};
    use crate::evm::BlockPlace;
    use crate::history::block::BlockFigures;
    use adnet_common::api::Slots;
    use adnet_common::block::{Block, Body, Header};
    use adnet_common::config::DeltaApiConfig;
    use adnet_common::memory_store::MemoryStore;
    use alloy_primitives::{Address, Log, LogData};

    fn receipt_with_log(bytes: usize) -> Receipt {
        Receipt {
            tx_type: 2,
            from: Address::repeat_byte(1),
            to: None,
            success: true,
            gas_used: 21_000,
            cumulative_gas_used: 21_000,
            effective_gas_price_wei: 1,
            contract: None,
            first_log: 0,
            logs: vec![Log {
                address: Address::ZERO,
                data: LogData::new_unchecked(Vec::new(), vec![0; bytes].into()),
            }],
        }
    }

    fn figures(receipts: &[Receipt]) -> BlockFigures {
        let place = BlockPlace {
            height: 1,
            time_ms: 0,
            parent: Hash::ZERO,
            base_fee_wei: 1,
        };
        BlockFigures::new(&place, 1, receipts)
    }

    #[test]
    fn receipts_larger_than_an_answer_are_refused_and_a_block_does_without_their_logs() {
        let raw = vec![1; 100];
        let stored = |receipts: &[Receipt]| {
            let mut store = MemoryStore::new();
            let ids = vec![Hash::ZERO; receipts.len()];
            store.apply(&history::block_writes(&figures(receipts), &ids, receipts));
            store
        };
        let small = vec![receipt_with_log(10); 3];
        assert_eq!(whole_receipts(&stored(&small), 1), Ok(small));
        let large = stored(&vec![receipt_with_log(ANSWER_BYTES_MAX / 6); 4]);
        let refused = whole_receipts(&large, 1).expect_err("too large");
        assert!(refused.to_string().contains("the receipts of block 0x1"));
        let mut committed = CommittedBlock {
            block: block(vec![raw.clone(); 4]),
            certificate: Vec::new(),
        };
        let bare = receipts_for(&large, &committed).expect("they are small without logs");
        assert!(bare.len() == 4 && bare.iter().all(|receipt| receipt.logs.is_empty()));
        committed.block = block(vec![raw; 60_000]);
        let refused = receipts_for(&large, &committed).expect_err("too large");
        assert!(refused.to_string().contains("with all its transactions"));
    }

    fn block(txs: Vec<Vec<u8>>) -> Block {
        let body = Body {
            txs,
            ..Body::default()
        };
        let header = Header {
            chain: ChainId::Delta,
            genesis: Hash::ZERO,
            height: 1,
            time_ms: 0,
            parent: Hash::ZERO,
            proposer: [0; 32],
            body_root: body.root(),
            state_root: Hash::ZERO,
            outbox_root: Hash::ZERO,
            next_validators: Hash::ZERO,
        };
        Block { header, body }
    }

    #[tokio::test]
    async fn a_block_that_was_not_executed_here_has_no_receipts_rather_than_none() {
        let mut chain = Chain::new(dev_genesis());
        chain.height = 1;
        let committed = CommittedBlock {
            block: block(Vec::new()),
            certificate: Vec::new(),
        };
        let writes = ledger::block_writes(ChainId::Delta, &committed);
        chain.store.apply(&writes);
        let asked = |chain: &Chain| {
            let (handle, _) = chain.handle();
            let rpc = Rpc::new(handle, Slots::new(1), &DeltaApiConfig::default());
            let params = Params::new(Some("[\"latest\"]")).into_owned();
            block_receipts(Arc::new(rpc), params)
        };
        assert_eq!(asked(&chain).await, Ok(Value::Null));
        let executed = history::block_writes(&figures(&[]), &[], &[]);
        chain.store.apply(&executed);
        assert_eq!(asked(&chain).await, Ok(json!([])));
    }
}
