//! Who proposes in a round: a pure function of the validator set and `turn = height + round`.
//!
//! With equal powers the turns go round robin, in the order of the keys. With unequal powers the
//! turn is spread over the cumulative powers by the golden-ratio (Weyl) sequence
//! `x = turn · ⌊2^64 / φ⌋ mod 2^64`, the most even of all sequences of this form (H. Weyl 1916;
//! Knuth, TAOCP 3, 6.4): over any run of N turns a validator with the share p of the power
//! proposes p·N times, give or take a number that grows with log N. Neighbouring turns lie 0.38 of
//! the circle apart, so nobody with less power than that proposes twice running, and a round that
//! fails for its proposer goes on to another one.
//!
//! Nothing is accumulated from height to height, so a replay, a light client and a node that
//! joins late compute the same proposer from the set alone. The order is known beforehand, as with
//! every round robin.

use super::validators::{Validator, ValidatorSet};

/// ⌊2^64 / φ⌋, odd, so that the sequence runs through all 64-bit numbers.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl ValidatorSet {
    /// The proposer of a round.
    pub fn proposer(&self, height: u64, round: u32) -> &Validator {
        let members = self.members();
        let turn = height.wrapping_add(u64::from(round));
        if members
            .windows(2)
            .all(|pair| pair[0].power() == pair[1].power())
        {
            let index = turn % members.len() as u64;
            return &members[index as usize];
        }
        let point = turn.wrapping_mul(GOLDEN);
        // Scales the point from 2^64 to the total power: the product is below total · 2^64.
        let mut target = (u128::from(point) * u128::from(self.total_power())) >> 64;
        for member in members {
            match target.checked_sub(u128::from(member.power())) {
                None => return member,
                Some(rest) => target = rest,
            }
        }
        unreachable!("the target is below the sum of all powers")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::tests::bench::test_key;
    use crate::keys::PublicKey;
    use std::collections::BTreeMap;

    fn set(powers: &[u64]) -> ValidatorSet {
        let list = powers.iter().enumerate();
        let list = list.map(|(i, power)| (test_key(i as u8).public, *power));
        ValidatorSet::new(list).expect("a sound set")
    }

    fn turns(set: &ValidatorSet, count: u64) -> Vec<PublicKey> {
        (1..=count).map(|h| set.proposer(h, 0).key()).collect()
    }

    #[test]
    fn equal_powers_go_round_robin_over_heights_and_rounds() {
        let set = set(&[7; 5]);
        for (i, window) in turns(&set, 40).windows(5).enumerate() {
            let mut keys = window.to_vec();
            keys.sort();
            keys.dedup();
            assert_eq!(keys.len(), 5, "turn {i}");
        }
        assert_eq!(set.proposer(3, 1).key(), set.proposer(4, 0).key());
    }

    #[test]
    fn shares_follow_powers_in_every_window() {
        let powers = [1, 2, 3, 10, 84];
        let set = set(&powers);
        let turns = turns(&set, 5_000);
        for window in [100, 1_000, 5_000] {
            for part in turns.chunks(window) {
                let mut counts: BTreeMap<_, u64> = BTreeMap::new();
                part.iter()
                    .for_each(|key| *counts.entry(*key).or_default() += 1);
                for member in set.members() {
                    let had = counts.get(&member.key()).copied().unwrap_or(0) as i64;
                    let due = (member.power() * window as u64 / set.total_power()) as i64;
                    assert!(
                        (had - due).abs() <= 5,
                        "{} had {had} of {due}",
                        member.power()
                    );
                }
            }
        }
    }

    #[test]
    fn nobody_below_a_third_proposes_twice_running() {
        let set = set(&[30, 25, 20, 15, 10, 1]);
        assert!(turns(&set, 5_000).windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn the_largest_powers_do_not_overflow() {
        let set = set(&[u64::MAX / 3 - 1, 1]);
        for height in [0, 1, u64::MAX / 2, u64::MAX] {
            set.proposer(height, u32::MAX);
        }
    }
}
