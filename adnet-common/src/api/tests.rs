//! The server over real sockets: what a client gets, and what a hostile one does not.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use prometheus::Registry;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::*;

mod opening;
mod outgoing;
mod sockets;

const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Serialize, Deserialize)]
struct Sum {
    a: u64,
    b: u64,
}

async fn add(ApiJson(sum): ApiJson<Sum>) -> ApiResult {
    Ok(ok(sum.a + sum.b))
}

async fn square(ApiPath(n): ApiPath<u32>) -> ApiResult {
    Ok(ok(u64::from(n) * u64::from(n)))
}

/// Requests for 300 ms that have begun: one test sends them.
static BEGUN: AtomicU64 = AtomicU64::new(0);

async fn slow(ApiQuery(query): ApiQuery<std::collections::BTreeMap<String, u64>>) -> ApiResult {
    if query["ms"] == 300 {
        BEGUN.fetch_add(1, Ordering::SeqCst);
    }
    sleep(Duration::from_millis(query["ms"])).await;
    Ok(ok("done"))
}

async fn broken() -> ApiResult {
    panic!("a secret that no client sees");
}

async fn large() -> Body {
    Body::from(vec![b'x'; 64 << 20])
}

fn routes() -> ApiRoutes<()> {
    ApiRoutes::new()
        .post("/add", add)
        .get("/square/{n}", square)
        .get("/slow", slow)
        .get("/broken", broken)
        .get("/large", large)
        .get("/echo", sockets::echo)
        .get("/news", sockets::news)
        .get("/long", sockets::long)
        .get("/torn", sockets::torn)
        .openapi(r#"{"paths":{"/add":{"post":{}},"/square/{n}":{"get":{}}}}"#)
}

fn limits() -> ApiLimits {
    ApiLimits {
        max_body_bytes: 1000,
        max_header_bytes: 8192,
        request_timeout_ms: 400,
        rate_per_s: 0,
        rate_burst: 0,
        max_connections: 64,
    }
}

struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    done: JoinHandle<std::io::Result<()>>,
    metrics: ApiMetrics,
    registry: Registry,
}

fn start(limits: ApiLimits) -> Server {
    let (server, later) = start_closed(limits, Router::new());
    later.open(routes().into_router(()));
    server
}

/// A server that has only these routes until the other ones are opened.
fn start_closed(limits: ApiLimits, opening: Router) -> (Server, Later) {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (stop, stopped) = watch::channel(false);
    let registry = Registry::new();
    let metrics = ApiMetrics::new(&registry).expect("fresh registry");
    let later = Later::new(&limits, metrics.clone());
    let routed = (later.clone().after(opening), later.clone());
    let done = tokio::spawn(serve(listener, routed, limits, metrics.clone(), stopped));
    let server = Server {
        address,
        stop,
        done,
        metrics,
        registry,
    };
    (server, later)
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address)
            .await
            .expect("the server listens")
    }

    /// Sends `request` and reads until the server closes.
    async fn raw(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.expect("sent");
        to_end(&mut stream).await
    }

    async fn get(&self, path: &str) -> String {
        self.raw(&format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        ))
        .await
    }

    async fn post(&self, path: &str, content_type: &str, body: &str) -> String {
        let length = body.len();
        self.raw(&format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Content-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
        .await
    }
}

async fn to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    // A reset instead of an orderly end is as good: the server let go.
    let _ = read.expect("the server answers or closes in time");
    String::from_utf8(answer).expect("answers are text")
}

#[track_caller]
fn expect(answer: &str, status: u16, content: &str) {
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "{answer}"
    );
    assert!(answer.contains(content), "{answer}");
}

