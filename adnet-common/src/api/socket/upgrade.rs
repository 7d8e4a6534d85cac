//! The handshake by which a request becomes a WebSocket (RFC 6455, section 4.2).

use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// The messages of a connection.
pub(super) type Messages = WebSocketStream<TokioIo<Upgraded>>;

/// A request whose connection can become a WebSocket.
pub(super) struct Upgrade {
    key: HeaderValue,
    on_upgrade: OnUpgrade,
}

impl Upgrade {
    /// The server speaks HTTP/1 only, where a handshake is a GET.
    ///
    /// # Errors
    /// What the request lacks, in words for the client.
    pub fn of(parts: &mut Parts) -> Result<Self, &'static str> {
        if parts.method != Method::GET {
            return Err("Request method must be `GET`");
        }
        let headers = &parts.headers;
        let is = |name: HeaderName, expected: &str| {
            let value = headers.get(name).map(HeaderValue::as_bytes);
            value.is_some_and(|value| value.eq_ignore_ascii_case(expected.as_bytes()))
        };
        // Browsers send a list there.
        let connection = headers.get(header::CONNECTION);
        let connection = connection.and_then(|value| value.to_str().ok());
        if !connection.is_some_and(|value| value.to_ascii_lowercase().contains("upgrade")) {
            return Err("Connection header did not include 'upgrade'");
        }
        if !is(header::UPGRADE, "websocket") {
            return Err("`Upgrade` header did not include 'websocket'");
        }
        let key = headers.get(header::SEC_WEBSOCKET_KEY).cloned();
        let key = key.ok_or("`Sec-WebSocket-Key` header missing")?;
        if !is(header::SEC_WEBSOCKET_VERSION, "13") {
            return Err("`Sec-WebSocket-Version` header did not include '13'");
        }
        let on_upgrade = parts.extensions.remove::<OnUpgrade>();
        let on_upgrade = on_upgrade
            .ok_or("WebSocket request couldn't be upgraded since no upgrade state was present")?;
        Ok(Self { key, on_upgrade })
    }

    /// Answers the request, and runs `talk` on the connection once the client has the answer.
    pub fn open<Fut>(
        self,
        config: WebSocketConfig,
        talk: impl FnOnce(Messages) -> Fut + Send + 'static,
    ) -> Response
    where
        Fut: Future<Output = ()> + Send + 'static,
    {
        let Self { key, on_upgrade } = self;
        tokio::spawn(async move {
            // Without it the client went away before the answer was written.
            if let Ok(upgraded) = on_upgrade.await {
                let stream = TokioIo::new(upgraded);
                talk(Messages::from_raw_socket(stream, Role::Server, Some(config)).await).await;
            }
        });
        let accept = derive_accept_key(key.as_bytes());
        let headers = [
            (header::CONNECTION, "upgrade"),
            (header::UPGRADE, "websocket"),
            (header::SEC_WEBSOCKET_ACCEPT, accept.as_str()),
        ];
        (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
    }
}
