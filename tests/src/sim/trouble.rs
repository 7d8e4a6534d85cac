//! Troubles with a beginning and an end: cut links, and machines that are away.

use super::scenario::Scenario;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Which messages do not arrive while a cut lasts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Those between these machines and all others.
    Split(BTreeSet<usize>),
    /// Those from this machine: it hears, and is not heard.
    Mute(usize),
    /// Those to this machine: it is heard, and hears nothing.
    Deaf(usize),
}

/// Links that are cut for a while. Times are virtual milliseconds since genesis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    pub from_ms: u64,
    pub to_ms: u64,
    pub shape: Shape,
    /// Whether what was sent meanwhile arrives after the end, late and in any order, or never.
    pub holds: bool,
}

impl Cut {
    pub fn is_open_at(&self, at_ms: u64) -> bool {
        (self.from_ms..self.to_ms).contains(&at_ms)
    }

    fn parts(&self, from: usize, to: usize) -> bool {
        match &self.shape {
            Shape::Split(side) => side.contains(&from) != side.contains(&to),
            Shape::Mute(machine) => *machine == from,
            Shape::Deaf(machine) => *machine == to,
        }
    }
}

/// How a machine is away.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Absence {
    /// Its processes die, and what the disk had not synced is lost.
    Killed,
    /// It does nothing, and then goes on where it was, with the clock of that time gone by.
    Paused,
    /// It was never there before, and begins with a snapshot that a recent block leads to.
    New,
}

/// A machine that is away for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    pub machine: usize,
    pub from_ms: u64,
    pub to_ms: u64,
    pub absence: Absence,
}

/// Whether the links obey the cuts; the others are for negative controls.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wires {
    #[default]
    AsTold,
    /// A cut lets everything through.
    Leak,
    /// A cut stays when it should be over.
    StayCut,
}

/// What becomes of a message.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    Open,
    Lost,
    HeldUntil(u64),
}

impl Scenario {
    /// What becomes of a message between two machines that is sent at `at_ms`.
    pub(super) fn passage(&self, from: usize, to: usize, at_ms: u64) -> Passage {
        let is_there = |cut: &&Cut| match self.wires {
            Wires::AsTold => cut.is_open_at(at_ms),
            Wires::Leak => false,
            Wires::StayCut => at_ms >= cut.from_ms,
        };
        let cuts = self.cuts.iter().filter(is_there);
        let mut passage = Passage::Open;
        for cut in cuts.filter(|cut| cut.parts(from, to)) {
            passage = match (cut.holds, passage) {
                (false, _) | (_, Passage::Lost) => Passage::Lost,
                (true, Passage::Open) => Passage::HeldUntil(cut.to_ms),
                (true, Passage::HeldUntil(other)) => Passage::HeldUntil(other.max(cut.to_ms)),
            };
        }
        passage
    }

    fn is_linked(&self, from: usize, to: usize, at_ms: u64) -> bool {
        let mut cuts = self.cuts.iter().filter(|cut| cut.is_open_at(at_ms));
        !cuts.any(|cut| cut.parts(from, to))
    }

    fn is_away(&self, machine: usize, at_ms: u64) -> bool {
        let mut outages = self.outages.iter();
        outages.any(|o| o.machine == machine && (o.from_ms..o.to_ms).contains(&at_ms))
    }

    fn is_quorum(&self, machines: &BTreeSet<usize>) -> bool {
        let validators = machines.iter().map(|m| self.validator_of(*m));
        3 * validators.collect::<BTreeSet<_>>().len() > 2 * self.validators
    }

    /// The same once those that sign twice are validators no more. Nobody knows here since when.
    fn is_honest_quorum(&self, machines: &BTreeSet<usize>) -> bool {
        let is_honest = |m: &usize| !self.is_byzantine(*m);
        let all = (0..self.validators).filter(is_honest).count();
        3 * machines.iter().copied().filter(is_honest).count() > 2 * all
    }

    /// Whether a machine has a quorum's votes in reach, by others if need be, as the cuts say.
    pub(super) fn can_decide(&self, machine: usize, at_ms: u64) -> bool {
        let mut heard = BTreeSet::from([machine]);
        loop {
            let from = |m: &usize| heard.iter().any(|to| self.is_linked(*m, *to, at_ms));
            let more: BTreeSet<usize> = (0..self.machines()).filter(from).collect();
            if more.is_subset(&heard) {
                return self.is_quorum(&heard) || self.is_honest_quorum(&heard);
            }
            heard.extend(more);
        }
    }

