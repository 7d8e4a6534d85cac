//! The names of peers: ours is the ed25519 key, libp2p's is a multihash that holds it.

use libp2p_identity::{PublicKey, ed25519};

use super::super::identity::PeerId;

/// What libp2p puts before the 32 bytes of an ed25519 key: an identity multihash of 36 bytes, and
/// in it the protobuf message of a public key.
const PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// `None` where the bytes are no point of the curve; TLS has refused such a key already.
pub fn to_libp2p(peer: &PeerId) -> Option<libp2p_identity::PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(peer).ok()?;
    Some(PublicKey::from(key).to_peer_id())
}

pub fn from_libp2p(peer: &libp2p_identity::PeerId) -> Option<PeerId> {
    let bytes = peer.to_bytes();
    bytes.strip_prefix(&PREFIX)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::identity::Identity;

    #[test]
    fn names_convert_both_ways() {
        let id = Identity::from_seed([7; 32]).id();
        let named = to_libp2p(&id).expect("a key of ours is a point");
        assert_eq!(from_libp2p(&named), Some(id));
    }
}
