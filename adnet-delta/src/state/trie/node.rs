//! The nodes of the trie and the walks over them. See the invariants in `trie`.

use super::Leaf;
use alloy_primitives::{B256, Bytes};
use alloy_trie::nodes::{BranchNodeRef, ExtensionNodeRef, LeafNodeRef, RlpNode};
use alloy_trie::{Nibbles, TrieMask};
use std::mem;
use std::sync::{Arc, OnceLock};

pub type Children<V> = [Option<Arc<Node<V>>>; 16];

#[derive(Clone, Debug)]
pub struct Node<V> {
    kind: Kind<V>,
    /// How the parent refers to this node: its encoding, or the hash of it from 32 bytes on.
    /// Empty while the node or one below has changed since it was computed.
    reference: OnceLock<RlpNode>,
}

#[derive(Clone, Debug)]
enum Kind<V> {
    Leaf { path: Nibbles, value: V },
    Extension { path: Nibbles, child: Arc<Node<V>> },
    Branch(Box<Children<V>>),
}

impl<V> Node<V> {
    fn new(kind: Kind<V>) -> Self {
        let reference = OnceLock::new();
        Self { kind, reference }
    }

    pub fn leaf(path: Nibbles, value: V) -> Self {
        Self::new(Kind::Leaf { path, value })
    }

    /// A branch behind an extension of `path` if that is not empty.
    pub fn branch(path: Nibbles, children: Box<Children<V>>) -> Self {
        let branch = Self::new(Kind::Branch(children));
        if path.is_empty() {
            return branch;
        }
        let child = Arc::new(branch);
        Self::new(Kind::Extension { path, child })
    }

    /// What is right below this node.
    pub fn children(&self) -> Vec<&Arc<Self>> {
        match &self.kind {
            Kind::Leaf { .. } => Vec::new(),
            Kind::Extension { child, .. } => vec![child],
            Kind::Branch(children) => children.iter().flatten().collect(),
        }
    }
}

fn nibble(path: &Nibbles, at: usize) -> usize {
    usize::from(
        path.get(at)
            .expect("keys have one length, so a path never ends inside a branch"),
    )
}

/// Walks branches by the key's own bytes: they are most of the way, and a slice of a path costs more.
pub fn get<'a, V>(mut node: &'a Node<V>, key: &B256) -> Option<&'a V> {
    let mut depth = 0;
    loop {
        match &node.kind {
            Kind::Leaf { path, value } => {
                let rest = Nibbles::unpack_array(&key.0).slice(depth..);
                return (*path == rest).then_some(value);
            }
            Kind::Extension { path, child } => {
                let rest = Nibbles::unpack_array(&key.0).slice(depth..);
                if !rest.starts_with(path) {
                    return None;
                }
                depth += path.len();
                node = child;
            }
            Kind::Branch(children) => {
                node = children[usize::from(key_nibble(key, depth))].as_deref()?;
                depth += 1;
            }
        }
    }
}

/// The nibble of a key at a depth below 64.
pub fn key_nibble(key: &B256, depth: usize) -> u8 {
    let byte = key[depth / 2];
    if depth.is_multiple_of(2) {
        byte >> 4
    } else {
        byte & 0xf
    }
}

/// The node that begins at `path`.
pub fn at<'a, V>(mut node: &'a Arc<Node<V>>, path: &Nibbles) -> Option<&'a Arc<Node<V>>> {
    let mut rest = *path;
    while !rest.is_empty() {
        node = match &node.kind {
            Kind::Leaf { .. } => return None,
            Kind::Extension { path, child } => {
                if !rest.starts_with(path) {
                    return None;
                }
                rest = rest.slice(path.len()..);
                child
            }
            Kind::Branch(children) => {
                let child = children[nibble(&rest, 0)].as_ref()?;
                rest = rest.slice(1..);
                child
            }
        };
    }
    Some(node)
}

/// Adds the leaves of `node`, which begins at `path`. Ends early, with false, at more than `max`.
pub fn collect<'a, V>(
    node: &'a Node<V>,
    path: Nibbles,
    max: usize,
    found: &mut Vec<(B256, &'a V)>,
) -> bool {
    match &node.kind {
        Kind::Leaf { path: rest, value } => {
            let key = path.join(rest).pack();
            let key = <[u8; 32]>::try_from(key.as_slice()).expect("keys have 32 bytes");
            found.push((B256::new(key), value));
            found.len() <= max
        }
        Kind::Extension { path: rest, child } => collect(child, path.join(rest), max, found),
        Kind::Branch(children) => (0u8..).zip(children.iter()).all(|(index, child)| {
            let Some(child) = child else { return true };
            let step = Nibbles::from_nibbles_unchecked([index]);
            collect(child, path.join(&step), max, found)
        }),
    }
}

