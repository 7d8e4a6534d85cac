//! Routes about transactions. Sending one twice is answered the same twice: the id decides.

use adnet_common::api::{ApiError, ApiJson, ApiPath, ApiQuery, ApiResult, ApiSigned, ok};
use adnet_common::chain_id::ChainId;
use adnet_common::hash::Hash;
use adnet_common::ledger;
use adnet_common::mempool::Admitted;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::Api;
use crate::receipt::Receipt;
use crate::tx::{SignedBurn, SignedLock, SignedMint, SignedTransfer, Transaction, TransactionJson};

/// Transactions that one look into the mempool shows, at most.
const MEMPOOL_MAX: usize = 200;

#[derive(Serialize)]
struct TransactionBody {
    id: Hash,
    /// `pending` or `final`.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<ReceiptBody>,
    transaction: TransactionJson,
    /// The wire form.
    raw: String,
}

#[derive(Serialize)]
struct ReceiptBody {
    height: u64,
    index: u32,
    succeeded: bool,
    fee_units: u64,
}

pub(super) async fn by_id(State(api): State<Api>, ApiPath(id): ApiPath<Hash>) -> ApiResult {
    if let Some(body) = committed(&api, id).await? {
        return Ok(ok(body));
    }
    if let Some(pending) = api.chain.pending(id).await {
        let tx =
            Transaction::decode(&pending.raw).expect("the mempool holds verified transactions");
        return Ok(ok(TransactionBody {
            id,
            status: "pending",
            receipt: None,
            transaction: TransactionJson::from(&tx),
            raw: hex::encode(&pending.raw),
        }));
    }
    // It may have become final between the two looks.
    let found = committed(&api, id).await?;
    found
        .map(ok)
        .ok_or_else(|| ApiError::not_found(format!("there is no transaction {id}")))
}

async fn committed(api: &Api, id: Hash) -> Result<Option<TransactionBody>, ApiError> {
    let found = api.read(move |store| {
        let Some(receipt) = Receipt::read(store, &id)? else {
            return Ok(None);
        };
        let block = ledger::block_at(store, ChainId::Alpha, receipt.height)?;
        Ok(block.map(|committed| (receipt, committed)))
    });
    let Some((receipt, committed)) = found.await? else {
        return Ok(None);
    };
    let raw = committed.block.body.txs.get(receipt.index as usize);
    let raw = raw.expect("a receipt names a transaction of its block");
    let tx = Transaction::decode(raw).expect("a committed block holds transactions that decode");
    Ok(Some(TransactionBody {
        id,
        status: "final",
        receipt: Some(ReceiptBody {
            height: receipt.height,
            index: receipt.index,
            succeeded: true,
            fee_units: receipt.fee_units,
        }),
        transaction: TransactionJson::from(&tx),
        raw: hex::encode(raw),
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MempoolQuery {
    #[serde(default = "mempool_default")]
    limit: usize,
}

fn mempool_default() -> usize {
    50
}

#[derive(Serialize)]
struct MempoolBody {
    txs: u64,
    bytes: u64,
    /// The best-paying ones.
    transactions: Vec<PendingBody>,
}

#[derive(Serialize)]
struct PendingBody {
    id: Hash,
    bytes: usize,
    #[serde(flatten)]
    transaction: TransactionJson,
}

pub(super) async fn mempool(
    State(api): State<Api>,
    ApiQuery(query): ApiQuery<MempoolQuery>,
) -> ApiResult {
    if query.limit > MEMPOOL_MAX {
        return Err(ApiError::invalid(format!(
            "limit must be 0 to {MEMPOOL_MAX}"
        )));
    }
    let unavailable = || ApiError::new("UNAVAILABLE", "the chain is busy: try again in a moment");
    let waiting = api
        .chain
        .mempool(query.limit)
        .await
        .ok_or_else(unavailable)?;
    let shown = waiting.iter().map(|pending| {
        let tx =
            Transaction::decode(&pending.raw).expect("the mempool holds verified transactions");
        PendingBody {
            id: pending.id,
            bytes: pending.raw.len(),
            transaction: TransactionJson::from(&tx),
        }
    });
    let transactions = shown.collect();
    let status = &api.snapshot().status;
    Ok(ok(MempoolBody {
        txs: status.mempool_txs,
        bytes: status.mempool_bytes,
        transactions,
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BroadcastBody {
    /// The signed transaction in its wire form, as hex digits.
    raw: String,
}

pub(super) async fn broadcast(State(api): State<Api>, request: ApiSigned) -> ApiResult {
    let body: BroadcastBody = request.json()?;
    let digits = body.raw.strip_prefix("0x").unwrap_or(&body.raw);
    let raw = hex::decode(digits).map_err(|_| ApiError::invalid("raw is not hexadecimal"))?;
    let order = Transaction::decode(&raw).map_err(refused)?;
    if order.payload.function.order().is_some() {
        only_operators(&api, &request)?;
    }
    submit(&api, raw).await
}

/// Mint orders are for operators where some are configured, whatever route they take.
fn only_operators(api: &Api, request: &ApiSigned) -> Result<(), ApiError> {
    api.operators
        .authorize(&request.parts, &request.body, super::unix_s())
}

pub(super) async fn transfer(
    State(api): State<Api>,
    ApiJson(body): ApiJson<SignedTransfer>,
) -> ApiResult {
    submit(&api, Transaction::from(body).encode()).await
}

pub(super) async fn mint(State(api): State<Api>, request: ApiSigned) -> ApiResult {
    only_operators(&api, &request)?;
    let body: SignedMint = request.json()?;
    submit(&api, Transaction::from(body).encode()).await
}

pub(super) async fn burn(State(api): State<Api>, ApiJson(body): ApiJson<SignedBurn>) -> ApiResult {
    submit(&api, Transaction::from(body).encode()).await
}

pub(super) async fn lock(State(api): State<Api>, ApiJson(body): ApiJson<SignedLock>) -> ApiResult {
    submit(&api, Transaction::from(body).encode()).await
}

#[derive(Serialize)]
struct AcceptedBody {
    id: Hash,
    /// `pending`: in the mempool, no more is promised. `final`: it is in a block already.
    status: &'static str,
}

async fn submit(api: &Api, raw: Vec<u8>) -> ApiResult {
    // Before anything is verified: a resent transaction that is final already is not an error,
    // although its nonce is used.
    let id = Transaction::decode(&raw)
        .map(|tx| tx.id())
        .map_err(refused)?;
    if is_final(api, id).await? {
        let status = "final";
        return Ok(ok(AcceptedBody { id, status }));
    }
    match api.chain.submit(raw).await {
        Ok(Admitted { id, .. }) => {
            let status = "pending";
            Ok(ok(AcceptedBody { id, status }))
        }
        Err(_) if is_final(api, id).await? => {
            let status = "final";
            Ok(ok(AcceptedBody { id, status }))
        }
        Err(refusal) => Err(refusal.into()),
    }
}

fn refused(refusal: crate::refusal::Refusal) -> ApiError {
    ApiError::from(adnet_common::application::TxError::from(refusal))
}

async fn is_final(api: &Api, id: Hash) -> Result<bool, ApiError> {
    api.read(move |store| Ok(Receipt::read(store, &id)?.is_some()))
        .await
}
