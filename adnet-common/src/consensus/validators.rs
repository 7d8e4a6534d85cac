//! Validator sets: who votes on a height, and with what weight.
//!
//! Invariants: 1 to 256 members, distinct keys on the curve, powers of at least 1, and three times
//! the total power fits 64 bits (the core multiplies by three and would panic). Members are sorted
//! by key, so every node sees the same order.

use super::context::Ctx;
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::Hash;
use crate::keys::PublicKey;
use arc_malachitebft_core_types as core;
use arc_malachitebft_signing_ed25519::PublicKey as DecodedKey;

/// Members of a set at most. Also bounds the signatures of every certificate.
pub const VALIDATORS_MAX: usize = 256;

/// A member of a validator set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validator {
    key: PublicKey,
    power: u64,
    decoded: DecodedKey,
}

impl Validator {
    pub fn key(&self) -> PublicKey {
        self.key
    }

    /// Voting power, at least 1.
    pub fn power(&self) -> u64 {
        self.power
    }

    pub(super) fn decoded(&self) -> &ed25519_consensus::VerificationKey {
        self.decoded.inner()
    }
}

/// Why a list of keys and powers is no validator set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValidatorSetError {
    #[error("a validator set has at least one member")]
    Empty,
    #[error("a validator set has at most 256 members, not {0}")]
    TooMany(usize),
    #[error("validator {0} is listed twice")]
    Duplicate(PublicKey),
    #[error("validator {0} has no voting power")]
    NoPower(PublicKey),
    #[error("{0} is not a point on the curve")]
    BadKey(PublicKey),
    #[error("three times the total voting power exceeds 64 bits")]
    PowerOverflow,
}

/// The validators of a height, sorted by key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatorSet {
    members: Vec<Validator>,
    total_power: u64,
}

impl ValidatorSet {
    /// Builds a set from keys and voting powers in any order.
    pub fn new(
        list: impl IntoIterator<Item = (PublicKey, u64)>,
    ) -> Result<Self, ValidatorSetError> {
        let mut list: Vec<_> = list.into_iter().collect();
        match list.len() {
            0 => return Err(ValidatorSetError::Empty),
            1..=VALIDATORS_MAX => {}
            many => return Err(ValidatorSetError::TooMany(many)),
        }
        list.sort_unstable();
        if let Some(pair) = list.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(ValidatorSetError::Duplicate(pair[0].0));
        }
        let mut members = Vec::with_capacity(list.len());
        let mut total_power = 0u64;
        for (key, power) in list {
            if power == 0 {
                return Err(ValidatorSetError::NoPower(key));
            }
            let sum = total_power.checked_add(power);
            total_power = sum.ok_or(ValidatorSetError::PowerOverflow)?;
            let decoded = DecodedKey::from_bytes(key.0);
            let decoded = decoded.map_err(|_| ValidatorSetError::BadKey(key))?;
            members.push(Validator {
                key,
                power,
                decoded,
            });
        }
        if total_power.checked_mul(3).is_none() {
            return Err(ValidatorSetError::PowerOverflow);
        }
        Ok(Self {
            members,
            total_power,
        })
    }

    /// The members, sorted by key.
    pub fn members(&self) -> &[Validator] {
        &self.members
    }

    pub fn get(&self, key: &PublicKey) -> Option<&Validator> {
        let found = self.members.binary_search_by_key(key, |v| v.key);
        found.ok().map(|i| &self.members[i])
    }

    pub fn contains(&self, key: &PublicKey) -> bool {
        self.get(key).is_some()
    }

    pub fn total_power(&self) -> u64 {
        self.total_power
    }

    /// Whether `power` is more than two thirds of the total.
    pub fn is_quorum(&self, power: u64) -> bool {
        u128::from(power) * 3 > u128::from(self.total_power) * 2
    }

    /// Whether `power` is more than one third of the total.
    pub fn has_honest_member(&self, power: u64) -> bool {
        u128::from(power) * 3 > u128::from(self.total_power)
    }

    /// What a header commits to as the set of the next height.
    pub fn validators_hash(&self) -> Hash {
        Hash::of("adnet/validators/v1", &[&self.encode()])
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(4 + self.members.len() * 40);
        w.list(&self.members, |w, v| {
            w.raw(&v.key.0).u64(v.power);
        });
        w.finish()
    }

    /// Reads what [`Self::encode`] wrote; only the sorted form is accepted.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let list = r.list("validators", VALIDATORS_MAX, |r| {
            Ok((PublicKey(r.array("validator key")?), r.u64("voting power")?))
        })?;
        let sorted = list.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let set = Self::new(list).ok().filter(|_| sorted);
        let set = set.ok_or_else(|| r.invalid("validators", "not a sound, sorted set"))?;
        r.end()?;
        Ok(set)
    }
}

impl core::Validator<Ctx> for Validator {
    fn address(&self) -> &PublicKey {
        &self.key
    }

    fn public_key(&self) -> &DecodedKey {
        &self.decoded
    }

    fn voting_power(&self) -> core::VotingPower {
        self.power
    }
}

impl core::ValidatorSet<Ctx> for ValidatorSet {
    fn count(&self) -> usize {
        self.members.len()
    }

    fn total_voting_power(&self) -> core::VotingPower {
        self.total_power
    }

    fn get_by_address(&self, address: &PublicKey) -> Option<&Validator> {
        self.get(address)
    }

    fn get_by_index(&self, index: usize) -> Option<&Validator> {
        self.members.get(index)
    }
}
