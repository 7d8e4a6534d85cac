//! Scenarios by a seed: a swarm of random knobs, and the troubles that have a name.
//!
//! Each knob is off in a part of the seeds, so that one trouble does not hide what another would
//! have shown.

use super::random::{Random, mixed};
use super::scenario::{Crashes, Scenario};
use super::trouble::{Absence, Cut, Outage, Shape};
use clap::ValueEnum;
use std::collections::BTreeSet;
use std::fmt;

/// Longer cuts move Delta's schedule to the present, and let every connection end.
const CUT_MAX_MS: u64 = 40_000;
/// After a cut or an outage, before the next one: in the named troubles long enough to recover.
const REST_MS: u64 = 25_000;
const SKEW_MAX_MS: u64 = 240;
/// Some transactions with proofs, on a slow machine.
const VERIFY_MAX_MS: u64 = 300;

/// Scenarios that differ by their seed alone.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub enum Family {
    /// Some of everything.
    Troubled,
    /// Two of four do not hear the other two for a while.
    Halved,
    /// One of four is alone for a while.
    Isolated,
    /// Cuts one after the other, some in one direction only.
    Torn,
    /// As many machines as the network bears are killed or paused.
    Decimated,
    /// A validator that is two, with cuts between its machines.
    Twinned,
    /// One machine comes late, and begins with a snapshot.
    Joined,
}

impl Family {
    pub const ALL: [Family; 7] = [
        Family::Troubled,
        Family::Halved,
        Family::Isolated,
        Family::Torn,
        Family::Decimated,
        Family::Twinned,
        Family::Joined,
    ];

    pub fn of(self, seed: u64) -> Scenario {
        match self {
            Family::Troubled => Scenario::troubled(seed),
            Family::Halved => Scenario::halved(seed),
            Family::Isolated => Scenario::isolated(seed),
            Family::Torn => Scenario::torn(seed),
            Family::Decimated => Scenario::decimated(seed),
            Family::Twinned => Scenario::twinned(seed),
            Family::Joined => Scenario::joined(seed),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("no family is hidden");
        out.write_str(value.get_name())
    }
}

/// The random choices of a scenario. They are not those of its run.
struct Knobs(Random);

impl Knobs {
    fn of(seed: u64) -> Self {
        Self(Random::new(mixed(seed ^ 0x6b_6e6f_6273)))
    }

    /// One of 0 to `most`, and 0 in half of the cases.
    fn up_to(&mut self, most: u64) -> u64 {
        match self.0.chance(50) {
            true => 0,
            false => self.0.below(most + 1),
        }
    }

    fn machine(&mut self, machines: usize) -> usize {
        self.0.below(machines as u64) as usize
    }

    /// Some machines, but not all of them.
    fn side(&mut self, machines: usize, count: usize) -> BTreeSet<usize> {
        let mut side = BTreeSet::new();
        while side.len() < count.min(machines - 1) {
            side.insert(self.machine(machines));
        }
        side
    }

    fn shape(&mut self, machines: usize) -> Shape {
        match self.0.below(6) {
            0 => Shape::Mute(self.machine(machines)),
            1 => Shape::Deaf(self.machine(machines)),
            2 => Shape::Split(self.side(machines, 1)),
            _ => Shape::Split(self.side(machines, machines / 2)),
        }
    }

    /// A machine that is not there from the beginning, if there is one to whom nothing else happens.
    fn late(&mut self, scenario: &mut Scenario) {
        let machine = self.machine(scenario.machines());
        let mut outages = scenario.outages.iter();
        if outages.any(|o| o.machine == machine) || scenario.is_byzantine(machine) {
            return;
        }
        let half_ms = scenario.busy_ms / 2;
        scenario.outages.push(Outage {
            machine,
            from_ms: 0,
            to_ms: half_ms + self.0.below(half_ms),
            absence: Absence::New,
        });
    }

    /// Delays, slow links, wrong clocks and slow disks.
    fn slow(&mut self, scenario: &mut Scenario) {
        scenario.delay_max_ms = 1 + self.0.below(120);
        scenario.slow_links_percent = self.up_to(40);
        scenario.slow_link_ms = self.0.below(150);
        scenario.skew_max_ms = self.up_to(SKEW_MAX_MS);
        scenario.timer_late_max_ms = self.up_to(30);
        scenario.verify_max_ms = Knobs::of(scenario.seed ^ 5 << 32).up_to(VERIFY_MAX_MS);
    }
}

impl Scenario {
    /// A network of 1, 4 or 7 validators with some of all troubles: deaths at durable operations,
    /// losses, slow and cut links, slow disks, wrong clocks, machines away, a validator that signs
    /// twice or is two.
    pub fn troubled(seed: u64) -> Self {
        let mut knobs = Knobs::of(seed);
        let validators = [1, 4, 4, 4, 4, 7][knobs.0.below(6) as usize];
        let mut scenario = Self {
            validators,
            doubled_percent: knobs.up_to(10),
            lost_percent: knobs.up_to(12),
            sync_max_ms: knobs.up_to(40),
            ..Self::alone(seed, 60_000)
        };
        knobs.slow(&mut scenario);
        if knobs.0.chance(50) {
            let within_ops = 100 + knobs.0.below(400);
            scenario.crashes = Crashes::Often { within_ops };
        }
        if validators == 1 {
            return scenario;
        }
        match knobs.0.below(6) {
            0 | 1 => scenario.equivocator = Some(knobs.machine(validators)),
            2 => scenario.twins = 1,
            _ => {}
        }
        let machines = scenario.machines();
        for _ in 0..knobs.up_to(4) {
            let from_ms = 1 + knobs.0.below(scenario.busy_ms - 1);
            scenario.cuts.push(Cut {
                from_ms,
                to_ms: from_ms + 1 + knobs.0.below(CUT_MAX_MS / 2),
                shape: knobs.shape(machines),
                holds: knobs.0.chance(50),
            });
        }
        for _ in 0..knobs.up_to(3) {
            let from_ms = 1 + knobs.0.below(scenario.busy_ms - 1);
            scenario.outages.push(Outage {
                machine: knobs.machine(machines),
                from_ms,
                to_ms: from_ms + 1 + knobs.0.below(CUT_MAX_MS / 2),
                absence: [Absence::Killed, Absence::Paused][knobs.0.below(2) as usize],
            });
        }
        if knobs.0.chance(25) {
            knobs.late(&mut scenario);
        }
        scenario.has_notes = validators == 4 && knobs.0.chance(25);
        scenario.has_contracts = knobs.0.chance(40);
        scenario
    }

