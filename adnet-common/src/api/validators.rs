//! The validators of a chain, as its API shows them.

use crate::hash::Hash;
use crate::keys::PublicKey;
use crate::validators::Validators;
use serde::Serialize;

/// Who decides the next height, and who never will again.
#[derive(Debug, Serialize)]
pub struct ValidatorsBody {
    /// The last committed height, whose state says so.
    height: u64,
    /// The first height that this set decides.
    from_height: u64,
    /// As headers name the set.
    hash: Hash,
    total_power: u64,
    validators: Vec<ValidatorBody>,
    tombstones: Vec<TombstoneBody>,
}

#[derive(Debug, Serialize)]
struct ValidatorBody {
    public_key: PublicKey,
    power: u64,
}

/// A validator that was proved to have signed twice.
#[derive(Debug, Serialize)]
struct TombstoneBody {
    public_key: PublicKey,
    /// Of this chain's block that tombstoned it.
    height: u64,
}

impl ValidatorsBody {
    /// What the state at `height` says.
    pub fn new(height: u64, validators: &Validators) -> Self {
        let own = &validators.own;
        let members = own.set.members().iter();
        let tombstones = validators.tombstones.iter();
        Self {
            height,
            from_height: own.height,
            hash: own.set.validators_hash(),
            total_power: own.set.total_power(),
            validators: members
                .map(|v| ValidatorBody {
                    public_key: v.key(),
                    power: v.power(),
                })
                .collect(),
            tombstones: tombstones
                .map(|(key, height)| TombstoneBody {
                    public_key: *key,
                    height: *height,
                })
                .collect(),
        }
    }
}
