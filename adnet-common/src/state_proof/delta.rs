//! Delta's proofs: nodes of its Merkle Patricia trie (yellow paper, appendix D).
//!
//! A key of 20 bytes is an account, its value the account's RLP. A key of 52 bytes is an account
//! and a storage slot, its value the slot's 32 bytes; a slot that holds zero is absent. A proof is
//! two lists of nodes, each from its root downwards: of the account, then of its storage.

use super::StateProofError;
use crate::codec::{DecodeError, Reader};
use crate::hash::Hash;
use alloy_primitives::{B256, U256, keccak256};
use alloy_rlp::Decodable;
use alloy_trie::nodes::{RlpNode, TrieNode};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, TrieAccount};

/// A path has 64 nibbles, so that many nodes at most.
const MAX_NODES: usize = 65;
/// A branch with 16 hashes is the longest node there is but for a leaf's value, which is shorter.
const MAX_NODE_BYTES: usize = 1024;

pub fn verify(
    state_root: &Hash,
    key: &[u8],
    value: Option<&[u8]>,
    proof: &[u8],
) -> Result<(), StateProofError> {
    let (account_nodes, storage_nodes) =
        decode(proof).map_err(|e| StateProofError(e.to_string()))?;
    let (address, slot) = match key.len() {
        20 => (key, None),
        52 => (&key[..20], Some(&key[20..])),
        len => return Err(wrong(format!("a key has 20 or 52 bytes, not {len}"))),
    };
    let account = lookup(B256::new(state_root.0), keccak256(address), &account_nodes)?;
    let proved = match (slot, account) {
        (None, account) => {
            if !storage_nodes.is_empty() {
                return Err(wrong("storage nodes in the proof of an account"));
            }
            account
        }
        (Some(_), None) => {
            if !storage_nodes.is_empty() {
                return Err(wrong("storage nodes for an account that is absent"));
            }
            None
        }
        (Some(slot), Some(account)) => {
            let account = decode_all::<TrieAccount>(&account, "the account")?;
            let word = lookup(account.storage_root, keccak256(slot), &storage_nodes)?;
            let word = word
                .map(|bytes| decode_all::<U256>(&bytes, "the slot"))
                .transpose()?;
            word.map(|word| word.to_be_bytes::<32>().to_vec())
        }
    };
    if proved.as_deref() == value {
        Ok(())
    } else {
        Err(wrong("the value is not the one that the proof leads to"))
    }
}

fn wrong(why: impl Into<String>) -> StateProofError {
    StateProofError(why.into())
}

/// Nodes of a trie from its root downwards.
type Nodes<'a> = Vec<&'a [u8]>;

fn decode(proof: &[u8]) -> Result<(Nodes<'_>, Nodes<'_>), DecodeError> {
    let mut r = Reader::new(proof);
    let account = r.list("account nodes", MAX_NODES, |r| {
        r.bytes("node", MAX_NODE_BYTES)
    })?;
    let storage = r.list("storage nodes", MAX_NODES, |r| {
        r.bytes("node", MAX_NODE_BYTES)
    })?;
    r.end()?;
    Ok((account, storage))
}

fn decode_all<T: Decodable>(bytes: &[u8], what: &str) -> Result<T, StateProofError> {
    alloy_rlp::decode_exact(bytes).map_err(|e| wrong(format!("{what}: {e}")))
}

