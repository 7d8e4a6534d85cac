//! A linked peer in the form that leaves the supervisor.

use crate::network::{Direction, PeerInfo, Role};
use adnet_common::messages::LinkedPeer;
use std::time::UNIX_EPOCH;

impl From<PeerInfo> for LinkedPeer {
    fn from(info: PeerInfo) -> Self {
        let since = info.connected_since.duration_since(UNIX_EPOCH);
        let since_ms = since.unwrap_or_default().as_millis();
        Self {
            peer: info.peer,
            address: info.address.to_string(),
            is_inbound: info.direction == Direction::Inbound,
            is_validator: info.role == Role::Validator,
            height: info.tip_height,
            connected_unix_ms: u64::try_from(since_ms).unwrap_or(u64::MAX),
            round_trip_us: u64::try_from(info.round_trip.as_micros()).unwrap_or(u64::MAX),
            bytes_in: info.bytes_in,
            bytes_out: info.bytes_out,
            // A score is zero or a few times the ban's below it; the cast saturates in any case.
            score: info.score.round() as i32,
        }
    }
}
