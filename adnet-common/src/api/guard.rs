//! What stands between a connection and the routes: rate, body bound, time bound, panics, room for answers.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::{IntoResponse, Response};
use http::{Request, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tower::ServiceExt;

use super::connection::{Connected, Rate};
use super::envelope::ApiError;
use super::front::Front;
use super::limits::ApiLimits;
use super::metrics::ApiMetrics;
use super::outgoing::{self, Outgoing};
use super::rate_limit::RateLimit;

/// A body that is up to so many times too long is read, and forgotten, before it is refused.
const FORGOTTEN_BODIES_MAX: usize = 8;

/// Cheap to clone: one per connection.
#[derive(Clone)]
pub(super) struct Guard {
    front: Front,
    max_body_bytes: usize,
    timeout: Duration,
    rate: Rate,
    /// The answers of all connections.
    outgoing: Outgoing,
    metrics: ApiMetrics,
}

impl Guard {
    pub(super) fn new(front: Front, limits: &ApiLimits, metrics: ApiMetrics) -> Self {
        let rate = RateLimit::new(limits.rate_per_s, limits.rate_burst, Instant::now());
        Self {
            front,
            max_body_bytes: usize::try_from(limits.max_body_bytes).unwrap_or(usize::MAX),
            timeout: limits.request_timeout(),
            rate: rate.map(|rate| Arc::new(Mutex::new(rate))),
            outgoing: Outgoing::new(outgoing::BYTES_MAX, metrics.answers_refused.clone()),
            metrics,
        }
    }

    /// Answers one request. Never fails and never panics, whatever the route does.
    pub(super) async fn answer(
        &self,
        connected: Connected,
        request: Request<Incoming>,
    ) -> Response {
        if let Err(refusal) = self.admit(&connected) {
            return refusal.into_response();
        }
        let room = connected.room();
        let announced = request.headers().get(header::CONTENT_LENGTH);
        let announced = announced.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        let response = match announced {
            Some(bytes) if bytes > self.max_body_bytes => self.too_large(request, bytes).await,
            _ => self.route(connected, request).await,
        };
        room.carry(response).unwrap_or_else(ApiError::into_response)
    }

    /// Most clients send all of a body before they listen, and see a reset instead of the answer if the
    /// connection is closed before (RFC 9112, 9.6). So what is not much too long is read and forgotten,
    /// unless the client waits for leave to send it.
    async fn too_large(&self, request: Request<Incoming>, announced: usize) -> Response {
        let waits = request.headers().contains_key(header::EXPECT);
        if !waits && announced / FORGOTTEN_BODIES_MAX <= self.max_body_bytes {
            let mut body = request.into_body();
            let forget = async { while let Some(Ok(_)) = body.frame().await {} };
            // Who has not sent it by then gets the answer all the same.
            let _ = tokio::time::timeout(self.timeout, forget).await;
        }
        let message = format!("a body has at most {} bytes", self.max_body_bytes);
        ApiError::new("PAYLOAD_TOO_LARGE", message).into_response()
    }

    /// How long a client may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// What a connection takes from.
    pub(super) fn rate(&self) -> Rate {
        self.rate.clone()
    }

    /// What the answers to a connection take room of.
    pub(super) fn outgoing(&self) -> Outgoing {
        self.outgoing.clone()
    }

    fn admit(&self, connected: &Connected) -> Result<(), ApiError> {
        connected.take().map_err(|wait| {
            self.metrics.rate_limited.inc();
            let mut refusal = ApiError::new("RATE_LIMITED", "too many requests; slow down");
            refusal.retry_after_s = Some(wait.as_millis().div_ceil(1000).max(1) as u64);
            refusal
        })
    }

    async fn route(&self, connected: Connected, request: Request<Incoming>) -> Response {
        let (mut parts, body) = request.into_parts();
        parts.extensions.insert(ConnectInfo(connected.peer));
        parts.extensions.insert(connected);
        let body = Body::new(Limited::new(body, self.max_body_bytes));
        let routed = self.front.routes();
        let routed = routed.oneshot(Request::from_parts(parts, body));
        match tokio::time::timeout(self.timeout, NoPanic(Box::pin(routed))).await {
            Ok(Some(Ok(response))) => response,
            Ok(None) => {
                tracing::error!("a handler of the HTTP API panicked");
                ApiError::internal().into_response()
            }
            Err(_) => {
                self.metrics.timeouts.inc();
                let message = format!("no answer within {} ms", self.timeout.as_millis());
                ApiError::new("TIMEOUT", message).into_response()
            }
        }
    }
}

/// Ends with `None` if the future inside panics.
struct NoPanic<F>(Pin<Box<F>>);

impl<F: Future> Future for NoPanic<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // The future is dropped after a panic and never polled again, so nothing sees a state that
        // the panic left half-way.
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Some(output)),
            Err(_) => Poll::Ready(None),
        }
    }
}
