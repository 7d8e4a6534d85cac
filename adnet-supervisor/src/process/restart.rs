//! When to restart a worker that died: a pure judgement over times that the caller passes in.
//!
//! - The first restart is immediate. Each further one waits 10 ms · 2ⁿ, capped at 5 s, of which the
//!   upper half is random so that two workers that die together do not come back in step.
//! - A worker that was healthy for 30 s starts again with a clean record.
//! - More deaths than the limit within the window (5 in 10 s by default): give up. The node is not
//!   ready, exits with [`RESTART_LIMIT`](super::exit_code::RESTART_LIMIT), and the service manager
//!   decides.
//!
//! A stop that the supervisor wanted is no death: do not report it here. A kill because the worker
//! hung is one.

use std::collections::VecDeque;

/// Wait before the second restart; it doubles from there.
pub const FIRST_DELAY_MS: u64 = 10;
/// No wait is longer.
pub const DELAY_MS_MAX: u64 = 5_000;
/// Health that wipes the record.
pub const HEALTHY_RESET_MS: u64 = 30_000;

const _: () = assert!(FIRST_DELAY_MS < DELAY_MS_MAX && DELAY_MS_MAX < HEALTHY_RESET_MS);

/// How many deaths are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartLimits {
    /// Deaths within the window that are still answered with a restart.
    pub deaths_max: usize,
    /// Length of the window in which deaths are counted, milliseconds.
    pub window_ms: u64,
}

impl Default for RestartLimits {
    fn default() -> RestartLimits {
        RestartLimits {
            deaths_max: 5,
            window_ms: 10_000,
        }
    }
}

/// What to do about a death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartDecision {
    /// Start it again after this many milliseconds; 0 means at once.
    RestartAfter {
        /// The wait, at most [`DELAY_MS_MAX`].
        delay_ms: u64,
    },
    /// It died too often: stop the node and exit non-zero.
    GiveUp {
        /// Deaths within the window, this one included.
        deaths: usize,
    },
}

/// The record of one worker role over all its incarnations.
#[derive(Debug)]
pub struct RestartHistory {
    limits: RestartLimits,
    /// Times of the deaths within the window, oldest first; at most `limits.deaths_max + 1`.
    deaths_ms: VecDeque<u64>,
    /// Restarts since the record was last clean; the exponent of the delay.
    restarts: u32,
    healthy_since_ms: Option<u64>,
    jitter_state: u64,
}

impl RestartHistory {
    /// A clean record. `jitter_seed` decides the random part of the delays: take it from the
    /// operating system, and a constant in tests.
    pub fn new(limits: RestartLimits, jitter_seed: u64) -> RestartHistory {
        RestartHistory {
            limits,
            deaths_ms: VecDeque::new(),
            restarts: 0,
            healthy_since_ms: None,
            jitter_state: jitter_seed,
        }
    }

    /// The worker finished its start and does its work. Only the first call after a death counts,
    /// so it may be called with every heartbeat.
    pub fn healthy(&mut self, now_ms: u64) {
        self.healthy_since_ms.get_or_insert(now_ms);
    }

    /// The worker died at `now_ms` (monotonic milliseconds of any origin, the same in all calls).
    pub fn died(&mut self, now_ms: u64) -> RestartDecision {
        let healthy_since_ms = self.healthy_since_ms.take();
        let healthy_ms = healthy_since_ms.map_or(0, |since_ms| now_ms.saturating_sub(since_ms));
        if healthy_ms >= HEALTHY_RESET_MS {
            self.restarts = 0;
            self.deaths_ms.clear();
        }
        self.deaths_ms.push_back(now_ms);
        let window_start_ms = now_ms.saturating_sub(self.limits.window_ms);
        while self
            .deaths_ms
            .front()
            .is_some_and(|death_ms| *death_ms < window_start_ms)
        {
            self.deaths_ms.pop_front();
        }
        if self.deaths_ms.len() > self.limits.deaths_max {
            let deaths = self.deaths_ms.len();
            self.deaths_ms.pop_front();
            return RestartDecision::GiveUp { deaths };
        }
        let delay_ms = self.next_delay_ms();
        self.restarts = self.restarts.saturating_add(1);
        RestartDecision::RestartAfter { delay_ms }
    }

    /// Restarts since the record was last clean, for metrics and logs.
    pub fn restarts(&self) -> u32 {
        self.restarts
    }

