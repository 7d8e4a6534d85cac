//! How long the engine waits in each step of a round.

use arc_malachitebft_core_types::{Timeout, TimeoutKind};

/// Timeouts in milliseconds. Each grows by its delta per round, up to the cap.
///
/// The default suits blocks every 3 s: the core's own defaults wait longer than that.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the start of a round to a prevote for nil if no valid proposal has come.
    pub propose_ms: u64,
    pub propose_delta_ms: u64,
    /// From two thirds of prevotes for anything to a precommit for nil.
    pub prevote_ms: u64,
    pub prevote_delta_ms: u64,
    /// From two thirds of precommits for anything to the next round.
    pub precommit_ms: u64,
    pub precommit_delta_ms: u64,
    /// How often the last votes of a round that does not end are sent again.
    pub rebroadcast_ms: u64,
    /// No timeout is longer; itself at most [`Timeouts::CAP_MS`].
    pub max_ms: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            propose_ms: 1_000,
            propose_delta_ms: 250,
            prevote_ms: 400,
            prevote_delta_ms: 150,
            precommit_ms: 400,
            precommit_delta_ms: 150,
            rebroadcast_ms: 1_000,
            max_ms: Self::CAP_MS,
        }
    }
}

impl Timeouts {
    /// No round waits longer than this for one thing, however it is configured (5 s).
    pub const CAP_MS: u64 = 5_000;

    /// Milliseconds until `timeout` elapses, at least 1.
    pub(super) fn after_ms(&self, timeout: Timeout) -> u64 {
        let round = u64::from(timeout.round.as_u32().unwrap_or(0));
        let (base, delta) = match timeout.kind {
            TimeoutKind::Propose => (self.propose_ms, self.propose_delta_ms),
            TimeoutKind::Prevote => (self.prevote_ms, self.prevote_delta_ms),
            TimeoutKind::Precommit => (self.precommit_ms, self.precommit_delta_ms),
            TimeoutKind::Rebroadcast => (self.rebroadcast_ms, self.propose_delta_ms),
            // The host ends a height; the engine never sets this timer.
            TimeoutKind::FinalizeHeight(_) => (self.max_ms, 0),
        };
        let grown = base.saturating_add(delta.saturating_mul(round));
        grown.min(self.max_ms).clamp(1, Self::CAP_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arc_malachitebft_core_types::Round;

    #[test]
    fn timeouts_grow_with_the_round_up_to_the_cap() {
        let timeouts = Timeouts::default();
        let propose = |round| timeouts.after_ms(Timeout::propose(Round::new(round)));
        assert_eq!((propose(0), propose(1), propose(4)), (1_000, 1_250, 2_000));
        assert_eq!((propose(16), propose(u32::MAX)), (5_000, 5_000));
        let slow = Timeouts {
            max_ms: u64::MAX,
            propose_ms: 60_000,
            ..timeouts
        };
        assert_eq!(
            slow.after_ms(Timeout::propose(Round::ZERO)),
            Timeouts::CAP_MS
        );
    }
}
