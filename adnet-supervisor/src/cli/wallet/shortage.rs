//! Why something cannot be paid, in words of the person who wants to pay it, and whether waiting helps.

use adnet_alpha::wallet::{Intent, PlanError, select::SelectError};
use anyhow::anyhow;

use crate::cli::amount::in_ax;

/// What is missing, in AX, and what to do about it.
pub(super) fn explained(error: PlanError, intent: &Intent) -> anyhow::Error {
    match error {
        PlanError::Notes(SelectError::Insufficient {
            spendable_units,
            needed_units,
            waiting_units,
        }) => {
            let mut text = format!(
                "not enough in the pool: {} AX are needed with the fee, {} AX can be spent now",
                in_ax(needed_units),
                in_ax(spendable_units)
            );
            if waiting_units > 0 {
                text += &format!(
                    "; {} AX more can be when their blocks are a little older or what is pending \
                     is final",
                    in_ax(waiting_units)
                );
            }
            if spendable_units.saturating_add(waiting_units) < needed_units {
                text += match intent {
                    Intent::Lock { .. } | Intent::Burn { .. } => {
                        "; `adnet wallet shield` brings AX of the public account into the pool, \
                         and --from public spends from there"
                    }
                    _ => "; `adnet wallet shield` brings AX of the public account into the pool",
                };
            }
            anyhow!(text)
        }
        PlanError::Notes(SelectError::Fragmented { most_units }) => anyhow!(
            "the pool holds enough, but in too many small notes for one transaction, which moves \
             {} AX at most: `adnet wallet consolidate` joins them",
            in_ax(most_units)
        ),
        PlanError::Account {
            held_units,
            pending_units,
            needed_units,
        } => {
            let mut text = format!(
                "not enough in the public account: {} AX are needed with the fee, it holds {} AX",
                in_ax(needed_units),
                in_ax(held_units)
            );
            if pending_units > 0 {
                text += &format!(
                    ", of which pending transactions take {} AX",
                    in_ax(pending_units)
                );
            }
            text += "; `adnet wallet unshield` brings AX out of the pool";
            anyhow!(text)
        }
        other => other.into(),
    }
}

/// Whether the next blocks may bring what is missing; `is_young` if there are notes that only have to
/// become older.
pub(super) fn may_help(error: &PlanError, is_young: bool) -> bool {
    match error {
        PlanError::Notes(SelectError::NothingToJoin) => is_young,
        PlanError::Notes(SelectError::Insufficient {
            spendable_units,
            needed_units,
            waiting_units,
        }) => spendable_units.saturating_add(*waiting_units) >= *needed_units,
        _ => false,
    }
}
