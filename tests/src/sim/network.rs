//! Who the simulated networks consist of: the same validators in every run.

use super::simulation::GENESIS_MS;
use adnet_common::genesis::{Genesis, GenesisValidator};
use adnet_common::keys::{KeyKind, PublicKey, SecretKey};

/// The key of a validator.
pub fn validator_key(index: usize) -> SecretKey {
    let seed = [index as u8 + 1; 32];
    SecretKey::from_bytes(KeyKind::Validator, &seed).expect("any seed is a key")
}

pub(super) fn public(key: &SecretKey) -> PublicKey {
    key.ed25519_public().expect("an ed25519 seed")
}

/// The genesis of a network of so many validators.
pub fn genesis(validators: usize) -> Genesis {
    let mut genesis = Genesis::dev(public(&validator_key(0)), GENESIS_MS);
    for index in 1..validators {
        genesis.validators.push(GenesisValidator {
            name: format!("validator-{index}"),
            public_key: public(&validator_key(index)),
            power: 1,
        });
    }
    genesis
}
