//! Inputs that kill: an input that was being processed at two deaths of a worker is set aside, so
//! that a restart does not replay it a third time. Pure; the caller persists what is set aside,
//! logs it and counts it.
//!
//! One death proves little, because a worker can be killed from outside at any moment. So an input
//! that the restarted worker survives is cleared of suspicion.
//!
//! Invariants: at most [`SUSPECTS_MAX`] suspects and [`SET_ASIDE_MAX`] letters are kept, the oldest
//! go first; an input is never both.

use std::collections::VecDeque;

/// Suspects kept: a worker has one input in hand, so more than a few are a sign of churn.
pub const SUSPECTS_MAX: usize = 1_024;
/// Inputs kept set aside. One that is pushed out must kill twice more to come back.
pub const SET_ASIDE_MAX: usize = 4_096;
/// Deaths on one input after which it is set aside.
pub const DEATHS_TO_SET_ASIDE: u32 = 2;

/// Names an input: the hash of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InputId(pub [u8; 32]);

/// What follows from a death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeathOutcome {
    /// The input may be tried once more.
    Suspect,
    /// The input is poison: persist it as set aside and do not deliver it again.
    SetAside,
}

/// The suspects and the set-aside inputs of one worker role.
#[derive(Debug, Default)]
pub struct DeadLetters {
    /// Oldest first, with the deaths so far.
    suspects: VecDeque<(InputId, u32)>,
    /// Oldest first.
    set_aside: VecDeque<InputId>,
}

impl DeadLetters {
    /// Restores what was persisted, oldest first. Only the newest [`SET_ASIDE_MAX`] are kept.
    pub fn restore(set_aside: impl IntoIterator<Item = InputId>) -> DeadLetters {
        let mut letters = DeadLetters::default();
        set_aside
            .into_iter()
            .for_each(|input| letters.put_aside(input));
        letters
    }

    /// A worker died while it had `input` in hand.
    pub fn died_on(&mut self, input: InputId) -> DeathOutcome {
        if self.is_set_aside(&input) {
            return DeathOutcome::SetAside;
        }
        let known = self
            .suspects
            .iter()
            .position(|(suspect, _)| *suspect == input);
        let deaths_before = known
            .and_then(|at| self.suspects.remove(at))
            .map_or(0, |(_, n)| n);
        let deaths = deaths_before + 1;
        if deaths >= DEATHS_TO_SET_ASIDE {
            self.put_aside(input);
            return DeathOutcome::SetAside;
        }
        if self.suspects.len() == SUSPECTS_MAX {
            self.suspects.pop_front();
        }
        self.suspects.push_back((input, deaths));
        DeathOutcome::Suspect
    }

    /// A worker finished `input` and lives: it is no longer suspected.
    pub fn survived(&mut self, input: &InputId) {
        self.suspects.retain(|(suspect, _)| suspect != input);
    }

    /// Whether `input` must not be delivered.
    pub fn is_set_aside(&self, input: &InputId) -> bool {
        self.set_aside.contains(input)
    }

    /// All inputs set aside, oldest first, for persisting and for the operator.
    pub fn set_aside(&self) -> impl ExactSizeIterator<Item = &InputId> {
        self.set_aside.iter()
    }

    fn put_aside(&mut self, input: InputId) {
        if self.set_aside.contains(&input) {
            return;
        }
        if self.set_aside.len() == SET_ASIDE_MAX {
            self.set_aside.pop_front();
        }
        self.set_aside.push_back(input);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(n: usize) -> InputId {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        InputId(bytes)
    }

    #[test]
    fn the_second_death_sets_aside_and_survival_clears() {
        let mut letters = DeadLetters::default();
        assert_eq!(letters.died_on(input(1)), DeathOutcome::Suspect);
        letters.survived(&input(1));
        assert_eq!(letters.died_on(input(1)), DeathOutcome::Suspect);
        assert_eq!(letters.died_on(input(2)), DeathOutcome::Suspect);
        assert_eq!(letters.died_on(input(1)), DeathOutcome::SetAside);
        assert!(letters.is_set_aside(&input(1)) && !letters.is_set_aside(&input(2)));
        letters.survived(&input(1));
        assert!(letters.is_set_aside(&input(1)), "poison stays poison");
        assert_eq!(letters.died_on(input(1)), DeathOutcome::SetAside);
        assert_eq!(letters.set_aside().len(), 1);
    }

    #[test]
    fn what_was_persisted_is_restored() {
        let mut letters = DeadLetters::default();
        for n in [5, 3, 5, 3] {
            letters.died_on(input(n));
        }
        let restored = DeadLetters::restore(letters.set_aside().copied());
        assert_eq!(
            restored.set_aside().copied().collect::<Vec<_>>(),
            [input(5), input(3)]
        );
    }

    #[test]
    fn both_lists_are_bounded_and_drop_the_oldest() {
        let mut letters = DeadLetters::restore((0..SET_ASIDE_MAX + 10).map(input));
        assert_eq!(letters.set_aside().len(), SET_ASIDE_MAX);
        assert!(!letters.is_set_aside(&input(9)) && letters.is_set_aside(&input(10)));
        for n in 0..SUSPECTS_MAX + 1 {
            letters.died_on(input(1_000_000 + n));
        }
        assert_eq!(letters.suspects.len(), SUSPECTS_MAX);
        assert_eq!(
            letters.died_on(input(1_000_000)),
            DeathOutcome::Suspect,
            "it was pushed out"
        );
    }
}
