//! Alpha's HTTP API, all of it under `/v1`.
//!
//! Reads are open; writes carry their signature in the body, so the signed transaction is the
//! authority. Reads of the store happen on threads that may block, never on the chain's thread.
//! `openapi.json` beside this file documents every route, and a test keeps the two equal.

mod attestations;
mod blocks;
mod chain;
mod compact;
mod mempool;
mod state;
mod transactions;
mod tree;
mod viewing;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use adnet_common::api::{ApiError, ApiRoutes, Operators, Slots, Streams};
use adnet_common::config::AlphaApiConfig;
use adnet_common::ledger::LedgerError;
use adnet_common::store::{ReadStore, StoreError};
use adnet_common::worker::{ChainHandle, Snapshot};
use axum::Router;

use crate::app::AlphaApp;

/// The OpenAPI document, as it is served.
pub const OPENAPI: &str = include_str!("openapi.json");

/// Streams of compact blocks at a time, and how long one may take: a client goes on with the next.
const BLOCK_STREAMS_MAX: u64 = 32;
const BLOCK_STREAM_TIME_MAX: Duration = Duration::from_secs(60);
/// The same of the mempool.
const MEMPOOL_STREAMS_MAX: u64 = 32;
const MEMPOOL_STREAM_TIME_MAX: Duration = Duration::from_secs(600);

/// Places for answers that take long.
#[derive(Clone)]
struct StreamPlaces {
    blocks: Streams,
    mempool: Streams,
}

/// What every handler gets.
#[derive(Clone)]
struct Api {
    chain: ChainHandle<AlphaApp>,
    /// For verifying signatures and decoding many blocks.
    slots: Slots,
    streams: StreamPlaces,
    watch: mempool::MempoolWatch,
    operators: Arc<Operators>,
    viewing_key_balance: bool,
}

impl Api {
    fn snapshot(&self) -> Arc<Snapshot<AlphaApp>> {
        self.chain.snapshot()
    }

    /// Reads the store on a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn ReadStore) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.chain
            .read(work)
            .await
            .map_err(|error| store_failed(&error))
    }
}

/// The log has the cause; a client learns only whether trying again can help.
fn store_failed(error: &LedgerError) -> ApiError {
    match error {
        LedgerError::Store(StoreError::Unreachable(_)) => ApiError::new(
            "UNAVAILABLE",
            "the store cannot be reached: try again in a moment",
        ),
        other => {
            tracing::error!(error = %other, "the HTTP API could not read the store");
            ApiError::internal()
        }
    }
}

/// The whole API of the chain behind `chain`.
pub fn router(chain: ChainHandle<AlphaApp>, config: &AlphaApiConfig) -> Router {
    routes().into_router(Api {
        chain,
        slots: Slots::for_this_machine(),
        streams: StreamPlaces {
            blocks: Streams::new(BLOCK_STREAMS_MAX, BLOCK_STREAM_TIME_MAX),
            mempool: Streams::new(MEMPOOL_STREAMS_MAX, MEMPOOL_STREAM_TIME_MAX),
        },
        watch: mempool::MempoolWatch::default(),
        operators: Arc::new(Operators::new(config.operators(), unix_s())),
        viewing_key_balance: config.viewing_key_balance,
    })
}

/// Seconds since the UNIX epoch.
fn unix_s() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(now.unwrap_or_default().as_secs()).unwrap_or(i64::MAX)
}

fn routes() -> ApiRoutes<Api> {
    ApiRoutes::new()
        .get("/v1/status", chain::status)
        .get("/v1/health", chain::health)
        .get("/v1/version", chain::version)
        .get("/v1/supply", chain::supply)
        .get("/v1/validators", chain::validators)
        .get("/v1/committee", chain::validators)
        .get("/v1/peers", chain::peers)
        .get("/v1/block/latest", blocks::latest)
        .get("/v1/block/range", blocks::range)
        .get("/v1/block/hash/{hash}", blocks::by_hash)
        .get("/v1/block/{height}", blocks::by_height)
        .get("/v1/block/{height}/header", blocks::header)
        .get("/v1/block/{height}/transactions", blocks::transactions)
        .get("/v1/transaction/{id}", transactions::by_id)
        .get("/v1/mempool", transactions::mempool)
        .get("/v1/mempool/stream", mempool::stream)
        .post("/v1/transaction/broadcast", transactions::broadcast)
        .post("/v1/transfer", transactions::transfer)
        .post("/v1/mint", transactions::mint)
        .post("/v1/burn", transactions::burn)
        .post("/v1/lock", transactions::lock)
        .get("/v1/balance/{address}", state::balance)
        .post("/v1/balance", viewing::balance)
        .get("/v1/compact/blocks", compact::blocks)
        .get("/v1/tree/{height}", tree::at)
        .get("/v1/tree/subtrees", tree::subtrees)
        .get("/v1/anchors", tree::anchors)
        .get("/v1/nullifier/{nullifier}", state::nullifier)
        .get("/v1/state/root", state::root)
        .get("/v1/state/proof/{key}", state::proof)
        .get("/v1/attestations/{sequence}", attestations::by_sequence)
        .openapi(OPENAPI)
}

#[cfg(test)]
mod tests;
