//! An ed25519 public key as plain bytes: how validators, governors and peers are named.
//!
//! Text form: 64 lower-case hex digits. The type promises the length only; that the bytes are a
//! curve point is checked where a signature is verified and when a genesis is validated.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// 32 bytes of an ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

/// Why a text is no public key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a public key: expected 64 hex digits")]
pub struct PublicKeyError(pub String);

impl PublicKey {
    /// True if the bytes decode to a curve point that ed25519 verification accepts.
    pub fn is_on_curve(&self) -> bool {
        ed25519_consensus::VerificationKey::try_from(self.0).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = PublicKeyError;

    fn from_str(text: &str) -> Result<Self, PublicKeyError> {
        let mut bytes = [0u8; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| PublicKeyError(excerpt(text)))?;
        Ok(PublicKey(bytes))
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// The first characters of a wrong input: enough to recognise it, never a whole hostile file.
pub(super) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(96) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips_and_wrong_lengths_are_refused() {
        let key = PublicKey([0xab; 32]);
        assert_eq!(key.to_string().parse::<PublicKey>(), Ok(key));
        assert!("ab".repeat(31).parse::<PublicKey>().is_err());
        assert!("zz".repeat(32).parse::<PublicKey>().is_err());
        let long = "é".repeat(5_000).parse::<PublicKey>().expect_err("not hex");
        assert!(
            long.0.len() < 250,
            "an error must not carry the whole input"
        );
    }
}
