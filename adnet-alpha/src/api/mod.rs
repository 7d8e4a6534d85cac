//! Alpha's HTTP API, all of it under `/v1`.
//!
//! Reads are open; writes carry their signature in the body, so the signed transaction is the
//! authority. Reads of the store happen on threads that may block, never on the chain's thread.
//! `openapi.json` beside this file documents every route, and a test keeps the two equal.

mod attestations;
mod blocks;
mod chain;
mod state;
mod transactions;

use std::sync::Arc;

use adnet_common::api::{ApiError, ApiRoutes, Slots};
use adnet_common::ledger::LedgerError;
use adnet_common::store::{ReadStore, StoreError};
use adnet_common::worker::{ChainHandle, Snapshot};
use axum::Router;

use crate::app::AlphaApp;

/// The OpenAPI document, as it is served.
pub const OPENAPI: &str = include_str!("openapi.json");

/// What every handler gets.
#[derive(Clone)]
struct Api {
    chain: ChainHandle<AlphaApp>,
    /// For verifying signatures and decoding many blocks.
    slots: Slots,
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
pub fn router(chain: ChainHandle<AlphaApp>) -> Router {
    let slots = Slots::for_this_machine();
    routes().into_router(Api { chain, slots })
}

fn routes() -> ApiRoutes<Api> {
    ApiRoutes::new()
        .get("/v1/status", chain::status)
        .get("/v1/health", chain::health)
        .get("/v1/version", chain::version)
        .get("/v1/supply", chain::supply)
        .get("/v1/validators", chain::validators)
        .get("/v1/peers", chain::peers)
        .get("/v1/block/latest", blocks::latest)
        .get("/v1/block/range", blocks::range)
        .get("/v1/block/hash/{hash}", blocks::by_hash)
        .get("/v1/block/{height}", blocks::by_height)
        .get("/v1/block/{height}/header", blocks::header)
        .get("/v1/block/{height}/transactions", blocks::transactions)
        .get("/v1/transaction/{id}", transactions::by_id)
        .get("/v1/mempool", transactions::mempool)
        .post("/v1/transaction/broadcast", transactions::broadcast)
        .post("/v1/transfer", transactions::transfer)
        .post("/v1/mint", transactions::mint)
        .post("/v1/burn", transactions::burn)
        .post("/v1/lock", transactions::lock)
        .get("/v1/balance/{address}", state::balance)
        .get("/v1/state/root", state::root)
        .get("/v1/state/proof/{key}", state::proof)
        .get("/v1/attestations/{sequence}", attestations::by_sequence)
        .openapi(OPENAPI)
}

#[cfg(test)]
mod tests;
