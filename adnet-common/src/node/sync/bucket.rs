//! A token bucket on the node's own time: a sustained rate and a burst.

/// Times 1000, so that a rate per second fills by whole tokens every millisecond.
#[derive(Copy, Clone, Debug)]
pub(super) struct Bucket {
    rate_per_s: u64,
    milli_max: u64,
    milli: u64,
    at_ms: u64,
}

impl Bucket {
    /// Full.
    pub fn new(rate_per_s: u64, burst: u64, now_ms: u64) -> Self {
        let milli_max = burst.saturating_mul(1000);
        Self {
            rate_per_s,
            milli_max,
            milli: milli_max,
            at_ms: now_ms,
        }
    }

    /// Whether there is anything left.
    pub fn has_any(&mut self, now_ms: u64) -> bool {
        let passed_ms = now_ms.saturating_sub(self.at_ms);
        let gained = passed_ms.saturating_mul(self.rate_per_s);
        self.milli = self.milli.saturating_add(gained).min(self.milli_max);
        self.at_ms = self.at_ms.max(now_ms);
        self.milli >= 1000
    }

    /// Takes tokens, or all that are left.
    pub fn take(&mut self, tokens: u64) {
        self.milli = self.milli.saturating_sub(tokens.saturating_mul(1000));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_followed_by_the_rate() {
        let mut bucket = Bucket::new(10, 3, 0);
        let mut taken = |now_ms| {
            let mut taken = 0;
            while bucket.has_any(now_ms) {
                bucket.take(1);
                taken += 1;
            }
            taken
        };
        assert_eq!(taken(0), 3);
        assert_eq!(taken(99), 0);
        assert_eq!(taken(100), 1);
        assert_eq!(taken(50), 0); // a clock that goes back gives nothing
        assert_eq!(taken(10_000), 3);
    }
}
