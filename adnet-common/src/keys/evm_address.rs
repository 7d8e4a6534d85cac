//! The address of a Delta account: 20 bytes, written as `0x` and 40 hex digits.
//!
//! This crate knows no keccak, so the mixed-case checksum of EIP-55 is neither written nor checked
//! here; Delta's own code converts to and from its EVM types, which do both.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::public_key::excerpt;

/// 20 bytes of an Ethereum-style address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EvmAddress(pub [u8; 20]);

/// Why a text is no Delta address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a Delta address: expected 0x and 40 hex digits")]
pub struct EvmAddressError(pub String);

impl fmt::Display for EvmAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}

impl fmt::Debug for EvmAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EvmAddress({self})")
    }
}

impl FromStr for EvmAddress {
    type Err = EvmAddressError;

    fn from_str(text: &str) -> Result<Self, EvmAddressError> {
        let wrong = || EvmAddressError(excerpt(text));
        let digits = text.strip_prefix("0x").ok_or_else(wrong)?;
        let mut bytes = [0u8; 20];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| wrong())?;
        Ok(EvmAddress(bytes))
    }
}

impl Serialize for EvmAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EvmAddress {
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
    fn text_form_round_trips_and_wrong_texts_are_refused() {
        let address = EvmAddress([0xcd; 20]);
        assert_eq!(address.to_string().parse(), Ok(address));
        for wrong in [
            "",
            "0x",
            "cd",
            &"cd".repeat(20),
            &format!("0x{}", "cd".repeat(21)),
        ] {
            assert!(wrong.parse::<EvmAddress>().is_err(), "{wrong}");
        }
    }
}
