//! The HTTP/1 server of a worker: accepts on an inherited socket, bounds connections, drains.
//!
//! A worker runs in a sandbox, so this opens no socket and no file. The system calls it needs
//! beyond the runtime's are accept4, setsockopt (TCP_NODELAY), recvfrom, sendto, writev, shutdown and
//! close.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::clients::{Connections, Place};
use super::connection::Connected;
use super::front::{Front, Later};
use super::guard::Guard;
use super::limits::ApiLimits;
use super::metrics::ApiMetrics;
use super::rate_limit::Client;
use super::stall::StallGuard;

/// hyper does not take a smaller buffer.
const BUFFER_MIN_BYTES: usize = 8192;
/// Waits after a failed accept, growing from the first to the second.
const ACCEPT_RETRY_MIN: Duration = Duration::from_millis(10);
const ACCEPT_RETRY_MAX: Duration = Duration::from_secs(1);

/// Serves `opening` on `listener`, which listens already, and from the moment when `later` is opened what
/// that has. Ends when `shutdown` becomes true or its sender is gone: then accepts nothing more, lets
/// every request that has begun finish within the request timeout, and returns.
///
/// # Errors
/// Only if the listener cannot be handed to the runtime. Errors of accepting, such as EMFILE, are
/// logged and tried again: the listening socket is inherited, so giving up would lose the API.
pub async fn serve(
    listener: std::net::TcpListener,
    (opening, later): (Router, Later),
    limits: ApiLimits,
    metrics: ApiMetrics,
    mut shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let front = Front::new(opening, later);
    let guard = Guard::new(front, &limits, metrics.clone());
    let http = http_builder(&limits);
    let connections = Connections::new(limits.max_connections);
    let mut tasks = JoinSet::new();
    let mut retry = ACCEPT_RETRY_MIN;

    loop {
        let accepted = tokio::select! {
            biased;
            () = stopped(&mut shutdown) => break,
            Some(_) = tasks.join_next() => continue,
            accepted = accept(&listener, &connections) => accepted,
        };
        match accepted {
            Ok((stream, peer, Some(place))) => {
                retry = ACCEPT_RETRY_MIN;
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "an answer may wait for the client's acknowledgement");
                }
                let stream = StallGuard::new(stream, limits.request_timeout());
                let connection = Connection {
                    http: http.clone(),
                    guard: guard.clone(),
                    shutdown: shutdown.clone(),
                    metrics: metrics.clone(),
                    peer,
                    place,
                };
                tasks.spawn(connection.run(stream));
            }
            Ok((_, peer, None)) => {
                metrics.connections_refused.inc();
                tracing::debug!(%peer, "closed a connection: the address holds too many");
            }
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "the HTTP API cannot accept a connection; it tries again");
                tokio::select! {
                    () = stopped(&mut shutdown) => break,
                    () = tokio::time::sleep(retry) => {}
                }
                retry = (retry * 2).min(ACCEPT_RETRY_MAX);
            }
        }
    }

    // What is still open sees the same signal; who does not finish in time is cut off.
    let drained = async {
        while tasks.join_next().await.is_some() {}
        // A WebSocket is no task here, but it keeps its place.
        connections.all_free().await;
    };
    if tokio::time::timeout(limits.request_timeout(), drained)
        .await
        .is_err()
    {
        tracing::warn!("HTTP connections did not finish in time and are closed");
        tasks.shutdown().await;
    }
    Ok(())
}

fn http_builder(limits: &ApiLimits) -> http1::Builder {
    let max_header_bytes = usize::try_from(limits.max_header_bytes).unwrap_or(usize::MAX);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.request_timeout())
        .max_header_size(max_header_bytes)
        .max_buf_size(max_header_bytes.max(BUFFER_MIN_BYTES));
    http
}

/// Waits for room first, so that what does not fit queues in the backlog and not in memory.
async fn accept(
    listener: &TcpListener,
    connections: &Connections,
) -> io::Result<(TcpStream, SocketAddr, Option<Place>)> {
    let permit = connections.room().await;
    let (stream, peer) = listener.accept().await?;
    let place = connections.admit(Client::from(peer.ip()), permit);
    Ok((stream, peer, place))
}

/// The client went away between its SYN and our accept: nothing is wrong here.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

/// Ends when `shutdown` is true or nobody can set it any more.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

struct Connection {
    http: http1::Builder,
    guard: Guard,
    shutdown: watch::Receiver<bool>,
    metrics: ApiMetrics,
    peer: SocketAddr,
    place: Place,
}

impl Connection {
    async fn run(mut self, stream: StallGuard<TcpStream>) {
        let guard = self.guard;
        let open = self.metrics.connections.clone();
        let (rate, outgoing) = (guard.rate(), guard.outgoing());
        let connected = Connected::new(
            self.peer,
            guard.timeout(),
            self.place,
            open,
            rate,
            outgoing,
            self.shutdown.clone(),
        );
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let (guard, connected) = (guard.clone(), connected.clone());
            async move { Ok::<_, std::convert::Infallible>(guard.answer(connected, request).await) }
        });
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection.with_upgrades());
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stopped(&mut self.shutdown) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, peer = %self.peer, "an HTTP connection ended early");
        }
    }
}
