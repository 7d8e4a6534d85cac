//! What is told of a linked peer.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use adnet_common::chain_id::ChainId;

use super::{hello::Role, identity::PeerId};

/// Who opened a connection.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Direction {
    Inbound,
    Outbound,
}

/// A linked peer.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    pub peer: PeerId,
    pub chain: ChainId,
    pub address: SocketAddr,
    pub direction: Direction,
    pub role: Role,
    /// As the peer told last; unproved.
    pub tip_height: u64,
    pub connected_since: SystemTime,
    /// Smoothed, as QUIC measures it (RFC 9002).
    pub round_trip: Duration,
    /// UDP payload bytes, QUIC's own included.
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Zero for a peer without blame, and below for one with; see [`Offence`].
    pub score: f64,
}
