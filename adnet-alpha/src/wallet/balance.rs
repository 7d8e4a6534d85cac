//! What a wallet holds in the pool, and what of it can be spent now.

use std::collections::BTreeSet;

use serde::Serialize;

use super::note::OwnNote;
use super::select::Candidate;
use super::state::Wallet;

/// The parts add up to `total_units`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PoolBalance {
    /// All unspent notes.
    pub total_units: u64,
    /// Old enough, and not in use.
    pub spendable_units: u64,
    /// In blocks so young that their notes cannot be spent yet.
    pub confirming_units: u64,
    /// In notes that pending transactions spend.
    pub locked_units: u64,
    /// Of the locked, what comes back to the pool when those transactions are final.
    pub returning_units: u64,
    /// What pending transactions bring into the pool from the account.
    pub incoming_units: u64,
}

/// What pending transactions will take out of the public account, fees included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AccountPending {
    pub outgoing_units: u64,
    pub incoming_units: u64,
}

impl Wallet {
    pub fn pool_balance(&self) -> PoolBalance {
        let locked = self.locked();
        let anchor = self.anchor_height();
        let mut balance = PoolBalance::default();
        for note in self.unspent() {
            let part = if locked.contains(&note.position) {
                &mut balance.locked_units
            } else if note.height > anchor {
                &mut balance.confirming_units
            } else {
                &mut balance.spendable_units
            };
            *part = part.saturating_add(note.value_units);
            balance.total_units = balance.total_units.saturating_add(note.value_units);
        }
        for pending in self.live() {
            let spent = pending
                .spends
                .iter()
                .filter_map(|position| self.notes.get(position));
            let spent: i128 = spent.map(|note| i128::from(note.value_units)).sum();
            let back = spent + i128::from(pending.entry.pool_change_units);
            let back = u64::try_from(back).unwrap_or(0);
            let part = match pending.spends.is_empty() {
                true => &mut balance.incoming_units,
                false => &mut balance.returning_units,
            };
            *part = part.saturating_add(back);
        }
        balance
    }

    pub fn account_pending(&self) -> AccountPending {
        let mut account = AccountPending::default();
        for pending in self.live() {
            let change = pending.entry.public_change_units;
            let part = match change < 0 {
                true => &mut account.outgoing_units,
                false => &mut account.incoming_units,
            };
            *part = part.saturating_add(change.unsigned_abs());
        }
        account
    }

    /// Notes that can be spent now.
    pub(super) fn candidates(&self) -> Vec<Candidate> {
        let locked = self.locked();
        let anchor = self.anchor_height();
        self.unspent()
            .filter(|note| note.height <= anchor && !locked.contains(&note.position))
            .map(|note| Candidate {
                position: note.position,
                value_units: note.value_units,
            })
            .collect()
    }

    fn unspent(&self) -> impl Iterator<Item = &OwnNote> {
        self.notes.values().filter(|note| note.spent.is_none())
    }

    /// Positions that pending transactions spend.
    fn locked(&self) -> BTreeSet<u64> {
        let spends = self.live().flat_map(|pending| pending.spends.iter());
        spends.copied().collect()
    }
}
