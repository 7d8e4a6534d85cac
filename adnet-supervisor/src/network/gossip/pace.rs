//! How fast the gossip of one link is read. Above that pace reading pauses, and flow control makes
//! the peer wait: a flood of duplicates costs it its own bandwidth and us no more than this.

use std::time::{Duration, Instant};

/// Sustained bytes per second: several full blocks' worth of transactions.
const BYTES_PER_S: f64 = (4 << 20) as f64;
/// Bytes that may come at once before the pace binds.
const BURST_BYTES: f64 = (8 << 20) as f64;

/// A bucket that may be overdrawn by one read.
pub struct Pace {
    level_bytes: f64,
    at: Instant,
}

impl Pace {
    pub fn new(now: Instant) -> Self {
        Self {
            level_bytes: BURST_BYTES,
            at: now,
        }
    }

    /// Enters what was read, and says how long to rest.
    pub fn spend(&mut self, bytes: usize, now: Instant) -> Option<Duration> {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        let earned = (self.level_bytes + passed * BYTES_PER_S).min(BURST_BYTES);
        self.level_bytes = earned - bytes as f64;
        let debt = -self.level_bytes;
        (debt > 0.0).then(|| Duration::from_secs_f64(debt / BYTES_PER_S))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_burst_is_free_and_a_debt_is_paid_at_the_pace() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert_eq!(pace.spend(8 << 20, start), None);
        assert_eq!(pace.spend(2 << 20, start), Some(Duration::from_millis(500)));
        // Two streams of a link share its pace: the second waits for both debts.
        assert_eq!(pace.spend(2 << 20, start), Some(Duration::from_secs(1)));
        assert_eq!(pace.spend(1, start + Duration::from_secs(60)), None);
    }
}
