//! The named reasons for which a connection is refused or ended, and their codes on the wire.
//!
//! A code is never given another meaning: a peer of another version must read it rightly.

use quinn::{Connection, ConnectionError, TransportErrorCode, VarInt};

/// TLS alert 120, `no_application_protocol` (RFC 7301): another network, chain or ALPN version.
const ALERT_NO_APPLICATION_PROTOCOL: u8 = 120;

/// Why this node or a peer does not want a connection.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    #[error("another network or chain: no protocol name in common")]
    WrongNetwork,
    #[error("another key than the one that was dialled")]
    WrongKey,
    #[error("another genesis")]
    WrongGenesis,
    #[error("a link of the other chain")]
    WrongChain,
    #[error("an unknown protocol version")]
    UnknownVersion,
    #[error("no hello within the time limit")]
    HelloTimeout,
    #[error("a malformed hello")]
    BadHello,
    #[error("a proof of being a validator that does not hold for this peer")]
    WrongProof,
    #[error("all places for peers are taken")]
    TooManyPeers,
    #[error("a node that links its configured peers only")]
    NotConfigured,
    #[error("too many connections at present: in all, from this address or subnet, or of this key")]
    Busy,
    #[error("a short test whether the address is right")]
    Feeler,
    #[error("a second connection of the same pair")]
    Duplicate,
    #[error("a connection to ourselves")]
    OwnKey,
    #[error("a message over its class's bound")]
    Oversize,
    #[error("a violation of the stream protocol")]
    Protocol,
    #[error("a ban for what this key did before, on this chain or the other")]
    Banned,
    #[error("the node is shutting down")]
    ShuttingDown,
}

/// Who refused.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum By {
    Us,
    Peer,
}

impl By {
    pub fn name(self) -> &'static str {
        match self {
            By::Us => "us",
            By::Peer => "peer",
        }
    }
}

impl Refusal {
    pub const ALL: [Refusal; 18] = [
        Refusal::WrongNetwork,
        Refusal::WrongKey,
        Refusal::WrongGenesis,
        Refusal::WrongChain,
        Refusal::UnknownVersion,
        Refusal::HelloTimeout,
        Refusal::BadHello,
        Refusal::WrongProof,
        Refusal::TooManyPeers,
        Refusal::NotConfigured,
        Refusal::Busy,
        Refusal::Feeler,
        Refusal::Duplicate,
        Refusal::OwnKey,
        Refusal::Oversize,
        Refusal::Protocol,
        Refusal::Banned,
        Refusal::ShuttingDown,
    ];

    /// The application code of CONNECTION_CLOSE.
    pub const fn code(self) -> u32 {
        match self {
            Refusal::ShuttingDown => 0x10,
            Refusal::Duplicate => 0x11,
            Refusal::Protocol => 0x12,
            Refusal::Oversize => 0x13,
            Refusal::Banned => 0x14,
            Refusal::Feeler => 0x15,
            Refusal::WrongNetwork => 0x20,
            Refusal::WrongGenesis => 0x21,
            Refusal::WrongChain => 0x22,
            Refusal::UnknownVersion => 0x23,
            Refusal::HelloTimeout => 0x24,
            Refusal::BadHello => 0x25,
            Refusal::TooManyPeers => 0x26,
            Refusal::Busy => 0x27,
            Refusal::OwnKey => 0x28,
            Refusal::WrongKey => 0x29,
            Refusal::WrongProof => 0x2a,
            Refusal::NotConfigured => 0x2b,
        }
    }

    /// The label in metrics, and the reason phrase of CONNECTION_CLOSE.
    pub const fn name(self) -> &'static str {
        match self {
            Refusal::WrongNetwork => "wrong_network",
            Refusal::WrongKey => "wrong_key",
            Refusal::WrongGenesis => "wrong_genesis",
            Refusal::WrongChain => "wrong_chain",
            Refusal::UnknownVersion => "unknown_version",
            Refusal::HelloTimeout => "hello_timeout",
            Refusal::BadHello => "bad_hello",
            Refusal::WrongProof => "wrong_proof",
            Refusal::TooManyPeers => "too_many_peers",
            Refusal::NotConfigured => "not_configured",
            Refusal::Busy => "busy",
            Refusal::Feeler => "feeler",
            Refusal::Duplicate => "duplicate",
            Refusal::OwnKey => "own_key",
            Refusal::Oversize => "oversize",
            Refusal::Protocol => "protocol",
            Refusal::Banned => "banned",
            Refusal::ShuttingDown => "shutting_down",
        }
    }

    fn from_code(code: VarInt) -> Option<Self> {
        let code = u32::try_from(code.into_inner()).ok()?;
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// Closes the connection with this reason.
    pub(super) fn close(self, connection: &Connection) {
        connection.close(VarInt::from_u32(self.code()), self.name().as_bytes());
    }

    /// The reason behind a connection's end, and who gave it; `None` where there is no such reason
    /// (a timeout, a reset, an error of the transport).
    pub(super) fn of_connection_error(error: &ConnectionError) -> Option<(By, Self)> {
        let no_protocol = TransportErrorCode::crypto(ALERT_NO_APPLICATION_PROTOCOL);
        match error {
            ConnectionError::ApplicationClosed(close) => {
                Self::from_code(close.error_code).map(|reason| (By::Peer, reason))
            }
            // The acceptor finds that no protocol is in common, the dialer is told.
            ConnectionError::ConnectionClosed(close) if close.error_code == no_protocol => {
                Some((By::Peer, Refusal::WrongNetwork))
            }
            ConnectionError::TransportError(error) if error.code == no_protocol => {
                Some((By::Us, Refusal::WrongNetwork))
            }
            // Before the handshake there is no application code to refuse with.
            ConnectionError::ConnectionClosed(close)
                if close.error_code == TransportErrorCode::CONNECTION_REFUSED =>
            {
                Some((By::Peer, Refusal::Busy))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_are_unique_and_codes_lead_back() {
        for reason in Refusal::ALL {
            assert_eq!(
                Refusal::from_code(VarInt::from_u32(reason.code())),
                Some(reason)
            );
            let namesakes = Refusal::ALL
                .into_iter()
                .filter(|other| other.name() == reason.name());
            assert_eq!(namesakes.count(), 1);
        }
        assert_eq!(Refusal::from_code(VarInt::from_u32(0)), None);
        assert_eq!(Refusal::from_code(VarInt::MAX), None);
    }
}
