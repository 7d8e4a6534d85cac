//! Proofs of a chain's state, verified with nothing but a state root.
//!
//! Alpha proves by its sparse Merkle tree, Delta by its Merkle Patricia trie. The formats differ,
//! the question is the same: is this the value of this key (or is the key absent) under this root?

pub mod alpha;
pub mod delta;

use crate::chain_id::ChainId;
use crate::hash::Hash;

/// A proof is at most this long.
pub const MAX_PROOF_BYTES: usize = 256 << 10;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state proof is wrong: {0}")]
pub struct StateProofError(pub String);

/// Checks that `key` has `value` (absent if `None`) in the state of `chain` with `state_root`.
pub fn verify(
    chain: ChainId,
    state_root: &Hash,
    key: &[u8],
    value: Option<&[u8]>,
    proof: &[u8],
) -> Result<(), StateProofError> {
    if proof.len() > MAX_PROOF_BYTES {
        return Err(StateProofError("longer than 256 KiB".into()));
    }
    match chain {
        ChainId::Alpha => alpha::verify(state_root, key, value, proof),
        ChainId::Delta => delta::verify(state_root, key, value, proof),
    }
}