    /// The largest quorum of honest machines that run and hear each other, if there is one: they
    /// owe progress.
    pub(super) fn calm_quorum(&self, at_ms: u64) -> Option<BTreeSet<usize>> {
        let honest = |m: &usize| !self.is_byzantine(*m) && !self.is_away(*m, at_ms);
        let honest: BTreeSet<usize> = (0..self.machines()).filter(honest).collect();
        let around = |m: usize| -> BTreeSet<usize> {
            let both = |x: &usize| self.is_linked(m, *x, at_ms) && self.is_linked(*x, m, at_ms);
            honest
                .iter()
                .copied()
                .filter(|x| *x == m || both(x))
                .collect()
        };
        let groups = honest.iter().map(|m| around(*m));
        let largest = groups.max_by_key(BTreeSet::len)?;
        self.is_quorum(&largest).then_some(largest)
    }

    /// Whether this moment ends a trouble and leaves none.
    pub(super) fn ends_trouble(&self, at_ms: u64) -> bool {
        let ended = self.cuts.iter().any(|cut| cut.to_ms == at_ms)
            || self.outages.iter().any(|outage| outage.to_ms == at_ms);
        let is_cut = self.cuts.iter().any(|cut| cut.is_open_at(at_ms));
        let is_away = (0..self.machines()).any(|m| self.is_away(m, at_ms));
        ended && !is_cut && !is_away
    }

    /// When a trouble begins or ends, in order.
    pub(super) fn turns(&self) -> BTreeSet<u64> {
        let cuts = self.cuts.iter().flat_map(|cut| [cut.from_ms, cut.to_ms]);
        let outages = self.outages.iter().flat_map(|o| [o.from_ms, o.to_ms]);
        cuts.chain(outages).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(shape: Shape) -> Scenario {
        let cut = Cut {
            from_ms: 10,
            to_ms: 20,
            shape,
            holds: false,
        };
        Scenario {
            validators: 4,
            cuts: vec![cut],
            ..Scenario::alone(0, 100)
        }
    }

    fn deciding(scenario: &Scenario) -> Vec<usize> {
        let can = |m: &usize| scenario.can_decide(*m, 15);
        (0..scenario.machines()).filter(can).collect()
    }

    #[test]
    fn who_can_decide_follows_from_the_cut() {
        let halves = cut(Shape::Split([0, 1].into()));
        assert!(deciding(&halves).is_empty());
        assert_eq!(halves.calm_quorum(15), None);
        assert_eq!(halves.calm_quorum(20).map(|quorum| quorum.len()), Some(4));
        let one = cut(Shape::Split([2].into()));
        assert_eq!(deciding(&one), [0, 1, 3]);
        assert_eq!(one.calm_quorum(15), Some([0, 1, 3].into()));
        assert_eq!(deciding(&cut(Shape::Deaf(1))), [0, 2, 3]);
        let mute = cut(Shape::Mute(1));
        assert_eq!(deciding(&mute), [0, 1, 2, 3]);
        assert_eq!(mute.calm_quorum(15), Some([0, 2, 3].into()));
    }

    #[test]
    fn a_twin_adds_a_machine_and_no_power() {
        let twins = Scenario {
            twins: 1,
            ..cut(Shape::Split([0, 1, 3].into()))
        };
        assert_eq!((twins.machines(), twins.validator_of(4)), (5, 3));
        assert_eq!(deciding(&twins), [0, 1, 3]);
        assert_eq!(twins.calm_quorum(15), None, "two of them are honest");
    }

    #[test]
    fn a_held_message_waits_for_the_last_of_its_cuts() {
        let mut scenario = cut(Shape::Mute(0));
        scenario.cuts[0].holds = true;
        let mut longer = scenario.cuts[0].clone();
        longer.to_ms = 30;
        scenario.cuts.push(longer);
        assert_eq!(scenario.passage(0, 1, 15), Passage::HeldUntil(30));
        assert_eq!(scenario.passage(1, 0, 15), Passage::Open);
        scenario.cuts[0].holds = false;
        assert_eq!(scenario.passage(0, 1, 15), Passage::Lost);
        assert_eq!(scenario.passage(0, 1, 30), Passage::Open);
    }
}
