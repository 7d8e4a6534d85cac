//! Past states that are kept in memory, for clients that ask about one of the last blocks.
//!
//! Versions of the state share what they have in common, so one more costs what its block changed.
//! Bounded by the number of blocks and, where blocks are full, by the changes in them. A node that
//! starts leads the state of its last block back, block by block, by what each has changed (`undo`).

use super::{Committed, recent_hashes};
use crate::state::leaves::RowError;
use crate::state::undo::Undo;
use crate::validators;
use adnet_common::application::OpenError;
use adnet_common::chain_id::ChainId;
use adnet_common::hash::Hash;
use adnet_common::ledger;
use adnet_common::store::ReadStore;
use std::collections::VecDeque;
use std::sync::Arc;

/// States of so many blocks before the last one at most.
pub(super) const KEPT_STATES: u64 = 256;
/// Changed leaves of all kept states together at most: 150 to 250 MB where they are all different.
const KEPT_CHANGES: usize = 500_000;

/// See the module. Cloning copies one pointer.
#[derive(Clone, Default)]
pub struct PastStates(Arc<VecDeque<Arc<Committed>>>);

impl PastStates {
    /// The states before `last`, as far as what their blocks have changed is still in the store.
    ///
    /// # Errors
    /// The store's, and rows that do not lead to the state that the header of the oldest block names.
    pub(super) fn reopen(store: &dyn ReadStore, last: &mut Committed) -> Result<Self, OpenError> {
        let mut older: VecDeque<Committed> = VecDeque::new();
        let (mut state, mut changes) = (last.state.clone(), 0);
        for height in (1..=last.height).rev().take(KEPT_STATES as usize) {
            let Some(undo) = read(store, height)? else {
                break;
            };
            older.front_mut().unwrap_or(last).changes = undo.changes();
            changes += undo.changes();
            if changes > KEPT_CHANGES {
                break;
            }
            state = undo.lead_back(&state, store)?;
            older.push_front(Committed {
                height: height - 1,
                state: state.clone(),
                hashes: Default::default(),
                validators: Arc::clone(&last.validators),
                changes: 0,
            });
        }
        with_hashes(store, &mut older)?;
        for state in &mut older {
            let validators = validators::read(&state.state);
            let validators = validators.map_err(|e| OpenError::Corrupt(e.to_string()))?;
            state.validators = Arc::new(validators);
        }
        Ok(Self(Arc::new(older.into_iter().map(Arc::new).collect())))
    }

    /// These and the one that has been the last so far.
    pub(super) fn with(&self, last: Committed) -> Self {
        let mut kept = (*self.0).clone();
        kept.push_back(Arc::new(last));
        let mut changes: usize = kept.iter().map(|state| state.changes).sum();
        while kept.len() as u64 > KEPT_STATES || changes > KEPT_CHANGES {
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

fn read(store: &dyn ReadStore, height: u64) -> Result<Option<Undo>, OpenError> {
    Undo::read(store, height).map_err(|error| match error {
        RowError::Store(error) => OpenError::Store(error),
        corrupt => OpenError::Corrupt(corrupt.to_string()),
    })
}

/// Gives these states, which follow one another, the hashes that they know, and holds the oldest one
/// against its header: the others lie between it and one that has been held against its own. Where a
/// snapshot has left out headers, states go without.
fn with_hashes(store: &dyn ReadStore, states: &mut VecDeque<Committed>) -> Result<(), OpenError> {
    let (Some(oldest), Some(newest)) = (states.front(), states.back()) else {
        return Ok(());
    };
    let headers = ledger::headers(store, ChainId::Delta, oldest.height, newest.height);
    let headers = headers.map_err(|e| OpenError::Corrupt(e.to_string()))?;
    states.drain(..states.len() - headers.len());
    let Some(oldest) = states.front() else {
        return Ok(());
    };
    let first = oldest.height;
    let changes = states.iter().map(|state| state.changes).sum();
    let root = Hash(oldest.state.root_after(changes).0);
    if headers[0].height != first || root != headers[0].state_root {
        let message = format!(
            "delta's state at height {first} has root {root} by what later blocks have changed, the header of \
             {} has {}",
            headers[0].height, headers[0].state_root
        );
        return Err(OpenError::Corrupt(message));
    }
    let mut hashes = recent_hashes(store, first)?;
    for (state, header) in states.iter_mut().zip(&headers) {
        if header.height > first {
            hashes = hashes.with(header.height - 1, header.parent);
        }
        state.hashes = hashes.clone();
    }
    Ok(())
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
        let expected: Vec<u64> = (last + 1 - KEPT_STATES..=last).collect();
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
