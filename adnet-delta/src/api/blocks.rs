//! Routes about blocks.

use adnet_common::api::{ApiError, ApiPath, ApiQuery, ApiResult, EvidenceBody, ok};
use adnet_common::chain_id::ChainId;
use adnet_common::hash::Hash;
use adnet_common::keys::PublicKey;
use adnet_common::ledger::{self, CommittedBlock};
use adnet_common::store::ReadStore;
use alloy_primitives::keccak256;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::{Api, ReadError};
use crate::history;
use crate::history::block::BlockFigures;

/// Blocks of one range, at most.
const RANGE_MAX: u64 = 100;

#[derive(Serialize)]
pub(super) struct BlockBody {
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
    gas_used: u64,
    base_fee_wei: Option<u64>,
    /// Hashes, in the order of execution. Left out in a range.
    #[serde(skip_serializing_if = "Option::is_none")]
    transactions: Option<Vec<Hash>>,
    transaction_count: usize,
    /// Attestations of Alpha that the block consumed.
    attestation_count: usize,
    /// Validators that the block proves to have signed twice.
    evidence: Vec<EvidenceBody>,
}

fn body(
    store: &dyn ReadStore,
    committed: &CommittedBlock,
    with_transactions: bool,
) -> Result<BlockBody, ReadError> {
    let figures = history::figures(store, committed.block.header.height)?;
    Ok(body_of(committed, figures.as_ref(), with_transactions))
}

/// A block as every route shows it.
pub(super) fn body_of(
    committed: &CommittedBlock,
    figures: Option<&BlockFigures>,
    with_transactions: bool,
) -> BlockBody {
    let block = &committed.block;
    let header = &block.header;
    let hashes = || {
        block
            .body
            .txs
            .iter()
            .map(|raw| Hash(keccak256(raw).0))
            .collect()
    };
    BlockBody {
        height: header.height,
        hash: block.hash(),
        parent: header.parent,
        time_ms: header.time_ms,
        proposer: PublicKey(header.proposer),
        body_root: header.body_root,
        state_root: header.state_root,
        outbox_root: header.outbox_root,
        next_validators: header.next_validators,
        gas_used: figures.map_or(0, |f| f.gas_used),
        base_fee_wei: figures.map(|f| f.base_fee_wei),
        transactions: with_transactions.then(hashes),
        transaction_count: block.body.txs.len(),
        attestation_count: block.body.inbox.attestations.len(),
        evidence: EvidenceBody::of(block),
    }
}

/// A block as a path names it.
enum Name {
    Latest,
    Height(u64),
    Hash(Hash),
}

impl Name {
    fn parse(text: &str) -> Result<Self, ApiError> {
        if text == "latest" {
            return Ok(Name::Latest);
        }
        let height = text.parse().map(Name::Height).ok();
        let named = height.or_else(|| text.parse().map(Name::Hash).ok());
        named.ok_or_else(|| ApiError::invalid("a block is `latest`, a height, or a hash"))
    }
}

/// Reads the block that `name` means and makes something of it.
async fn with_block<T: Send + 'static>(
    api: &Api,
    name: &str,
    make: impl FnOnce(&dyn ReadStore, &CommittedBlock) -> Result<T, ReadError> + Send + 'static,
) -> Result<T, ApiError> {
    let parsed = Name::parse(name)?;
    let tip = api.snapshot().status.height;
    let found = api.read(move |store| {
        let height = match parsed {
            Name::Latest => Some(tip),
            Name::Height(height) => Some(height),
            Name::Hash(hash) => ledger::height_of(store, ChainId::Delta, &hash)?,
        };
        let block = match height {
            Some(height) => ledger::block_at(store, ChainId::Delta, height)?,
            None => None,
        };
        block.map(|block| make(store, &block)).transpose()
    });
    found
        .await?
        .ok_or_else(|| ApiError::not_found(format!("there is no block {name}")))
}

pub(super) async fn by_name(State(api): State<Api>, ApiPath(name): ApiPath<String>) -> ApiResult {
    let made = with_block(&api, &name, |store, block| body(store, block, true)).await?;
    Ok(ok(made))
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

pub(super) async fn header(State(api): State<Api>, ApiPath(name): ApiPath<String>) -> ApiResult {
    let made = with_block(&api, &name, |_, committed| {
        Ok(HeaderBody {
            height: committed.block.header.height,
            hash: committed.block.hash(),
            header: hex::encode(committed.block.header.encode()),
            certificate: hex::encode(&committed.certificate),
        })
    });
    Ok(ok(made.await?))
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
    let blocks = api.read(move |store| {
        let mut blocks = Vec::new();
        for height in query.from..end {
            if let Some(block) = ledger::block_at(store, ChainId::Delta, height)? {
                blocks.push(body(store, &block, false)?);
            }
        }
        Ok(blocks)
    });
    Ok(ok(RangeBody {
        blocks: blocks.await?,
        next: (end <= tip && end > query.from).then_some(end),
    }))
}
