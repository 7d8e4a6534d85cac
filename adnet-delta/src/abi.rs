//! The Solidity ABI as far as native code speaks it: selectors, words, dynamic bytes, revert reasons.
//!
//! Decoding is strict: what the standard encoders make is taken, anything else is none.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use std::sync::LazyLock;

static ERROR_SELECTOR: LazyLock<[u8; 4]> = LazyLock::new(|| selector("Error(string)"));

/// The first four bytes of the calldata of a function.
pub fn selector(signature: &str) -> [u8; 4] {
    let hash = keccak256(signature);
    [hash[0], hash[1], hash[2], hash[3]]
}

/// Calldata of a function all of whose parameters are words.
pub fn call(selector: [u8; 4], words: &[U256]) -> Bytes {
    let words = words.iter().flat_map(|word| word.to_be_bytes::<32>());
    selector.into_iter().chain(words).collect()
}

/// Exactly `N` words.
pub fn words<const N: usize>(bytes: &[u8]) -> Option<[U256; N]> {
    let (chunks, rest) = bytes.as_chunks::<32>();
    let chunks: &[[u8; 32]; N] = chunks.try_into().ok()?;
    rest.is_empty().then(|| chunks.map(U256::from_be_bytes))
}

/// An address, whose upper twelve bytes must be zero.
pub fn address(word: U256) -> Option<Address> {
    let word = B256::from(word);
    let (padding, address) = word.split_at(12);
    padding
        .iter()
        .all(|byte| *byte == 0)
        .then(|| Address::from_slice(address))
}

pub fn address_word(address: &Address) -> U256 {
    U256::from_be_bytes(address.into_word().0)
}

/// Two values, of which the second is dynamic bytes.
pub fn encode_with_bytes(first: U256, bytes: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(96 + bytes.len() + 31);
    for word in [first, U256::from(64), U256::from(bytes.len())] {
        out.extend_from_slice(&word.to_be_bytes::<32>());
    }
    out.extend_from_slice(bytes);
    out.resize(96 + bytes.len().next_multiple_of(32), 0);
    out.into()
}

/// The way back from [`encode_with_bytes`], for at most `max_len` bytes.
pub fn decode_with_bytes(encoded: &[u8], max_len: usize) -> Option<(U256, &[u8])> {
    let [first, offset, len] = words::<3>(encoded.get(..96)?)?;
    let len = usize::try_from(len).ok().filter(|len| *len <= max_len)?;
    let (bytes, padding) = encoded[96..].split_at_checked(len)?;
    let is_strict = offset == U256::from(64)
        && padding.len() == len.next_multiple_of(32) - len
        && padding.iter().all(|byte| *byte == 0);
    is_strict.then_some((first, bytes))
}

/// One string.
pub fn string(text: &str) -> Bytes {
    let mut out = Vec::with_capacity(64 + text.len() + 31);
    for word in [U256::from(32), U256::from(text.len())] {
        out.extend_from_slice(&word.to_be_bytes::<32>());
    }
    out.extend_from_slice(text.as_bytes());
    out.resize(64 + text.len().next_multiple_of(32), 0);
    out.into()
}

/// `Error(string)`, as Solidity's `revert("reason")` encodes it.
pub fn revert_reason(reason: &str) -> Bytes {
    [ERROR_SELECTOR.as_slice(), &string(reason)].concat().into()
}

/// The reason in revert data, if it is a well-formed `Error(string)`.
pub fn decode_reason(output: &[u8]) -> Option<String> {
    decode_string(output.strip_prefix(ERROR_SELECTOR.as_slice())?)
}

/// A string, wherever its offset says. Contracts of others encode it, so this is not strict.
pub fn decode_string(encoded: &[u8]) -> Option<String> {
    let word = |at: usize| -> Option<usize> {
        let bytes = encoded.get(at..at.checked_add(32)?)?;
        usize::try_from(U256::from_be_slice(bytes)).ok()
    };
    let offset = word(0)?;
    let len = word(offset)?;
    let start = offset.checked_add(32)?;
    let text = encoded.get(start..start.checked_add(len)?)?;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn selectors_are_those_of_solidity() {
        assert_eq!(*ERROR_SELECTOR, [0x08, 0xc3, 0x79, 0xa0]);
        assert_eq!(
            selector("transfer(address,uint256)"),
            [0xa9, 0x05, 0x9c, 0xbb]
        );
    }

    proptest! {
        #[test]
        fn reasons_survive_and_garbage_is_refused(reason in ".{0,80}", garbage: Vec<u8>) {
            prop_assert_eq!(decode_reason(&revert_reason(&reason)), Some(reason));
            let framed = [ERROR_SELECTOR.as_slice(), &garbage].concat();
            decode_reason(&framed);
            decode_reason(&garbage);
            words::<2>(&garbage);
        }

        #[test]
        fn bytes_have_one_encoding(
            first: u64,
            bytes in prop::collection::vec(any::<u8>(), 0..100),
            at: prop::sample::Index,
        ) {
            let first = U256::from(first);
            let encoded = encode_with_bytes(first, &bytes);
            prop_assert_eq!(decode_with_bytes(&encoded, 100), Some((first, &bytes[..])));
            prop_assert!(bytes.is_empty() || decode_with_bytes(&encoded, bytes.len() - 1).is_none());
            prop_assert_eq!(decode_with_bytes(&encoded[..encoded.len() - 1], 100), None);
            let mut bent = encoded.to_vec();
            let at = at.index(bent.len());
            bent[at] ^= 1;
            // Whatever else decodes says something else.
            if let Some((first, bytes)) = decode_with_bytes(&bent, 100) {
                prop_assert_eq!(&encode_with_bytes(first, bytes)[..], &bent[..]);
            }
        }
    }
}
