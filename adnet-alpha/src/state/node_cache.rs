//! A bounded cache of committed tree nodes: the upper levels of the tree are read by every block.
//!
//! Two generations: a node that is used moves into the young one; when that is full it becomes the
//! old one, and what was in the old one is forgotten. Nodes are immutable once committed, so a hit
//! is always right; nodes of a block that is not committed must never get in.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use jmt::storage::{Node, NodeKey};

/// Nodes of one generation: an inner node takes about 1 kB.
const GENERATION_MAX: usize = 16_384;

#[derive(Default)]
pub struct NodeCache {
    generations: Mutex<Generations>,
}

#[derive(Default)]
struct Generations {
    young: BTreeMap<NodeKey, Node>,
    old: BTreeMap<NodeKey, Node>,
}

impl NodeCache {
    pub fn get(&self, key: &NodeKey) -> Option<Node> {
        let mut generations = self.lock();
        if let Some(node) = generations.young.get(key) {
            return Some(node.clone());
        }
        let node = generations.old.remove(key)?;
        generations.insert(key.clone(), node.clone());
        Some(node)
    }

    /// Takes in a node that is committed.
    pub fn insert(&self, key: NodeKey, node: Node) {
        self.lock().insert(key, node);
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.generations
            .lock()
            .expect("nobody panics while holding the cache")
    }
}

impl Generations {
    fn insert(&mut self, key: NodeKey, node: Node) {
        if self.young.len() >= GENERATION_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, node);
    }
}
