//! The state as it comes from peers: every piece held against the hash that leads to it.
//!
//! The nodes below a piece are made from its leaves here; those above come last, when it is known how
//! many leaves are below each of their children. All become nodes of one version, the height that is
//! restored.

use std::collections::BTreeMap;

use adnet_common::hash::Hash;
use adnet_common::restore::{BadPiece, Restore};
use adnet_common::state_proof::alpha::key_hash;
use adnet_common::store::Write;
use jmt::storage::{LeafNode, Node, NodeKey};
use jmt::{KeyHash, ValueHash};
use sha2::Sha256;

use super::pieces::{Child as PieceChild, Pair, Piece, path_of};
use super::store_keys::{self, HASH_NIBBLES};
use super::tree::FAMILY;

#[cfg(test)]
mod tests;

/// The tree's hash of a place with nothing below it.
const NOTHING: [u8; 32] = *b"SPARSE_MERKLE_PLACEHOLDER_HASH__";

/// What is below a child of an inner node, as far as its hash and the tree's bookkeeping go.
#[derive(Copy, Clone)]
struct Child {
    nibble: u8,
    hash: [u8; 32],
    /// One leaf stands there itself: the tree has no inner node for it.
    leaves: u64,
}

/// See the module.
pub struct AlphaRestore {
    version: u64,
    /// The hash of what is at each missing place.
    wanted: BTreeMap<Vec<u8>, [u8; 32]>,
    /// Inner nodes above the pieces with leaves: their children's nibbles and hashes.
    above: BTreeMap<Vec<u8>, Vec<(u8, [u8; 32])>>,
    /// How many leaves are below each place that has come.
    counts: BTreeMap<Vec<u8>, u64>,
}

/// A leaf with its place in the tree.
struct Placed {
    hash: KeyHash,
    key: Vec<u8>,
    value: Vec<u8>,
}

fn nibble_at(hash: &KeyHash, depth: usize) -> u8 {
    let byte = hash.0[depth / 2];
    if depth.is_multiple_of(2) {
        byte >> 4
    } else {
        byte & 0xf
    }
}

/// An inner node. The tree's own type for it has no public constructor, so it is read from its stored
/// form: sixteen options of (hash, version, kind), and the numbers of children and leaves.
fn inner_node(version: u64, children: &[Child]) -> Node {
    let mut bytes = vec![1];
    for nibble in 0..16 {
        match children.iter().find(|child| child.nibble == nibble) {
            None => bytes.push(0),
            Some(child) => {
                bytes.push(1);
                bytes.extend(child.hash);
                bytes.extend(version.to_le_bytes());
                match child.leaves {
                    1 => bytes.push(0),
                    _ => {
                        bytes.push(1);
                        bytes.extend(child.leaves.to_le_bytes());
                    }
                }
            }
        }
    }
    let leaves: u64 = children.iter().map(|child| child.leaves).sum();
    bytes.extend((children.len() as u64).to_le_bytes());
    bytes.extend(leaves.to_le_bytes());
    borsh::from_slice(&bytes).expect("written in the form of a stored node")
}

fn hash_of(node: &Node) -> [u8; 32] {
    match node {
        Node::Internal(inner) => inner.hash::<Sha256>(),
        Node::Leaf(leaf) => leaf.hash::<Sha256>(),
        Node::Null => unreachable!("no node is made from nothing"),
    }
}

impl AlphaRestore {
    /// Takes an inner node with too many leaves below it.
    fn take_node(
        &mut self,
        place: &[u8],
        expected: &[u8; 32],
        children: Vec<(u8, PieceChild)>,
    ) -> Result<Vec<Write>, BadPiece> {
        let in_order = children.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let is_known = children.iter().all(|(nibble, _)| *nibble <= 0xf);
        let is_alone = matches!(children.as_slice(), [] | [(_, PieceChild::Leaf(_))]);
        if !in_order || !is_known || is_alone || place.len() >= HASH_NIBBLES {
            return Err(BadPiece::new("its children make no inner node"));
        }
        let (mut all, mut leaves, mut writes) = (Vec::new(), Vec::new(), Vec::new());
        for (nibble, child) in children {
            let below = [place, &[nibble]].concat();
            let (hash, count) = match child {
                // The hash of nothing: a child that is not there would have it as well.
                PieceChild::Inner(hash) if hash == NOTHING => {
                    return Err(BadPiece::new("a child is nothing"));
                }
                // How many leaves are below it does not go into the hash, but that it is no leaf.
                PieceChild::Inner(hash) => (hash, 2),
                PieceChild::Leaf(pair) => {
                    let hash = self.place_leaves(&below, vec![pair], &mut writes)?;
                    leaves.push(below);
                    (hash, 1)
                }
            };
            all.push(Child {
                nibble,
                hash,
                leaves: count,
            });
        }
        if hash_of(&inner_node(self.version, &all)) != *expected {
            return Err(BadPiece::new("it does not lead to the root"));
        }
        for child in all.iter().filter(|child| child.leaves > 1) {
            let below = [place, &[child.nibble]].concat();
            self.wanted.insert(below, child.hash);
        }
        self.counts
            .extend(leaves.into_iter().map(|below| (below, 1)));
        let hashes = all.iter().map(|child| (child.nibble, child.hash));
        self.above.insert(place.to_vec(), hashes.collect());
        Ok(writes)
    }

