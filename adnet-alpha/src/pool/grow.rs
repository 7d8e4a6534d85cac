//! Many leaves for the note tree at once, level by level, so that all hashes of a level go side by side.

use incrementalmerkletree::frontier::NonEmptyFrontier;
use incrementalmerkletree::{Level, Position};
use orchard::tree::MerkleHashOrchard;

use super::crh::parents;

/// The end of a tree that ended with `end` (nothing: it was empty), after `leaves`, at least one. With it
/// the subtrees of `watched` that they filled: number and root each, in order.
///
/// # Panics
/// If there is no leaf.
pub fn grow(
    end: Option<NonEmptyFrontier<MerkleHashOrchard>>,
    leaves: Vec<MerkleHashOrchard>,
    watched: Level,
) -> (
    NonEmptyFrontier<MerkleHashOrchard>,
    Vec<(u64, MerkleHashOrchard)>,
) {
    let size_before = end.as_ref().map_or(0, |end| u64::from(end.position()) + 1);
    let size = size_before + leaves.len() as u64;
    let last = *leaves.last().expect("there is a leaf to add");
    let (old_last, new_last) = (size_before.saturating_sub(1), size - 1);
    // What is known of a level: all nodes from that above the old last leaf up to that above the new
    // one, the latter only of the leaves.
    let (mut nodes, mut old_ommers) = match end {
        Some(end) => {
            let (_, leaf, ommers) = end.into_parts();
            ([vec![leaf], leaves].concat(), ommers.into_iter())
        }
        None => (leaves, Vec::new().into_iter()),
    };
    let (mut ommers, mut filled) = (Vec::new(), Vec::new());
    for level in 0.. {
        let (mut first, end) = (old_last >> level, new_last >> level);
        if first == end {
            break; // from here up it is the old way
        }
        if Level::from(level) == watched {
            let was_full = size_before > 0 && size_before.is_multiple_of(1 << level);
            let new = (first..end).zip(nodes.iter().copied());
            filled.extend(new.skip(usize::from(was_full)));
        }
        if first % 2 == 1 {
            let ommer = old_ommers.next();
            nodes.insert(0, ommer.expect("an odd node has a left neighbour"));
            first -= 1;
        }
        let before_end = usize::try_from(end - first).expect("no more than there are nodes");
        if end % 2 == 1 {
            ommers.push(nodes[before_end - 1]);
        }
        nodes = parents(Level::from(level), &nodes[..before_end / 2 * 2]);
    }
    ommers.extend(old_ommers);
    let end = NonEmptyFrontier::from_parts(Position::from(new_last), last, ommers);
    let end = end.expect("there is one ommer per bit of the position");
    if size.is_multiple_of(1 << u8::from(watched)) {
        let number = new_last >> u8::from(watched);
        filled.push((number, end.root(Some(watched))));
    }
    (end, filled)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn leaf(number: u64) -> MerkleHashOrchard {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        Option::from(MerkleHashOrchard::from_bytes(&bytes)).expect("small enough")
    }

    /// One leaf after the other, as the library does it.
    fn one_by_one(
        end: &mut Option<NonEmptyFrontier<MerkleHashOrchard>>,
        leaf: MerkleHashOrchard,
        watched: Level,
    ) -> Option<(u64, MerkleHashOrchard)> {
        match end {
            None => *end = Some(NonEmptyFrontier::new(leaf)),
            Some(end) => end.append(leaf),
        }
        let end = end.as_ref().expect("it has a leaf");
        let size = u64::from(end.position()) + 1;
        let is_full = size.is_multiple_of(1 << u8::from(watched));
        is_full.then(|| ((size - 1) >> u8::from(watched), end.root(Some(watched))))
    }

    fn hold_against_the_library(blocks: &[usize], watched: Level) {
        let (mut end, mut expected, mut number) = (None, None, 0);
        for leaves in blocks {
            let leaves: Vec<_> = (number..).take(*leaves).map(leaf).collect();
            number += leaves.len() as u64;
            let one_by_one = |leaf| one_by_one(&mut expected, leaf, watched);
            let filled: Vec<_> = leaves.iter().copied().filter_map(one_by_one).collect();
            let grown = grow(end.take(), leaves, watched);
            assert_eq!((Some(&grown.0), grown.1), (expected.as_ref(), filled));
            end = Some(grown.0);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn leaves_together_make_the_tree_that_they_make_one_by_one(
            blocks in proptest::collection::vec(1..40_usize, 1..6),
            watched in 1..5_u8,
        ) {
            hold_against_the_library(&blocks, Level::from(watched));
        }
    }

    #[test]
    fn from_any_small_size_to_any_other() {
        for before in 1..=9 {
            for more in 1..=9 {
                hold_against_the_library(&[before, more], Level::from(2));
            }
        }
    }
}
