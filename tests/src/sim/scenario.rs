//! What a run is made of. The same scenario is the same run, event for event.

use super::disk::Honesty;
use super::host::Crash;

/// When machines die.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Crashes {
    Never,
    /// Machine 0 dies once.
    Once(Crash),
    /// Every machine dies again and again, after up to so many durable operations.
    Often {
        within_ops: u64,
    },
}

/// A network of machines, each with both chains, its troubles, and how long they last.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub seed: u64,
    pub validators: usize,
    /// Virtual time with clients and troubles. After it, what is on the way must arrive.
    pub busy_ms: u64,
    /// Whether clients send transactions.
    pub has_clients: bool,
    /// Percent of network and ring messages that are lost, and that come twice.
    pub lost_percent: u64,
    pub doubled_percent: u64,
    /// Network messages take 1 ms to this.
    pub delay_max_ms: u64,
    /// A timer fires up to this late, so that a schedule that drifts shows.
    pub timer_late_max_ms: u64,
    pub crashes: Crashes,
    /// A machine whose validator signs every vote twice, each time for another block.
    pub equivocator: Option<usize>,
    pub honesty: Honesty,
}

impl Scenario {
    /// One validator with clients and no troubles.
    pub fn alone(seed: u64, busy_ms: u64) -> Self {
        Self {
            seed,
            validators: 1,
            busy_ms,
            has_clients: true,
            lost_percent: 0,
            doubled_percent: 0,
            delay_max_ms: 1,
            timer_late_max_ms: 5,
            crashes: Crashes::Never,
            equivocator: None,
            honesty: Honesty::Honest,
        }
    }

    /// Four validators that die often, on a network that loses and doubles; with some seeds one of
    /// them signs twice.
    pub fn troubled(seed: u64) -> Self {
        Self {
            validators: 4,
            lost_percent: seed % 4 * 4,
            doubled_percent: 5,
            delay_max_ms: 10 + seed % 5 * 40,
            crashes: Crashes::Often { within_ops: 200 },
            equivocator: (seed % 3 == 1).then_some(3),
            ..Self::alone(seed, 60_000)
        }
    }
}