    fn put(&self, path: &[u8], node: &Node, writes: &mut Vec<Write>) {
        let path = path_of(path).expect("made from nibbles");
        let key = store_keys::node(&NodeKey::new(self.version, path));
        let bytes = borsh::to_vec(node).expect("encoding into memory does not fail");
        writes.push(Write::put(FAMILY, key, bytes));
    }

    /// Makes the nodes for leaves that all belong below `path`. At least one leaf; no two of them have
    /// the same hash, so paths end.
    fn build(&self, path: &mut Vec<u8>, leaves: &[Placed], writes: &mut Vec<Write>) -> [u8; 32] {
        let node = match leaves {
            [leaf] => Node::Leaf(LeafNode::new(
                leaf.hash,
                ValueHash::with::<Sha256>(&leaf.value),
            )),
            several => {
                let depth = path.len();
                let groups =
                    several.chunk_by(|a, b| nibble_at(&a.hash, depth) == nibble_at(&b.hash, depth));
                let children: Vec<Child> = groups
                    .map(|group| {
                        let nibble = nibble_at(&group[0].hash, depth);
                        path.push(nibble);
                        let hash = self.build(path, group, writes);
                        path.pop();
                        Child {
                            nibble,
                            hash,
                            leaves: group.len() as u64,
                        }
                    })
                    .collect();
                inner_node(self.version, &children)
            }
        };
        self.put(path, &node, writes);
        hash_of(&node)
    }

    /// Makes rows and nodes of leaves that belong below `place`, in the order of their keys' hashes.
    /// Returns the hash of what they make there.
    fn place_leaves(
        &self,
        place: &[u8],
        leaves: Vec<Pair>,
        writes: &mut Vec<Write>,
    ) -> Result<[u8; 32], BadPiece> {
        let placed = leaves.into_iter().map(|(key, value)| Placed {
            hash: key_hash(&key),
            key,
            value,
        });
        let placed: Vec<Placed> = placed.collect();
        if placed.is_empty() || !placed.windows(2).all(|pair| pair[0].hash < pair[1].hash) {
            return Err(BadPiece::new("its leaves are not in order"));
        }
        let is_below = |leaf: &Placed| {
            let mut steps = place.iter().zip(0..HASH_NIBBLES);
            steps.all(|(nibble, depth)| *nibble == nibble_at(&leaf.hash, depth))
        };
        if !placed.iter().all(is_below) {
            return Err(BadPiece::new("a leaf belongs elsewhere"));
        }
        let hash = self.build(&mut place.to_vec(), &placed, writes);
        for Placed { hash, key, value } in placed {
            let row = store_keys::leaf_value(self.version, &value);
            writes.push(Write::put(FAMILY, store_keys::leaf(&key), row));
            writes.push(Write::put(FAMILY, store_keys::preimage(&hash), key));
        }
        Ok(hash)
    }

    fn take_leaves(
        &mut self,
        place: &[u8],
        expected: &[u8; 32],
        leaves: Vec<Pair>,
    ) -> Result<Vec<Write>, BadPiece> {
        let count = leaves.len() as u64;
        let mut writes = Vec::with_capacity(4 * leaves.len());
        if self.place_leaves(place, leaves, &mut writes)? != *expected {
            return Err(BadPiece::new("its leaves do not lead to the root"));
        }
        self.counts.insert(place.to_vec(), count);
        Ok(writes)
    }
}

impl Restore for AlphaRestore {
    fn new(height: u64, state_root: Hash) -> Self {
        Self {
            version: height,
            wanted: BTreeMap::from([(Vec::new(), state_root.0)]),
            above: BTreeMap::new(),
            counts: BTreeMap::new(),
        }
    }

    fn wanted(&self) -> impl Iterator<Item = &[u8]> {
        self.wanted.keys().map(Vec::as_slice)
    }

    fn take(&mut self, place: &[u8], piece: &[u8]) -> Result<Vec<Write>, BadPiece> {
        let expected = self.wanted.get(place).copied();
        let expected = expected.ok_or_else(|| BadPiece::new("nobody has asked for it"))?;
        let writes = match Piece::decode(piece).map_err(BadPiece::new)? {
            Piece::Leaves(leaves) => self.take_leaves(place, &expected, leaves)?,
            Piece::Node(children) => self.take_node(place, &expected, children)?,
        };
        self.wanted.remove(place);
        Ok(writes)
    }

    fn finish(mut self) -> Vec<Write> {
        assert!(self.wanted.is_empty(), "the state is complete");
        let mut writes = Vec::new();
        let mut above: Vec<_> = std::mem::take(&mut self.above).into_iter().collect();
        // From the leaves up.
        above.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        for (path, children) in above {
            let children = children.into_iter().map(|(nibble, hash)| {
                let below = [&path[..], &[nibble]].concat();
                let leaves = self.counts.remove(&below);
                Child {
                    nibble,
                    hash,
                    leaves: leaves.expect("what is below a node comes before it"),
                }
            });
            let children: Vec<Child> = children.collect();
            let leaves = children.iter().map(|child| child.leaves).sum();
            self.put(&path, &inner_node(self.version, &children), &mut writes);
            self.counts.insert(path, leaves);
        }
        writes
    }
}
