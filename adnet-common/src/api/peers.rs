//! A linked peer, as the APIs, the control socket and `adnet peers` show it.

use crate::chain_id::ChainId;
use crate::messages::LinkedPeer;
use serde::{Deserialize, Serialize};

/// A linked peer. Fields may be added; none changes its meaning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerReport {
    /// The public node key, 64 hexadecimal digits.
    pub peer: String,
    pub chain: ChainId,
    /// `address:port`, an IPv6 address in brackets.
    pub address: String,
    /// `inbound` if the peer opened the connection, else `outbound`.
    pub direction: String,
    /// `validator` or `full`.
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
    pub score: i32,
}

impl PeerReport {
    pub fn new(chain: ChainId, linked: LinkedPeer) -> Self {
        let direction = match linked.is_inbound {
            true => "inbound",
            false => "outbound",
        };
        let role = match linked.is_validator {
            true => "validator",
            false => "full",
        };
        Self {
            peer: hex::encode(linked.peer),
            chain,
            address: linked.address,
            direction: direction.to_owned(),
            role: role.to_owned(),
            height: linked.height,
            connected_unix_ms: linked.connected_unix_ms,
            round_trip_us: linked.round_trip_us,
            bytes_in: linked.bytes_in,
            bytes_out: linked.bytes_out,
            score: linked.score,
        }
    }
}
