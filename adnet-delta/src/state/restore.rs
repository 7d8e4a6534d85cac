//! The state as it comes from peers: every piece held against the reference that leads to it.

use super::leaves::{self, AccountRow};
use super::pieces::{Piece, Place};
use super::trie::{Leaf, Trie};
use adnet_common::hash::Hash;
use adnet_common::restore::{BadPiece, Restore};
use adnet_common::store::Write;
use alloy_primitives::{B256, KECCAK256_EMPTY, U256, keccak256};
use alloy_rlp::Decodable;
use alloy_trie::nodes::{RlpNode, TrieNode};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, TrieAccount};
use std::collections::{BTreeMap, BTreeSet};

#[cfg(test)]
mod tests;

/// What proves a piece.
#[derive(Clone, Debug)]
enum Proof {
    /// The hash of a trie's root node.
    Root(B256),
    /// How the parent refers to the node.
    Reference(RlpNode),
    /// The place names a code by its hash.
    Name,
}

impl Proof {
    fn fits(&self, encoding: &[u8]) -> bool {
        match self {
            Proof::Root(root) => keccak256(encoding) == *root,
            Proof::Reference(reference) => RlpNode::from_rlp(encoding) == *reference,
            Proof::Name => false,
        }
    }
}

/// See the module.
pub struct DeltaRestore {
    wanted: BTreeMap<Vec<u8>, Proof>,
    /// Accounts may share a code: each is asked for once.
    codes: BTreeSet<B256>,
}

impl DeltaRestore {
    fn want(&mut self, place: Place, proof: Proof) {
        self.wanted.insert(place.encode(), proof);
    }

    /// The places below a node that is proved.
    fn descend(
        &mut self,
        node: &[u8],
        path: Nibbles,
        place: impl Fn(Nibbles) -> Place,
    ) -> Result<(), BadPiece> {
        let mut bytes = node;
        match TrieNode::decode(&mut bytes).map_err(BadPiece::new)? {
            TrieNode::Branch(branch) => {
                let children = branch.as_ref();
                for (index, child) in children.children() {
                    let step = Nibbles::from_nibbles_unchecked([index]);
                    if let Some(child) = child {
                        let proof = Proof::Reference(child.clone());
                        self.want(place(path.join(&step)), proof);
                    }
                }
                Ok(())
            }
            TrieNode::Extension(extension) => {
                let proof = Proof::Reference(extension.child);
                self.want(place(path.join(&extension.key)), proof);
                Ok(())
            }
            TrieNode::EmptyRoot | TrieNode::Leaf(_) => {
                Err(BadPiece::new("a node without anything below it"))
            }
        }
    }

    fn take_accounts(&mut self, accounts: Vec<(B256, TrieAccount)>) -> Vec<Write> {
        let mut writes = Vec::with_capacity(accounts.len());
        for (path, account) in accounts {
            let row = AccountRow {
                nonce: account.nonce,
                balance: account.balance,
                code_hash: account.code_hash,
            };
            writes.push(leaves::put_account(&path, &row));
            if account.storage_root != EMPTY_ROOT_HASH {
                let place = Place::Storage(path, Nibbles::default());
                self.want(place, Proof::Root(account.storage_root));
            }
            let code = account.code_hash;
            if code != KECCAK256_EMPTY && self.codes.insert(code) {
                self.want(Place::Code(code), Proof::Name);
            }
        }
        writes
    }
}

/// Checks that the leaves are in order, below `path`, and all that the proved node has.
fn check<V: Leaf>(path: &Nibbles, leaves: &[(B256, V)], proof: &Proof) -> Result<(), BadPiece> {
    if !leaves.windows(2).all(|pair| pair[0].0 < pair[1].0) {
        return Err(BadPiece::new("its leaves are not in order"));
    }
    let is_below = |key: &B256| Nibbles::unpack_array(&key.0).starts_with(path);
    if !leaves.iter().all(|(key, _)| is_below(key)) {
        return Err(BadPiece::new("a leaf belongs elsewhere"));
    }
    let node = Trie::encode_below(path.len(), leaves.iter().cloned());
    match node.is_some_and(|node| proof.fits(&node)) {
        true => Ok(()),
        false => Err(BadPiece::new("its leaves do not lead to the root")),
    }
}

impl Restore for DeltaRestore {
    fn new(_: u64, state_root: Hash) -> Self {
        let mut restore = Self {
            wanted: BTreeMap::new(),
            codes: BTreeSet::new(),
        };
        let root = Proof::Root(B256::new(state_root.0));
        restore.want(Place::Accounts(Nibbles::default()), root);
        restore
    }

    fn wanted(&self) -> impl Iterator<Item = &[u8]> {
        self.wanted.keys().map(Vec::as_slice)
    }

    fn take(&mut self, place: &[u8], piece: &[u8]) -> Result<Vec<Write>, BadPiece> {
        let proof = self.wanted.get(place).cloned();
        let proof = proof.ok_or_else(|| BadPiece::new("nobody has asked for it"))?;
        let at = Place::decode(place).expect("what is wanted is a place");
        let piece = Piece::decode(piece).map_err(BadPiece::new)?;
        let writes = match (at, piece) {
            (Place::Code(hash), Piece::Code(code)) if keccak256(&code) == hash => {
                vec![leaves::put_code(&hash, &code)]
            }
            (Place::Accounts(path), Piece::Node(node)) if proof.fits(&node) => {
                self.descend(&node, path, Place::Accounts)?;
                Vec::new()
            }
            (Place::Storage(account, path), Piece::Node(node)) if proof.fits(&node) => {
                self.descend(&node, path, |path| Place::Storage(account, path))?;
                Vec::new()
            }
            (Place::Accounts(path), Piece::Accounts(accounts)) => {
                check(&path, &accounts, &proof)?;
                self.take_accounts(accounts)
            }
            (Place::Storage(account, path), Piece::Slots(slots)) => {
                if slots.iter().any(|(_, value)| value.is_zero()) {
                    return Err(BadPiece::new("a slot holds zero"));
                }
                check(&path, &slots, &proof)?;
                let put = |(slot, value): &(B256, U256)| leaves::slot_write(&account, slot, *value);
                slots.iter().map(put).collect()
            }
            _ => return Err(BadPiece::new("it does not lead to the root")),
        };
        self.wanted.remove(place);
        Ok(writes)
    }

    fn finish(self) -> Vec<Write> {
        assert!(self.wanted.is_empty(), "the state is complete");
        Vec::new()
    }
}
