//! Which notes pay: the fewest that suffice.
//!
//! A fee depends on how many notes are spent, and must be paid by them too. Of the sets that are
//! equally small, one is taken whose last note fits best, so that large notes stay whole.

use crate::pool::ACTIONS_MAX;

/// Notes of one transaction, at most. The rest of a bundle's actions is left for its outputs.
pub const SPENDS_MAX: usize = ACTIONS_MAX - 2;

/// A note that could be spent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub position: u64,
    pub value_units: u64,
}

/// Notes that pay for something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    pub positions: Vec<u64>,
    pub total_units: u64,
    pub fee_units: u64,
}

/// Why notes cannot pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    #[error(
        "the pool has {spendable_units} units to spend, {needed_units} are needed with the fee; \
         another {waiting_units} come when their blocks are a little older or what is pending is final"
    )]
    Insufficient {
        spendable_units: u64,
        needed_units: u64,
        /// Received but too young, locked in pending transactions, or change of them.
        waiting_units: u64,
    },
    #[error(
        "the wallet has enough, but in more notes than one transaction can spend: at most \
         {most_units} units at once; consolidate first"
    )]
    Fragmented { most_units: u64 },
    #[error("there are not two notes that are worth more than joining them costs")]
    NothingToJoin,
    #[error("amount and fee together are more than there can be")]
    TooLarge,
}

/// The fewest notes that hold `amount_units` and the fee for spending so many.
pub fn select(
    candidates: &[Candidate],
    amount_units: u64,
    waiting_units: u64,
    fee_of_spends: impl Fn(usize) -> u64,
) -> Result<Selection, SelectError> {
    let notes = largest_first(candidates);
    let mut total = 0u64;
    for (index, note) in notes.iter().enumerate().take(SPENDS_MAX) {
        let fee_units = fee_of_spends(index + 1);
        let needed = amount_units
            .checked_add(fee_units)
            .ok_or(SelectError::TooLarge)?;
        let before = total;
        total = total.saturating_add(note.value_units);
        if total >= needed {
            let missing = needed - before;
            // From the largest on they fall, so the last that is large enough fits best.
            let fits = notes[index..]
                .iter()
                .rev()
                .find(|note| note.value_units >= missing);
            let last = fits.expect("the one at the index is large enough");
            let mut positions: Vec<u64> = notes[..index].iter().map(|n| n.position).collect();
            positions.push(last.position);
            return Ok(Selection {
                positions,
                total_units: before + last.value_units,
                fee_units,
            });
        }
    }
    let spendable = sum(&notes);
    let count = notes.len().clamp(1, SPENDS_MAX);
    let needed = amount_units
        .checked_add(fee_of_spends(count))
        .ok_or(SelectError::TooLarge)?;
    if notes.len() > SPENDS_MAX && spendable >= needed {
        let most = sum(&notes[..SPENDS_MAX]).saturating_sub(fee_of_spends(SPENDS_MAX));
        return Err(SelectError::Fragmented { most_units: most });
    }
    Err(SelectError::Insufficient {
        spendable_units: spendable,
        needed_units: needed,
        waiting_units,
    })
}

/// The most that one transaction can move, and the notes that do: notes that are worth less than
/// spending them costs are left out.
pub fn most(candidates: &[Candidate], fee_of_spends: impl Fn(usize) -> u64) -> Option<Selection> {
    let notes = largest_first(candidates);
    let mut best: Option<(u64, Selection)> = None;
    let mut total_units = 0u64;
    for (index, note) in notes.iter().enumerate().take(SPENDS_MAX) {
        total_units = total_units.saturating_add(note.value_units);
        let fee_units = fee_of_spends(index + 1);
        let moved = total_units.saturating_sub(fee_units);
        if moved > best.as_ref().map_or(0, |(most, _)| *most) {
            let positions = notes[..=index].iter().map(|n| n.position).collect();
            let selection = Selection {
                positions,
                total_units,
                fee_units,
            };
            best = Some((moved, selection));
        }
    }
    best.map(|(_, selection)| selection)
}

/// The smallest notes that are worth joining, as many as one transaction takes.
pub fn consolidate(
    candidates: &[Candidate],
    fee_of_spends: impl Fn(usize) -> u64,
) -> Result<Selection, SelectError> {
    let mut notes = largest_first(candidates);
    notes.reverse();
    let each = fee_of_spends(SPENDS_MAX).saturating_sub(fee_of_spends(SPENDS_MAX - 1));
    notes.retain(|note| note.value_units > each);
    notes.truncate(SPENDS_MAX);
    let (total_units, fee_units) = (sum(&notes), fee_of_spends(notes.len().max(1)));
    if notes.len() < 2 || total_units <= fee_units {
        return Err(SelectError::NothingToJoin);
    }
    Ok(Selection {
        positions: notes.iter().map(|note| note.position).collect(),
        total_units,
        fee_units,
    })
}

