//! A Merkle Patricia trie in memory whose versions share their nodes.
//!
//! Nodes are behind `Arc`s and a change copies only the path from the root to the changed leaf
//! (or nothing, where this version is a node's only owner). So cloning a trie is one pointer, a
//! block that is executed for a vote cannot touch the committed state, and the API proves against
//! a snapshot while the chain goes on.
//!
//! Invariants: keys are 32 bytes, so branches hold no value; a branch has at least two children;
//! an extension's child is a branch. They make the root a function of the leaves alone. Node
//! encodings are those of the yellow paper, appendix D, by `alloy-trie`.

mod build;
mod node;
#[cfg(test)]
mod tests;

use alloy_primitives::{B256, Bytes, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};
use node::Node;
use std::sync::Arc;

/// What a leaf holds.
pub trait Leaf: Clone {
    /// Appends the bytes that the leaf's node carries. Never fewer than one byte.
    fn encode_leaf(&self, out: &mut Vec<u8>);
}

/// A node of a trie with all that is below it.
pub struct Subtrie<'a, V> {
    node: &'a Arc<Node<V>>,
    path: Nibbles,
}

impl<'a, V: Leaf> Subtrie<'a, V> {
    /// The node's encoding.
    pub fn encode(&self) -> Vec<u8> {
        self.node.encode()
    }

    /// The leaves in the order of their keys; `None` if they are more than `max`.
    pub fn leaves(&self, max: usize) -> Option<Vec<(B256, &'a V)>> {
        let mut found = Vec::new();
        node::collect(self.node, self.path, max, &mut found).then_some(found)
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Trie<V> {
    root: Option<Arc<Node<V>>>,
}

impl<V> Default for Trie<V> {
    fn default() -> Self {
        Self { root: None }
    }
}

impl<V: Leaf + Send + Sync> Trie<V> {
    /// As [`Trie::of_sorted`], on all cores, and with all hashes.
    pub fn of_many_sorted(leaves: Vec<(B256, V)>) -> Self {
        let root = (!leaves.is_empty()).then(|| Arc::new(build::on_all_cores(leaves)));
        Self { root }
    }

    /// As [`Trie::root`], on all cores: worth it where thousands of leaves have changed.
    pub fn root_on_all_cores(&self) -> B256 {
        if let Some(root) = &self.root {
            build::hash_children(&root.children());
        }
        self.root()
    }
}

impl<V: Leaf> Trie<V> {
    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// The trie of leaves that are in the order of their keys.
    ///
    /// # Panics
    /// If they are not, or a key comes twice.
    pub fn of_sorted(leaves: Vec<(B256, V)>) -> Self {
        let root = (!leaves.is_empty()).then(|| Arc::new(build::node(leaves)));
        Self { root }
    }

    pub fn get(&self, key: &B256) -> Option<&V> {
        node::get(self.root.as_deref()?, key)
    }

    pub fn insert(&mut self, key: &B256, value: V) {
        match &mut self.root {
            None => {
                let path = Nibbles::unpack_array(&key.0);
                self.root = Some(Arc::new(Node::leaf(path, value)));
            }
            Some(root) => node::insert(root, key, 0, value),
        }
    }

    /// Removes a leaf. A key that is absent changes nothing.
    pub fn remove(&mut self, key: &B256) {
        if self.get(key).is_none() {
            return;
        }
        let root = self.root.as_mut().expect("get found a leaf below the root");
        if node::remove(root, Nibbles::unpack_array(&key.0)) {
            self.root = None;
        }
    }

    /// The Merkle root. Encodings are kept in the nodes, so this costs what has changed since.
    pub fn root(&self) -> B256 {
        let Some(root) = &self.root else {
            return EMPTY_ROOT_HASH;
        };
        let reference = root.reference();
        // A root below 32 bytes is referred to by its encoding; its hash is the root all the same.
        reference
            .as_hash()
            .unwrap_or_else(|| keccak256(reference.as_slice()))
    }

    /// The nodes from the root towards `key`, as EIP-1186 wants them: those that are embedded in
    /// their parent are left out. They prove the leaf, or that there is none.
    pub fn proof(&self, key: &B256) -> Vec<Bytes> {
        let Some(root) = &self.root else {
            return Vec::new();
        };
        let mut nodes = vec![Bytes::from(root.encode())];
        node::prove(root, &Nibbles::unpack_array(&key.0), &mut nodes);
        nodes
    }

    /// What is below the node at `path`; `None` if no node begins there.
    pub fn below(&self, path: &Nibbles) -> Option<Subtrie<'_, V>> {
        let node = node::at(self.root.as_ref()?, path)?;
        let path = *path;
        Some(Subtrie { node, path })
    }

    /// The encoding of the node that has exactly these leaves below it, where their keys have `depth`
    /// nibbles in common. `None` without leaves.
    pub fn encode_below(
        depth: usize,
        leaves: impl IntoIterator<Item = (B256, V)>,
    ) -> Option<Vec<u8>> {
        let mut root: Option<Arc<Node<V>>> = None;
        for (key, value) in leaves {
            match &mut root {
                None => {
                    let path = Nibbles::unpack_array(&key.0).slice(depth..);
                    root = Some(Arc::new(Node::leaf(path, value)));
                }
                Some(root) => node::insert(root, &key, depth, value),
            }
        }
        root.map(|root| root.encode())
    }

    /// Calls `each` for every leaf in the order of keys.
    pub fn for_each(&self, mut each: impl FnMut(&V)) {
        if let Some(root) = &self.root {
            node::for_each(root, &mut each);
        }
    }
}
