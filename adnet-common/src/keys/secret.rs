//! Secret keys in memory: 32 bytes that are wiped when dropped and never printed by accident.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::public_key::PublicKey;

/// What a secret key is for; a key file of one kind is refused where another is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// ed25519, signs consensus messages of both chains.
    Validator,
    /// ed25519, the identity of the node in the network.
    Node,
    /// ed25519, owns a public account on Alpha.
    Alpha,
    /// secp256k1, owns an account on Delta.
    Delta,
}

/// Why bytes or a text are no secret key. Carries nothing of the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretKeyError {
    #[error("a secret key is 64 hex digits, with or without 0x in front")]
    Text,
    #[error("a secp256k1 secret must be above zero and below the order of the group")]
    OutOfRange,
}

/// 32 secret bytes and what they are for.
#[derive(Clone)]
pub struct SecretKey {
    kind: KeyKind,
    bytes: Zeroizing<[u8; 32]>,
}

/// The order of the secp256k1 group (SEC 2, section 2.4.1), big-endian.
const SECP256K1_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe,
    0xba, 0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41,
];

impl KeyKind {
    /// The word for this kind in key files and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            KeyKind::Validator => "validator",
            KeyKind::Node => "node",
            KeyKind::Alpha => "alpha",
            KeyKind::Delta => "delta",
        }
    }

    /// True for the kinds whose secret is an ed25519 seed.
    pub fn is_ed25519(self) -> bool {
        !matches!(self, KeyKind::Delta)
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for KeyKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [
            KeyKind::Validator,
            KeyKind::Node,
            KeyKind::Alpha,
            KeyKind::Delta,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == text)
        .ok_or_else(|| "expected one of validator, node, alpha, delta".to_owned())
    }
}

impl SecretKey {
    /// A fresh key from the kernel's random source.
    ///
    /// # Panics
    /// If the kernel has no randomness to give, in which case no key may be made at all.
    pub fn random(kind: KeyKind) -> Self {
        loop {
            let mut bytes = Zeroizing::new([0u8; 32]);
            getrandom::fill(&mut bytes[..]).expect("Linux always has getrandom(2)");
            // A random value outside the secp256k1 range has probability 2^-128; try again.
            if let Ok(key) = Self::from_bytes(kind, &bytes) {
                return key;
            }
        }
    }

    /// A key from its 32 bytes: an ed25519 seed or a big-endian secp256k1 scalar.
    ///
    /// # Errors
    /// `OutOfRange` for a secp256k1 scalar that is zero or not below the group order.
    pub fn from_bytes(kind: KeyKind, bytes: &[u8; 32]) -> Result<Self, SecretKeyError> {
        if kind == KeyKind::Delta && (*bytes == [0; 32] || *bytes >= SECP256K1_ORDER) {
            return Err(SecretKeyError::OutOfRange);
        }
        Ok(SecretKey {
            kind,
            bytes: Zeroizing::new(*bytes),
        })
    }

    /// A key from 64 hex digits, with or without `0x`.
    ///
    /// # Errors
    /// `Text` for anything else, `OutOfRange` as in `from_bytes`.
    pub fn from_hex(kind: KeyKind, text: &str) -> Result<Self, SecretKeyError> {
        let mut bytes = Zeroizing::new([0u8; 32]);
        hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut bytes[..])
            .map_err(|_| SecretKeyError::Text)?;
        Self::from_bytes(kind, &bytes)
    }

    /// What this key is for.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The secret itself. The caller must not log it or keep a copy that is not wiped.
    pub fn expose(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The secret as 64 hex digits, in a string that is wiped when dropped.
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(&self.bytes[..]))
    }

    /// The ed25519 key pair of this seed; `None` for a Delta key.
    pub fn ed25519(&self) -> Option<ed25519_consensus::SigningKey> {
        self.kind
            .is_ed25519()
            .then(|| ed25519_consensus::SigningKey::from(*self.bytes))
    }

    /// The ed25519 public key of this seed; `None` for a Delta key.
    pub fn ed25519_public(&self) -> Option<PublicKey> {
        self.ed25519()
            .map(|key| PublicKey(key.verification_key().to_bytes()))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({}, hidden)", self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_8032_first_vector_gives_its_public_key() {
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let key = SecretKey::from_hex(KeyKind::Alpha, seed).expect("valid hex");
        assert_eq!(
            key.ed25519_public().expect("ed25519 kind").to_string(),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
        assert_eq!(key.to_hex().as_str(), seed);
    }

    #[test]
    fn secp256k1_range_is_enforced_at_both_ends() {
        let mut last_valid = SECP256K1_ORDER;
        last_valid[31] -= 1;
        assert!(SecretKey::from_bytes(KeyKind::Delta, &last_valid).is_ok());
        for wrong in [[0; 32], SECP256K1_ORDER, [0xff; 32]] {
            let refused = SecretKey::from_bytes(KeyKind::Delta, &wrong).expect_err("out of range");
            assert_eq!(refused, SecretKeyError::OutOfRange);
        }
    }

    #[test]
    fn debug_output_hides_the_secret() {
        let key = SecretKey::random(KeyKind::Delta);
        assert!(!format!("{key:?}").contains(key.to_hex().as_str()));
        assert!(key.ed25519_public().is_none());
        assert_ne!(key.expose(), SecretKey::random(KeyKind::Delta).expose());
    }
}
