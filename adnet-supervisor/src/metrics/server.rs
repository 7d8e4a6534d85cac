//! The HTTP server of port 9090.
//!
//! Invariant: no client holds a place for longer than the timeouts allow, and more clients than
//! places wait in the listener's backlog.

use super::WorkerMetrics;
use super::node::NodeCollector;
use super::process::ProcessCollector;
use crate::node_state::NodeState;
use crate::service_thread::ServiceThread;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use prometheus::Registry;
use serde_json::json;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

const CONNECTIONS_MAX: usize = 64;
const HEADER_BYTES_MAX: usize = 16 << 10;
/// For the headers of a request, also while a connection is idle between two.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// For a connection as a whole: a client that does not read its answer is cut off.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(120);
/// Out of descriptors, most likely: wait for some to come back.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

#[derive(Clone)]
struct Shared {
    registry: Registry,
    workers: Arc<WorkerMetrics>,
    state: Arc<NodeState>,
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum MetricsServerError {
    #[error("metrics cannot be served: {0}")]
    Io(#[from] io::Error),
    #[error("metrics cannot be registered: {0}")]
    Registry(#[from] prometheus::Error),
}

/// The running server.
#[derive(Debug)]
pub struct MetricsServer {
    thread: ServiceThread,
}

impl MetricsServer {
    /// Serves on a listening socket, until [`MetricsServer::stop`] or until this is dropped: what
    /// is in `registry` (to which the state of the node and its processes are added) and what the
    /// workers report.
    ///
    /// # Errors
    /// When thread, runtime or listener cannot be set up, or the registry has such metrics already.
    pub fn start(
        listener: std::net::TcpListener,
        registry: Registry,
        state: Arc<NodeState>,
        workers: Arc<WorkerMetrics>,
    ) -> Result<MetricsServer, MetricsServerError> {
        registry.register(Box::new(workers.refused.clone()))?;
        registry.register(Box::new(NodeCollector::new(Arc::clone(&state))))?;
        registry.register(Box::new(ProcessCollector::new(Arc::clone(&state))))?;
        let router = Router::new()
            .route("/metrics", get(metrics))
            .route("/health", get(health))
            .route("/ready", get(ready))
            .with_state(Shared {
                registry,
                workers,
                state,
            });
        let thread = ServiceThread::spawn("metrics", move || {
            listener.set_nonblocking(true)?;
            let listener = TcpListener::from_std(listener)?;
            Ok(accept(listener, router))
        })?;
        Ok(MetricsServer { thread })
    }

    /// Closes the listener and ends the thread.
    pub fn stop(self) {
        drop(self.thread);
    }
}

async fn accept(listener: TcpListener, router: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        let place = place.expect("nobody closes the semaphore");
        match listener.accept().await {
            Ok((stream, _)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    let _place = place;
                    // A client that is too slow or speaks nonsense is of no interest.
                    let _ = tokio::time::timeout(CONNECTION_TIMEOUT, answer(stream, router)).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection for metrics");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

async fn answer(stream: TcpStream, router: Router) -> Result<(), hyper::Error> {
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await
}

async fn metrics(State(shared): State<Shared>) -> Response {
    let headers = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (headers, shared.workers.page(&shared.registry)).into_response()
}

/// Alive: this process answers. Whether the chains progress is for [`ready`].
async fn health(State(shared): State<Shared>) -> Response {
    let uptime_s = shared.state.uptime().as_secs();
    let version = &shared.state.identity.version;
    let body = Json(json!({ "status": "alive", "uptime_s": uptime_s, "version": version }));
    ([(CACHE_CONTROL, "no-store")], body).into_response()
}

async fn ready(State(shared): State<Shared>) -> Response {
    let reasons = shared.state.not_ready();
    let is_ready = reasons.is_empty();
    let status = if is_ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let chain = |(plan, chain): (crate::node_state::ChainPlan, crate::node_state::ChainState)| {
        let body = json!({ "worker": chain.worker, "height": chain.height });
        (plan.chain.name().to_owned(), body)
    };
    let chains: serde_json::Map<_, _> = shared.state.chains().into_iter().map(chain).collect();
    let body = Json(json!({ "ready": is_ready, "reasons": reasons, "chains": chains }));
    (status, [(CACHE_CONTROL, "no-store")], body).into_response()
}
