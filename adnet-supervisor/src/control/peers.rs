//! What `adnet peers` shows: one entry per peer and chain.

use crate::network::{Direction, PeerInfo, Role};
use adnet_common::chain_id::ChainId;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::UNIX_EPOCH;

/// A linked peer. Fields may be added; none changes its meaning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerReport {
    /// The public node key, 64 hexadecimal digits.
    pub peer: String,
    pub chain: ChainId,
    pub address: SocketAddr,
    /// `inbound` if the peer opened the connection, else `outbound`.
    pub direction: String,
    /// `validator` or `full`, as the peer says of itself; unproved.
    pub role: String,
    /// As the peer told last; unproved.
    pub height: u64,
    pub connected_unix_ms: u64,
    /// Smoothed round trip time of the connection (RFC 9002), in microseconds.
    pub round_trip_us: u64,
    /// UDP payload bytes, those of QUIC itself included.
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Zero for a peer without blame; below for one that misbehaved. At -50 it is banned.
    pub score: f64,
}

impl From<PeerInfo> for PeerReport {
    fn from(info: PeerInfo) -> Self {
        let since = info.connected_since.duration_since(UNIX_EPOCH);
        let since_ms = since.unwrap_or_default().as_millis();
        Self {
            peer: hex::encode(info.peer),
            chain: info.chain,
            address: info.address,
            direction: match info.direction {
                Direction::Inbound => "inbound",
                Direction::Outbound => "outbound",
            }
            .to_owned(),
            role: match info.role {
                Role::Validator => "validator",
                Role::Full => "full",
            }
            .to_owned(),
            height: info.tip_height,
            connected_unix_ms: u64::try_from(since_ms).unwrap_or(u64::MAX),
            round_trip_us: u64::try_from(info.round_trip.as_micros()).unwrap_or(u64::MAX),
            bytes_in: info.bytes_in,
            bytes_out: info.bytes_out,
            score: info.score,
        }
    }
}
