//! WebSockets over real connections, spoken by hand.

use super::*;

use futures::StreamExt;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

/// Answers each message with itself.
pub(super) async fn echo(socket: ApiSocket) -> axum::response::Response {
    socket.open(64, |mut socket: Socket| async move {
        loop {
            match socket.hear().await {
                Heard::Text(text) => {
                    if socket.say(text.as_str().to_owned()).await.is_err() {
                        return;
                    }
                }
                Heard::End(close) => return socket.close(close).await,
                Heard::Gone => return,
            }
        }
    })
}

/// Far more than all buffers on the way take.
const NEWS_MESSAGES: usize = 1 << 16;
const NEWS_MESSAGE_BYTES: usize = 1 << 10;

/// Tells one piece of news.
pub(super) async fn news(socket: ApiSocket) -> axum::response::Response {
    socket.open(64, |mut socket: Socket| async move {
        let messages = std::iter::repeat_n("x".repeat(NEWS_MESSAGE_BYTES), NEWS_MESSAGES);
        if let Err(Untold::Late(close)) = socket.tell(messages).await {
            socket.close(close).await;
        }
    })
}

/// A mebibyte of characters that are cut at each bound, and what makes them odd.
fn long_text() -> String {
    format!("7 bytes{}", "é".repeat(1 << 19))
}

/// Says a long text, a short one, and goodbye.
pub(super) async fn long(socket: ApiSocket) -> axum::response::Response {
    socket.open(64, |mut socket: Socket| async move {
        for text in [long_text(), "short".to_owned()] {
            if socket.say(text).await.is_err() {
                return;
            }
        }
        let close = Close::new(Close::STOPPING, "that was all");
        socket.close(close).await;
    })
}

/// Gives up amid a text; the code of the close tells whether the socket took no other then.
pub(super) async fn torn(socket: ApiSocket) -> axum::response::Response {
    socket.open(64, |mut socket: Socket| async move {
        let text = "x".repeat(NEWS_MESSAGES * NEWS_MESSAGE_BYTES);
        let is_torn = timeout(Duration::ZERO, socket.say(text)).await.is_err();
        let is_over = socket.say("more".to_owned()).await == Err(Gone)
            && matches!(socket.hear().await, Heard::Gone);
        let code = if is_torn && is_over {
            Close::TRY_LATER
        } else {
            Close::UNSUPPORTED
        };
        socket.close(Close::new(code, "torn")).await;
    })
}

/// A client of the route `/echo` that has shaken hands.
async fn connected(server: &Server) -> TcpStream {
    upgraded(server, "/echo").await
}

async fn upgraded(server: &Server, path: &str) -> TcpStream {
    let mut stream = server.connect().await;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let byte = timeout(PATIENCE, stream.read_u8()).await;
        answer.push(byte.expect("in time").expect("an answer"));
    }
    let answer = String::from_utf8(answer).expect("text");
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    // RFC 6455, section 1.3.
    assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
    stream
}

