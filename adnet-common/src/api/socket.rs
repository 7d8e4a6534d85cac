//! WebSockets: what a connection that stays open may cost, and how it ends.
//!
//! A message is as long as a request body at most. Who sends faster than its rate is read later, who
//! takes nothing, or too little at a time, is cut off by the connection's own guard, and who answers no
//! ping is gone. Every other end has a code and a reason that the client is told.

mod fragments;
mod upgrade;

use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::response::Response;
use futures::{SinkExt, StreamExt};
use http::request::Parts;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::error::{CapacityError, Error};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::connection::Connected;
use super::envelope::ApiError;
use super::outgoing::Room;
use fragments::fragments;
use upgrade::{Messages, Upgrade};

/// What an idle connection keeps in memory; a longer message takes more while it is read.
const BUFFER_BYTES: usize = 4096;
const PING_EVERY: Duration = Duration::from_secs(30);
/// A client of which nothing was heard for so long is gone: it has missed two pings.
const SILENCE_MAX: Duration = Duration::from_secs(75);
/// A piece of news stays in memory while a client takes what it is told of it: so long at most, in
/// timeouts of a request.
const NEWS_TIMEOUTS: u32 = 3;
/// For the client to take the reason and to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// A request that becomes a WebSocket.
pub struct ApiSocket {
    upgrade: Upgrade,
    connected: Connected,
}

impl<S: Send + Sync> FromRequestParts<S> for ApiSocket {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let connected = parts.extensions.get::<Connected>().cloned();
        let connected = connected.ok_or_else(ApiError::internal)?;
        let upgrade = Upgrade::of(parts)
            .map_err(|why| ApiError::invalid(format!("this route is a WebSocket: {why}")))?;
        Ok(Self { upgrade, connected })
    }
}

impl ApiSocket {
    /// Answers the request, and runs `talk` on the connection, whose messages have at most `max_bytes`.
    pub fn open<Fut>(
        self,
        max_bytes: usize,
        talk: impl FnOnce(Socket) -> Fut + Send + 'static,
    ) -> Response
    where
        Fut: Future<Output = ()> + Send + 'static,
    {
        let Self { upgrade, connected } = self;
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(max_bytes))
            .max_frame_size(Some(max_bytes));
        upgrade.open(config, move |stream| talk(Socket::new(stream, connected)))
    }
}

/// What comes from a client, or happens to its connection.
pub enum Heard {
    Text(Utf8Bytes),
    /// The server stops, or the client broke a rule: close it with this.
    End(Close),
    /// The client is gone.
    Gone,
}

/// Why a connection is closed, as RFC 6455 codes it and in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    pub code: u16,
    pub reason: String,
}

impl Close {
    pub const STOPPING: u16 = 1001;
    pub const UNSUPPORTED: u16 = 1003;
    /// The client broke a rule; a reader that is too slow, too.
    pub const POLICY: u16 = 1008;
    pub const TOO_LARGE: u16 = 1009;
    pub const TRY_LATER: u16 = 1013;

    pub fn new(code: u16, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { code, reason }
    }
}

/// An open WebSocket.
pub struct Socket {
    stream: Messages,
    connected: Connected,
    ping_at: Instant,
    heard_at: Instant,
    /// A message that came too early for the rate of its sender, and when it is due.
    early: Option<(Utf8Bytes, Instant)>,
    /// A text was begun and its end was not sent. Unless that is still going on, its sender gave up, and
    /// nothing but a close may follow.
    is_torn: bool,
}

impl Socket {
    fn new(stream: Messages, connected: Connected) -> Self {
        let now = Instant::now();
        Self {
            stream,
            connected,
            ping_at: now + PING_EVERY,
            heard_at: now,
            early: None,
            is_torn: false,
        }
    }

