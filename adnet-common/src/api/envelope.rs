//! The envelope of every JSON answer, and which HTTP status an error code has.
//!
//! Codes are SCREAMING_SNAKE_CASE and stable; messages are for people and may change. The status
//! follows from the code alone, so a transaction refused by a rule has the same status on every
//! route and both chains.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use super::operators::ACCEPT_SIGNATURE;
use crate::application::TxError;

/// What handlers return.
pub type ApiResult = Result<Response, ApiError>;

/// A refused request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    pub status: StatusCode,
    /// SCREAMING_SNAKE_CASE, stable.
    pub code: &'static str,
    pub message: String,
    /// Seconds after which the same request may succeed; sent as `Retry-After`.
    pub retry_after_s: Option<u64>,
}

#[derive(Serialize)]
struct Success<T> {
    success: bool,
    data: T,
}

#[derive(Serialize)]
struct Failure<'a> {
    success: bool,
    error: FailureBody<'a>,
}

#[derive(Serialize)]
struct FailureBody<'a> {
    code: &'a str,
    message: &'a str,
}

/// `{"success":true,"data":…}` with status 200.
pub fn ok<T: Serialize>(data: T) -> Response {
    let success = true;
    Json(Success { success, data }).into_response()
}

impl ApiError {
    /// An error whose status follows from its code; see [`status_of`].
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        let (status, retry_after_s) = status_of(code);
        let message = message.into();
        Self {
            status,
            code,
            message,
            retry_after_s,
        }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new("INVALID_REQUEST", message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new("NOT_FOUND", message)
    }

    /// A failure of this node that the client can do nothing about. The cause belongs in the log.
    pub fn internal() -> Self {
        Self::new(
            "INTERNAL",
            "the node failed to answer; its log has the cause",
        )
    }
}

/// The status of a code, and after how many seconds to try again where that can help.
///
/// | status | codes |
/// | --- | --- |
/// | 401 | an operator's signature is missing or not good |
/// | 403 | what no signature can ever allow here: deployments, too few governors |
/// | 404, 405, 410 | no such thing, no such method, no longer kept |
/// | 413, 429, 503, 504 | limits: too large, too often, busy, too slow |
/// | 409 | the state has moved on: nonce or mint order used, underpriced replacement, another waits that uses up the same |
/// | 422 | well-formed and signed, but the state does not allow it |
/// | 501 | reserved for a function that this release does not have |
/// | 500 | the node failed |
/// | 400 | everything else: the request itself is wrong |
fn status_of(code: &str) -> (StatusCode, Option<u64>) {
    let status = match code {
        "SIGNATURE_REQUIRED" | "SIGNATURE_INVALID" | "SIGNATURE_EXPIRED" | "SIGNATURE_REPLAYED" => {
            StatusCode::UNAUTHORIZED
        }
        "DEPLOYMENT_DISABLED"
        | "GOVERNOR_THRESHOLD_NOT_MET"
        | "SYSTEM_ONLY"
        | "NOT_ENABLED"
        | "LOOPBACK_ONLY" => StatusCode::FORBIDDEN,
        "NOT_FOUND" => StatusCode::NOT_FOUND,
        "METHOD_NOT_ALLOWED" => StatusCode::METHOD_NOT_ALLOWED,
        "PRUNED" => StatusCode::GONE,
        "PAYLOAD_TOO_LARGE" => StatusCode::PAYLOAD_TOO_LARGE,
        "UNSUPPORTED_MEDIA_TYPE" => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "RATE_LIMITED" | "TOO_MANY_FROM_SENDER" => return (StatusCode::TOO_MANY_REQUESTS, Some(1)),
        "OVERLOADED" | "UNAVAILABLE" | "STARTING" | "LAGGING" | "MEMPOOL_FULL" => {
            return (StatusCode::SERVICE_UNAVAILABLE, Some(1));
        }
        "TIMEOUT" => StatusCode::GATEWAY_TIMEOUT,
        "NONCE_TOO_LOW" | "MINT_ALREADY_USED" | "REPLACEMENT_UNDERPRICED" | "CLAIMED" => {
            StatusCode::CONFLICT
        }
        "INSUFFICIENT_BALANCE"
        | "EXPIRED"
        | "EXPIRY_TOO_FAR"
        | "SUPPLY_OVERFLOW"
        | "NONCE_TOO_HIGH"
        | "ANCHOR_UNKNOWN"
        | "POOL_EXCEEDED" => StatusCode::UNPROCESSABLE_ENTITY,
        "NULLIFIER_SPENT" => StatusCode::CONFLICT,
        "UNSUPPORTED_FUNCTION" => StatusCode::NOT_IMPLEMENTED,
        "INTERNAL" => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    };
    (status, None)
}

impl From<TxError> for ApiError {
    fn from(error: TxError) -> Self {
        Self::new(error.code, error.message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let failure = Failure {
            success: false,
            error: FailureBody {
                code: self.code,
                message: &self.message,
            },
        };
        let mut response = (self.status, Json(failure)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let headers = response.headers_mut();
            let scheme = HeaderValue::from_static("Signature");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
            let wanted = HeaderValue::from_static(ACCEPT_SIGNATURE);
            headers.insert("accept-signature", wanted);
        }
        if let Some(seconds) = self.retry_after_s {
            let value = HeaderValue::from(seconds);
            response.headers_mut().insert(header::RETRY_AFTER, value);
        }
        response
    }
}