    fn next_delay_ms(&mut self) -> u64 {
        let Some(doublings) = self.restarts.checked_sub(1) else {
            return 0;
        };
        // 2^32 · 10 ms is far above the cap and far below an overflow.
        let full_ms = (FIRST_DELAY_MS << doublings.min(32)).min(DELAY_MS_MAX);
        let half_ms = full_ms / 2;
        half_ms + self.next_random() % (full_ms - half_ms + 1)
    }

    /// SplitMix64 (Steele, Lea, Flood 2014): enough for jitter, and reproducible.
    fn next_random(&mut self) -> u64 {
        self.jitter_state = self.jitter_state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.jitter_state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn history(jitter_seed: u64) -> RestartHistory {
        RestartHistory::new(RestartLimits::default(), jitter_seed)
    }

    fn delay_ms(decision: RestartDecision) -> u64 {
        match decision {
            RestartDecision::RestartAfter { delay_ms } => delay_ms,
            RestartDecision::GiveUp { deaths } => panic!("gave up after {deaths} deaths"),
        }
    }

    #[test]
    fn five_quick_deaths_are_restarted_and_the_sixth_is_not() {
        let mut history = history(7);
        assert_eq!(
            history.died(1_000),
            RestartDecision::RestartAfter { delay_ms: 0 }
        );
        for (n, now_ms) in (1_001..=1_004).enumerate() {
            let full_ms = FIRST_DELAY_MS << n;
            let delay_ms = delay_ms(history.died(now_ms));
            assert!(
                (full_ms / 2..=full_ms).contains(&delay_ms),
                "restart {n}: {delay_ms} ms"
            );
        }
        assert_eq!(history.died(1_005), RestartDecision::GiveUp { deaths: 6 });
    }

    #[test]
    fn thirty_healthy_seconds_wipe_the_record_and_a_moment_less_does_not() {
        for (healthy_ms, is_wiped) in [(HEALTHY_RESET_MS, true), (HEALTHY_RESET_MS - 1, false)] {
            let mut history = history(1);
            history.died(0);
            history.died(100);
            history.healthy(200);
            history.healthy(20_000);
            let delay_ms = delay_ms(history.died(200 + healthy_ms));
            assert_eq!(delay_ms == 0, is_wiped, "healthy for {healthy_ms} ms");
        }
    }

    #[test]
    fn slow_deaths_back_off_up_to_the_cap_and_never_give_up() {
        let mut history = history(3);
        let delays: Vec<u64> = (0..100)
            .map(|n| delay_ms(history.died(n * 3_000)))
            .collect();
        assert!(
            delays
                .iter()
                .skip(12)
                .all(|ms| (DELAY_MS_MAX / 2..=DELAY_MS_MAX).contains(ms))
        );
        let last = delays.last().unwrap();
        assert!(
            delays.iter().rev().take(20).any(|ms| ms != last),
            "no jitter at the cap"
        );
    }

    proptest! {
        #[test]
        fn whatever_the_deaths(
            seed: u64,
            steps in prop::collection::vec((0_u64..40_000, any::<bool>()), 1..200),
        ) {
            let limits = RestartLimits::default();
            let (mut history, mut replay) = (history(seed), history(seed));
            let mut now_ms = 0;
            let mut deaths_ms: Vec<u64> = Vec::new();
            for (pause_ms, healthy) in steps {
                if healthy {
                    history.healthy(now_ms);
                    replay.healthy(now_ms);
                    if pause_ms >= HEALTHY_RESET_MS {
                        deaths_ms.clear();
                    }
                }
                now_ms += pause_ms;
                deaths_ms.push(now_ms);
                let recent =
                    deaths_ms.iter().filter(|ms| now_ms - **ms <= limits.window_ms).count();
                let decision = history.died(now_ms);
                prop_assert_eq!(decision, replay.died(now_ms), "one seed, one sequence");
                match decision {
                    RestartDecision::RestartAfter { delay_ms } => {
                        prop_assert!(recent <= limits.deaths_max);
                        prop_assert!(delay_ms <= DELAY_MS_MAX);
                    }
                    RestartDecision::GiveUp { deaths } => {
                        prop_assert!(recent > limits.deaths_max);
                        prop_assert_eq!(deaths, limits.deaths_max + 1);
                    }
                }
            }
        }
    }
}
