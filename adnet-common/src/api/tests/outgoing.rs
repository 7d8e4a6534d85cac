//! Large answers that wait for their clients.

use super::*;

/// The route's answers have 64 MiB, and what one address may hold together is twice that.
const HELD: usize = 2;

#[tokio::test]
async fn large_answers_that_nobody_takes_leave_no_room_for_another() {
    let server = start(ApiLimits {
        request_timeout_ms: 60_000,
        ..limits()
    });
    let mut held = Vec::new();
    for _ in 0..HELD {
        let mut stream = server.connect().await;
        let request = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n";
        stream.write_all(request).await.expect("sent");
        let mut start_of_answer = [0; 15];
        let read = timeout(PATIENCE, stream.read_exact(&mut start_of_answer)).await;
        read.expect("it answers").expect("it stays open");
        assert_eq!(&start_of_answer, b"HTTP/1.1 200 OK");
        held.push(stream);
    }
    let refused = server.get("/large").await;
    expect(&refused, 503, r#""code":"OVERLOADED""#);
    assert!(refused.contains("retry-after: 1\r\n"), "{refused}");
    assert_eq!(server.metrics.answers_refused.get(), 1);
    expect(&server.get("/square/3").await, 200, "9");
}
