//! Compact blocks for light wallets, as a stream with ranges.
//!
//! A request gets the blocks of its range in order, at most 1,000 of them, each with its length in
//! front. The answer may end after any block, because it became long in bytes or in time: a client
//! goes on with the height after the last block that it got.

use std::sync::Arc;

use adnet_common::api::{ApiError, ApiPeer, ApiQuery, Piece};
use adnet_common::chain_id::ChainId;
use adnet_common::codec::DecodeError;
use adnet_common::ledger::{self, CommittedBlock, LedgerError};
use adnet_common::store::ReadStore;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use serde::Deserialize;

use super::Api;
use crate::compact::CompactBlock;
use crate::pool_index;

/// Blocks of one request, at most.
pub(super) const BLOCKS_MAX: u64 = 1_000;
/// Blocks of one piece, at most, and what one scan of the store gives.
const PIECE_BLOCKS_MAX: u64 = 64;
/// A stream that has sent as much ends at the next block.
const STREAM_BYTES_MAX: usize = 64 << 20;
/// The field that says which height is the last.
pub(super) const TIP_HEADER: &str = "x-adnet-tip";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BlocksQuery {
    from: u64,
    /// Inclusive; the tip if absent.
    to: Option<u64>,
}

/// What is left of a stream.
struct Rest {
    api: Arc<Api>,
    /// Made already.
    ready: Option<Vec<u8>>,
    next: u64,
    last: u64,
    sent_bytes: usize,
}

pub(super) async fn blocks(
    State(api): State<Api>,
    ApiPeer(peer): ApiPeer,
    ApiQuery(query): ApiQuery<BlocksQuery>,
) -> Result<Response, ApiError> {
    let tip = api.snapshot().status.height;
    let to = query.to.unwrap_or(tip).min(tip);
    if query.to.is_some_and(|to| to < query.from) {
        return Err(ApiError::invalid("to must not be below from"));
    }
    if query.from > tip {
        let message = format!("there is no block {} yet, the last is {tip}", query.from);
        return Err(ApiError::not_found(message));
    }
    let last = to.min(query.from.saturating_add(BLOCKS_MAX - 1));
    let place = api.streams.blocks.admit(peer)?;
    let from = query.from;
    let piece = api.read(move |store| piece(store, from, last)).await?;
    let Some((ready, next)) = piece else {
        let message = format!("this node has no block {from}: it began with a later state");
        return Err(ApiError::new("PRUNED", message));
    };
    let rest = Rest {
        api: Arc::new(api),
        ready: Some(ready),
        next,
        last,
        sent_bytes: 0,
    };
    let fields = [
        (header::CONTENT_TYPE.as_str(), "application/octet-stream"),
        (TIP_HEADER, &tip.to_string()),
    ];
    Ok((fields, place.body(rest, step)).into_response())
}

async fn step(mut rest: Rest) -> (Piece, Rest) {
    if let Some(ready) = rest.ready.take() {
        rest.sent_bytes += ready.len();
        return (Piece::Data(ready), rest);
    }
    if rest.next > rest.last || rest.sent_bytes >= STREAM_BYTES_MAX {
        return (Piece::End, rest);
    }
    let (next, last) = (rest.next, rest.last);
    match rest.api.read(move |store| piece(store, next, last)).await {
        Ok(Some((bytes, next))) => {
            rest.next = next;
            rest.sent_bytes += bytes.len();
            (Piece::Data(bytes), rest)
        }
        Ok(None) | Err(_) => (Piece::Broken, rest),
    }
}

/// The first blocks of `from..=last`, ready to be sent, and the height to go on from. `None` if the
/// first is not here.
fn piece(
    store: &dyn ReadStore,
    from: u64,
    last: u64,
) -> Result<Option<(Vec<u8>, u64)>, LedgerError> {
    let blocks = compact_blocks(store, from, last)?;
    let Some(end) = blocks.last().map(|block| block.height) else {
        return Ok(None);
    };
    let bytes = blocks.iter().flat_map(CompactBlock::encode_framed);
    Ok(Some((bytes.collect(), end + 1)))
}

/// The first blocks of `from..=last`, as many as are read at once.
pub(super) fn compact_blocks(
    store: &dyn ReadStore,
    from: u64,
    last: u64,
) -> Result<Vec<CompactBlock>, LedgerError> {
    let count = (last.saturating_sub(from) + 1).min(PIECE_BLOCKS_MAX);
    let encoded = ledger::encoded_blocks(store, ChainId::Alpha, from, count)?;
    if encoded.is_empty() {
        return Ok(Vec::new());
    }
    let mut before = match pool_index::commitments_before(store, from)? {
        Some(before) => before,
        // The genesis block makes no notes, and no row.
        None if from == 0 => 0,
        // The block that the node's state began with: its notes have no places here.
        None => return Ok(Vec::new()),
    };
    let mut blocks = Vec::with_capacity(encoded.len());
    for (bytes, height) in encoded.iter().zip(from..) {
        let corrupt = |error: DecodeError| LedgerError::Corrupt {
            what: format!("Alpha's block {height}"),
            error,
        };
        let block = CompactBlock::of(&CommittedBlock::decode(bytes).map_err(corrupt)?, before);
        before += block.commitments();
        blocks.push(block);
    }
    Ok(blocks)
}
