//! Delta's API: REST under `/v1` with a stream at `/v1/ws`, Ethereum's JSON-RPC at `/`, by POST and by
//! WebSocket.
//!
//! Reads are open; a write is a signed transaction, and its signature is the authority. Reads of
//! the store and simulations run on threads that may block, never on the chain's thread.
//! `openapi.json` beside this file documents every route, and a test keeps the two equal.

mod accounts;
mod attestations;
mod blocks;
mod chain;
mod opening;
mod stream;
mod transactions;

use adnet_common::api::{ApiError, ApiLimits, ApiPeer, ApiRoutes, ApiSocket, Client, Slots};
use adnet_common::config::DeltaApiConfig;
use adnet_common::ledger::LedgerError;
use adnet_common::store::{ReadStore, StoreError};
use adnet_common::worker::{ChainHandle, Snapshot};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use std::sync::Arc;

use crate::DeltaApp;
use crate::history::HistoryError;
use crate::rpc::{self, Feed, Rpc, dispatch, socket};

/// The OpenAPI document, as it is served.
pub const OPENAPI: &str = include_str!("openapi.json");

pub use opening::{OPENING_HEADER, router as opening_router};

/// What every handler gets.
#[derive(Clone)]
struct Api {
    chain: ChainHandle<DeltaApp>,
    methods: dispatch::Methods,
    feed: Feed,
    subscriptions_max: u64,
    message_bytes_max: usize,
}

impl Api {
    fn snapshot(&self) -> Arc<Snapshot<DeltaApp>> {
        self.chain.snapshot()
    }

    /// Reads the store on a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn ReadStore) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.chain.read(work).await.map_err(|error| error.answer())
    }
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    History(#[from] HistoryError),
}

impl ReadError {
    /// The log has the cause; a client learns only whether trying again can help.
    fn answer(&self) -> ApiError {
        match self {
            ReadError::Ledger(LedgerError::Store(StoreError::Unreachable(_)))
            | ReadError::History(HistoryError::Store(StoreError::Unreachable(_))) => ApiError::new(
                "UNAVAILABLE",
                "the store cannot be reached: try again in a moment",
            ),
            other => {
                tracing::error!(error = %other, "the HTTP API could not read the store");
                ApiError::internal()
            }
        }
    }
}

/// The whole API of the chain behind `chain`.
pub fn router(chain: ChainHandle<DeltaApp>, bounds: &DeltaApiConfig, limits: &ApiLimits) -> Router {
    let rpc = Rpc::new(chain.clone(), Slots::for_this_machine(), bounds);
    let feed = Feed::new(chain.clone(), rpc.receipt_roots());
    let methods = Arc::new(rpc::module(rpc));
    routes().into_router(Api {
        feed,
        chain,
        methods,
        subscriptions_max: bounds.subscriptions_max,
        message_bytes_max: usize::try_from(limits.max_body_bytes).unwrap_or(usize::MAX),
    })
}

fn routes() -> ApiRoutes<Api> {
    ApiRoutes::new()
        .post("/", json_rpc)
        .get("/", json_rpc_socket)
        .get("/v1/ws", stream::open)
        .get("/v1/status", chain::status)
        .get("/v1/health", chain::health)
        .get("/v1/version", chain::version)
        .get("/v1/supply", chain::supply)
        .get("/v1/validators", chain::validators)
        .get("/v1/peers", chain::peers)
        .get("/v1/blocks", blocks::range)
        .get("/v1/blocks/{block}", blocks::by_name)
        .get("/v1/blocks/{block}/header", blocks::header)
        .get("/v1/transactions/{hash}", transactions::by_hash)
        .post("/v1/transactions", transactions::send)
        .get("/v1/accounts/{address}", accounts::by_address)
        .get("/v1/state/proof/{key}", accounts::proof)
        .get("/v1/attestations/{sequence}", attestations::by_sequence)
        .openapi(OPENAPI)
}

async fn json_rpc(State(api): State<Api>, ApiPeer(peer): ApiPeer, body: Bytes) -> Response {
    dispatch::answer(&api.methods, Client::from(peer.ip()), body).await
}

async fn json_rpc_socket(
    State(api): State<Api>,
    ApiPeer(peer): ApiPeer,
    socket: ApiSocket,
) -> Response {
    let shared = socket::Shared {
        chain: api.chain,
        methods: api.methods,
        feed: api.feed,
        subscriptions_max: api.subscriptions_max,
    };
    let client = Client::from(peer.ip());
    socket.open(api.message_bytes_max, move |socket| {
        socket::serve(shared, client, socket)
    })
}

#[cfg(test)]
mod tests;
