//! What one peer may bring to the worker of a topic: so many new messages, and so many bytes.
//!
//! What is above ends here, and if it goes on, it is a flood. Duplicates do not count: in a mesh
//! they are honest.

use std::time::Instant;

use adnet_common::node::Topic;

use super::super::rate::TokenBucket;

/// A token of a byte bucket.
const UNIT_BYTES: usize = 1 << 10;
/// Excessive messages that make one offence. An honest node that catches up after a cut brings a
/// burst; one that goes on after so many is flooding.
const EXCESS_PER_OFFENCE: u32 = 500;

/// What becomes of a new message.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Rationed {
    Within,
    Excess,
    /// Excess, and so much of it that it is an offence.
    Flood,
}

pub struct Allowance {
    messages: TokenBucket,
    units: TokenBucket,
    excess: u32,
}

impl Allowance {
    pub fn new(topic: Topic, now: Instant) -> Self {
        // Messages per second and at once, then the same in KiB. A chain decides a block every few
        // seconds; its transactions come as fast as blocks take them in, and in bursts.
        let (rate, burst, unit_rate, unit_burst) = match topic {
            Topic::Transaction => (1_000, 4_000, 2 << 10, 6 << 10),
            Topic::Block => (20, 200, 256, 4 << 10),
        };
        Self {
            messages: TokenBucket::new(rate, burst, now),
            units: TokenBucket::new(unit_rate, unit_burst, now),
            excess: 0,
        }
    }

    pub fn take(&mut self, bytes: usize, now: Instant) -> Rationed {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        if self.messages.take(now).is_ok() && self.units.take_many(units, now).is_ok() {
            return Rationed::Within;
        }
        self.excess += 1;
        if self.excess < EXCESS_PER_OFFENCE {
            return Rationed::Excess;
        }
        self.excess = 0;
        Rationed::Flood
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn count(allowance: &mut Allowance, messages: u32, now: Instant) -> [u32; 3] {
        let mut counts = [0; 3];
        for _ in 0..messages {
            counts[allowance.take(200, now) as usize] += 1;
        }
        counts
    }

    #[test]
    fn a_flood_is_cut_at_the_burst_and_becomes_an_offence_as_it_goes_on() {
        let start = Instant::now();
        let mut allowance = Allowance::new(Topic::Transaction, start);
        let [within, excess, floods] = count(&mut allowance, 5_000, start);
        assert_eq!([within, excess, floods], [4_000, 998, 2]);
        // Rations grow again.
        let later = start + Duration::from_secs(1);
        let [within, ..] = count(&mut allowance, 2_000, later);
        assert_eq!(within, 1_000);
    }

    #[test]
    fn large_messages_use_up_the_bytes_first() {
        let now = Instant::now();
        let mut allowance = Allowance::new(Topic::Transaction, now);
        let large = || allowance.take(256 << 10, now);
        let taken = std::iter::repeat_with(large)
            .take_while(|rationed| *rationed == Rationed::Within)
            .take(1_000);
        assert_eq!(taken.count(), 24);
    }
}
