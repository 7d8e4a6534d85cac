//! Whether a worker's death made the other chain's blocks late.
//!
//! A block's header says when it was due. It is *late* if it is seen after its successor was due,
//! that is, more than one interval after its own time, the time that the machine itself stood still
//! not counted. If blocks came later than that also while nobody was being killed, the latest of
//! these is the bound.

use std::fmt;

use adnet_common::chain_id::ChainId;

use crate::{
    plan::Target,
    stalls::Stalls,
    watch::{Sighting, Watch},
};

/// A process that was killed.
#[derive(Clone, Copy, Debug)]
pub struct Death {
    pub target: Target,
    pub struck_us: u64,
    /// When its successor answered.
    pub healed_us: u64,
}

/// How late one block was.
#[derive(Clone, Copy, Debug)]
pub struct Lateness {
    pub height: u64,
    /// From when it was due to when it was seen.
    pub late_us: u64,
    /// How much of that the machine stood still.
    pub stalled_us: u64,
}

impl Lateness {
    fn own_us(&self) -> u64 {
        self.late_us.saturating_sub(self.stalled_us)
    }
}

impl fmt::Display for Lateness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (late_ms, stalled_ms) = (self.late_us / 1_000, self.stalled_us / 1_000);
        write!(
            f,
            "block {} came after {late_ms} ms, {stalled_ms} of them the machine's",
            self.height
        )
    }
}

/// The blocks of one chain, without those that the death of its own worker or of the supervisor
/// held up.
pub struct Judgement {
    chain: ChainId,
    interval_us: u64,
    /// Deaths of the other worker.
    deaths_of_other: usize,
    /// Due or seen while the other chain's worker was dead or had just come back.
    pub beside_deaths: Vec<Lateness>,
    /// At all other times.
    pub undisturbed: Vec<Lateness>,
}

impl Judgement {
    pub fn of(watch: &Watch, stalls: &Stalls, deaths: &[Death]) -> Judgement {
        let interval_us = watch.interval_us;
        let sightings = watch.sightings();
        let is_on_time = |s: &Sighting| s.seen_us.saturating_sub(s.due_us) <= interval_us / 2;
        let (mut own, mut other) = (Vec::new(), Vec::new());
        for death in deaths {
            if death.target == Target::Worker(watch.chain.sibling()) {
                let (from, to) = (death.struck_us, death.healed_us);
                other.push((from - interval_us, to + 2 * interval_us));
            } else {
                // It is its own old self once a block came in time again.
                let back = sightings
                    .iter()
                    .find(|s| s.seen_us >= death.healed_us && is_on_time(s));
                own.push((death.struck_us, back.map_or(u64::MAX, |s| s.seen_us)));
            }
        }
        let mut judgement = Judgement {
            chain: watch.chain,
            interval_us,
            deaths_of_other: other.len(),
            beside_deaths: Vec::new(),
            undisturbed: Vec::new(),
        };
        for sighting in sightings {
            let Sighting {
                height,
                due_us,
                seen_us,
            } = sighting;
            let meets = |spans: &[(u64, u64)]| {
                let meets = |(from, to): &(u64, u64)| due_us <= *to && seen_us >= *from;
                spans.iter().any(meets)
            };
            if meets(&own) {
                continue;
            }
            let lateness = Lateness {
                height,
                late_us: seen_us.saturating_sub(due_us),
                stalled_us: stalls.within(due_us, seen_us),
            };
            if meets(&other) {
                judgement.beside_deaths.push(lateness);
            } else {
                judgement.undisturbed.push(lateness);
            }
        }
        judgement
    }

    /// How late a block may be.
    pub fn bound_us(&self) -> u64 {
        let worst = self.undisturbed.iter().map(Lateness::own_us).max();
        worst.unwrap_or_default().max(self.interval_us)
    }

    /// The blocks that the other worker's death made late, in words.
    pub fn late(&self) -> Vec<String> {
        let bound_us = self.bound_us();
        let late = self
            .beside_deaths
            .iter()
            .filter(|block| block.own_us() > bound_us);
        late.map(ToString::to_string).collect()
    }

    /// # Panics
    /// If a death made a block late, or nothing was seen that could tell.
    pub fn insist_on_punctuality(&self) {
        eprintln!("{self}");
        let late = self.late();
        assert!(late.is_empty(), "{} is late: {late:?}", self.chain);
        // Not each death has one: the chain's own worker or the supervisor may have died as well.
        assert!(
            2 * self.beside_deaths.len() >= self.deaths_of_other,
            "{}: too few blocks were seen beside deaths",
            self.chain
        );
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = |blocks: &[Lateness]| {
            let mut late: Vec<u64> = blocks.iter().map(|block| block.late_us).collect();
            late.sort_unstable();
            let at = |part: usize| late.get((late.len() * part / 100).min(late.len().max(1) - 1));
            let ms = |us: Option<&u64>| us.copied().unwrap_or_default() / 1_000;
            format!(
                "{} blocks p50 {} p99 {} max {} ms",
                late.len(),
                ms(at(50)),
                ms(at(99)),
                ms(late.last())
            )
        };
        let excused = self.beside_deaths.iter().filter(|block| {
            let bound_us = self.bound_us();
            block.late_us > bound_us && block.own_us() <= bound_us
        });
        write!(
            f,
            "{} after the scheduled time: undisturbed {}, beside deaths of the other {}, bound {} ms, \
             {} excused by stalls of the machine",
            self.chain,
            figures(&self.undisturbed),
            figures(&self.beside_deaths),
            self.bound_us() / 1_000,
            excused.count(),
        )
    }
}
