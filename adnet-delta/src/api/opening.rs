//! The API while the state is rebuilt after a start: JSON-RPC's reads over HTTP. All else waits for the
//! chain a moment, and is told then that it is `STARTING`.

use adnet_common::api::{ApiError, ApiPeer, Client, Later};
use adnet_common::worker;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::HeaderValue;
use jsonrpsee::RpcModule;
use std::sync::Arc;

use crate::DeltaApp;
use crate::rpc::dispatch;
use crate::rpc::opening::{self, Opening};

/// An answer has it while the state is rebuilt.
pub const OPENING_HEADER: &str = "x-adnet-opening";

#[derive(Clone)]
struct Shared {
    methods: Arc<RpcModule<Opening>>,
    later: Later,
}

/// The routes until the chain is open.
pub fn router(chain: worker::Opening<DeltaApp>) -> Router {
    let Some(opening) = Opening::of(&chain) else {
        return chain.later.into_router();
    };
    let shared = Shared {
        methods: Arc::new(opening::module(opening)),
        later: chain.later.clone(),
    };
    let routes = Router::new().route("/", post(json_rpc)).with_state(shared);
    chain.later.after(routes)
}

async fn json_rpc(
    State(shared): State<Shared>,
    ApiPeer(peer): ApiPeer,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = match Bytes::from_request(Request::from_parts(parts.clone(), body), &()).await {
        Ok(body) => body,
        Err(refusal) => return refusal.into_response(),
    };
    if !opening::serves(&shared.methods, &body) {
        let request = Request::from_parts(parts, Body::from(body));
        let answered = shared.later.answer(request).await;
        return answered.unwrap_or_else(not_yet);
    }
    let mut answer = dispatch::answer(&shared.methods, Client::from(peer.ip()), body).await;
    let is_opening = HeaderValue::from_static("1");
    answer.headers_mut().insert(OPENING_HEADER, is_opening);
    answer
}

/// The error as JSON-RPC has it. Clients that know HTTP alone see its status and when to come again.
fn not_yet(error: ApiError) -> Response {
    let message = error.to_string();
    let mut response = error.into_response();
    *response.body_mut() = Body::from(dispatch::failure(-32005, &message));
    response
}
