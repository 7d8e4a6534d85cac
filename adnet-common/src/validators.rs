//! What the state of a chain says of validators: who decides its next height, who decides the other
//! chain's blocks, and who may never vote again.
//!
//! Delta is the authority. There a proven equivocator is *tombstoned*: its power is gone, and its key
//! is refused in every later set. Alpha follows by attestation, and says when it has. A change is in
//! force at the height after the block that makes it, so blocks are executed before anybody votes
//! with the new set.
//!
//! Invariants: a set is never empty, so of several tombstoned members the one with the highest key
//! stays if nobody else is left (the rule `LAST_VALIDATOR_STAYS`; it goes as soon as a set with
//! somebody else comes). Every change of a chain's set is announced by the last message of the block
//! that makes it. Messages are consumed in order and without gaps, so the other chain's state can
//! skip no change, and never needs the set of a height before the last one that it consumed.

use crate::attestation::Payload;
use crate::codec::{DecodeError, Reader, Writer};
use crate::consensus::{EncodedSet, ValidatorSet};
use crate::keys::PublicKey;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A validator set with the first height that it decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetFrom {
    pub height: u64,
    pub set: Arc<ValidatorSet>,
}

impl SetFrom {
    pub fn new(height: u64, set: ValidatorSet) -> Self {
        let set = Arc::new(set);
        Self { height, set }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(16 + self.set.members().len() * 40);
        w.u64(self.height).raw(&self.set.encode());
        w.finish()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let height = r.u64("first height")?;
        let set = ValidatorSet::decode(r.take("validator set", r.remaining())?)?;
        Ok(Self::new(height, set))
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validators {
    /// Who decides the height after the state's.
    pub own: SetFrom,
    /// Who decides the other chain's heights after the last message of it that was consumed.
    pub sibling: SetFrom,
    /// Keys that are never again in a set, with the height at which this chain learned of it.
    pub tombstones: BTreeMap<PublicKey, u64>,
}

impl Validators {
    /// Both chains begin with the validators of the genesis.
    pub fn genesis(set: ValidatorSet) -> Self {
        let own = SetFrom::new(1, set);
        Self {
            sibling: own.clone(),
            own,
            tombstones: BTreeMap::new(),
        }
    }

    /// On Delta, in the block of `height`: tombstones those of `keys` that are not yet, and makes the
    /// next set `wanted` (or keeps the present one) without anybody who is tombstoned. Returns what
    /// Alpha is to hear, if anything has changed.
    pub fn decree(
        &mut self,
        height: u64,
        wanted: Option<ValidatorSet>,
        keys: &BTreeSet<PublicKey>,
    ) -> Option<Payload> {
        let is_new = |key: &&PublicKey| !self.tombstones.contains_key(key);
        let tombstoned: Vec<PublicKey> = keys.iter().filter(is_new).copied().collect();
        self.tombstones
            .extend(tombstoned.iter().map(|key| (*key, height)));
        let wanted = wanted.as_ref().unwrap_or(&self.own.set);
        let next = without(wanted, &self.tombstones);
        let changed = self.enact(height, next);
        (changed || !tombstoned.is_empty()).then(|| Payload::ValidatorSet {
            set: EncodedSet::of(&self.own.set),
            tombstoned,
        })
    }

    /// On Alpha, in the block of `height`: takes over what Delta has decreed.
    pub fn adopt(&mut self, height: u64, set: ValidatorSet, tombstoned: &[PublicKey]) {
        for key in tombstoned {
            self.tombstones.entry(*key).or_insert(height);
        }
        self.enact(height, set);
    }

    /// The other chain has said that `set` decides its heights after `height`.
    pub fn follow(&mut self, height: u64, set: ValidatorSet) {
        let height = height.checked_add(1).expect("heights stay far below 2^64");
        self.sibling = SetFrom::new(height, set);
    }

    /// Whether the set is another now.
    fn enact(&mut self, height: u64, next: ValidatorSet) -> bool {
        if *self.own.set == next {
            return false;
        }
        let height = height.checked_add(1).expect("heights stay far below 2^64");
        self.own = SetFrom::new(height, next);
        true
    }
}

/// The members of `set` that are not tombstoned; the last of them if all are.
fn without(set: &ValidatorSet, tombstones: &BTreeMap<PublicKey, u64>) -> ValidatorSet {
    let members = || set.members().iter().map(|v| (v.key(), v.power()));
    let left: Vec<_> = members()
        .filter(|(key, _)| !tombstones.contains_key(key))
        .collect();
    let left = match left.is_empty() {
        false => left,
        true => members().next_back().into_iter().collect(),
    };
    ValidatorSet::new(left).expect("some members of a sound set are one")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::tests::bench::test_key;
    use proptest::prelude::*;

    fn key(index: u8) -> PublicKey {
        test_key(index).public
    }

    fn set(list: &[(u8, u64)]) -> ValidatorSet {
        let list = list.iter().map(|(index, power)| (key(*index), *power));
        ValidatorSet::new(list).expect("distinct keys with power")
    }

    fn keys(list: &[u8]) -> BTreeSet<PublicKey> {
        list.iter().map(|index| key(*index)).collect()
    }

    #[test]
    fn a_tombstone_takes_the_power_and_the_same_proof_changes_nothing() {
        let mut validators = Validators::genesis(set(&[(1, 5), (2, 5), (3, 5)]));
        let told = validators.decree(7, None, &keys(&[2]));
        assert_eq!(validators.own, SetFrom::new(8, set(&[(1, 5), (3, 5)])));
        assert_eq!(validators.tombstones, BTreeMap::from([(key(2), 7)]));
        let Some(Payload::ValidatorSet { set, tombstoned }) = told else {
            panic!("the other chain hears of it");
        };
        assert_eq!(set.open().as_ref(), Ok(&*validators.own.set));
        assert_eq!(tombstoned, [key(2)]);
        let before = validators.clone();
        assert_eq!(validators.decree(9, None, &keys(&[2])), None);
        assert_eq!(validators, before);
    }

    #[test]
    fn a_tombstoned_key_is_in_no_later_set() {
        let mut validators = Validators::genesis(set(&[(1, 1), (2, 1)]));
        validators.decree(3, None, &keys(&[1]));
        let wanted = set(&[(1, 100), (2, 3), (4, 2)]);
        assert!(validators.decree(10, Some(wanted), &keys(&[])).is_some());
        assert_eq!(*validators.own.set, set(&[(2, 3), (4, 2)]));
        assert_eq!(validators.own.height, 11);
    }

    #[test]
    fn a_stranger_may_be_tombstoned_before_it_is_a_validator() {
        let mut validators = Validators::genesis(set(&[(1, 1), (2, 1)]));
        assert!(validators.decree(3, None, &keys(&[9])).is_some());
        assert_eq!(validators.own, SetFrom::new(1, set(&[(1, 1), (2, 1)])));
        validators.decree(4, Some(set(&[(1, 1), (9, 1)])), &keys(&[]));
        assert_eq!(*validators.own.set, set(&[(1, 1)]));
    }

    #[test]
    fn the_last_validator_stays_until_there_is_another() {
        let mut validators = Validators::genesis(set(&[(1, 1), (2, 1)]));
        let highest = key(1).max(key(2));
        validators.decree(3, None, &keys(&[1, 2]));
        let last = validators.own.set.members();
        assert_eq!((last.len(), last[0].key()), (1, highest));
        assert_eq!(validators.tombstones.len(), 2);
        assert_eq!(validators.decree(4, None, &keys(&[1, 2])), None);
        validators.decree(5, Some(set(&[(1, 1), (2, 1), (3, 1)])), &keys(&[]));
        assert_eq!(*validators.own.set, set(&[(3, 1)]));
    }

    #[test]
    fn a_set_round_trips_and_wrong_bytes_are_refused() {
        let from = SetFrom::new(77, set(&[(1, 2), (3, 4)]));
        let bytes = from.encode();
        assert_eq!(SetFrom::decode(&bytes), Ok(from));
        for cut in 0..bytes.len() {
            assert!(SetFrom::decode(&bytes[..cut]).is_err());
        }
        assert!(SetFrom::decode(&[&bytes[..], &[0]].concat()).is_err());
    }

    proptest! {
        /// Whatever Delta decrees, Alpha comes to the same set and tombstones by the messages alone.
        #[test]
        fn alpha_ends_where_delta_is(decrees in proptest::collection::vec(
            (proptest::option::of(proptest::collection::btree_map(0u8..12, 1u64..9, 1..6)),
             proptest::collection::btree_set(0u8..12, 0..4)), 0..12))
        {
            let genesis = Validators::genesis(set(&[(0, 1), (1, 2), (2, 3)]));
            let (mut delta, mut alpha) = (genesis.clone(), genesis);
            for (height, (wanted, guilty)) in (1u64..).zip(decrees) {
                let wanted = wanted.map(|list| set(&list.into_iter().collect::<Vec<_>>()));
                let guilty: Vec<u8> = guilty.into_iter().collect();
                let before = delta.clone();
                match delta.decree(height, wanted, &keys(&guilty)) {
                    Some(Payload::ValidatorSet { set, tombstoned }) => {
                        let set = set.open().expect("a sound set");
                        alpha.adopt(height * 10, set.clone(), &tombstoned);
                        alpha.follow(height, set);
                    }
                    Some(other) => panic!("{other:?}"),
                    None => prop_assert_eq!(&delta, &before),
                }
                prop_assert_eq!(&alpha.own.set, &delta.own.set);
                prop_assert!(alpha.tombstones.keys().eq(delta.tombstones.keys()));
                let members = delta.own.set.members();
                let condemned = members.iter().filter(|v| delta.tombstones.contains_key(&v.key()));
                prop_assert!(condemned.count() == 0 || members.len() == 1);
            }
        }
    }
}