/// Sets the leaf of `key` below `at`, which stands at this depth.
pub fn insert<V: Clone>(at: &mut Arc<Node<V>>, key: &B256, depth: usize, value: V) {
    let node = Arc::make_mut(at);
    node.reference = OnceLock::new();
    let rest = || Nibbles::unpack_array(&key.0).slice(depth..);
    let (path, own, common) = match &mut node.kind {
        Kind::Branch(children) => {
            match &mut children[usize::from(key_nibble(key, depth))] {
                Some(child) => insert(child, key, depth + 1, value),
                empty => *empty = Some(Arc::new(Node::leaf(rest().slice(1..), value))),
            }
            return;
        }
        Kind::Leaf {
            path: own,
            value: old,
        } => {
            let path = rest();
            if *own == path {
                *old = value;
                return;
            }
            (path, *own, own.common_prefix_length(&path))
        }
        Kind::Extension { path: own, child } => {
            let path = rest();
            let common = own.common_prefix_length(&path);
            if common == own.len() {
                return insert(child, key, depth + common, value);
            }
            (path, *own, common)
        }
    };
    // The paths part after `common` nibbles: a branch goes there, below an extension if needed.
    let old = mem::replace(&mut node.kind, Kind::Branch(Box::default()));
    let below_old = match old {
        Kind::Leaf { value, .. } => Arc::new(Node::leaf(own.slice(common + 1..), value)),
        Kind::Extension { child, .. } => prefixed(own.slice(common + 1..), child),
        Kind::Branch(_) => unreachable!("a branch was handled above"),
    };
    let mut children: Box<Children<V>> = Box::default();
    children[nibble(&own, common)] = Some(below_old);
    let below_new = Node::leaf(path.slice(common + 1..), value);
    children[nibble(&path, common)] = Some(Arc::new(below_new));
    let branch = Kind::Branch(children);
    node.kind = if common == 0 {
        branch
    } else {
        let child = Arc::new(Node::new(branch));
        let path = path.slice(..common);
        Kind::Extension { path, child }
    };
}

/// `child`, a branch, behind an extension of `path` if that is not empty.
fn prefixed<V>(path: Nibbles, child: Arc<Node<V>>) -> Arc<Node<V>> {
    if path.is_empty() {
        child
    } else {
        Arc::new(Node::new(Kind::Extension { path, child }))
    }
}

/// Removes the leaf at `path`, which must exist. True if nothing is left of this node.
pub fn remove<V: Clone>(at: &mut Arc<Node<V>>, path: Nibbles) -> bool {
    let node = Arc::make_mut(at);
    node.reference = OnceLock::new();
    let replacement = match &mut node.kind {
        Kind::Leaf { .. } => return true,
        Kind::Extension { path: own, child } => {
            let gone = remove(child, path.slice(own.len()..));
            assert!(
                !gone,
                "an extension leads to a branch, which has two leaves at least"
            );
            if matches!(child.kind, Kind::Branch(_)) {
                return false;
            }
            joined(*own, Arc::clone(child))
        }
        Kind::Branch(children) => {
            let slot = &mut children[nibble(&path, 0)];
            let child = slot.as_mut().expect("the leaf that is removed exists");
            if !remove(child, path.slice(1..)) {
                return false;
            }
            *slot = None;
            let mut left = children
                .iter_mut()
                .enumerate()
                .filter(|(_, child)| child.is_some());
            let (index, last) = left.next().expect("a branch had two children at least");
            if left.next().is_some() {
                return false;
            }
            let last = last.take().expect("filtered for children that exist");
            joined(Nibbles::from_nibbles_unchecked([index as u8]), last)
        }
    };
    node.kind = replacement;
    false
}

/// What `child` becomes when `path` leads to it and nothing else does.
fn joined<V: Clone>(path: Nibbles, child: Arc<Node<V>>) -> Kind<V> {
    if matches!(child.kind, Kind::Branch(_)) {
        return Kind::Extension { path, child };
    }
    match Arc::unwrap_or_clone(child).kind {
        Kind::Leaf { path: own, value } => Kind::Leaf {
            path: path.join(&own),
            value,
        },
        Kind::Extension { path: own, child } => Kind::Extension {
            path: path.join(&own),
            child,
        },
        Kind::Branch(_) => unreachable!("a branch was handled above"),
    }
}

impl<V: Leaf> Node<V> {
    /// How a parent refers to this node.
    pub fn reference(&self) -> &RlpNode {
        self.reference
            .get_or_init(|| RlpNode::from_rlp(&self.encode()))
    }

    /// The node's own encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        match &self.kind {
            Kind::Leaf { path, value } => {
                let mut bytes = Vec::with_capacity(112);
                value.encode_leaf(&mut bytes);
                LeafNodeRef::new(path, &bytes).rlp(&mut out);
            }
            Kind::Extension { path, child } => {
                ExtensionNodeRef::new(path, child.reference()).rlp(&mut out);
            }
            Kind::Branch(children) => {
                let mut mask = TrieMask::default();
                let mut stack = Vec::with_capacity(16);
                for (index, child) in children.iter().enumerate() {
                    if let Some(child) = child {
                        stack.push(child.reference().clone());
                        mask.set_bit(index as u8);
                    }
                }
                BranchNodeRef::new(&stack, mask).rlp(&mut out);
            }
        }
        out
    }
}

/// Appends the encodings below `node` towards `path` that are referred to by hash.
pub fn prove<V: Leaf>(mut node: &Arc<Node<V>>, path: &Nibbles, out: &mut Vec<Bytes>) {
    let mut rest = *path;
    loop {
        let child = match &node.kind {
            Kind::Leaf { .. } => return,
            Kind::Extension { path, child } => {
                if !rest.starts_with(path) {
                    return;
                }
                rest = rest.slice(path.len()..);
                child
            }
            Kind::Branch(children) => {
                let Some(child) = &children[nibble(&rest, 0)] else {
                    return;
                };
                rest = rest.slice(1..);
                child
            }
        };
        if child.reference().is_hash() {
            out.push(Bytes::from(child.encode()));
        }
        node = child;
    }
}

pub fn for_each<V>(node: &Node<V>, each: &mut impl FnMut(&V)) {
    match &node.kind {
        Kind::Leaf { value, .. } => each(value),
        Kind::Extension { child, .. } => for_each(child, each),
        Kind::Branch(children) => children
            .iter()
            .flatten()
            .for_each(|child| for_each(child, each)),
    }
}
