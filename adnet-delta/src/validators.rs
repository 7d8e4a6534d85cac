//! The validators in Delta's state: slots of a system account, so that each of them can be proved.
//!
//! Three lists lie in the storage of [`VALIDATORS_ADDRESS`], each at a base of its own (the second 64
//! bits of the slot's number): the set of the next height, Alpha's set as far as consumed messages
//! tell, and the tombstones.
//!
//! | slot of a set | value |
//! | --- | --- |
//! | 0 | the hash by which headers name the set |
//! | 1 | first height that it decides (times 2^64), number of members |
//! | 2 + 2i, 3 + 2i | key and power of a member, in order of keys |
//!
//! | slot of the tombstones | value |
//! | --- | --- |
//! | 0 | how many there are |
//! | 1 + 2i, 2 + 2i | key, and the height of the block that tombstoned it, in the order of events |

use crate::attest::ATTEST_ADDRESS;
use crate::state::WorldState;
use adnet_common::attestation::Payload;
use adnet_common::consensus::{VALIDATORS_MAX, ValidatorSet};
use adnet_common::keys::PublicKey;
use adnet_common::store::Write;
use adnet_common::validators::{SetFrom, Validators};
use alloy_primitives::{Address, U256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The system account whose storage holds the validators.
pub const VALIDATORS_ADDRESS: Address = {
    let mut address = ATTEST_ADDRESS.0.0;
    address[19] = 0x03;
    Address::new(address)
};

const OWN: u64 = 0;
const SIBLING: u64 = 1;
const TOMBSTONES: u64 = 2;

fn slot(base: u64, index: u64) -> U256 {
    U256::from_limbs([index, base, 0, 0])
}

/// What is stored is no description of validators.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the validators in the state are corrupt: {0}")]
pub struct CorruptValidators(String);

/// Reads what [`write()`] wrote.
pub fn read(state: &WorldState) -> Result<Validators, CorruptValidators> {
    Ok(Validators {
        own: read_set(state, OWN)?,
        sibling: read_set(state, SIBLING)?,
        tombstones: read_tombstones(state)?,
    })
}

fn word(state: &WorldState, base: u64, index: u64) -> U256 {
    state.storage(&VALIDATORS_ADDRESS, &slot(base, index))
}

fn number(word: U256, what: &str) -> Result<u64, CorruptValidators> {
    u64::try_from(word).map_err(|_| CorruptValidators(format!("{what} has more than 64 bits")))
}

fn key(word: U256) -> PublicKey {
    PublicKey(word.to_be_bytes())
}

fn read_set(state: &WorldState, base: u64) -> Result<SetFrom, CorruptValidators> {
    let [count, height, ..] = word(state, base, 1).into_limbs();
    if count > VALIDATORS_MAX as u64 {
        return Err(CorruptValidators(format!("a set of {count} members")));
    }
    let mut list = Vec::with_capacity(VALIDATORS_MAX.min(count as usize));
    for member in 0..count {
        let member_key = key(word(state, base, 2 + 2 * member));
        let power = number(word(state, base, 3 + 2 * member), "a voting power")?;
        list.push((member_key, power));
    }
    let set = ValidatorSet::new(list).map_err(|e| CorruptValidators(e.to_string()))?;
    if word(state, base, 0) != U256::from_be_bytes(set.validators_hash().0) {
        return Err(CorruptValidators("a set has another hash".into()));
    }
    Ok(SetFrom::new(height, set))
}

fn read_tombstones(state: &WorldState) -> Result<BTreeMap<PublicKey, u64>, CorruptValidators> {
    let count = number(word(state, TOMBSTONES, 0), "the number of tombstones")?;
    let mut tombstones = BTreeMap::new();
    for index in 0..count {
        let height = number(word(state, TOMBSTONES, 2 + 2 * index), "a height")?;
        if height == 0 {
            return Err(CorruptValidators("a tombstone is missing".into()));
        }
        tombstones.insert(key(word(state, TOMBSTONES, 1 + 2 * index)), height);
    }
    Ok(tombstones)
}

/// Writes what differs between `before` (nothing, in the genesis) and `after`.
pub fn write(
    state: &mut WorldState,
    before: Option<&Validators>,
    after: &Validators,
    writes: &mut Vec<Write>,
) {
    let mut set_slot = |base, index, value| {
        let slot = slot(base, index);
        if state.storage(&VALIDATORS_ADDRESS, &slot) != value {
            state.set_slot(&VALIDATORS_ADDRESS, slot, value, writes);
        }
    };
    let sets = [
        (OWN, before.map(|v| &v.own), &after.own),
        (SIBLING, before.map(|v| &v.sibling), &after.sibling),
    ];
    for (base, before, after) in sets {
        if before == Some(after) {
            continue;
        }
        let members = after.set.members();
        let count = members.len() as u64;
        let hash = after.set.validators_hash();
        set_slot(base, 0, U256::from_be_bytes(hash.0));
        set_slot(base, 1, U256::from_limbs([count, after.height, 0, 0]));
        for (index, member) in (0u64..).zip(members) {
            let key = U256::from_be_bytes(member.key().0);
            set_slot(base, 2 + 2 * index, key);
            set_slot(base, 3 + 2 * index, U256::from(member.power()));
        }
        let had = before.map_or(0, |before| before.set.members().len() as u64);
        for index in count..had.max(count) {
            set_slot(base, 2 + 2 * index, U256::ZERO);
            set_slot(base, 3 + 2 * index, U256::ZERO);
        }
    }
    let none = BTreeMap::new();
    let known = before.map_or(&none, |before| &before.tombstones);
    let new = after.tombstones.iter();
    let new = new.filter(|(key, _)| !known.contains_key(key));
    for (index, (key, height)) in (known.len() as u64..).zip(new) {
        set_slot(TOMBSTONES, 1 + 2 * index, U256::from_be_bytes(key.0));
        set_slot(TOMBSTONES, 2 + 2 * index, U256::from(*height));
    }
    let count = after.tombstones.len();
    set_slot(TOMBSTONES, 0, U256::from(count));
}

/// What a block says of validators, while it is executed.
#[derive(Default)]
pub struct Changes {
    /// Proved guilty by evidence here or by a message of Alpha.
    pub guilty: BTreeSet<PublicKey>,
    /// Alpha's set, and the height of Alpha's block that made it.
    pub followed: Option<(u64, ValidatorSet)>,
}

impl Changes {
    /// The validators after the block of `height`, and what Alpha is to hear of it.
    pub fn apply(
        self,
        height: u64,
        parent: &Arc<Validators>,
    ) -> (Arc<Validators>, Option<Payload>) {
        if self.guilty.is_empty() && self.followed.is_none() {
            return (Arc::clone(parent), None);
        }
        let mut validators = Validators::clone(parent);
        if let Some((height, set)) = self.followed {
            validators.follow(height, set);
        }
        let told = validators.decree(height, None, &self.guilty);
        (Arc::new(validators), told)
    }
}
