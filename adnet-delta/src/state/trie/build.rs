//! A trie from all of its leaves at once, and hashes on all cores.
//!
//! Leaves in the order of their keys need no search: the node above a run of them begins where the
//! first and the last of the run part. The children of the root are independent of each other, so they
//! are dealt out to threads; what comes of it does not depend on how.

use super::Leaf;
use super::node::{Children, Node, key_nibble};
use alloy_primitives::B256;
use alloy_trie::Nibbles;
use std::sync::{Arc, Mutex};
use std::thread;

/// The node of these leaves, of which there is one at least.
pub fn node<V: Leaf>(leaves: Vec<(B256, V)>) -> Node<V> {
    below(&mut ordered(leaves), 0)
}

/// As [`node`], with the hashes of all nodes below the first.
pub fn on_all_cores<V: Leaf + Send + Sync>(leaves: Vec<(B256, V)>) -> Node<V> {
    let mut leaves = ordered(leaves);
    if leaves.len() == 1 || common(&leaves, 0) > 0 {
        return below(&mut leaves, 0);
    }
    let mut children: Box<Children<V>> = Box::default();
    let work = Mutex::new(children.iter_mut().zip(runs(&mut leaves, 0)));
    thread::scope(|scope| {
        for _ in 0..cores() {
            scope.spawn(|| {
                loop {
                    let next = work.lock().expect("no thread panics with it").next();
                    let Some((child, run)) = next else { break };
                    if !run.is_empty() {
                        let node = below(run, 1);
                        node.reference();
                        *child = Some(Arc::new(node));
                    }
                }
            });
        }
    });
    drop(work);
    Node::branch(Nibbles::default(), children)
}

/// Computes the hashes of these nodes and of all below them.
pub fn hash_children<V: Leaf + Send + Sync>(nodes: &[&Arc<Node<V>>]) {
    let work = Mutex::new(nodes.iter());
    thread::scope(|scope| {
        for _ in 0..cores().min(nodes.len()) {
            scope.spawn(|| {
                loop {
                    let next = work.lock().expect("no thread panics with it").next();
                    let Some(node) = next else { break };
                    node.reference();
                }
            });
        }
    });
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// A leaf whose value is taken when its node is built.
type Slot<V> = (B256, Option<V>);

fn ordered<V>(leaves: Vec<(B256, V)>) -> Vec<Slot<V>> {
    let ordered = leaves.windows(2).all(|pair| pair[0].0 < pair[1].0);
    assert!(ordered, "leaves come in the order of their keys, each once");
    let slots = leaves.into_iter().map(|(key, value)| (key, Some(value)));
    slots.collect()
}

/// How many nibbles from `depth` on all keys have in common.
fn common<V>(leaves: &[Slot<V>], depth: usize) -> usize {
    let (first, last) = (&leaves[0].0, &leaves[leaves.len() - 1].0);
    let same = (depth..64).take_while(|at| key_nibble(first, *at) == key_nibble(last, *at));
    same.count()
}

/// The leaves for each of the sixteen children of a branch at `depth`.
fn runs<V>(mut leaves: &mut [Slot<V>], depth: usize) -> impl Iterator<Item = &mut [Slot<V>]> {
    (0..16u8).map(move |index| {
        let end = leaves.partition_point(|(key, _)| key_nibble(key, depth) <= index);
        let (run, rest) = std::mem::take(&mut leaves).split_at_mut(end);
        leaves = rest;
        run
    })
}

/// The node at `depth` of the path.
fn below<V: Leaf>(leaves: &mut [Slot<V>], depth: usize) -> Node<V> {
    if let [(key, value)] = leaves {
        let path = Nibbles::unpack_array(&key.0).slice(depth..);
        return Node::leaf(path, value.take().expect("each leaf is built once"));
    }
    let common = common(leaves, depth);
    let path = Nibbles::unpack_array(&leaves[0].0.0).slice(depth..depth + common);
    let depth = depth + common;
    let mut children: Box<Children<V>> = Box::default();
    for (child, run) in children.iter_mut().zip(runs(leaves, depth)) {
        if !run.is_empty() {
            *child = Some(Arc::new(below(run, depth + 1)));
        }
    }
    Node::branch(path, children)
}