    /// Four or seven validators, of which one comes late, in a network with some losses and deaths.
    pub fn joined(seed: u64) -> Self {
        let mut knobs = Knobs::of(seed ^ 4 << 32);
        let mut scenario = Self {
            validators: if seed.is_multiple_of(3) { 7 } else { 4 },
            doubled_percent: knobs.up_to(5),
            lost_percent: knobs.up_to(8),
            sync_max_ms: knobs.up_to(20),
            ..Self::alone(seed, 90_000)
        };
        knobs.slow(&mut scenario);
        if knobs.0.chance(50) {
            let within_ops = 100 + knobs.0.below(400);
            scenario.crashes = Crashes::Often { within_ops };
        }
        knobs.late(&mut scenario);
        scenario.has_notes = scenario.validators == 4 && knobs.0.chance(50);
        scenario.has_contracts = knobs.0.chance(40);
        scenario
    }

    /// Delays and clocks as the seed says, and one cut of this many machines.
    fn parted(seed: u64, validators: usize, away: usize) -> Self {
        let mut knobs = Knobs::of(seed);
        let from_ms = 10_000 + knobs.0.below(20_000);
        let to_ms = from_ms + 2_000 + knobs.0.below(CUT_MAX_MS);
        let mut scenario = Self {
            validators,
            ..Self::alone(seed, to_ms + REST_MS)
        };
        knobs.slow(&mut scenario);
        scenario.cuts.push(Cut {
            from_ms,
            to_ms,
            shape: Shape::Split(knobs.side(validators, away)),
            holds: knobs.0.chance(50),
        });
        scenario
    }

    /// Four validators, of which two do not hear the other two for a while.
    pub fn halved(seed: u64) -> Self {
        Self::parted(seed, 4, 2)
    }

    /// Four validators, of which one is alone for a while.
    pub fn isolated(seed: u64) -> Self {
        Self::parted(seed, 4, 1)
    }

    /// Cuts one after the other, each of them another, some in one direction only.
    pub fn torn(seed: u64) -> Self {
        let validators = if seed.is_multiple_of(4) { 7 } else { 4 };
        let mut scenario = Self::parted(seed, validators, 1);
        let mut knobs = Knobs::of(seed ^ 1 << 32);
        scenario.cuts.clear();
        let mut from_ms = 10_000;
        for _ in 0..4 {
            let to_ms = from_ms + 500 + knobs.0.below(CUT_MAX_MS / 2);
            scenario.cuts.push(Cut {
                from_ms,
                to_ms,
                shape: knobs.shape(validators),
                holds: knobs.0.chance(50),
            });
            from_ms = to_ms + knobs.0.below(REST_MS);
        }
        scenario.busy_ms = from_ms + REST_MS;
        scenario
    }

    /// As many machines as the network bears are away, one after the other or together, killed or
    /// paused.
    pub fn decimated(seed: u64) -> Self {
        let validators = if seed.is_multiple_of(3) { 7 } else { 4 };
        let mut scenario = Self::parted(seed, validators, 1);
        scenario.cuts.clear();
        let mut knobs = Knobs::of(seed ^ 2 << 32);
        let mut from_ms = 10_000;
        for _ in 0..3 {
            let to_ms = from_ms + 1_000 + knobs.0.below(CUT_MAX_MS);
            for machine in knobs.side(validators, (validators - 1) / 3) {
                scenario.outages.push(Outage {
                    machine,
                    from_ms: from_ms + knobs.0.below(1_000),
                    to_ms,
                    absence: [Absence::Killed, Absence::Paused][knobs.0.below(2) as usize],
                });
            }
            from_ms = to_ms + REST_MS;
        }
        scenario.busy_ms = from_ms;
        scenario
    }

    /// A validator that is two, with cuts that give each of its machines other company, and as many
    /// that sign each vote twice as the network bears beside it.
    pub fn twinned(seed: u64) -> Self {
        let validators = if seed.is_multiple_of(3) { 7 } else { 4 };
        let mut scenario = Self::parted(seed, validators, 1);
        let mut knobs = Knobs::of(seed ^ 3 << 32);
        scenario.twins = 1;
        if validators == 7 {
            scenario.equivocator = Some(knobs.machine(validators - 1));
        }
        scenario.cuts.clear();
        let mut from_ms = 5_000;
        for _ in 0..4 {
            let to_ms = from_ms + 1_000 + knobs.0.below(CUT_MAX_MS / 2);
            let mut side = knobs.side(validators - 1, (validators - 1) / 2);
            side.insert(validators); // The twin, away from its original.
            scenario.cuts.push(Cut {
                from_ms,
                to_ms,
                shape: Shape::Split(side),
                holds: knobs.0.chance(50),
            });
            from_ms = to_ms + knobs.0.below(REST_MS);
        }
        scenario.busy_ms = from_ms + REST_MS;
        scenario
    }
}
