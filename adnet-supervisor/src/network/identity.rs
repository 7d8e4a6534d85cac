//! Node identity: one ed25519 key, the same for TLS on both chains' endpoints.
//!
//! Everything that must survive a restart (reset key, connection id key) is derived from the seed
//! with HMAC-SHA-256, one purpose each, so that no derived secret tells of the seed or of another.

use std::fmt;

use ring::{
    hmac,
    signature::{Ed25519KeyPair, KeyPair},
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use zeroize::Zeroizing;

/// The public node key: how a peer is named, in the configuration and in every message.
pub type PeerId = [u8; 32];

/// Everything of an ed25519 `SubjectPublicKeyInfo` (RFC 8410) before the 32 key bytes.
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
/// Everything of a PKCS#8 (version 1) private key (RFC 8410) before the 32 seed bytes.
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// Reads the key out of the SPKI that TLS hands over; `None` for anything but ed25519.
pub fn peer_of_spki(der: &[u8]) -> Option<PeerId> {
    der.strip_prefix(&SPKI_PREFIX)?.try_into().ok()
}

/// The first bytes of a peer id in hex, for logs.
pub struct Short(pub PeerId);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0[..8]))
    }
}

/// The secret half. It has no `Debug`, and is wiped when dropped.
pub struct Identity {
    seed: Zeroizing<[u8; 32]>,
    id: PeerId,
}

impl Identity {
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let seed = Zeroizing::new(seed);
        let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).expect("any 32 bytes are a seed");
        let public = pair.public_key().as_ref();
        let id = public.try_into().expect("an ed25519 key has 32 bytes");
        Self { seed, id }
    }

    pub fn id(&self) -> PeerId {
        self.id
    }

    /// The key in the form that rustls loads.
    pub fn pkcs8(&self) -> PrivatePkcs8KeyDer<'static> {
        [PKCS8_PREFIX.as_slice(), self.seed.as_slice()]
            .concat()
            .into()
    }

    /// An ed25519 signature by the node key.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let pair = Ed25519KeyPair::from_seed_unchecked(&*self.seed);
        let signature = pair.expect("any 32 bytes are a seed").sign(message);
        let bytes = signature.as_ref().try_into();
        bytes.expect("an ed25519 signature has 64 bytes")
    }

    /// A secret that is stable over restarts, one per purpose.
    pub fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.seed.as_slice());
        let tag = hmac::sign(&key, purpose.as_bytes());
        let secret = tag.as_ref().try_into().expect("SHA-256 gives 32 bytes");
        Zeroizing::new(secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_id_is_read_from_an_ed25519_spki_and_from_nothing_else() {
        let id = Identity::from_seed([7; 32]).id();
        let mut spki = [SPKI_PREFIX.as_slice(), id.as_slice()].concat();
        assert_eq!(peer_of_spki(&spki), Some(id));
        assert_eq!(peer_of_spki(&spki[1..]), None);
        assert_eq!(peer_of_spki(&spki[..43]), None);
        spki[8] ^= 1; // another algorithm
        assert_eq!(peer_of_spki(&spki), None);
    }

    #[test]
    fn derived_secrets_are_stable_and_differ_by_purpose() {
        let identity = Identity::from_seed([7; 32]);
        assert_eq!(*identity.derive("a"), *identity.derive("a"));
        assert_ne!(*identity.derive("a"), *identity.derive("b"));
        assert_ne!(
            *identity.derive("a"),
            *Identity::from_seed([8; 32]).derive("a")
        );
    }
}