/// The value at `key` below `root`, or proof that there is none. All of `nodes` must be used.
fn lookup(root: B256, key: B256, nodes: &[&[u8]]) -> Result<Option<Vec<u8>>, StateProofError> {
    if root == EMPTY_ROOT_HASH {
        return match nodes {
            [] => Ok(None),
            _ => Err(wrong("nodes below the empty root")),
        };
    }
    let mut nodes = nodes.iter();
    let first = nodes
        .next()
        .ok_or_else(|| wrong("the root node is missing"))?;
    if keccak256(first) != root {
        return Err(wrong("the first node is not the root"));
    }
    let mut rest = Nibbles::unpack(key);
    let mut bytes = first.to_vec();
    let found = loop {
        let child: RlpNode = match decode_all::<TrieNode>(&bytes, "a node")? {
            TrieNode::EmptyRoot => return Err(wrong("an empty node below the root")),
            TrieNode::Leaf(leaf) => break (leaf.key == rest).then_some(leaf.value),
            TrieNode::Extension(extension) => {
                if extension.key.is_empty() || !rest.starts_with(&extension.key) {
                    break None;
                }
                rest = rest.slice(extension.key.len()..);
                extension.child
            }
            TrieNode::Branch(branch) => {
                let nibble = rest
                    .first()
                    .ok_or_else(|| wrong("a branch below the end of the key"))?;
                rest = rest.slice(1..);
                let children = branch.as_ref();
                let child = children.children().find(|(index, _)| *index == nibble);
                match child.and_then(|(_, child)| child.cloned()) {
                    Some(child) => child,
                    None => break None,
                }
            }
        };
        bytes = match child.as_hash() {
            // A node below 32 bytes lies in its parent.
            None => child.to_vec(),
            Some(hash) => {
                let node = nodes.next().ok_or_else(|| wrong("a node is missing"))?;
                if keccak256(node) != hash {
                    return Err(wrong("a node is not the one that its parent names"));
                }
                node.to_vec()
            }
        };
    };
    match nodes.next() {
        None => Ok(found),
        Some(_) => Err(wrong("nodes are left over")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Writer;
    use alloy_rlp::Encodable;
    use alloy_trie::HashBuilder;
    use alloy_trie::proof::ProofRetainer;
    use proptest::prelude::*;

    /// A trie by alloy's own builder: its root and the nodes that prove `targets`.
    fn trie(leaves: &[(B256, Vec<u8>)], target: B256) -> (B256, Vec<Vec<u8>>) {
        let mut sorted = leaves.to_vec();
        sorted.sort();
        let retainer = ProofRetainer::new(vec![Nibbles::unpack(target)]);
        let mut builder = HashBuilder::default().with_proof_retainer(retainer);
        for (key, value) in &sorted {
            builder.add_leaf(Nibbles::unpack(key), value);
        }
        let root = builder.root();
        let nodes = builder.take_proof_nodes().into_nodes_sorted();
        (
            root,
            nodes.into_iter().map(|(_, node)| node.to_vec()).collect(),
        )
    }

    fn encode(account: &[Vec<u8>], storage: &[Vec<u8>]) -> Vec<u8> {
        let mut w = Writer::new();
        for nodes in [account, storage] {
            w.list(nodes, |w, node| {
                w.bytes(node);
            });
        }
        w.finish()
    }

    fn rlp(value: impl Encodable) -> Vec<u8> {
        alloy_rlp::encode(value)
    }

    #[test]
    fn slots_are_proved_present_and_absent_and_nothing_else_passes() {
        let slots: Vec<[u8; 32]> = (1u8..60).map(|n| U256::from(n).to_be_bytes()).collect();
        let leaf = |slot: &[u8; 32]| (keccak256(slot), rlp(U256::from_be_bytes(*slot)));
        let leaves: Vec<_> = slots.iter().map(leaf).collect();
        let address = [7u8; 20];
        for (slot, present) in [(slots[4], true), ([0xee; 32], false)] {
            let (storage_root, storage) = trie(&leaves, keccak256(slot));
            let account = TrieAccount {
                storage_root,
                nonce: 1,
                ..TrieAccount::default()
            };
            let mut accounts: Vec<_> = (10u8..50)
                .map(|n| {
                    (
                        keccak256([n; 20]),
                        rlp(TrieAccount {
                            nonce: n.into(),
                            ..account
                        }),
                    )
                })
                .collect();
            accounts.push((keccak256(address), rlp(account)));
            let (root, nodes) = trie(&accounts, keccak256(address));
            let root = Hash(root.0);
            let proof = encode(&nodes, &storage);
            let key = [&address[..], &slot].concat();
            let value = present.then_some(&slot[..]);
            verify(&root, &key, value, &proof).expect("an honest proof");
            verify(&root, &key[..20], Some(&rlp(account)), &encode(&nodes, &[])).expect("account");

            assert!(verify(&root, &key, Some(&[9; 32]), &proof).is_err());
            assert!(
                verify(
                    &root,
                    &key,
                    if present { None } else { Some(&slot) },
                    &proof
                )
                .is_err()
            );
            assert!(verify(&root, &key[..19], value, &proof).is_err());
            assert!(verify(&Hash::ZERO, &key, value, &proof).is_err());
            let shortened = encode(&nodes, &storage[..storage.len() - 1]);
            assert!(verify(&root, &key, value, &shortened).is_err());
            let doubled = [&storage[..], &storage[storage.len() - 1..]].concat();
            assert!(verify(&root, &key, value, &encode(&nodes, &doubled)).is_err());
            for at in 0..proof.len() {
                let mut bent = proof.clone();
                bent[at] ^= 1;
                assert!(verify(&root, &key, value, &bent).is_err(), "byte {at}");
            }
        }
    }

    proptest! {
        #[test]
        fn garbage_is_refused_without_a_panic(
            key in prop::collection::vec(any::<u8>(), 0..60),
            proof in prop::collection::vec(any::<u8>(), 0..200),
            nodes in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..80), 1..4),
        ) {
            prop_assert!(verify(&Hash::ZERO, &key, None, &proof).is_err());
            // A root that fits the first garbage node lets the walk begin.
            let root = Hash(keccak256(&nodes[0]).0);
            let _ = verify(&root, &[1; 52], None, &encode(&nodes, &nodes));
        }
    }
}