fn largest_first(candidates: &[Candidate]) -> Vec<Candidate> {
    // A note of nothing pays for nothing.
    let worth = candidates.iter().filter(|note| note.value_units > 0);
    let mut notes: Vec<Candidate> = worth.copied().collect();
    notes.sort_by_key(|note| (std::cmp::Reverse(note.value_units), note.position));
    notes
}

fn sum(notes: &[Candidate]) -> u64 {
    let values = notes.iter().map(|note| note.value_units);
    values.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn candidates(values: &[u64]) -> Vec<Candidate> {
        let candidate = |(position, value_units): (u64, &u64)| Candidate {
            position,
            value_units: *value_units,
        };
        (0..).zip(values).map(candidate).collect()
    }

    /// As the chain's: flat, and per action from two on.
    fn fee(spends: usize) -> u64 {
        10 + 5 * spends.max(2) as u64
    }

    proptest! {
        #[test]
        fn what_is_selected_suffices_and_no_fewer_notes_do(
            values in prop::collection::vec(0u64..1000, 0..50),
            amount in 0u64..20_000,
        ) {
            let notes = candidates(&values);
            let mut sorted = values.clone();
            sorted.sort_unstable_by(|a, b| b.cmp(a));
            let suffices = |count: usize| {
                count <= sorted.len() && sorted[..count].iter().sum::<u64>() >= amount + fee(count)
            };
            match select(&notes, amount, 7, fee) {
                Ok(chosen) => {
                    let count = chosen.positions.len();
                    let worth: u64 = chosen.positions.iter().map(|p| values[*p as usize]).sum();
                    prop_assert_eq!(worth, chosen.total_units);
                    prop_assert_eq!(chosen.fee_units, fee(count));
                    prop_assert!(worth >= amount + chosen.fee_units);
                    prop_assert!((1..=SPENDS_MAX).contains(&count));
                    prop_assert!((1..count).all(|fewer| !suffices(fewer)));
                    let mut once = chosen.positions.clone();
                    once.sort_unstable();
                    once.dedup();
                    prop_assert_eq!(once.len(), count, "no note pays twice");
                }
                Err(_) => prop_assert!((1..=SPENDS_MAX).all(|count| !suffices(count))),
            }
        }

        #[test]
        fn the_most_is_more_than_any_other_count_moves(
            values in prop::collection::vec(0u64..60, 0..50),
        ) {
            let notes = candidates(&values);
            let moved = most(&notes, fee).map_or(0, |chosen| chosen.total_units - chosen.fee_units);
            if moved > 0 {
                prop_assert!(select(&notes, moved, 0, fee).is_ok());
            }
            prop_assert!(select(&notes, moved + 1, 0, fee).is_err());
        }
    }

    #[test]
    fn the_last_note_fits_best() {
        let chosen = select(&candidates(&[500, 90, 60, 40]), 50 - fee(1) + 8, 0, fee);
        assert_eq!(chosen.expect("enough").positions, [2], "58 needed, 60 fits");
        let chosen = select(&candidates(&[500, 90, 60, 40]), 530 - fee(2), 0, fee);
        assert_eq!(
            chosen.expect("enough").positions,
            [0, 3],
            "30 missing, 40 fits"
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let short = select(&candidates(&[10, 5]), 100, 33, fee);
        let insufficient = SelectError::Insufficient {
            spendable_units: 15,
            needed_units: 100 + fee(2),
            waiting_units: 33,
        };
        assert_eq!(short, Err(insufficient));
        let many = candidates(&[100; 40]);
        let most_units = 3000 - fee(30);
        assert_eq!(
            select(&many, 3500, 0, fee),
            Err(SelectError::Fragmented { most_units })
        );
        assert!(select(&many, most_units, 0, fee).is_ok());
        assert_eq!(select(&many, u64::MAX, 0, fee), Err(SelectError::TooLarge));
    }

    #[test]
    fn small_notes_are_joined_and_dust_is_left() {
        let mut values = vec![100; 40];
        values.extend([3, 5, 1000]);
        let joined = consolidate(&candidates(&values), fee).expect("40 are worth joining");
        assert_eq!(joined.positions.len(), SPENDS_MAX);
        assert!(joined.positions.iter().all(|position| *position < 40));
        for values in [&[][..], &[100], &[1, 2, 3], &[6, 6]] {
            let joined = consolidate(&candidates(values), fee);
            assert_eq!(joined, Err(SelectError::NothingToJoin), "{values:?}");
        }
    }
}
