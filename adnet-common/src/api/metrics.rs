//! Metrics of an HTTP API. Labels are bounded: the route's pattern, never the path a client sent.

use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::Method;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

/// Seconds; from a cached read to the request timeout.
const DURATION_BUCKETS_S: [f64; 11] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0,
];

/// Cheap to clone; all clones count together.
#[derive(Clone)]
pub struct ApiMetrics {
    requests: IntCounterVec,
    duration_s: HistogramVec,
    pub(super) connections: IntGauge,
    pub(super) connections_refused: IntCounter,
    pub(super) rate_limited: IntCounter,
    pub(super) timeouts: IntCounter,
    pub(super) before_open: IntCounter,
    pub(super) answers_refused: IntCounter,
}

impl ApiMetrics {
    /// # Errors
    /// If the registry has metrics of these names already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let requests = Opts::new(
            "adnet_api_requests_total",
            "HTTP requests answered by a route.",
        );
        let duration = HistogramOpts::new(
            "adnet_api_request_duration_seconds",
            "Time from a request's headers to its answer.",
        );
        let metrics = Self {
            requests: IntCounterVec::new(requests, &["method", "route", "status"])?,
            duration_s: HistogramVec::new(
                duration.buckets(DURATION_BUCKETS_S.to_vec()),
                &["route"],
            )?,
            connections: IntGauge::new("adnet_api_connections", "Open HTTP connections.")?,
            connections_refused: IntCounter::new(
                "adnet_api_connections_refused_total",
                "HTTP connections closed because one address held too many.",
            )?,
            rate_limited: IntCounter::new(
                "adnet_api_rate_limited_total",
                "HTTP requests refused by the rate limit.",
            )?,
            timeouts: IntCounter::new(
                "adnet_api_timeouts_total",
                "HTTP requests that took longer than the request timeout.",
            )?,
            before_open: IntCounter::new(
                "adnet_api_before_open_total",
                "HTTP requests that came while the state was rebuilt after a start.",
            )?,
            answers_refused: IntCounter::new(
                "adnet_api_answers_refused_total",
                "Large answers refused because clients took too long for others.",
            )?,
        };
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.duration_s.clone()))?;
        registry.register(Box::new(metrics.connections.clone()))?;
        registry.register(Box::new(metrics.connections_refused.clone()))?;
        registry.register(Box::new(metrics.rate_limited.clone()))?;
        registry.register(Box::new(metrics.timeouts.clone()))?;
        registry.register(Box::new(metrics.before_open.clone()))?;
        registry.register(Box::new(metrics.answers_refused.clone()))?;
        Ok(metrics)
    }

    /// Requests of a route that were answered with 200.
    #[cfg(test)]
    pub(super) fn requests_answered(&self, route: &str) -> u64 {
        self.requests
            .with_label_values(&["GET", route, "200"])
            .get()
    }

    /// Counts and times every request of `router`.
    pub(super) fn instrument(&self, router: Router) -> Router {
        router.layer(from_fn_with_state(self.clone(), observe))
    }
}

async fn observe(State(metrics): State<ApiMetrics>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let method = method_label(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("unknown", MatchedPath::as_str);
    let status = response.status();
    metrics
        .requests
        .with_label_values(&[method, route, status.as_str()])
        .inc();
    let elapsed = start.elapsed().as_secs_f64();
    metrics
        .duration_s
        .with_label_values(&[route])
        .observe(elapsed);
    response
}

/// A client may send any word as its method; only these become labels.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
