//! JSON-RPC over HTTP: one request or a batch in a body, answered by the module's methods.

use super::{Rpc, RpcError};
use adnet_common::api::{Client, Room};
use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use futures::future::join_all;
use http::{Extensions, StatusCode, header};
use jsonrpsee::types::{ErrorCode, ErrorObject, ErrorObjectOwned, Id, Params};
use jsonrpsee::{ConnectionId, MethodCallback, MethodResponse, RpcModule};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;

/// Requests of one batch, at most.
pub const BATCH_MAX: usize = 100;
/// One answer is at most this long; a longer one is an error that says so.
pub const ANSWER_BYTES_MAX: usize = 32 << 20;
/// The answers of one batch together are at most about this long; what comes after is refused.
const BATCH_BYTES_MAX: usize = 16 << 20;

/// The module behind an `Arc`, as handlers share it.
pub type Methods = Arc<RpcModule<Rpc>>;

/// Answers a body. Notifications have no answer, and nothing is done for them.
pub async fn answer(module: &jsonrpsee::Methods, client: Client, body: Bytes) -> Response {
    let Ok(text) = std::str::from_utf8(&body) else {
        return json(failure(-32700, "parse error: the body is not UTF-8"));
    };
    match answer_text(module, client, text).await {
        Some(answer) => json(answer),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

/// Answers a request or a batch; nothing to notifications.
pub async fn answer_text(
    module: &jsonrpsee::Methods,
    client: Client,
    text: &str,
) -> Option<String> {
    if !is_batch(text) {
        return one(module, client, text).await;
    }
    let requests = match batch(text) {
        Ok(requests) => requests,
        Err(refusal) => return Some(refusal),
    };
    let mut answers = BatchAnswers::default();
    let mut rest = &requests[..];
    while !rest.is_empty() && !answers.are_full() {
        // Transactions that follow each other are verified together.
        let sending = rest.iter().take_while(|request| is_sending(request.get()));
        let (now, later) = rest.split_at(sending.count().max(1));
        let mut together = Vec::with_capacity(now.len());
        for request in now {
            together.push(one(module, client, request.get()));
        }
        for answer in join_all(together).await {
            answers.add(answer);
        }
        rest = later;
    }
    for request in rest {
        answers.refuse(request.get());
    }
    answers.text()
}

/// The answer to a request or a batch whose own answer cannot be kept until the client takes it. Nothing to
/// notifications.
pub fn refusal(text: &str, error: RpcError) -> Option<String> {
    let error = ErrorObjectOwned::from(error);
    if !is_batch(text) {
        return refusal_of_one(text, &error);
    }
    let requests = match batch(text) {
        Ok(requests) => requests,
        Err(refusal) => return Some(refusal),
    };
    let refusals = requests.iter();
    let refusals = refusals.filter_map(|request| refusal_of_one(request.get(), &error));
    let mut answers = BatchAnswers::default();
    answers.each.extend(refusals);
    answers.text()
}

/// Clients wait for an answer to each of their requests, by its id. It is as long as that, so the bound of a
/// request bounds it too.
fn refusal_of_one(text: &str, error: &ErrorObjectOwned) -> Option<String> {
    match serde_json::from_str::<Asked<'_>>(text).map(|asked| asked.id()) {
        Ok(Ok(None)) => None,
        Ok(Ok(Some(id))) => {
            let refusal = MethodResponse::error(id, error.clone());
            Some(Box::<str>::from(refusal.into_json()).into_string())
        }
        Ok(Err(_)) | Err(_) => Some(failure(error.code(), error.message())),
    }
}

/// Whether the request sends a transaction.
fn is_sending(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Named<'a> {
        method: &'a str,
    }
    serde_json::from_str(text).is_ok_and(|Named { method }| method == "eth_sendRawTransaction")
}

/// The answers of a batch, as long as they may be together.
#[derive(Default)]
pub struct BatchAnswers {
    each: Vec<String>,
    bytes: usize,
}

impl BatchAnswers {
    /// Whether there is no room for another answer.
    pub fn are_full(&self) -> bool {
        self.bytes > BATCH_BYTES_MAX
    }

    /// Answers a request for which there is no room among the answers.
    pub fn refuse(&mut self, text: &str) {
        let message = "response too large: ask for less at once";
        let error = ErrorObject::owned(-32003, message, None::<()>);
        self.each.extend(refusal_of_one(text, &error));
    }

