//! JSON-RPC over HTTP: one request or a batch in a body, answered by the module's methods.

use super::Rpc;
use adnet_common::api::Client;
use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use http::{Extensions, StatusCode, header};
use jsonrpsee::types::{ErrorCode, ErrorObject, Params, Request};
use jsonrpsee::{ConnectionId, MethodCallback, MethodResponse, RpcModule};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;

/// Requests of one batch, at most.
pub const BATCH_MAX: usize = 100;
/// One answer is at most this long; a longer one is an error that says so.
pub const ANSWER_BYTES_MAX: usize = 32 << 20;
/// The answers of one batch together are at most about this long; what comes after is refused.
const BATCH_BYTES_MAX: usize = 16 << 20;

/// The module behind an `Arc`, as handlers share it.
pub type Methods = Arc<RpcModule<Rpc>>;

/// Answers a body. Notifications are executed and not answered.
pub async fn answer(module: &RpcModule<Rpc>, client: Client, body: Bytes) -> Response {
    let Ok(text) = std::str::from_utf8(&body) else {
        return json(failure(-32700, "parse error: the body is not UTF-8"));
    };
    match answer_text(module, client, text).await {
        Some(answer) => json(answer),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

/// Answers a request or a batch; nothing to notifications.
pub async fn answer_text(module: &RpcModule<Rpc>, client: Client, text: &str) -> Option<String> {
    if !is_batch(text) {
        let Ok(request) = serde_json::from_str::<Box<RawValue>>(text) else {
            return Some(failure(-32700, "parse error"));
        };
        return one(module, client, request.get()).await;
    }
    let requests = match batch(text) {
        Ok(requests) => requests,
        Err(refusal) => return Some(refusal),
    };
    let mut answers = BatchAnswers::default();
    for request in requests {
        if answers.refuse_more() {
            break;
        }
        answers.add(one(module, client, request.get()).await);
    }
    answers.text()
}

/// The answers of a batch, as long as they may be together.
#[derive(Default)]
pub struct BatchAnswers {
    each: Vec<String>,
    bytes: usize,
}

impl BatchAnswers {
    /// Whether there is no room for another answer. If so, the last one says it.
    pub fn refuse_more(&mut self) -> bool {
        let is_full = self.bytes > BATCH_BYTES_MAX;
        if is_full {
            let refusal = failure(-32003, "response too large: ask for less at once");
            self.each.push(refusal);
        }
        is_full
    }

    pub fn add(&mut self, answer: Option<String>) {
        self.bytes += answer.as_ref().map_or(0, String::len);
        self.each.extend(answer);
    }

    /// Nothing if there were only notifications.
    pub fn text(self) -> Option<String> {
        (!self.each.is_empty()).then(|| format!("[{}]", self.each.join(",")))
    }
}

pub fn is_batch(text: &str) -> bool {
    text.trim_start().starts_with('[')
}

/// The requests of a batch, or the answer to what is none.
pub fn batch(text: &str) -> Result<Vec<Box<RawValue>>, String> {
    match serde_json::from_str::<Vec<Box<RawValue>>>(text) {
        Err(_) => Err(failure(-32700, "parse error")),
        Ok(requests) if requests.is_empty() => Err(failure(-32600, "empty batch")),
        Ok(requests) if requests.len() > BATCH_MAX => Err(failure(
            -32600,
            &format!("batch too large: at most {BATCH_MAX} requests"),
        )),
        Ok(requests) => Ok(requests),
    }
}

/// What tells a request from a notification, and both from anything else.
#[derive(Deserialize)]
struct Shape {
    #[serde(default)]
    id: Option<serde_json::Value>,
    #[expect(dead_code, reason = "a request has a method")]
    method: String,
}

/// The answer to one request; none to a notification.
pub async fn one(module: &RpcModule<Rpc>, client: Client, text: &str) -> Option<String> {
    let Ok(shape) = serde_json::from_str::<Shape>(text) else {
        return Some(failure(-32600, "invalid request"));
    };
    shape.id.as_ref()?;
    let Ok(request) = serde_json::from_str::<Request<'_>>(text) else {
        return Some(failure(-32600, "invalid request"));
    };
    tracing::trace!(method = %request.method, "a JSON-RPC request");
    Some(call(module, client, request).await)
}

/// Calls a method. Whose request it is goes with it.
async fn call(module: &RpcModule<Rpc>, client: Client, request: Request<'_>) -> String {
    let Request {
        id, method, params, ..
    } = request;
    let answer = match module.method(&method) {
        None => MethodResponse::error(id, ErrorObject::from(ErrorCode::MethodNotFound)),
        Some(MethodCallback::Async(method)) => {
            let params = Params::new(params.as_ref().map(|params| params.get()));
            let mut extensions = Extensions::new();
            extensions.insert(client);
            let (id, params) = (id.into_owned(), params.into_owned());
            method(id, params, ConnectionId(0), ANSWER_BYTES_MAX, extensions).await
        }
        Some(_) => unreachable!("all methods are registered as asynchronous ones"),
    };
    Box::<str>::from(answer.into_json()).into_string()
}

pub fn failure(code: i32, message: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_no_answer_to_notifications_and_ends_where_it_is_too_long() {
        let mut answers = BatchAnswers::default();
        answers.add(None);
        assert!(!answers.refuse_more());
        assert_eq!(BatchAnswers::default().text(), None);
        answers.add(Some("1".to_owned()));
        answers.add(Some("2".to_owned()));
        assert!(!answers.refuse_more());
        answers.add(Some("3".repeat(BATCH_BYTES_MAX)));
        assert!(answers.refuse_more());
        let text = answers.text().expect("answers");
        assert!(text.starts_with("[1,2,3") && text.ends_with("}]"));
        assert!(text.contains("response too large"));
    }
}
