//! Whether a node catches up or takes part: a node that is behind opens no height for consensus.
//!
//! Peers only claim heights. So a claim holds a node back for as long as blocks really come, and
//! not much longer; a lie costs the liar its standing and us a moment.

/// A node that has just started hears first where its peers are.
const LISTEN_MS: u64 = 500;
/// Without a block for so long, claims do not hold back any more.
const PATIENCE_MS: u64 = 10_000;

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Listening {
        until_ms: u64,
    },
    /// Somebody is ahead; the last block came at this time.
    CatchingUp {
        since_ms: u64,
    },
    /// Consensus is where blocks come from. `in_vain`: the last claim was not made good.
    AtTip {
        in_vain: bool,
    },
}

impl Mode {
    /// A node that is alone in its network has nobody to hear.
    pub fn at_start(now_ms: u64, is_alone: bool) -> Self {
        let until_ms = now_ms.saturating_add(LISTEN_MS);
        match is_alone {
            true => Mode::AtTip { in_vain: false },
            false => Mode::Listening { until_ms },
        }
    }

    /// Looks at the highest claim that counts.
    pub fn update(&mut self, now_ms: u64, tip: u64, best: u64) {
        *self = match *self {
            Mode::Listening { .. } if best > tip => Mode::CatchingUp { since_ms: now_ms },
            Mode::Listening { until_ms } if now_ms >= until_ms => Mode::AtTip { in_vain: false },
            Mode::CatchingUp { .. } if best <= tip => Mode::AtTip { in_vain: false },
            Mode::CatchingUp { since_ms } if now_ms >= since_ms.saturating_add(PATIENCE_MS) => {
                Mode::AtTip { in_vain: true }
            }
            // One ahead is what consensus is about to decide here anyway.
            Mode::AtTip { in_vain: false } if best > tip.saturating_add(1) => {
                Mode::CatchingUp { since_ms: now_ms }
            }
            unchanged => unchanged,
        };
    }

    /// A block of a peer was verified and committed.
    pub fn progressed(&mut self, now_ms: u64) {
        match self {
            Mode::CatchingUp { since_ms } => *since_ms = now_ms,
            Mode::AtTip { in_vain } => *in_vain = false,
            Mode::Listening { .. } => {}
        }
    }

    /// Whether no height is to be opened for consensus now.
    pub fn holds(self) -> bool {
        matches!(self, Mode::Listening { .. } | Mode::CatchingUp { .. })
    }

    pub fn is_catching_up(self) -> bool {
        matches!(self, Mode::CatchingUp { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_listens_first_and_catches_up_until_nobody_is_ahead() {
        let mut mode = Mode::at_start(0, false);
        mode.update(100, 5, 0);
        assert!(mode.holds());
        mode.update(200, 5, 6);
        assert!(mode.is_catching_up());
        mode.progressed(9_000);
        mode.update(15_000, 6, 7);
        assert!(mode.holds());
        mode.update(15_001, 7, 7);
        assert_eq!(mode, Mode::AtTip { in_vain: false });
        // One ahead does not take a node out of consensus.
        mode.update(15_002, 7, 8);
        assert!(!mode.holds());
        mode.update(15_003, 7, 9);
        assert!(mode.holds());
    }

    #[test]
    fn a_lie_holds_a_node_back_once() {
        let mut mode = Mode::at_start(0, true);
        assert!(!mode.holds());
        mode.update(1, 5, 1_000);
        assert!(mode.holds());
        mode.update(1 + PATIENCE_MS, 5, 1_000);
        assert!(!mode.holds());
        mode.update(2 + PATIENCE_MS, 5, 2_000);
        assert!(!mode.holds());
        mode.progressed(3 + PATIENCE_MS);
        mode.update(4 + PATIENCE_MS, 6, 2_000);
        assert!(mode.holds());
    }

    #[test]
    fn nobody_to_hear_is_no_reason_to_wait_for_ever() {
        let mut mode = Mode::at_start(0, false);
        mode.update(LISTEN_MS, 5, 0);
        assert!(!mode.holds());
    }
}
