//! The viewing key of the pool, and its text: bech32m with the prefix `axview` over Orchard's 96
//! bytes.
//!
//! Whoever has it sees every payment of the account in the pool, in and out, and can spend none of
//! it. It is no secret like a spending key, but privacy ends where it is known.

use std::fmt;
use std::str::FromStr;

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32m, Hrp};
use orchard::keys::FullViewingKey;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

/// The human-readable prefix of every viewing key.
pub const VIEWING_HRP: &str = "axview";
/// Characters of every viewing key: prefix, separator, 154 of data, 6 of checksum.
pub const VIEWING_KEY_CHARS: usize = 6 + 1 + 154 + 6;
const RAW_BYTES: usize = 96;

/// Sees what an account does in the pool.
#[derive(Clone, PartialEq, Eq)]
pub struct PoolViewingKey(FullViewingKey);

/// Why a text is no viewing key. Carries nothing of it, because it may nearly be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ViewingKeyError {
    #[error("a viewing key has 167 characters and begins with `axview1`")]
    Shape,
    #[error("the checksum of the viewing key does not match, so a character is wrong")]
    Checksum,
    #[error("the checksum matches, but these are not the parts of a viewing key")]
    NoKey,
}

impl PoolViewingKey {
    pub fn key(&self) -> &FullViewingKey {
        &self.0
    }

    /// The key as others read it.
    pub fn export(&self) -> String {
        let hrp = Hrp::parse_unchecked(VIEWING_HRP);
        let text = bech32::encode::<Bech32m>(hrp, &self.0.to_bytes());
        text.expect("96 bytes are within bech32m's length")
    }
}

impl From<FullViewingKey> for PoolViewingKey {
    fn from(key: FullViewingKey) -> Self {
        Self(key)
    }
}

impl fmt::Debug for PoolViewingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PoolViewingKey(hidden)")
    }
}

impl FromStr for PoolViewingKey {
    type Err = ViewingKeyError;

    fn from_str(text: &str) -> Result<Self, ViewingKeyError> {
        let head = text.get(..VIEWING_HRP.len() + 1);
        let begins = head.is_some_and(|head| head.eq_ignore_ascii_case("axview1"));
        if text.len() != VIEWING_KEY_CHARS || !text.is_ascii() || !begins {
            return Err(ViewingKeyError::Shape);
        }
        let parsed =
            CheckedHrpstring::new::<Bech32m>(text).map_err(|_| ViewingKeyError::Checksum)?;
        let mut bytes = Zeroizing::new([0; RAW_BYTES]);
        let mut given = parsed.byte_iter();
        for byte in bytes.iter_mut() {
            *byte = given.next().ok_or(ViewingKeyError::Shape)?;
        }
        let key = FullViewingKey::from_bytes(&bytes).ok_or(ViewingKeyError::NoKey)?;
        let key = Self(key);
        // Two bits are left over; they must be zero, or one key would have four texts.
        if !Zeroizing::new(key.export()).eq_ignore_ascii_case(text) {
            return Err(ViewingKeyError::Shape);
        }
        Ok(key)
    }
}

impl Serialize for PoolViewingKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.export())
    }
}

impl<'de> Deserialize<'de> for PoolViewingKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orchard::keys::SpendingKey;

    fn key() -> PoolViewingKey {
        let key = SpendingKey::from_zip32_seed(&[7; 32], 8888, zip32::AccountId::ZERO);
        FullViewingKey::from(&key.expect("a lucky seed")).into()
    }

    #[test]
    fn the_text_is_read_back_and_errors_are_named() {
        let text = key().export();
        assert_eq!(text.len(), VIEWING_KEY_CHARS);
        assert_eq!(text.parse(), Ok(key()));
        assert_eq!(text.to_uppercase().parse(), Ok(key()));
        for position in 7..text.len() {
            let mut wrong = text.clone().into_bytes();
            wrong[position] = if wrong[position] == b'q' { b'p' } else { b'q' };
            let wrong = String::from_utf8(wrong).expect("ASCII stays ASCII");
            assert_eq!(
                wrong.parse::<PoolViewingKey>(),
                Err(ViewingKeyError::Checksum)
            );
        }
        let hrp = Hrp::parse_unchecked(VIEWING_HRP);
        let no_key = bech32::encode::<Bech32m>(hrp, &[0xff; 96]).expect("encodes");
        assert_eq!(
            no_key.parse::<PoolViewingKey>(),
            Err(ViewingKeyError::NoKey)
        );
        for wrong in ["", "axview1", &text[1..], &"é".repeat(90)] {
            assert_eq!(wrong.parse::<PoolViewingKey>(), Err(ViewingKeyError::Shape));
        }
        assert_eq!(format!("{:?}", key()), "PoolViewingKey(hidden)");
    }
}
