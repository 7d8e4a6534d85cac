//! The control socket `control.sock` in the data directory: one JSON object per line, both ways.
//!
//! | request | answer |
//! | --- | --- |
//! | `{"cmd":"status"}` | `{"ok":true,"status":{…}}`, see [`StatusReport`] |
//! | `{"cmd":"peers"}` | `{"ok":true,"peers":[…]}`, see [`PeerReport`](adnet_common::api::PeerReport) |
//! | `{"cmd":"stop"}` | `{"ok":true}`; the node then stops in order |
//! | anything else | `{"ok":false,"error":"…"}` |
//!
//! Who may connect is decided by the file system: the socket has mode 0600. Requests are short and
//! answers bounded, and a silent client is cut off.

mod peers;
mod report;
mod server;

#[cfg(test)]
mod tests;

pub use report::{ChainReport, StatusReport};
pub use server::{ControlError, ControlServer};

use adnet_common::api::PeerReport;
use serde::{Deserialize, Serialize};

/// The socket's name in the data directory.
pub const SOCKET_NAME: &str = "control.sock";
/// A request is at most this long, its line break included.
pub const REQUEST_BYTES_MAX: usize = 4096;
/// An answer is at most this long; a client need not read more.
pub const ANSWER_BYTES_MAX: usize = 1 << 20;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "lowercase")]
pub enum Request {
    Status,
    Peers,
    Stop,
}

/// What it gets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    pub ok: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusReport>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peers: Option<Vec<PeerReport>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Answer {
    fn done() -> Self {
        Self {
            ok: true,
            status: None,
            peers: None,
            error: None,
        }
    }

    fn status(report: StatusReport) -> Self {
        Self {
            status: Some(report),
            ..Self::done()
        }
    }

    fn peers(peers: Vec<PeerReport>) -> Self {
        Self {
            peers: Some(peers),
            ..Self::done()
        }
    }

    fn error(why: impl Into<String>) -> Self {
        Self {
            ok: false,
            error: Some(why.into()),
            ..Self::done()
        }
    }
}
