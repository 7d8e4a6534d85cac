//! Routes about blocks.

use adnet_common::api::{ApiError, ApiPath, ApiQuery, ApiResult, EvidenceBody, ok};
use adnet_common::chain_id::ChainId;
use adnet_common::hash::Hash;
use adnet_common::keys::PublicKey;
use adnet_common::ledger::{self, CommittedBlock};
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::Api;
use crate::tx::{Transaction, TransactionJson};

/// Blocks of one range, at most.
const RANGE_MAX: u64 = 100;
/// Transactions of one page, at most.
const TXS_MAX: usize = 500;

#[derive(Serialize)]
struct BlockBody {
    height: u64,
    hash: Hash,
    parent: Hash,
    /// Milliseconds since the UNIX epoch.
    time_ms: u64,
    proposer: PublicKey,
    body_root: Hash,
    state_root: Hash,
    outbox_root: Hash,
    next_validators: Hash,
    transactions: usize,
    /// Attestations of Delta that the block consumed.
    attestations: usize,
    /// Validators that the block proves to have signed twice.
    evidence: Vec<EvidenceBody>,
    certificate_bytes: usize,
}

impl From<&CommittedBlock> for BlockBody {
    fn from(committed: &CommittedBlock) -> Self {
        let CommittedBlock { block, certificate } = committed;
        let header = &block.header;
        Self {
            height: header.height,
            hash: block.hash(),
            parent: header.parent,
            time_ms: header.time_ms,
            proposer: PublicKey(header.proposer),
            body_root: header.body_root,
            state_root: header.state_root,
            outbox_root: header.outbox_root,
            next_validators: header.next_validators,
            transactions: block.body.txs.len(),
            attestations: block.body.inbox.attestations.len(),
            evidence: EvidenceBody::of(block),
            certificate_bytes: certificate.len(),
        }
    }
}

/// A block that is committed, or 404.
pub(super) async fn committed(api: &Api, height: u64) -> Result<CommittedBlock, ApiError> {
    let found = api
        .read(move |store| ledger::block_at(store, ChainId::Alpha, height))
        .await?;
    found.ok_or_else(|| ApiError::not_found(format!("there is no block {height}")))
}

pub(super) async fn latest(State(api): State<Api>) -> ApiResult {
    let height = api.snapshot().status.height;
    Ok(ok(BlockBody::from(&committed(&api, height).await?)))
}

pub(super) async fn by_height(State(api): State<Api>, ApiPath(height): ApiPath<u64>) -> ApiResult {
    Ok(ok(BlockBody::from(&committed(&api, height).await?)))
}

pub(super) async fn by_hash(State(api): State<Api>, ApiPath(hash): ApiPath<Hash>) -> ApiResult {
    let height = api
        .read(move |store| ledger::height_of(store, ChainId::Alpha, &hash))
        .await?;
    let height = height.ok_or_else(|| ApiError::not_found(format!("there is no block {hash}")))?;
    Ok(ok(BlockBody::from(&committed(&api, height).await?)))
}

#[derive(Serialize)]
struct HeaderBody {
    height: u64,
    hash: Hash,
    /// The header in its wire form.
    header: String,
    /// The commit certificate in its wire form; empty for block 0.
    certificate: String,
}

pub(super) async fn header(State(api): State<Api>, ApiPath(height): ApiPath<u64>) -> ApiResult {
    let found = committed(&api, height).await?;
    Ok(ok(HeaderBody {
        height,
        hash: found.block.hash(),
        header: hex::encode(found.block.header.encode()),
        certificate: hex::encode(&found.certificate),
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RangeQuery {
    from: u64,
    #[serde(default = "range_default")]
    limit: u64,
}

fn range_default() -> u64 {
    20
}

#[derive(Serialize)]
struct RangeBody {
    blocks: Vec<BlockBody>,
    /// Height to go on from; absent at the tip.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

pub(super) async fn range(
    State(api): State<Api>,
    ApiQuery(query): ApiQuery<RangeQuery>,
) -> ApiResult {
    if query.limit == 0 || query.limit > RANGE_MAX {
        return Err(ApiError::invalid(format!("limit must be 1 to {RANGE_MAX}")));
    }
    let tip = api.snapshot().status.height;
    let end = query.from.saturating_add(query.limit).min(tip + 1);
    // Up to a hundred blocks are decoded and hashed for this: not for everybody at once.
    let slot = api.slots.take().await?;
    let read = api.read(move |store| {
        let _slot = slot;
        let mut blocks = Vec::new();
        for height in query.from..end {
            let block = ledger::block_at(store, ChainId::Alpha, height)?;
            blocks.extend(block.as_ref().map(BlockBody::from));
        }
        Ok(blocks)
    });
    let blocks = read.await?;
    Ok(ok(RangeBody {
        blocks,
        next: (end <= tip && end > query.from).then_some(end),
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageQuery {
    #[serde(default)]
    offset: usize,
    #[serde(default = "page_default")]
    limit: usize,
}

fn page_default() -> usize {
    100
}

#[derive(Serialize)]
struct TransactionsBody {
    height: u64,
    total: usize,
    transactions: Vec<IndexedTransaction>,
}

#[derive(Serialize)]
struct IndexedTransaction {
    index: usize,
    id: Hash,
    #[serde(flatten)]
    transaction: TransactionJson,
}

pub(super) async fn transactions(
    State(api): State<Api>,
    ApiPath(height): ApiPath<u64>,
    ApiQuery(page): ApiQuery<PageQuery>,
) -> ApiResult {
    if page.limit == 0 || page.limit > TXS_MAX {
        return Err(ApiError::invalid(format!("limit must be 1 to {TXS_MAX}")));
    }
    let found = committed(&api, height).await?;
    let txs = found
        .block
        .body
        .txs
        .iter()
        .enumerate()
        .skip(page.offset)
        .take(page.limit);
    let shown = txs.map(|(index, raw)| {
        let tx =
            Transaction::decode(raw).expect("a committed block holds transactions that decode");
        IndexedTransaction {
            index,
            id: tx.id(),
            transaction: TransactionJson::from(&tx),
        }
    });
    Ok(ok(TransactionsBody {
        height,
        total: found.block.body.txs.len(),
        transactions: shown.collect(),
    }))
}
