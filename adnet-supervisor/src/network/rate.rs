//! A token bucket: so many at once, so many per second after that.

use std::time::{Duration, Instant};

/// Counts in nanoseconds of earned time, so that no rate is rounded away.
pub struct TokenBucket {
    cost: Duration,
    capacity: Duration,
    earned: Duration,
    at: Instant,
}

impl TokenBucket {
    /// `rate_per_s` must not be zero. Starts full.
    pub fn new(rate_per_s: u32, burst: u32, now: Instant) -> Self {
        assert!(
            rate_per_s > 0 && burst > 0,
            "a bucket that gives nothing would block for ever"
        );
        let cost = Duration::from_secs(1) / rate_per_s;
        let capacity = cost * burst;
        Self {
            cost,
            capacity,
            earned: capacity,
            at: now,
        }
    }

    /// Takes one token, or says how long to wait for it.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        self.take_many(1, now)
    }

    /// Takes so many tokens at once, or none and says how long to wait for them.
    pub fn take_many(&mut self, tokens: u32, now: Instant) -> Result<(), Duration> {
        let passed = now.saturating_duration_since(self.at);
        self.at = self.at.max(now);
        self.earned = self.earned.saturating_add(passed).min(self.capacity);
        let cost = self.cost.saturating_mul(tokens);
        match self.earned.checked_sub(cost) {
            Some(left) => {
                self.earned = left;
                Ok(())
            }
            None => Err(cost - self.earned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_burst_is_free_and_the_rest_comes_at_the_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(10, 3, start);
        for _ in 0..3 {
            assert_eq!(bucket.take(start), Ok(()));
        }
        let wait = Duration::from_millis(100);
        assert_eq!(bucket.take(start), Err(wait));
        assert_eq!(bucket.take(start + wait), Ok(()));
        assert!(bucket.take(start + wait).is_err());
        // A long rest earns no more than the burst, and a clock that goes back earns nothing.
        let later = start + Duration::from_secs(3600);
        let taken = (0..10).filter(|_| bucket.take(later).is_ok()).count();
        assert_eq!(taken, 3);
        assert!(bucket.take(start).is_err());
    }
}
