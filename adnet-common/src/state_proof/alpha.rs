//! Proofs of Alpha's state: paths in its Jellyfish Merkle tree (sha256).
//!
//! A proof is one version byte and the tree's own `SparseMerkleProof` in borsh, with nothing left
//! over. One form proves both: a leaf with the key's hash proves the value, an empty place or
//! another leaf where the key would stand proves that the key is absent. The tree hashes leaves and
//! inner nodes in domains of their own, so one never passes for the other.

use super::StateProofError;
use crate::hash::Hash;
use jmt::proof::SparseMerkleProof;
use jmt::{KeyHash, RootHash};
use sha2::Sha256;

const VERSION: u8 = 1;
/// Steps of a path: one per bit of a key's hash.
const STEPS_MAX: usize = 256;
/// A borsh-encoded step: a tag and two hashes.
const STEP_BYTES_MAX: usize = 65;
/// Version, the leaf behind its option tag, the number of steps, and the steps.
pub const MAX_BYTES: usize = 1 + 65 + 4 + STEPS_MAX * STEP_BYTES_MAX;

/// The place of a state key in the tree.
pub fn key_hash(key: &[u8]) -> KeyHash {
    KeyHash::with::<Sha256>(key)
}

/// The wire form of a proof that the tree made.
pub fn encode(proof: &SparseMerkleProof<Sha256>) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    borsh::to_writer(&mut bytes, proof).expect("writing into memory does not fail");
    bytes
}

fn decode(bytes: &[u8]) -> Result<SparseMerkleProof<Sha256>, StateProofError> {
    if bytes.len() > MAX_BYTES {
        let message = format!("{} bytes, a path has at most {MAX_BYTES}", bytes.len());
        return Err(StateProofError(message));
    }
    match bytes.split_first() {
        Some((&VERSION, proof)) => {
            borsh::from_slice(proof).map_err(|e| StateProofError(format!("does not decode: {e}")))
        }
        Some((version, _)) => Err(StateProofError(format!("version {version} is unknown"))),
        None => Err(StateProofError("empty".into())),
    }
}

/// Checks that `key` has `value` (absent if `None`) under `state_root`.
///
/// # Errors
/// Bytes that are no proof, or a proof of something else.
pub fn verify(
    state_root: &Hash,
    key: &[u8],
    value: Option<&[u8]>,
    proof: &[u8],
) -> Result<(), StateProofError> {
    let proof = decode(proof)?;
    let verified = proof.verify(RootHash(state_root.0), key_hash(key), value);
    verified.map_err(|e| StateProofError(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_is_an_error_and_never_a_panic() {
        let root = Hash::ZERO;
        let mut longest = vec![0xff; MAX_BYTES + 1];
        longest[0] = VERSION;
        let wrong: [&[u8]; 6] = [
            &[],
            &[2, 0],
            &[VERSION],
            &[VERSION, 9],
            &longest,
            &[VERSION, 0, 255, 255, 255, 255],
        ];
        for proof in wrong {
            assert!(verify(&root, b"key", None, proof).is_err());
            assert!(verify(&root, b"key", Some(b"value"), proof).is_err());
        }
    }

    #[test]
    fn the_empty_tree_proves_absence_only() {
        // No leaf, no steps: the root is the placeholder itself.
        let root = Hash(*b"SPARSE_MERKLE_PLACEHOLDER_HASH__");
        let proof = [VERSION, 0, 0, 0, 0, 0];
        verify(&root, b"key", None, &proof).expect("nothing is in the empty tree");
        assert!(verify(&root, b"key", Some(b""), &proof).is_err());
        assert!(verify(&Hash::ZERO, b"key", None, &proof).is_err());
        assert!(verify(&root, b"key", None, &[&proof[..], &[0]].concat()).is_err());
    }
}