#[tokio::test]
async fn every_answer_is_the_envelope() {
    let server = start(limits());
    let json = "application/json";
    let sum = server.post("/add", json, r#"{"a":1,"b":2}"#).await;
    expect(&sum, 200, r#"{"success":true,"data":3}"#);
    let refused = r#"{"success":false,"error":{"code":"INVALID_REQUEST","message":"#;
    expect(&server.post("/add", json, r#"{"a":1}"#).await, 400, refused);
    expect(&server.post("/add", json, "{").await, 400, refused);
    expect(&server.get("/square/-1").await, 400, refused);
    expect(
        &server.post("/add", "text/plain", "{}").await,
        415,
        r#""code":"UNSUPPORTED_MEDIA_TYPE""#,
    );
    expect(&server.get("/nowhere").await, 404, r#""code":"NOT_FOUND""#);
    expect(
        &server.get("/add").await,
        405,
        r#""code":"METHOD_NOT_ALLOWED""#,
    );
    expect(&server.get("/openapi.json").await, 200, "paths");
}

#[tokio::test]
async fn a_panic_is_an_internal_error_and_says_nothing() {
    let server = start(limits());
    let answer = server.get("/broken").await;
    expect(&answer, 500, r#""code":"INTERNAL""#);
    assert!(!answer.contains("secret"), "{answer}");
    expect(&server.get("/square/3").await, 200, "9");
}

#[tokio::test]
async fn bodies_are_bounded_announced_or_not() {
    let server = start(limits());
    let long = format!(r#"{{"a":1,"b":{}2}}"#, " ".repeat(1000));
    let code = r#""code":"PAYLOAD_TOO_LARGE""#;
    expect(
        &server.post("/add", "application/json", &long).await,
        413,
        code,
    );
    let chunked = format!(
        "POST /add HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{long}\r\n0\r\n\r\n",
        long.len()
    );
    expect(&server.raw(&chunked).await, 413, code);
}

#[tokio::test]
async fn a_client_that_sends_all_of_a_body_before_it_listens_hears_that_it_is_too_long() {
    let server = start(ApiLimits {
        max_body_bytes: 1 << 20,
        request_timeout_ms: 20_000,
        ..limits()
    });
    let code = r#""code":"PAYLOAD_TOO_LARGE""#;
    let long = " ".repeat(4 << 20);
    expect(
        &server.post("/add", "application/json", &long).await,
        413,
        code,
    );
    // Nobody waits for a body that is far too long, or that the client has not begun to send.
    let announced = |bytes: usize, more: &str| {
        format!("POST /add HTTP/1.1\r\nHost: x\r\nContent-Length: {bytes}\r\n{more}\r\n")
    };
    expect(&server.raw(&announced(10 << 20, "")).await, 413, code);
    let waits = announced(2 << 20, "Expect: 100-continue\r\n");
    expect(&server.raw(&waits).await, 413, code);
}

#[tokio::test]
async fn headers_are_bounded_in_size_and_time() {
    let server = start(limits());
    let long = format!(
        "GET /square/2 HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "y".repeat(9000)
    );
    expect(&server.raw(&long).await, 431, "");
    // Half a request: the server closes by itself.
    let mut stalled = server.connect().await;
    stalled
        .write_all(b"GET /square/2 HTTP/1.1\r\nHost:")
        .await
        .expect("sent");
    assert!(!to_end(&mut stalled).await.contains("200"));
    // And a connection that says nothing at all.
    assert_eq!(to_end(&mut server.connect().await).await, "");
}

#[tokio::test]
async fn a_slow_route_times_out_and_so_does_a_slow_body() {
    let server = start(limits());
    expect(
        &server.get("/slow?ms=60000").await,
        504,
        r#""code":"TIMEOUT""#,
    );
    let body = "POST /add HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{";
    expect(&server.raw(body).await, 504, r#""code":"TIMEOUT""#);
    assert_eq!(server.metrics.timeouts.get(), 2);
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_its_connection() {
    let server = start(limits());
    let mut greedy = server.connect().await;
    greedy
        .write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect("sent");
    let freed = async {
        while server.metrics.requests_answered("/large") == 0
            || server.metrics.connections.get() > 0
        {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, freed)
        .await
        .expect("the place is free again");
}

#[tokio::test]
async fn a_flood_is_told_when_to_come_back() {
    let server = start(ApiLimits {
        rate_per_s: 1,
        rate_burst: 3,
        ..limits()
    });
    for _ in 0..3 {
        expect(&server.get("/square/2").await, 200, "4");
    }
    let refused = server.get("/square/2").await;
    expect(&refused, 429, r#""code":"RATE_LIMITED""#);
    assert!(refused.contains("retry-after: 1\r\n"), "{refused}");
    assert_eq!(server.metrics.rate_limited.get(), 1);
}

#[tokio::test]
async fn one_address_cannot_hold_all_connections() {
    let server = start(ApiLimits {
        max_connections: 4,
        request_timeout_ms: 60_000,
        ..limits()
    });
    let (first, second) = (server.connect().await, server.connect().await);
    assert_eq!(
        to_end(&mut server.connect().await).await,
        "",
        "the third is closed"
    );
    assert_eq!(server.metrics.connections_refused.get(), 1);
    drop(first);
    let again = async {
        while !server.get("/square/2").await.contains("200 OK") {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, again)
        .await
        .expect("a closed connection makes room");
    drop(second);
}

#[tokio::test]
async fn shutdown_lets_running_requests_finish_and_closes_idle_connections() {
    let server = start(ApiLimits {
        request_timeout_ms: 10_000,
        ..limits()
    });
    let mut idle = server.connect().await;
    idle.write_all(b"GET /square/5 HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect("sent");
    let mut start_of_answer = [0; 15];
    idle.read_exact(&mut start_of_answer)
        .await
        .expect("answered");
    let mut busy = server.connect().await;
    let request = b"GET /slow?ms=300 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    busy.write_all(request).await.expect("sent");
    let begun = async {
        while BEGUN.load(Ordering::SeqCst) == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, begun)
        .await
        .expect("the request is being answered");
    server.stop.send(true).expect("the server runs");
    expect(&to_end(&mut busy).await, 200, "done");
    to_end(&mut idle).await;
    timeout(PATIENCE, server.done)
        .await
        .expect("in time")
        .expect("no panic")
        .expect("no error");
    assert!(
        TcpStream::connect(server.address).await.is_err(),
        "nobody listens any more"
    );
}

#[tokio::test]
async fn metrics_have_the_route_and_never_the_path() {
    let server = start(limits());
    for path in ["/square/1", "/square/2", "/secret/token", "/square/x"] {
        server.get(path).await;
    }
    server
        .raw("BREW /square/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await;
    let text = prometheus::TextEncoder::new();
    let text = text
        .encode_to_string(&server.registry.gather())
        .expect("encodes");
    for line in [
        r#"{method="GET",route="/square/{n}",status="200"} 2"#,
        r#"{method="GET",route="/square/{n}",status="400"} 1"#,
        r#"{method="GET",route="unknown",status="404"} 1"#,
        r#"{method="other",route="/square/{n}",status="405"} 1"#,
        r#"adnet_api_request_duration_seconds_count{route="/square/{n}"} 4"#,
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(!text.contains("token"), "{text}");
}

#[test]
fn the_document_is_compared_with_the_routes() {
    let document = r#"{"paths":{"/add":{"post":{}},"/gone":{"get":{}}}}"#;
    let differences = routes().undocumented(document);
    assert!(
        differences.contains(&"get /gone".to_owned()),
        "{differences:?}"
    );
    assert!(
        differences.contains(&"get /square/{n}".to_owned()),
        "{differences:?}"
    );
    assert!(
        !differences.contains(&"post /add".to_owned()),
        "{differences:?}"
    );
}

#[test]
fn a_refused_transaction_has_the_status_of_its_code() {
    use crate::application::TxError;
    for (code, status) in [
        ("INVALID_SIGNATURE", 400),
        ("DEPLOYMENT_DISABLED", 403),
        ("NONCE_TOO_LOW", 409),
        ("INSUFFICIENT_BALANCE", 422),
        ("UNSUPPORTED_FUNCTION", 501),
        ("OVERLOADED", 503),
    ] {
        let error = ApiError::from(TxError::new(code, "why"));
        assert_eq!(error.status.as_u16(), status, "{code}");
        assert_eq!(error.retry_after_s.is_some(), status == 503, "{code}");
    }
}