    /// Adds the answer to a request, or refuses the request if `room` cannot hold it beside the others.
    pub fn add_within(&mut self, room: &mut Room, text: &str, answer: Option<String>) {
        let bytes = answer.as_ref().map_or(0, String::len);
        match room.hold(self.bytes + bytes) {
            Ok(()) => self.add(answer),
            Err(busy) => {
                let error = ErrorObjectOwned::from(RpcError::from(busy));
                self.each.extend(refusal_of_one(text, &error));
            }
        }
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

/// A request, or a notification, which has no id.
#[derive(Deserialize)]
struct Asked<'a> {
    jsonrpc: &'a str,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

impl Asked<'_> {
    /// The id; none of a notification.
    fn id(&self) -> serde_json::Result<Option<Id<'static>>> {
        let Some(id) = self.id else {
            return Ok(None);
        };
        // Nearly all are numbers, and `Id` tries those last.
        let number = serde_json::from_str(id.get()).map(Id::Number);
        let id = number.or_else(|_| serde_json::from_str::<Id<'_>>(id.get()))?;
        Ok(Some(id.into_owned()))
    }
}

/// The answer to one request; none to a notification.
pub async fn one(module: &jsonrpsee::Methods, client: Client, text: &str) -> Option<String> {
    let Ok(asked) = serde_json::from_str::<Asked<'_>>(text) else {
        return Some(match serde_json::from_str::<&RawValue>(text) {
            Ok(_) => failure(-32600, "invalid request"),
            Err(_) => failure(-32700, "parse error"),
        });
    };
    match asked.id() {
        Ok(None) => None,
        Ok(Some(id)) if asked.jsonrpc == "2.0" => {
            tracing::trace!(method = %asked.method, "a JSON-RPC request");
            Some(call(module, client, id, &asked).await)
        }
        Ok(Some(_)) | Err(_) => Some(failure(-32600, "invalid request")),
    }
}

/// Calls a method. Whose request it is goes with it.
async fn call(
    module: &jsonrpsee::Methods,
    client: Client,
    id: Id<'static>,
    asked: &Asked<'_>,
) -> String {
    let answer = match module.method(&asked.method) {
        None => MethodResponse::error(id, ErrorObject::from(ErrorCode::MethodNotFound)),
        Some(MethodCallback::Async(method)) => {
            let params = Params::new(asked.params.map(RawValue::get)).into_owned();
            let mut extensions = Extensions::new();
            extensions.insert(client);
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
        assert!(!answers.are_full());
        assert_eq!(BatchAnswers::default().text(), None);
        answers.add(Some("1".to_owned()));
        answers.add(Some("2".to_owned()));
        assert!(!answers.are_full());
        answers.add(Some("3".repeat(BATCH_BYTES_MAX)));
        assert!(answers.are_full());
        answers.refuse(r#"{"jsonrpc":"2.0","id":7,"method":"eth_chainId"}"#);
        answers.refuse(r#"{"jsonrpc":"2.0","method":"eth_chainId"}"#);
        answers.refuse(r#"{"jsonrpc":"2.0","id":"a","method":"eth_chainId"}"#);
        answers.refuse("8");
        let text = answers.text().expect("answers");
        assert!(text.starts_with("[1,2,3") && text.ends_with("}]"));
        assert_eq!(text.matches("response too large").count(), 3);
        for id in [r#""id":7"#, r#""id":"a""#, r#""id":null"#] {
            assert_eq!(text.matches(id).count(), 1, "{id}");
        }
    }

    #[test]
    fn what_cannot_be_kept_is_refused_by_the_id_of_each_request() {
        let refused = |text: &str| {
            let refusal = refusal(text, RpcError::limit("busy"))?;
            Some(serde_json::from_str::<serde_json::Value>(&refusal).expect("JSON"))
        };
        let with_id = |id: serde_json::Value| {
            let error = serde_json::json!({ "code": -32005, "message": "busy" });
            serde_json::json!({ "jsonrpc": "2.0", "id": id, "error": error })
        };
        let one = r#"{"jsonrpc":"2.0","id":7,"method":"eth_getLogs"}"#;
        let named = r#"{"jsonrpc":"2.0","id":"a","method":"eth_getLogs"}"#;
        let notification = r#"{"jsonrpc":"2.0","method":"eth_getLogs"}"#;
        assert_eq!(refused(one), Some(with_id(7.into())));
        assert_eq!(refused(notification), None);
        let batch = format!("[{one},{notification},{named},8]");
        let all = [with_id(7.into()), with_id("a".into()), with_id(().into())];
        assert_eq!(refused(&batch), Some(all.to_vec().into()));
        assert_eq!(refused(&format!("[{notification}]")), None);
        let empty = refused("[]").expect("no batch");
        assert_eq!(empty["error"]["code"], -32600);
    }
}
