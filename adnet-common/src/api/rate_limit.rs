//! Token buckets, one per client address, in a table of bounded size.
//!
//! An IPv6 client is its /64, because one client owns all of it. When the table is full of buckets
//! that are not full again, new addresses share one bucket: a flood from many addresses slows new
//! clients down and costs no memory.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Addresses that have a bucket of their own, at most.
const TABLE_MAX: usize = 16_384;
/// A full table is searched for idle buckets at most this often.
const SWEEP_INTERVAL: Duration = Duration::from_millis(500);
/// Fractions of a token that a bucket counts in.
const SCALE: u64 = 1_000_000;

/// A client as limits see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Client {
    V4([u8; 4]),
    V6Prefix([u8; 8]),
}

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Client::V4(v4.octets()),
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, g, h, ..] = v6.octets();
                Client::V6Prefix([a, b, c, d, e, f, g, h])
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Millionths of a token.
    level: u64,
    at: Instant,
}

/// All buckets of one server. Times are passed in, so tests need no clock.
#[derive(Debug)]
pub(super) struct RateLimit {
    rate_per_s: u64,
    burst: u64,
    buckets: BTreeMap<Client, Bucket>,
    /// For addresses that have no place in the table.
    shared: Bucket,
    swept: Instant,
}

impl RateLimit {
    /// `None` if the rate is 0, which means unlimited.
    pub(super) fn new(rate_per_s: u64, burst: u64, now: Instant) -> Option<Self> {
        let burst = burst.max(1).saturating_mul(SCALE);
        let full = Bucket {
            level: burst,
            at: now,
        };
        (rate_per_s > 0).then(|| Self {
            rate_per_s,
            burst,
            buckets: BTreeMap::new(),
            shared: full,
            swept: now,
        })
    }

    /// Takes a token of `client`.
    ///
    /// # Errors
    /// The time after which there will be one.
    pub(super) fn take(&mut self, client: Client, now: Instant) -> Result<(), Duration> {
        if !self.buckets.contains_key(&client) && self.buckets.len() >= TABLE_MAX {
            self.sweep(now);
        }
        let full = Bucket {
            level: self.burst,
            at: now,
        };
        let has_place = self.buckets.contains_key(&client) || self.buckets.len() < TABLE_MAX;
        let bucket = if has_place {
            self.buckets.entry(client).or_insert(full)
        } else {
            &mut self.shared
        };
        bucket.level = refilled(bucket, self.rate_per_s, self.burst, now);
        bucket.at = now;
        match bucket.level.checked_sub(SCALE) {
            Some(rest) => {
                bucket.level = rest;
                Ok(())
            }
            None => {
                let missing = SCALE - bucket.level;
                Err(Duration::from_micros(missing.div_ceil(self.rate_per_s)))
            }
        }
    }

    /// Forgets the buckets that are full again: they say nothing.
    fn sweep(&mut self, now: Instant) {
        if now.saturating_duration_since(self.swept) < SWEEP_INTERVAL {
            return;
        }
        self.swept = now;
        let (rate, burst) = (self.rate_per_s, self.burst);
        self.buckets
            .retain(|_, bucket| refilled(bucket, rate, burst, now) < burst);
    }
}

fn refilled(bucket: &Bucket, rate_per_s: u64, burst: u64, now: Instant) -> u64 {
    let elapsed = now.saturating_duration_since(bucket.at).as_micros();
    let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
    // One token per second is one millionth of a token per microsecond.
    let gained = elapsed.saturating_mul(rate_per_s);
    bucket.level.saturating_add(gained).min(burst)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(n: u32) -> Client {
        Client::V4(n.to_be_bytes())
    }

    #[test]
    fn a_burst_passes_then_the_rate_holds() {
        let start = Instant::now();
        let mut limit = RateLimit::new(10, 3, start).expect("limited");
        for _ in 0..3 {
            assert_eq!(limit.take(client(1), start), Ok(()));
        }
        assert_eq!(
            limit.take(client(1), start),
            Err(Duration::from_millis(100))
        );
        assert_eq!(
            limit.take(client(2), start),
            Ok(()),
            "another client has its own"
        );
        let later = start + Duration::from_millis(100);
        assert_eq!(limit.take(client(1), later), Ok(()));
        assert!(limit.take(client(1), later).is_err());
        assert!(RateLimit::new(0, 3, start).is_none());
    }

    #[test]
    fn the_table_is_bounded_and_forgets_idle_clients() {
        let start = Instant::now();
        let mut limit = RateLimit::new(1, 2, start).expect("limited");
        for n in 0..TABLE_MAX as u32 {
            limit.take(client(n), start).expect("fresh bucket");
        }
        let newcomers = (0..10).map(|n| limit.take(client(1 << 24 | n), start));
        assert_eq!(
            newcomers.filter(Result::is_ok).count(),
            2,
            "they share one bucket"
        );
        assert_eq!(limit.buckets.len(), TABLE_MAX);
        let later = start + Duration::from_secs(60);
        assert_eq!(limit.take(client(1 << 25), later), Ok(()));
        assert_eq!(limit.buckets.len(), 1);
    }

    #[test]
    fn an_ipv6_client_is_its_prefix() {
        let of = |text: &str| Client::from(text.parse::<IpAddr>().expect("an address"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
