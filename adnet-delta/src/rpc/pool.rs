//! `txpool_*`: what waits in the mempool.

use super::objects::{self, quantity};
use super::simulations::in_slot;
use super::{Answer, Arguments, Rpc, RpcError, method};
use crate::transaction::{DeltaTx, decode};
use adnet_common::application::VerifiedTx;
use adnet_common::mempool::{Overview, Shown};
use alloy_primitives::Address;
use jsonrpsee::RpcModule;
use jsonrpsee::types::Params;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Transactions of either kind that one answer shows, and their bytes.
const SHOWN_MAX: usize = 2_000;
const SHOWN_BYTES_MAX: usize = 2 << 20;

pub fn register(module: &mut RpcModule<Rpc>) {
    method(module, "txpool_status", |rpc, _| async move {
        status(&rpc).await
    });
    method(module, "txpool_content", |rpc, _| async move {
        content(&rpc).await
    });
    method(module, "txpool_contentFrom", content_from);
    method(module, "txpool_inspect", |rpc, _| async move {
        inspect(&rpc).await
    });
}

type Tx = Arc<VerifiedTx<DeltaTx>>;

async fn waiting(rpc: &Rpc, shown: Shown) -> Result<Overview<DeltaTx>, RpcError> {
    let waiting = rpc.chain.waiting(shown).await;
    waiting.ok_or_else(|| RpcError::limit("the node is busy: send it again in a moment"))
}

async fn status(rpc: &Rpc) -> Answer {
    let nothing = Shown {
        sender: None,
        txs: 0,
        bytes: 0,
    };
    let waiting = waiting(rpc, nothing).await?;
    Ok(json!({
        "pending": quantity(waiting.ready_total as u64),
        "queued": quantity(waiting.held_back_total as u64),
    }))
}

/// What waits, of one sender or of all, shown by `show`: decoding it is no work for a thread that serves
/// others.
async fn shown(
    rpc: &Rpc,
    sender: Option<[u8; 32]>,
    show: impl Fn(&[Tx]) -> Value + Send + 'static,
) -> Answer {
    let shown = Shown {
        sender,
        txs: SHOWN_MAX,
        bytes: SHOWN_BYTES_MAX,
    };
    // First the slot: the chain's thread, which has to look for them, is busier than we are.
    let slot = rpc.calls.take().await?;
    let waiting = waiting(rpc, shown).await?;
    let show = move || {
        json!({
            "pending": show(&waiting.ready),
            "queued": show(&waiting.held_back),
        })
    };
    in_slot(slot, show).await
}

fn address(sender: &[u8; 32]) -> Address {
    Address::from_slice(&sender[12..])
}

/// A transaction of the mempool.
pub fn object(raw: &[u8], sender: &[u8; 32]) -> Value {
    let decoded = decode(raw).expect("the mempool holds verified transactions");
    objects::transaction(&decoded, address(sender), None)
}

/// By sender and nonce.
fn by_sender(txs: &[Tx], show: impl Fn(&Tx) -> Value) -> Value {
    let mut senders = Map::new();
    for tx in txs {
        let of_sender = senders
            .entry(address(&tx.sender).to_checksum(None))
            .or_insert_with(|| json!({}));
        of_sender[tx.nonce.to_string()] = show(tx);
    }
    Value::Object(senders)
}

async fn content(rpc: &Rpc) -> Answer {
    let show = |txs: &[Tx]| by_sender(txs, |tx| object(&tx.raw, &tx.sender));
    shown(rpc, None, show).await
}

async fn content_from(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    let from: Address = Arguments::of(&params).required()?;
    let sender = from.into_word().0;
    let show = |txs: &[Tx]| {
        let each = txs.iter();
        each.map(|tx| (tx.nonce.to_string(), object(&tx.raw, &tx.sender)))
            .collect()
    };
    shown(&rpc, Some(sender), show).await
}

async fn inspect(rpc: &Rpc) -> Answer {
    let line = |tx: &Tx| {
        use alloy_consensus::Transaction as _;
        let decoded = decode(&tx.raw).expect("the mempool holds verified transactions");
        let to = decoded
            .to()
            .map_or("contract creation".to_owned(), |to| to.to_string());
        let (value, gas, price) = (
            decoded.value(),
            decoded.gas_limit(),
            decoded.max_fee_per_gas(),
        );
        json!(format!("{to}: {value} wei + {gas} gas × {price} wei"))
    };
    shown(rpc, None, move |txs| by_sender(txs, line)).await
}
