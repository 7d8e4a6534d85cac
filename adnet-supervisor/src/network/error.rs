//! Why the network cannot start, and why one connection came to nothing.

use std::{io, net::SocketAddr};

use adnet_common::{chain_id::ChainId, store::StoreError};
use quinn::{ConnectError, ConnectionError};

use super::{
    discovery::RecordError,
    identity::{PeerId, Short},
    refusal::{By, Refusal},
};

/// Why a network does not start.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    #[error("{chain}: gossip cannot start: {error}")]
    Gossip { chain: ChainId, error: String },
    #[error("network name `{0}` is not 1 to 64 characters of a-z, 0-9 and -")]
    Name(String),
    #[error("chain {0} is configured twice")]
    ChainTwice(ChainId),
    #[error("the socket of chain {chain} cannot serve QUIC: {source}")]
    Socket { chain: ChainId, source: io::Error },
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    #[error("TLS offers no cipher suite for QUIC's first packets: {0}")]
    Cipher(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
    #[error("the network's threads cannot start: {0}")]
    Runtime(io::Error),
    #[error("discovery cannot start: {0}")]
    Discovery(String),
    #[error("boot node {record}: {error}")]
    BootNode { record: String, error: RecordError },
    #[error("the address book cannot be read: {0}")]
    AddressBook(#[from] StoreError),
    #[error("a metric of the network cannot be registered: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Why one attempt at a link failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error("{0} does not resolve to an address of this socket's family")]
    Unresolved(String),
    #[error("the dial could not start: {0}")]
    Connect(#[from] ConnectError),
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] NetworkError),
    #[error("no handshake with {0} within the time limit")]
    HandshakeTimeout(SocketAddr),
    #[error("{address} presented the key {} instead of {}", Short(*presented), Short(*expected))]
    WrongKey {
        address: SocketAddr,
        expected: PeerId,
        presented: PeerId,
    },
    #[error("{}: {reason}", match by {
        By::Us => "we refused the peer",
        By::Peer => "the peer refused us",
    })]
    Refused { by: By, reason: Refusal },
    #[error("{0}")]
    Lost(ConnectionError),
}

impl LinkError {
    /// The named reason behind it and who gave it, if there is one.
    pub fn refusal(&self) -> Option<(By, Refusal)> {
        match self {
            LinkError::Refused { by, reason } => Some((*by, *reason)),
            LinkError::WrongKey { .. } => Some((By::Us, Refusal::WrongKey)),
            _ => None,
        }
    }

    /// We are the ones who refuse.
    pub fn refused(reason: Refusal) -> Self {
        let by = By::Us;
        LinkError::Refused { by, reason }
    }
}

impl From<ConnectionError> for LinkError {
    fn from(error: ConnectionError) -> Self {
        match Refusal::of_connection_error(&error) {
            Some((by, reason)) => LinkError::Refused { by, reason },
            None => LinkError::Lost(error),
        }
    }
}