/// A text frame, masked with zeros.
async fn say(stream: &mut TcpStream, text: &str) {
    let length = u8::try_from(text.len()).expect("short");
    let mut frame = vec![0x81];
    if length < 126 {
        frame.push(0x80 | length);
    } else {
        frame.extend([0x80 | 126, 0, length]);
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    stream.write_all(&frame).await.expect("sent");
}

/// The next short frame: its first byte, and what it carries.
async fn frame(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let read = async {
        let kind = stream.read_u8().await?;
        let mut content = vec![0; usize::from(stream.read_u8().await?)];
        stream.read_exact(&mut content).await?;
        Ok::<_, std::io::Error>((kind, content))
    };
    let read = timeout(PATIENCE, read).await;
    read.expect("in time").expect("a frame")
}

fn close_of((kind, content): (u8, Vec<u8>)) -> (u16, String) {
    assert_eq!(kind, 0x88, "a close frame");
    let code = u16::from_be_bytes([content[0], content[1]]);
    let reason = String::from_utf8(content[2..].to_vec()).expect("text");
    (code, reason)
}

#[tokio::test]
async fn messages_go_both_ways_and_a_stop_is_told() {
    let server = start(limits());
    let mut client = connected(&server).await;
    say(&mut client, "hello").await;
    assert_eq!(frame(&mut client).await, (0x81, b"hello".to_vec()));
    assert_eq!(
        server.metrics.connections.get(),
        1,
        "it is a connection still"
    );
    server.stop.send_replace(true);
    let told = close_of(frame(&mut client).await);
    assert_eq!(told, (Close::STOPPING, "the node stops".to_owned()));
    drop(client);
    let done = timeout(PATIENCE, server.done).await.expect("it drains");
    done.expect("no panic").expect("served");
    assert_eq!(server.metrics.connections.get(), 0);
}

#[tokio::test]
async fn a_message_that_is_too_long_is_told_by_code() {
    let server = start(limits());
    let mut client = connected(&server).await;
    say(&mut client, &"x".repeat(65)).await;
    assert_eq!(close_of(frame(&mut client).await).0, Close::TOO_LARGE);
}

#[tokio::test]
async fn a_socket_keeps_its_place_among_the_connections() {
    let server = start(ApiLimits {
        max_connections: 2,
        ..limits()
    });
    let client = connected(&server).await;
    // Half of two places is for one address.
    let mut second = server.connect().await;
    assert_eq!(to_end(&mut second).await, "");
    drop(client);
    let begun = std::time::Instant::now();
    while server.metrics.connections.get() > 0 {
        assert!(begun.elapsed() < PATIENCE, "it gives its place back");
        sleep(Duration::from_millis(5)).await;
    }
    expect(&server.get("/square/3").await, 200, "9");
}

#[tokio::test]
async fn messages_take_from_the_rate_and_wait_for_it() {
    let server = start(ApiLimits {
        rate_per_s: 20,
        rate_burst: 2,
        ..limits()
    });
    let mut client = connected(&server).await;
    let begun = std::time::Instant::now();
    for _ in 0..5 {
        say(&mut client, "x").await;
    }
    for _ in 0..5 {
        assert_eq!(frame(&mut client).await.0, 0x81);
    }
    // The handshake and one message are the burst, four more come at 50 ms each.
    assert!(begun.elapsed() > Duration::from_millis(150), "they waited");
}

#[tokio::test]
async fn news_that_somebody_takes_bit_by_bit_is_not_kept_for_ever() {
    let server = start(limits());
    let mut client = upgraded(&server, "/news").await;
    let (mut taken, mut buffer) = (0, vec![0; 16 << 10]);
    // Quick enough for each write, and far too slow for all of them.
    let trickle = async {
        while let Ok(bytes @ 1..) = client.read(&mut buffer).await {
            taken += bytes;
            sleep(Duration::from_millis(20)).await;
        }
    };
    let ended = timeout(PATIENCE, trickle).await;
    ended.expect("the server lets go");
    assert!(taken < NEWS_MESSAGES * NEWS_MESSAGE_BYTES, "{taken}");
}

/// A client that does not speak by hand.
async fn library_client(server: &Server, path: &str) -> WebSocketStream<TcpStream> {
    let stream = upgraded(server, path).await;
    WebSocketStream::from_raw_socket(stream, Role::Client, None).await
}

async fn message(client: &mut WebSocketStream<TcpStream>) -> Message {
    let came = timeout(PATIENCE, client.next()).await.expect("in time");
    came.expect("a message").expect("no error")
}

async fn told_at_the_end(client: &mut WebSocketStream<TcpStream>) -> (u16, String) {
    match message(client).await {
        Message::Close(Some(close)) => (close.code.into(), close.reason.as_str().to_owned()),
        other => panic!("{} bytes instead of a close", other.len()),
    }
}

#[tokio::test]
async fn a_long_text_arrives_whole() {
    let server = start(limits());
    let mut client = library_client(&server, "/long").await;
    let text = message(&mut client).await.into_text().expect("text");
    assert_eq!(text.len(), (1 << 20) + 7);
    assert!(text.as_str() == long_text(), "it is another text");
    let short = message(&mut client).await;
    assert_eq!(short, Message::text("short"));
    let told = told_at_the_end(&mut client).await;
    assert_eq!(told, (Close::STOPPING, "that was all".to_owned()));
}

#[tokio::test]
async fn nothing_but_the_close_follows_a_torn_text() {
    let server = start(limits());
    let mut client = library_client(&server, "/torn").await;
    let told = told_at_the_end(&mut client).await;
    assert_eq!(told, (Close::TRY_LATER, "torn".to_owned()));
}

#[tokio::test]
async fn a_handshake_is_told_what_it_lacks() {
    let server = start(limits());
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (headers, lacks) in [
        ("Connection: close\r\n".to_owned(), "'upgrade'"),
        (
            "Connection: close, Upgrade\r\nUpgrade: h2c\r\n".to_owned(),
            "'websocket'",
        ),
        (
            "Connection: close, Upgrade\r\nUpgrade: websocket\r\n".to_owned(),
            "`Sec-WebSocket-Key`",
        ),
        (
            format!(
                "Connection: close, Upgrade\r\nUpgrade: websocket\r\n{key}\
                 Sec-WebSocket-Version: 8\r\n"
            ),
            "'13'",
        ),
    ] {
        let request = format!("GET /echo HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        let answer = server.raw(&request).await;
        expect(&answer, 400, "this route is a WebSocket: ");
        assert!(answer.contains(lacks), "{answer}");
    }
}

#[tokio::test]
async fn a_route_that_is_a_socket_says_so() {
    let server = start(limits());
    expect(&server.get("/echo").await, 400, "WebSocket");
}
