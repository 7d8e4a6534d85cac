//! How fast the gossip of one link and topic is read. Above that pace reading pauses, and flow control makes
//! the peer wait: a flood of duplicates costs it its own bandwidth and us no more than this.

use std::time::{Duration, Instant};

use adnet_common::node::Topic;

/// Sustained bytes per second, and bytes that may come at once before the pace binds. For
/// transactions these are several full blocks' worth.
const fn pace_of(topic: Topic) -> (f64, f64) {
    match topic {
        Topic::Transaction => ((4 << 20) as f64, (8 << 20) as f64),
        Topic::Block => ((1 << 20) as f64, (4 << 20) as f64),
    }
}

/// A bucket that may be overdrawn by one read.
pub struct Pace {
    bytes_per_s: f64,
    burst_bytes: f64,
    level_bytes: f64,
    at: Instant,
}

impl Pace {
    pub fn new(topic: Topic, now: Instant) -> Self {
        let (bytes_per_s, burst_bytes) = pace_of(topic);
        Self {
            bytes_per_s,
            burst_bytes,
            level_bytes: burst_bytes,
            at: now,
        }
    }

    /// Enters what was read, and says how long to rest.
    pub fn spend(&mut self, bytes: usize, now: Instant) -> Option<Duration> {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        let earned = (self.level_bytes + passed * self.bytes_per_s).min(self.burst_bytes);
        self.level_bytes = earned - bytes as f64;
        let debt = -self.level_bytes;
        (debt > 0.0).then(|| Duration::from_secs_f64(debt / self.bytes_per_s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_burst_is_free_and_a_debt_is_paid_at_the_pace() {
        let start = Instant::now();
        let mut pace = Pace::new(Topic::Transaction, start);
        assert_eq!(pace.spend(8 << 20, start), None);
        assert_eq!(pace.spend(2 << 20, start), Some(Duration::from_millis(500)));
        // Two streams of a link share its pace: the second waits for both debts.
        assert_eq!(pace.spend(2 << 20, start), Some(Duration::from_secs(1)));
        assert_eq!(pace.spend(1, start + Duration::from_secs(60)), None);
    }
}
