//! Which ranges to ask for next: pure arithmetic over heights.

use super::message::RANGE_BLOCKS_MAX;

/// Ranges are not cut shorter than this for the sake of asking more peers.
const RANGE_BLOCKS_MIN: u64 = 4;

/// The lowest range of `first..=best` that is neither here nor on its way, within a window of so many
/// blocks. Where all that is missing is in the window, it is shared with `others` further peers.
/// Beyond it only whole ranges are asked for: the window moves by one block at a time, and a request for
/// each would be one for each block.
///
/// `here` yields heights in order; `coming` yields ranges as (first, count).
pub(super) fn next_range(
    first: u64,
    best: u64,
    window: u64,
    here: impl Iterator<Item = u64>,
    coming: impl Iterator<Item = (u64, u64)>,
    others: usize,
) -> Option<(u64, u64)> {
    if best < first {
        return None;
    }
    let last = best.min(first.saturating_add(window - 1));
    let here = here.map(|height| (height, 1));
    let mut taken: Vec<(u64, u64)> = here.chain(coming).filter(|(_, count)| *count > 0).collect();
    taken.sort_unstable();
    let mut from = first;
    let mut until = last;
    for (start, count) in taken {
        if start > from {
            until = until.min(start - 1);
            break;
        }
        from = from.max(start.saturating_add(count));
    }
    if from > until {
        return None;
    }
    let gap = until - from + 1;
    if last < best {
        let is_at_edge = until == last && gap < RANGE_BLOCKS_MAX;
        return (!is_at_edge).then_some((from, gap.min(RANGE_BLOCKS_MAX)));
    }
    let share = (last - from + 1).div_ceil(others as u64 + 1);
    let count = gap.min(share.clamp(RANGE_BLOCKS_MIN, RANGE_BLOCKS_MAX));
    Some((from, count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::iter;

    fn next(first: u64, best: u64, here: &[u64], coming: &[(u64, u64)]) -> Option<(u64, u64)> {
        let (here, coming) = (here.iter().copied(), coming.iter().copied());
        next_range(first, best, 256, here, coming, 0)
    }

    #[test]
    fn the_lowest_gap_comes_first_and_ends_where_something_is() {
        assert_eq!(next(1, 100, &[], &[]), Some((1, 32)));
        assert_eq!(next(1, 100, &[], &[(1, 32)]), Some((33, 32)));
        assert_eq!(next(1, 100, &[1, 2, 5], &[]), Some((3, 2)));
        assert_eq!(next(1, 10, &[4], &[(1, 3), (5, 6)]), None);
        assert_eq!(next(5, 4, &[], &[]), None);
        assert_eq!(next(u64::MAX, u64::MAX, &[], &[]), Some((u64::MAX, 1)));
    }

    #[test]
    fn the_window_moves_on_by_whole_ranges() {
        let at = |first, coming: (u64, u64)| {
            next_range(first, 10_000, 64, iter::empty(), iter::once(coming), 3)
        };
        assert_eq!(at(1, (1, 32)), Some((33, 32)));
        assert_eq!(at(1, (1, 64)), None);
        assert_eq!(at(32, (32, 33)), None);
        assert_eq!(at(33, (33, 32)), Some((65, 32)));
        // A gap in the middle is filled, however short.
        let here = (1..=5).chain(8..=64);
        let range = next_range(1, 10_000, 64, here, iter::empty(), 3);
        assert_eq!(range, Some((6, 2)));
    }

    #[test]
    fn what_is_missing_is_shared_among_the_peers() {
        let range = next_range(1, 30, 256, iter::empty(), iter::empty(), 2);
        assert_eq!(range, Some((1, 10)));
        let range = next_range(1, 6, 256, iter::empty(), iter::empty(), 9);
        assert_eq!(range, Some((1, RANGE_BLOCKS_MIN)));
    }
}
