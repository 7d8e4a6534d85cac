//! Progress: who can decide does in time, and who cannot does not.
//!
//! Liveness is owed to a quorum of honest machines that run and hear each other. From the moment at
//! which there is one, and then all along, it makes a block of Delta within 10 s and one of Alpha
//! within 20 s, and by then each of its machines has what was decided before. A machine that a cut
//! keeps from a quorum decides nothing that was not decided when the last votes from beyond the cut
//! had arrived.

use super::scenario::{Crashes, Scenario};
use adnet_common::chain_id::ChainId;
use std::collections::{BTreeMap, BTreeSet};

/// How soon a chain must go on.
fn bound_ms(chain: ChainId) -> u64 {
    match chain {
        ChainId::Alpha => 20_000,
        ChainId::Delta => 10_000,
    }
}

/// How a chain went on after a trouble had ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    pub chain: ChainId,
    /// Until the first block that was decided after it.
    pub decided_ms: u64,
    /// Until every machine of the quorum had shown what was decided before it.
    pub level_ms: u64,
}

/// A quorum that owes progress on one chain.
struct Owing {
    /// Since when; and which heights were decided then.
    since_ms: u64,
    height: u64,
    /// Those that have not shown `height` yet.
    behind: BTreeSet<usize>,
    /// The last block, or when it began.
    last_ms: u64,
    first_ms: Option<u64>,
    level_ms: Option<u64>,
    ends_trouble: bool,
}

/// What the oracle knows of progress.
#[derive(Default)]
pub(super) struct Liveness {
    owing: BTreeMap<ChainId, Owing>,
    /// The heights beyond which machines decide nothing, while a cut keeps them from a quorum.
    ceilings: BTreeMap<(usize, ChainId), u64>,
    pub recoveries: Vec<Recovery>,
}

impl Liveness {
    /// From now on this quorum, if there is one, owes progress. `heights` are the decided ones, and
    /// `shown` tells how far a machine is.
    pub fn owes(
        &mut self,
        now_ms: u64,
        chains: impl Iterator<Item = ChainId>,
        quorum: Option<&BTreeSet<usize>>,
        ends_trouble: bool,
        height: impl Fn(ChainId) -> u64,
        shown: impl Fn(usize, ChainId) -> Option<u64>,
    ) {
        self.owing.clear();
        let Some(quorum) = quorum else { return };
        for chain in chains {
            let height = height(chain);
            let is_behind = |m: &usize| shown(*m, chain).is_none_or(|shown| shown < height);
            let behind: BTreeSet<usize> = quorum.iter().copied().filter(is_behind).collect();
            let owing = Owing {
                since_ms: now_ms,
                height,
                level_ms: behind.is_empty().then_some(0),
                behind,
                last_ms: now_ms,
                first_ms: None,
                ends_trouble,
            };
            self.owing.insert(chain, owing);
        }
    }

    /// What machines that cannot decide may still show: `heights` and nothing above them.
    pub fn forbid(&mut self, machines: &[usize], heights: &BTreeMap<ChainId, u64>) {
        for machine in machines {
            let ceilings = heights.iter().map(|(chain, h)| ((*machine, *chain), *h));
            self.ceilings.extend(ceilings);
        }
    }

    pub fn allow_all(&mut self) {
        self.ceilings.clear();
    }

    /// A machine shows a block; `is_first` if nobody had it before.
    pub fn shown(
        &mut self,
        now_ms: u64,
        machine: usize,
        chain: ChainId,
        height: u64,
        is_first: bool,
    ) -> Option<String> {
        if let Some(owing) = self.owing.get_mut(&chain) {
            if is_first {
                owing.last_ms = now_ms;
                owing.first_ms.get_or_insert(now_ms - owing.since_ms);
            }
            if height >= owing.height {
                owing.behind.remove(&machine);
            }
            if owing.behind.is_empty() {
                owing.level_ms.get_or_insert(now_ms - owing.since_ms);
            }
            if let (true, Some(decided_ms), Some(level_ms)) =
                (owing.ends_trouble, owing.first_ms, owing.level_ms)
            {
                owing.ends_trouble = false;
                self.recoveries.push(Recovery {
                    chain,
                    decided_ms,
                    level_ms,
                });
            }
        }
        let ceiling = self.ceilings.get(&(machine, chain))?;
        (height > *ceiling).then(|| {
            format!(
                "machine {machine}, cut off from a quorum, has block {height} of {chain}, when \
                 {ceiling} was the last one at the cut"
            )
        })
    }

    /// What is overdue.
    pub fn overdue(&self, now_ms: u64) -> Option<String> {
        self.owing.iter().find_map(|(chain, owing)| {
            let bound_ms = bound_ms(*chain);
            let (since_ms, behind) = (owing.since_ms, &owing.behind);
            if now_ms > owing.last_ms + bound_ms {
                return Some(format!(
                    "no block of {chain} within {bound_ms} ms, from a quorum that hears each other \
                     since {since_ms} ms"
                ));
            }
            (!behind.is_empty() && now_ms > since_ms + bound_ms).then(|| {
                format!(
                    "machines {behind:?} do not have block {} of {chain}, {bound_ms} ms after they \
                     joined a quorum at {since_ms} ms",
                    owing.height
                )
            })
        })
    }
}

impl Scenario {
    /// Whether progress in time is owed while troubles last: not on a network that loses what matters
    /// or while machines die again and again.
    pub(super) fn promises_progress(&self) -> bool {
        self.lost_percent == 0 && self.crashes == Crashes::Never && self.validators > 1
    }

    /// After a cut, how long what was said before it can still lead to a decision beyond it; with
    /// machines that sleep, wait for a disk or replay a log, nobody can tell.
    pub(super) fn grace_ms(&self) -> Option<u64> {
        let is_prompt =
            self.sync_max_ms == 0 && self.outages.is_empty() && self.crashes == Crashes::Never;
        let held = self.cuts.iter().filter(|cut| cut.holds);
        let mut crossed = held.flat_map(|held| self.cuts.iter().map(move |cut| (held, cut)));
        let crosses = crossed.any(|(a, b)| a != b && a.from_ms <= b.to_ms && b.from_ms <= a.to_ms);
        (is_prompt && !crosses).then(|| 2 * self.reach_ms())
    }
}
