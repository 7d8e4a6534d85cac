//! The address of a shielded payment: bech32m with the prefix `axz` over Orchard's 43 bytes
//! (diversifier and transmission key).
//!
//! One address has one text (lower case); an all-upper-case form from a QR code is read as well.
//! What is read is a key that can be paid to: bytes that are no point of the curve are refused here
//! and not when a payment to them is built.

use std::fmt;
use std::str::FromStr;

use adnet_common::keys::ALPHA_HRP;
use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32m, Hrp};
use orchard::Address;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The human-readable prefix of every shielded address.
pub const SHIELDED_HRP: &str = "axz";
/// Characters of every shielded address: prefix, separator, 69 of data, 6 of checksum.
pub const SHIELDED_ADDRESS_CHARS: usize = 3 + 1 + 69 + 6;
const RAW_BYTES: usize = 43;

/// Where a note can be sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ShieldedAddress(Address);

/// Why a text is no shielded address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShieldedAddressError {
    #[error("`{0}` is not a shielded address: expected 79 characters that begin with `axz1`")]
    Shape(String),
    #[error("`{0}` is the address of a public account, a shielded address begins with `axz1`")]
    Public(String),
    #[error(
        "`{0}` is not a shielded address: the checksum does not match, so a character is wrong"
    )]
    Checksum(String),
    #[error("`{0}` is not a shielded address: its checksum matches, but nobody can own its key")]
    NoKey(String),
}

impl ShieldedAddress {
    /// The 43 bytes; refused if they hold no key.
    pub fn from_bytes(bytes: &[u8; RAW_BYTES]) -> Option<Self> {
        Option::from(Address::from_raw_address_bytes(bytes)).map(Self)
    }

    pub fn to_bytes(&self) -> [u8; RAW_BYTES] {
        self.0.to_raw_address_bytes()
    }

    pub fn orchard(&self) -> Address {
        self.0
    }
}

impl From<Address> for ShieldedAddress {
    fn from(address: Address) -> Self {
        Self(address)
    }
}

impl fmt::Display for ShieldedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hrp = Hrp::parse_unchecked(SHIELDED_HRP);
        bech32::encode_lower_to_fmt::<Bech32m, _>(f, hrp, &self.to_bytes()).map_err(|_| fmt::Error)
    }
}

impl fmt::Debug for ShieldedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShieldedAddress({self})")
    }
}

/// Enough of a wrong text to recognise it by.
fn excerpt(text: &str) -> String {
    let start: String = text.chars().take(24).collect();
    match text.chars().count() > 24 {
        true => format!("{start}…"),
        false => start,
    }
}

impl FromStr for ShieldedAddress {
    type Err = ShieldedAddressError;

    fn from_str(text: &str) -> Result<Self, ShieldedAddressError> {
        let shape = || ShieldedAddressError::Shape(excerpt(text));
        let begins = |hrp: &str| {
            let head = text.get(..hrp.len() + 1);
            head.is_some_and(|head| head.eq_ignore_ascii_case(&format!("{hrp}1")))
        };
        if begins(ALPHA_HRP) {
            return Err(ShieldedAddressError::Public(excerpt(text)));
        }
        if text.len() != SHIELDED_ADDRESS_CHARS || !text.is_ascii() || !begins(SHIELDED_HRP) {
            return Err(shape());
        }
        let parsed = CheckedHrpstring::new::<Bech32m>(text)
            .map_err(|_| ShieldedAddressError::Checksum(excerpt(text)))?;
        let bytes: Vec<u8> = parsed.byte_iter().collect();
        let bytes: [u8; RAW_BYTES] = bytes.try_into().map_err(|_| shape())?;
        let address = Self::from_bytes(&bytes);
        let address = address.ok_or_else(|| ShieldedAddressError::NoKey(excerpt(text)))?;
        // 69 characters carry one bit more than 43 bytes: it must be zero, or one address would
        // have two texts.
        if !address.to_string().eq_ignore_ascii_case(text) {
            return Err(shape());
        }
        Ok(address)
    }
}

impl Serialize for ShieldedAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ShieldedAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adnet_common::keys::AlphaAddress;
    use orchard::keys::{FullViewingKey, Scope, SpendingKey};

    fn address(index: u32) -> ShieldedAddress {
        let key = SpendingKey::from_zip32_seed(&[7; 32], 8888, zip32::AccountId::ZERO);
        let key = FullViewingKey::from(&key.expect("a lucky seed"));
        key.address_at(index, Scope::External).into()
    }

    #[test]
    fn text_form_round_trips_in_both_cases() {
        for index in 0..8 {
            let address = address(index);
            let text = address.to_string();
            assert_eq!(text.len(), SHIELDED_ADDRESS_CHARS);
            assert!(text.starts_with("axz1"));
            assert_eq!(text.parse(), Ok(address));
            assert_eq!(text.to_uppercase().parse(), Ok(address));
            let json = serde_json::to_string(&address).expect("serialises");
            assert_eq!(
                serde_json::from_str::<ShieldedAddress>(&json).ok(),
                Some(address)
            );
        }
    }

    #[test]
    fn every_single_character_error_is_refused() {
        let text = address(0).to_string();
        for position in 4..text.len() {
            let mut wrong = text.clone().into_bytes();
            wrong[position] = if wrong[position] == b'q' { b'p' } else { b'q' };
            let wrong = String::from_utf8(wrong).expect("ASCII stays ASCII");
            let refused = wrong
                .parse::<ShieldedAddress>()
                .expect_err("one letter is wrong");
            assert!(
                matches!(refused, ShieldedAddressError::Checksum(_)),
                "{wrong}"
            );
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let parse = |text: &str| text.parse::<ShieldedAddress>().expect_err("no address");
        let public = parse(&AlphaAddress([1; 32]).to_string());
        assert!(matches!(public, ShieldedAddressError::Public(_)));
        let encode = |hrp, bytes: &[u8]| {
            bech32::encode::<Bech32m>(Hrp::parse_unchecked(hrp), bytes).expect("encodes")
        };
        let no_key = parse(&encode("axz", &[0xff; 43]));
        assert!(matches!(no_key, ShieldedAddressError::NoKey(_)), "{no_key}");
        let raw = address(0).to_bytes();
        let mut mixed = encode("axz", &raw);
        mixed.replace_range(0..1, "A");
        let old = bech32::encode::<bech32::Bech32>(Hrp::parse_unchecked("axz"), &raw);
        for wrong in [
            "",
            "axz1",
            "é",
            &encode("axy", &raw),
            &encode("axz", &raw[1..]),
        ] {
            assert!(
                matches!(parse(wrong), ShieldedAddressError::Shape(_)),
                "{wrong}"
            );
        }
        for wrong in [mixed, old.expect("encodes")] {
            assert!(
                matches!(parse(&wrong), ShieldedAddressError::Checksum(_)),
                "{wrong}"
            );
        }
        assert!(matches!(
            parse(&"é".repeat(40)),
            ShieldedAddressError::Shape(_)
        ));
    }
}
