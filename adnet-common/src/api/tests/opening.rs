//! Before the chain is open, and the moment when it is.

use axum::routing::get;

use super::*;

fn opening() -> Router {
    Router::new().route("/square/{n}", get(|| async { "from the store" }))
}

/// One answer on a connection that stays.
async fn ask(stream: &mut TcpStream, request: &str) -> String {
    let request = format!("{request} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    read_one(stream).await
}

async fn read_one(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&answer).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let (_, rest) = head.split_once("content-length: ").expect("a length");
            let length = rest.lines().next().expect("a line").parse::<usize>();
            if body.len() >= length.expect("a number") {
                return String::from_utf8(answer).expect("answers are text");
            }
        }
        let mut some = [0; 4096];
        let read = timeout(PATIENCE, stream.read(&mut some)).await;
        let count = read.expect("it answers").expect("it stays open");
        assert!(count > 0, "it stays open");
        answer.extend_from_slice(&some[..count]);
    }
}

#[tokio::test]
async fn what_needs_no_open_chain_is_served_and_all_else_is_told_to_come_again() {
    let (server, later) = start_closed(limits(), opening());
    let mut kept = server.connect().await;
    let early = ask(&mut kept, "GET /square/3").await;
    expect(&early, 200, "from the store");
    for request in ["GET /openapi.json", "POST /square/3", "GET /nowhere"] {
        let answer = ask(&mut kept, request).await;
        expect(&answer, 503, r#""code":"STARTING""#);
        assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    }
    assert_eq!(server.metrics.before_open.get(), 4);
    assert_eq!(server.metrics.timeouts.get(), 0);

    // From then on all routes are there, on the connection that was open before too.
    later.open(routes().into_router(()));
    expect(&ask(&mut kept, "GET /square/3").await, 200, r#""data":9"#);
    expect(&ask(&mut kept, "GET /openapi.json").await, 200, "paths");
    expect(&ask(&mut kept, "GET /nowhere").await, 404, "NOT_FOUND");
    assert_eq!(server.metrics.before_open.get(), 4);
    assert_eq!(server.metrics.requests_answered("/square/{n}"), 1);
}

#[tokio::test]
async fn a_request_that_comes_a_little_early_waits() {
    let patient = ApiLimits {
        request_timeout_ms: 60_000,
        ..limits()
    };
    let (server, later) = start_closed(patient, opening());
    let json = "application/json";
    let waiting = server.post("/add", json, r#"{"a":1,"b":2}"#);
    let opens = async {
        while server.metrics.before_open.get() == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        later.open(routes().into_router(()));
    };
    let (answer, ()) = tokio::join!(waiting, opens);
    expect(&answer, 200, r#"{"success":true,"data":3}"#);
    assert_eq!(server.metrics.before_open.get(), 1);
}
