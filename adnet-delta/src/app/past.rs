//! Past states that are kept in memory, for clients that ask about one of the last blocks.
//!
//! Versions of the state share what they have in common, so one more costs what its block changed.
//! Bounded by the number of blocks and, where blocks are full, by the changes in them. A node that
//! starts knows the state of its last block only and gathers others from there on.

use super::Committed;
use std::collections::VecDeque;
use std::sync::Arc;

/// States of so many blocks before the last one at most.
const KEPT_STATES: usize = 256;
/// Changed leaves of all kept states together at most: 150 to 250 MB where they are all different.
const KEPT_CHANGES: usize = 500_000;

/// See the module. Cloning copies one pointer.
#[derive(Clone, Default)]
pub struct PastStates(Arc<VecDeque<Arc<Committed>>>);

impl PastStates {
    /// These and the one that has been the last so far.
    pub(super) fn with(&self, last: Committed) -> Self {
        let mut kept = (*self.0).clone();
        kept.push_back(Arc::new(last));
        let mut changes: usize = kept.iter().map(|state| state.changes).sum();
        while kept.len() > KEPT_STATES || changes > KEPT_CHANGES {
            let Some(oldest) = kept.pop_front() else {
                break;
            };
            changes -= oldest.changes;
        }
        Self(Arc::new(kept))
    }

    /// The lowest height that is kept.
    pub(super) fn first(&self) -> Option<u64> {
        self.0.front().map(|state| state.height)
    }

    pub(super) fn at(&self, height: u64) -> Option<&Committed> {
        let first = self.0.front()?.height;
        let at = usize::try_from(height.checked_sub(first)?).ok()?;
        self.0.get(at).map(|state| &**state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::tests::dev_genesis;
    use adnet_common::validators::Validators;

    fn state(height: u64, changes: usize) -> Committed {
        let validators = dev_genesis().validator_set().expect("a valid genesis");
        Committed {
            height,
            state: Default::default(),
            hashes: Default::default(),
            validators: Arc::new(Validators::genesis(validators)),
            changes,
        }
    }

    fn kept(past: &PastStates) -> Vec<u64> {
        (0..2_000)
            .filter(|height| past.at(*height).is_some())
            .collect()
    }

    #[test]
    fn the_last_states_are_kept_and_the_others_let_go() {
        let last = 1_000;
        let past = (3..=last).fold(PastStates::default(), |past, height| {
            past.with(state(height, 10))
        });
        let expected: Vec<u64> = (last + 1 - KEPT_STATES as u64..=last).collect();
        assert_eq!(kept(&past), expected);
        assert_eq!(past.at(last).map(|state| state.height), Some(last));
    }

    #[test]
    fn full_blocks_leave_room_for_fewer_states() {
        let of_a_third = KEPT_CHANGES / 3;
        let past = (0..9).fold(PastStates::default(), |past, height| {
            past.with(state(height, of_a_third))
        });
        assert_eq!(kept(&past), [6, 7, 8]);
        let past = past.with(state(9, KEPT_CHANGES + 1));
        assert!(
            kept(&past).is_empty(),
            "one that is too large for all is not kept"
        );
        assert_eq!(kept(&past.with(state(10, 1))), [10]);
    }
}
