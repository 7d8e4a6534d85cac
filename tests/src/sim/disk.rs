//! The disk that both chains of a machine share, and what a loss of power leaves of it.
//!
//! Invariant: `current` is `synced` followed by all of `unsynced`, in order. The death of a process
//! changes nothing; a loss of power keeps some prefix of `unsynced`, never a later write without an
//! earlier one, because the database has one log.

use super::random::Random;
use adnet_common::chain_id::ChainId;
use adnet_common::memory_store::MemoryStore;
use adnet_common::store::{Family, Part, Write};
use serde::{Deserialize, Serialize};

/// Whether the disk keeps its promises; the others are for negative controls.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Honesty {
    #[default]
    Honest,
    /// Acknowledges synced writes that a loss of power takes.
    IgnoresSync,
    /// Comes back without sign marks, consensus log and undecided bodies.
    ForgetsConsensus,
}

#[derive(Default)]
pub(super) struct Disk {
    current: MemoryStore,
    synced: MemoryStore,
    unsynced: Vec<Vec<Write>>,
}

impl Disk {
    /// What a process reads.
    pub fn current(&self) -> &MemoryStore {
        &self.current
    }

    pub fn append(&mut self, writes: Vec<Write>) {
        self.current.apply(&writes);
        self.unsynced.push(writes);
    }

    pub fn sync(&mut self) {
        for writes in self.unsynced.drain(..) {
            self.synced.apply(&writes);
        }
    }

    /// Loses the consensus families of both chains, as a restored old backup would.
    pub fn forget_consensus(&mut self) {
        let all = |chain| Write::DeleteRange {
            family: Family::of(chain, Part::Consensus),
            from: Vec::new(),
            to: vec![u8::MAX],
        };
        self.append(ChainId::ALL.map(all).to_vec());
        self.sync();
    }

    /// Forgets a suffix of what was not synced.
    pub fn lose_power(&mut self, random: &mut Random) {
        let kept = random.below(self.unsynced.len() as u64 + 1) as usize;
        self.unsynced.truncate(kept);
        self.sync();
        self.current = self.synced.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adnet_common::store::ReadStore;

    #[test]
    fn power_takes_a_suffix_of_what_was_not_synced() {
        let put = |key: u8| vec![Write::put(Family::AlphaConsensus, [key], [key])];
        for seed in 0..50 {
            let mut disk = Disk::default();
            disk.append(put(0));
            disk.sync();
            (1..5).for_each(|key| disk.append(put(key)));
            disk.lose_power(&mut Random::new(seed));
            let has = |key: u8| {
                let value = disk.current().get(Family::AlphaConsensus, &[key]);
                value.expect("memory does not fail").is_some()
            };
            assert!(has(0));
            assert!((1..4).all(|key| has(key) || !has(key + 1)));
        }
    }
}
