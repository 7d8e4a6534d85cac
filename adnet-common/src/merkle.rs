//! The binary Merkle tree over a list (RFC 6962, section 2.1): block bodies and outboxes.
//!
//! Leaves and nodes are hashed in domains of their own, so a node can never pass for a leaf; the
//! tree's shape follows from the number of leaves alone, so (root, index, count) fix the path.

use crate::hash::Hash;

const LEAF: &str = "adnet/merkle/leaf/v1";
const NODE: &str = "adnet/merkle/node/v1";
const EMPTY: &str = "adnet/merkle/empty/v1";

/// A path in a tree of 2^32 leaves has at most this many steps.
pub const MAX_PATH: usize = 32;

pub fn leaf(bytes: &[u8]) -> Hash {
    Hash::of(LEAF, &[bytes])
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Hash::of(NODE, &[&left.0, &right.0])
}

/// The largest power of two below `count`, for `count` of at least 2.
fn split(count: usize) -> usize {
    count.next_power_of_two() / 2
}

/// The root over leaf hashes. The empty list has a root of its own.
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::of(EMPTY, &[]),
        [only] => *only,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node(&root(left), &root(right))
        }
    }
}

/// The sibling hashes from leaf `index` up to the root.
///
/// # Panics
/// If `index` is not in the list.
pub fn path(leaves: &[Hash], index: usize) -> Vec<Hash> {
    assert!(
        index < leaves.len(),
        "a path is asked for a leaf of the list"
    );
    if leaves.len() == 1 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut below, sibling) = if index < left.len() {
        (path(left, index), root(right))
    } else {
        (path(right, index - left.len()), root(left))
    };
    below.push(sibling);
    below
}

/// The root that `leaf` at `index` of `count` leaves leads to along `path`, if the path has the
/// length that this place in the tree has.
pub fn climb(leaf: Hash, index: u32, count: u32, path: &[Hash]) -> Option<Hash> {
    if index >= count || path.len() > MAX_PATH {
        return None;
    }
    // Walk down from the root to learn on which side the leaf is at each level.
    let (mut at, mut span) = (index as usize, count as usize);
    let mut goes_right = Vec::with_capacity(path.len());
    while span > 1 {
        let half = split(span);
        goes_right.push(at >= half);
        if at >= half {
            at -= half;
            span -= half;
        } else {
            span = half;
        }
    }
    if goes_right.len() != path.len() {
        return None;
    }
    let sides = goes_right.iter().rev();
    Some(path.iter().zip(sides).fold(leaf, |hash, (sibling, right)| {
        if *right {
            node(sibling, &hash)
        } else {
            node(&hash, sibling)
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leaf_climbs_to_the_root_and_nothing_else_does() {
        for count in 1usize..40 {
            let leaves: Vec<Hash> = (0..count).map(|i| leaf(&[i as u8])).collect();
            let root = root(&leaves);
            for index in 0..count {
                let path = path(&leaves, index);
                let (i, n) = (index as u32, count as u32);
                assert_eq!(climb(leaves[index], i, n, &path), Some(root));
                assert_ne!(climb(leaf(b"other"), i, n, &path), Some(root));
                if count > 1 {
                    assert_ne!(climb(leaves[index], (i + 1) % n, n, &path), Some(root));
                    assert_eq!(climb(leaves[index], i, n, &path[1..]), None);
                }
            }
        }
    }

    #[test]
    fn a_node_is_not_a_leaf() {
        let (a, b) = (leaf(b"a"), leaf(b"b"));
        let both = [a.0, b.0].concat();
        assert_ne!(root(&[a, b]), leaf(&both));
    }
}
