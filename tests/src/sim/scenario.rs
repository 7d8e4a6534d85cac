//! What a run is made of. The same scenario is the same run, event for event, and it can be written
//! to a file: a failure that was found stays found.

use super::disk::Honesty;
use super::host::Crash;
use super::trouble::{Absence, Cut, Outage, Wires};
use adnet_common::chain_id::ChainId;
use serde::{Deserialize, Serialize};

/// When machines die.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub seed: u64,
    pub validators: usize,
    /// More machines, which have the keys of the last validators: each such validator says one thing
    /// here and another there, in proposals and in votes.
    pub twins: usize,
    /// Virtual time with clients and troubles. After it, what is on the way must arrive.
    pub busy_ms: u64,
    /// The one chain that runs, if not both do.
    pub only: Option<ChainId>,
    /// Whether clients send transactions.
    pub has_clients: bool,
    /// Whether one of them has notes of Alpha's pool. For a network of four validators.
    #[serde(default)]
    pub has_notes: bool,
    /// Whether half of Delta's transactions deploy and call random contracts.
    #[serde(default)]
    pub has_contracts: bool,
    /// Percent of network and ring messages that are lost, and that come twice.
    pub lost_percent: u64,
    pub doubled_percent: u64,
    /// Network messages take 1 ms to this.
    pub delay_max_ms: u64,
    /// So many of the links, each in one direction, take so much longer.
    pub slow_links_percent: u64,
    pub slow_link_ms: u64,
    /// A timer fires up to this late, so that a schedule that drifts shows.
    pub timer_late_max_ms: u64,
    /// Clocks of machines are up to so far before or behind.
    pub skew_max_ms: u64,
    /// A synced write takes up to this, and the chain waits for it.
    pub sync_max_ms: u64,
    /// Verifying what a chain hands out takes up to this, job by job, while the chain goes on.
    #[serde(default)]
    pub verify_max_ms: u64,
    pub crashes: Crashes,
    /// A machine whose validator signs every vote twice, each time for another block.
    pub equivocator: Option<usize>,
    /// It does so on Alpha alone.
    #[serde(default)]
    pub on_alpha_only: bool,
    pub honesty: Honesty,
    pub wires: Wires,
    pub cuts: Vec<Cut>,
    pub outages: Vec<Outage>,
}

impl Scenario {
    /// One validator with clients and no troubles.
    pub fn alone(seed: u64, busy_ms: u64) -> Self {
        Self {
            seed,
            validators: 1,
            twins: 0,
            busy_ms,
            only: None,
            has_clients: true,
            has_notes: false,
            has_contracts: false,
            lost_percent: 0,
            doubled_percent: 0,
            delay_max_ms: 1,
            slow_links_percent: 0,
            slow_link_ms: 0,
            timer_late_max_ms: 5,
            skew_max_ms: 0,
            sync_max_ms: 0,
            verify_max_ms: 0,
            crashes: Crashes::Never,
            equivocator: None,
            on_alpha_only: false,
            honesty: Honesty::Honest,
            wires: Wires::AsTold,
            cuts: Vec::new(),
            outages: Vec::new(),
        }
    }

    /// The chains that run.
    pub fn chains(&self) -> impl Iterator<Item = ChainId> + use<> {
        let only = self.only;
        let runs = move |chain: &ChainId| only.is_none_or(|only| only == *chain);
        ChainId::ALL.into_iter().filter(runs)
    }

    /// Validators and twins.
    pub fn machines(&self) -> usize {
        self.validators + self.twins
    }

    /// The validator whose key a machine has.
    pub fn validator_of(&self, machine: usize) -> usize {
        match machine.checked_sub(self.validators) {
            None => machine,
            Some(twin) => self.validators - 1 - twin,
        }
    }

    /// Whether another machine has the same key.
    pub fn has_twin(&self, machine: usize) -> bool {
        self.validator_of(machine) >= self.validators - self.twins
    }

    /// Whether the validator of this machine signs twice, by itself or by its twin.
    pub fn is_byzantine(&self, machine: usize) -> bool {
        self.equivocator == Some(self.validator_of(machine)) || self.has_twin(machine)
    }

    /// Whether this machine is not there from the beginning.
    pub fn comes_late(&self, machine: usize) -> bool {
        let mut outages = self.outages.iter();
        outages.any(|o| o.machine == machine && o.absence == Absence::New)
    }

    /// How long a message is on its way at most, and what it causes waits for a disk.
    pub fn reach_ms(&self) -> u64 {
        self.delay_max_ms + self.slow_link_ms + self.timer_late_max_ms + self.verify_max_ms
    }
}
