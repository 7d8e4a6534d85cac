//! The address of a public Alpha account: bech32m with the prefix `ax` over the ed25519 public key.
//!
//! One address has exactly one text (lower case); reading accepts what BIP-350 accepts, so an
//! all-upper-case form from a QR code works and mixed case does not. Plain bech32 checksums are
//! refused, because their known length-extension weakness is why bech32m exists.

use std::{fmt, str::FromStr};

use bech32::{Bech32m, Hrp, primitives::decode::CheckedHrpstring};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::public_key::{PublicKey, excerpt};

/// The human-readable prefix of every public Alpha address.
pub const ALPHA_HRP: &str = "ax";

/// Characters of every Alpha address: prefix, separator, 52 of data, 6 of checksum.
pub const ALPHA_ADDRESS_CHARS: usize = 2 + 1 + 52 + 6;

/// A public account on Alpha: the 32 bytes of its ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlphaAddress(pub [u8; 32]);

/// Why a text is no Alpha address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AlphaAddressError {
    #[error("`{0}` is not an Alpha address: expected 61 characters that begin with `ax1`")]
    Shape(String),
    #[error("`{0}` is not an Alpha address: the checksum does not match, so a character is wrong")]
    Checksum(String),
}

impl AlphaAddress {
    /// The public key that owns this account.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0)
    }
}

impl From<PublicKey> for AlphaAddress {
    fn from(key: PublicKey) -> Self {
        AlphaAddress(key.0)
    }
}

impl fmt::Display for AlphaAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bech32::encode_lower_to_fmt::<Bech32m, _>(f, Hrp::parse_unchecked(ALPHA_HRP), &self.0)
            .map_err(|_| fmt::Error)
    }
}

impl fmt::Debug for AlphaAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlphaAddress({self})")
    }
}

impl FromStr for AlphaAddress {
    type Err = AlphaAddressError;

    fn from_str(text: &str) -> Result<Self, AlphaAddressError> {
        let shape = || AlphaAddressError::Shape(excerpt(text));
        if text.len() != ALPHA_ADDRESS_CHARS || !text.is_ascii() {
            return Err(shape());
        }
        if !text[..3].eq_ignore_ascii_case("ax1") {
            return Err(shape());
        }
        let parsed = CheckedHrpstring::new::<Bech32m>(text)
            .map_err(|_| AlphaAddressError::Checksum(excerpt(text)))?;
        let mut bytes = [0u8; 32];
        let mut count = 0;
        for byte in parsed.byte_iter() {
            *bytes.get_mut(count).ok_or_else(shape)? = byte;
            count += 1;
        }
        if count != bytes.len() {
            return Err(shape());
        }
        let address = AlphaAddress(bytes);
        // 52 characters carry 260 bits; the last four must be zero, or one account would have
        // sixteen texts.
        if !address.to_string().eq_ignore_ascii_case(text) {
            return Err(shape());
        }
        Ok(address)
    }
}

impl Serialize for AlphaAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AlphaAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips_in_both_cases() {
        let address = AlphaAddress([7; 32]);
        let text = address.to_string();
        assert_eq!(text.len(), ALPHA_ADDRESS_CHARS);
        assert!(text.starts_with("ax1"));
        assert_eq!(text.parse(), Ok(address));
        assert_eq!(text.to_uppercase().parse(), Ok(address));
    }

    #[test]
    fn every_single_character_error_is_refused() {
        let text = AlphaAddress([0x5a; 32]).to_string();
        for position in 3..text.len() {
            let mut wrong = text.clone().into_bytes();
            wrong[position] = if wrong[position] == b'q' { b'p' } else { b'q' };
            let wrong = String::from_utf8(wrong).expect("ASCII stays ASCII");
            assert!(wrong.parse::<AlphaAddress>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn other_prefixes_checksums_lengths_and_cases_are_refused() {
        let address = AlphaAddress([1; 32]);
        let other_hrp = bech32::encode::<Bech32m>(Hrp::parse_unchecked("bx"), &[1; 32]);
        let old_sum = bech32::encode::<bech32::Bech32>(Hrp::parse_unchecked("ax"), &[1; 32]);
        let short = bech32::encode::<Bech32m>(Hrp::parse_unchecked("ax"), &[1; 31]);
        for wrong in [other_hrp, old_sum, short].map(|text| text.expect("encodes")) {
            assert!(wrong.parse::<AlphaAddress>().is_err(), "{wrong}");
        }
        let mut mixed = address.to_string();
        mixed.replace_range(0..1, "A");
        assert!(mixed.parse::<AlphaAddress>().is_err());
        assert!("".parse::<AlphaAddress>().is_err());
        assert!("é".repeat(61).parse::<AlphaAddress>().is_err());
    }
}
