//! Byte arrays as hexadecimal text in the wallet's file.

use serde::{Deserialize, Deserializer, Serializer, de};

pub(super) fn serialize<S: Serializer, const N: usize>(
    bytes: &[u8; N],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex::encode(bytes))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
    deserializer: D,
) -> Result<[u8; N], D::Error> {
    let text = String::deserialize(deserializer)?;
    let mut bytes = [0; N];
    hex::decode_to_slice(&text, &mut bytes)
        .map_err(|_| de::Error::custom(format!("expected {} hexadecimal digits", 2 * N)))?;
    Ok(bytes)
}
