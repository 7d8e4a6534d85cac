//! JSON-RPC over HTTP: one request or a batch in a body, answered by the module's methods.

use super::Rpc;
use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use jsonrpsee::RpcModule;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;

/// Requests of one batch, at most.
const BATCH_MAX: usize = 100;
/// The answers of one batch together are at most about this long; what comes after is refused.
const BATCH_BYTES_MAX: usize = 16 << 20;
/// Subscriptions have no way back over HTTP, so nothing ever waits in this buffer.
const SUBSCRIPTION_BUFFER: usize = 1;

/// Answers a body. Notifications are executed and not answered.
pub async fn answer(module: &RpcModule<Rpc>, body: Bytes) -> Response {
    let Ok(text) = std::str::from_utf8(&body) else {
        return json(failure(-32700, "parse error: the body is not UTF-8"));
    };
    if !text.trim_start().starts_with('[') {
        let Ok(request) = serde_json::from_str::<Box<RawValue>>(text) else {
            return json(failure(-32700, "parse error"));
        };
        return match one(module, request.get()).await {
            Some(answer) => json(answer),
            None => StatusCode::NO_CONTENT.into_response(),
        };
    }
    let requests = match serde_json::from_str::<Vec<Box<RawValue>>>(text) {
        Err(_) => return json(failure(-32700, "parse error")),
        Ok(requests) if requests.is_empty() => return json(failure(-32600, "empty batch")),
        Ok(requests) if requests.len() > BATCH_MAX => {
            return json(failure(
                -32600,
                &format!("batch too large: at most {BATCH_MAX} requests"),
            ));
        }
        Ok(requests) => requests,
    };
    let mut answers = Vec::with_capacity(requests.len());
    let mut bytes = 0;
    for request in requests {
        if bytes > BATCH_BYTES_MAX {
            answers.push(failure(-32003, "response too large: ask for less at once"));
            break;
        }
        if let Some(answer) = one(module, request.get()).await {
            bytes += answer.len();
            answers.push(answer);
        }
    }
    if answers.is_empty() {
        return StatusCode::NO_CONTENT.into_response();
    }
    json(format!("[{}]", answers.join(",")))
}

/// What tells a request from a notification, and both from anything else.
#[derive(Deserialize)]
struct Shape {
    #[serde(default)]
    id: Option<serde_json::Value>,
    method: String,
}

/// The answer to one request; none to a notification.
async fn one(module: &RpcModule<Rpc>, request: &str) -> Option<String> {
    let Ok(shape) = serde_json::from_str::<Shape>(request) else {
        return Some(failure(-32600, "invalid request"));
    };
    tracing::trace!(method = %shape.method, "a JSON-RPC request");
    shape.id.as_ref()?;
    let answered = module.raw_json_request(request, SUBSCRIPTION_BUFFER).await;
    Some(match answered {
        Ok((answer, _)) => Box::<str>::from(answer).into_string(),
        Err(_) => failure(-32600, "invalid request"),
    })
}

fn failure(code: i32, message: &str) -> String {
    serde_json::json!({
        "jsonrpc": "2.0",
        "id": null,
        "error": { "code": code, "message": message },
    })
    .to_string()
}

fn json(body: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// The module behind an `Arc`, as handlers share it.
pub type Methods = Arc<RpcModule<Rpc>>;
