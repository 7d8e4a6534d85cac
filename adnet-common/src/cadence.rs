//! The schedule of blocks: `due(h) = time(h − 1) + interval`, written into the blocks themselves.
//!
//! A block is stamped with the time its height was due, not with the time it was built, so a slow
//! height does not push back later ones: they follow at once until the schedule is met again.
//! Only an outage longer than `max_lag_ms` moves the schedule to the present. A restarted node
//! and a late joiner read the schedule off the last block.

/// How blocks of one chain are paced. All times are milliseconds since the UNIX epoch.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Cadence {
    pub interval_ms: u64,
    pub max_lag_ms: u64,
    /// How far ahead of our own clock a moved schedule may be.
    pub tolerance_ms: u64,
}

impl Cadence {
    /// When the height after a block of `parent_ms` is due.
    pub fn due(&self, parent_ms: u64) -> u64 {
        parent_ms.saturating_add(self.interval_ms)
    }

    /// The time a proposer puts into the block after one of `parent_ms`.
    pub fn stamp(&self, parent_ms: u64, now_ms: u64) -> u64 {
        let due = self.due(parent_ms);
        if now_ms > due.saturating_add(self.max_lag_ms) {
            now_ms
        } else {
            due
        }
    }

    /// Whether a validator accepts `time_ms` in the block after one of `parent_ms`.
    pub fn accepts(&self, parent_ms: u64, time_ms: u64, now_ms: u64) -> bool {
        let due = self.due(parent_ms);
        let moved = time_ms > due.saturating_add(self.max_lag_ms);
        time_ms == due || (moved && time_ms <= now_ms.saturating_add(self.tolerance_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CADENCE: Cadence = Cadence {
        interval_ms: 3_000,
        max_lag_ms: 30_000,
        tolerance_ms: 500,
    };

    #[test]
    fn slow_heights_do_not_move_the_schedule() {
        let mut time = 1_000_000;
        for height in 1..=1_000u64 {
            // Every block comes up to two seconds late.
            let now = CADENCE.due(time) + height % 2_000;
            time = CADENCE.stamp(time, now);
        }
        assert_eq!(time, 1_000_000 + 1_000 * 3_000);
    }

    #[test]
    fn only_a_long_outage_moves_it_and_only_to_the_present() {
        let (parent, now) = (0, 100_000);
        assert_eq!(CADENCE.stamp(parent, now), now);
        assert!(CADENCE.accepts(parent, now, now));
        assert!(CADENCE.accepts(parent, now + 500, now));
        assert!(!CADENCE.accepts(parent, now + 501, now));
        assert!(
            !CADENCE.accepts(parent, 3_001, now),
            "a little late is not in the schedule"
        );
        assert!(CADENCE.accepts(parent, 3_000, now));
    }
}