    /// The next message. May be dropped and called again without losing one.
    pub async fn hear(&mut self) -> Heard {
        if self.is_torn {
            return Heard::Gone;
        }
        loop {
            if let Some((_, due)) = &self.early {
                tokio::select! {
                    biased;
                    () = self.connected.stopped() => return Heard::End(stopping()),
                    () = sleep_until(*due) => {}
                }
                let early = self.early.take();
                let (text, _) = early.expect("it was there, and nobody else takes it");
                if let Some(text) = self.admit(text) {
                    return Heard::Text(text);
                }
                continue;
            }
            let came = tokio::select! {
                biased;
                () = self.connected.stopped() => return Heard::End(stopping()),
                came = self.stream.next() => came,
                () = sleep_until(self.ping_at) => {
                    if self.heard_at.elapsed() > SILENCE_MAX {
                        return Heard::Gone;
                    }
                    self.ping_at = Instant::now() + PING_EVERY;
                    if self.stream.send(Message::Ping(Default::default())).await.is_err() {
                        return Heard::Gone;
                    }
                    continue;
                }
            };
            self.heard_at = Instant::now();
            match came {
                Some(Ok(Message::Text(text))) => {
                    if let Some(text) = self.admit(text) {
                        return Heard::Text(text);
                    }
                }
                Some(Ok(Message::Binary(_))) => {
                    let reason = "only text messages are understood";
                    return Heard::End(Close::new(Close::UNSUPPORTED, reason));
                }
                // Pings are answered by the library, and it hands out no bare frames.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_))) | None => return Heard::Gone,
                // A message beyond its bound is the one mistake that can still be told.
                Some(Err(Error::Capacity(CapacityError::MessageTooLong { .. }))) => {
                    return Heard::End(Close::new(Close::TOO_LARGE, "the message is too long"));
                }
                Some(Err(_)) => return Heard::Gone,
            }
        }
    }

    /// The message, if the rate of its sender allows one now.
    fn admit(&mut self, text: Utf8Bytes) -> Option<Utf8Bytes> {
        match self.connected.take() {
            Ok(()) => Some(text),
            Err(wait) => {
                self.early = Some((text, Instant::now() + wait));
                None
            }
        }
    }

    /// Room for an answer, which holds nothing yet. Who answers keeps it until the answer was said.
    pub fn room(&self) -> Room {
        self.connected.room()
    }

    /// Sends a message and waits until the connection has taken it. If this is dropped amid a long one, the
    /// connection is of no use any more but to be closed.
    ///
    /// # Errors
    /// If the client is gone, or takes nothing.
    pub async fn say(&mut self, text: String) -> Result<(), Gone> {
        if self.is_torn {
            return Err(Gone);
        }
        for fragment in fragments(text) {
            let is_last = fragment.header().is_final;
            self.is_torn |= !is_last;
            let fed = self.stream.feed(Message::Frame(fragment)).await;
            fed.map_err(|_| Gone)?;
            // The library has the end of it, and sends that before anything else.
            self.is_torn = !is_last;
            self.stream.flush().await.map_err(|_| Gone)?;
        }
        Ok(())
    }

    /// Sends all messages about one piece of news, which is kept until the last of them is taken.
    ///
    /// # Errors
    /// If the client is gone or takes nothing, or has not taken all in time.
    pub async fn tell(&mut self, messages: impl Iterator<Item = String>) -> Result<(), Untold> {
        let time = self.connected.patience * NEWS_TIMEOUTS;
        let all = async {
            for message in messages {
                self.say(message).await?;
            }
            Ok(())
        };
        timeout(time, all).await.unwrap_or_else(|_| {
            let time_ms = time.as_millis();
            let reason = format!("too slow: the news of a block was not taken within {time_ms} ms");
            Err(Untold::Late(Close::new(Close::POLICY, reason)))
        })
    }

    /// Tells the client why this is the end. A control frame may come amid the fragments of a message.
    pub async fn close(mut self, close: Close) {
        let is_too_large = close.code == Close::TOO_LARGE;
        let frame = CloseFrame {
            code: close.code.into(),
            reason: close.reason.into(),
        };
        let goodbye = async {
            if self.stream.send(Message::Close(Some(frame))).await.is_err() {
                return;
            }
            loop {
                match self.stream.next().await {
                    Some(Ok(_)) => {}
                    // It may still be sending what nobody reads any more. An end of the connection now
                    // would be a reset, and might overtake the reason.
                    _ if is_too_large => std::future::pending().await,
                    Some(Err(_)) | None => return,
                }
            }
        };
        // Who does not take it in time has seen the end of the connection instead.
        let _ = timeout(GOODBYE, goodbye).await;
    }
}

/// The client is not there any more.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Gone;

/// A piece of news was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Untold {
    Gone,
    /// The client is to be told this, if it can still hear it.
    Late(Close),
}

impl From<Gone> for Untold {
    fn from(_: Gone) -> Self {
        Untold::Gone
    }
}

fn stopping() -> Close {
    Close::new(Close::STOPPING, "the node stops")
}
