//! How Alpha's state stands in its column family. All numbers are big-endian.
//!
//! | key | value |
//! | --- | --- |
//! | `n` version, nibbles, path | a tree node (borsh), immutable |
//! | `c` state key | version since which it holds, current value |
//! | `k` hash of a state key | the state key |
//! | `o` length, state key, version | the row of a leaf until that version replaced it |
//! | `p` version, part | store keys that this version made stale: deleted when its turn comes |

use adnet_common::codec::{DecodeError, Reader, Writer};
use jmt::KeyHash;
use jmt::storage::NodeKey;

use super::leaves::KEY_BYTES_MAX;

/// Store keys in one part of a version's stale list: a part stays around 32 KiB.
pub(super) const STALE_PART_KEYS: usize = 512;
/// Nibbles of a state key's hash.
pub(super) const HASH_NIBBLES: usize = 64;
const STORE_KEY_BYTES_MAX: usize = 2 * KEY_BYTES_MAX;

pub(super) fn node(key: &NodeKey) -> Vec<u8> {
    let path = key.nibble_path();
    let count = u8::try_from(path.num_nibbles()).expect("a path has at most 64 nibbles");
    let nibbles: Vec<u8> = path.nibbles().map(u8::from).collect();
    let packed = nibbles
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair.get(1).copied().unwrap_or(0));
    let mut bytes = vec![b'n'];
    bytes.extend(key.version().to_be_bytes());
    bytes.push(count);
    bytes.extend(packed);
    bytes
}

pub(super) fn leaf(state_key: &[u8]) -> Vec<u8> {
    [b"c", state_key].concat()
}

/// All current leaves whose state key begins with `prefix`, which ends in `/`.
pub(crate) fn leaf_range(prefix: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut end = leaf(prefix);
    let last = end.last_mut().expect("a store key is never empty");
    *last += 1; // The byte after `/`.
    (leaf(prefix), end)
}

pub(super) fn leaf_value(version: u64, value: &[u8]) -> Vec<u8> {
    [&version.to_be_bytes(), value].concat()
}

/// Version since which a current leaf holds, and its value.
pub(super) fn split_leaf_value(bytes: &[u8]) -> Result<(u64, &[u8]), DecodeError> {
    let mut r = Reader::new(bytes);
    let version = r.u64("leaf version")?;
    let left = r.remaining();
    Ok((version, r.take("leaf value", left)?))
}

/// The value of a current leaf.
pub(crate) fn decode_leaf(bytes: &[u8]) -> Result<&[u8], DecodeError> {
    split_leaf_value(bytes).map(|(_, value)| value)
}

/// Where the state key with this hash stands: the tree knows only the hash.
pub(super) fn preimage(key_hash: &KeyHash) -> Vec<u8> {
    [b"k".as_slice(), &key_hash.0].concat()
}

/// All state keys whose hash begins with these nibbles.
pub(super) fn preimage_range(nibbles: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut first = [0; HASH_NIBBLES];
    let mut last = [0xf; HASH_NIBBLES];
    first[..nibbles.len()].copy_from_slice(nibbles);
    last[..nibbles.len()].copy_from_slice(nibbles);
    let pack = |nibbles: &[u8]| {
        nibbles
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect()
    };
    let key = |bytes: Vec<u8>| [b"k".as_slice(), &bytes].concat();
    let mut end = key(pack(&last));
    end.push(0); // The end is exclusive.
    (key(pack(&first)), end)
}

pub(super) fn old_value(state_key: &[u8], replaced_at: u64) -> Vec<u8> {
    let len = u8::try_from(state_key.len()).expect("state keys have at most 64 bytes");
    [&[b'o', len], state_key, &replaced_at.to_be_bytes()].concat()
}

/// First and end of the values that `state_key` had and that were replaced after `version`.
pub(super) fn old_values_after(state_key: &[u8], version: u64) -> (Vec<u8>, Vec<u8>) {
    let from = old_value(state_key, version.saturating_add(1));
    let mut to = old_value(state_key, u64::MAX);
    to.push(0);
    (from, to)
}

pub(super) fn stale_part(version: u64, part: u32) -> Vec<u8> {
    [b"p".as_slice(), &version.to_be_bytes(), &part.to_be_bytes()].concat()
}

pub(super) fn encode_stale(keys: &[Vec<u8>]) -> Vec<u8> {
    let mut w = Writer::new();
    w.list(keys, |w, key| {
        w.bytes(key);
    });
    w.finish()
}

pub(super) fn decode_stale(bytes: &[u8]) -> Result<Vec<Vec<u8>>, DecodeError> {
    let mut r = Reader::new(bytes);
    let keys = r.list("stale keys", STALE_PART_KEYS, |r| {
        Ok(r.bytes("stale key", STORE_KEY_BYTES_MAX)?.to_vec())
    })?;
    r.end()?;
    Ok(keys)
}
