//! The genesis: everything that all nodes of one network must agree on before the first block.
//!
//! It is a readable JSON file (`genesis.json`). Its identity is `Genesis::hash`, a digest over a
//! canonical binary encoding, so neither white space nor key order of the file matters. A `Genesis`
//! that came through `Genesis::load` or `Genesis::dev` is valid; one that was put together by hand
//! is after `validate` returned no problem.

mod dev;
mod digest;
mod file;
mod validate;

use serde::{Deserialize, Serialize};

use crate::consensus::{ValidatorSet, ValidatorSetError};
use crate::keys::{AlphaAddress, EvmAddress, PublicKey};

pub use dev::{
    DEV_ACCOUNTS, DEV_DELTA_CHAIN_ID, DEV_NETWORK_ID, DEV_NETWORK_NAME, dev_alpha_seed,
    dev_delta_secret, dev_governor_seed,
};
pub use file::{GENESIS_FILE_NAME, GENESIS_MAX_BYTES, GenesisError};
pub use validate::GenesisProblem;

/// The only version of the genesis format that this release reads and writes.
pub const GENESIS_VERSION: u32 = 3;

/// AX units of one whole AX (four decimals).
pub const UNITS_PER_AX: u64 = 10_000;

/// Wei of one sAX unit on Delta: 10^14, so that one whole sAX shows as 1.0 in every wallet.
pub const WEI_PER_UNIT: u128 = 100_000_000_000_000;

/// All DX there is, in units of 10^-4 DX: 10^9 whole ones.
pub const DX_SUPPLY_UNITS: u64 = 1_000_000_000 * 10_000;

/// The founding document of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// `GENESIS_VERSION`.
    pub version: u32,
    /// Lower-case letters, digits and dashes; part of the ALPN of peers.
    pub network_name: String,
    /// Part of everything that is signed, so that a signature is worth nothing on another network.
    pub network_id: u32,
    /// Unix time of both chains' schedules: block h is due at this time + h × interval.
    pub genesis_time_ms: u64,
    /// The validators of both chains, in an order that does not matter.
    pub validators: Vec<GenesisValidator>,
    pub alpha: AlphaGenesis,
    pub delta: DeltaGenesis,
    pub attestation: AttestationGenesis,
}

/// One validator: the same key signs on both chains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisValidator {
    pub name: String,
    pub public_key: PublicKey,
    /// Voting power, at least 1.
    pub power: u64,
}

/// Parameters and first accounts of Alpha.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlphaGenesis {
    pub block_interval_ms: u64,
    /// An outage longer than this moves the schedule to the present instead of catching up.
    pub max_lag_ms: u64,
    /// Bytes of an encoded block body, at most.
    pub max_block_bytes: u64,
    pub max_block_txs: u32,
    /// Fee of a transaction: base + bytes × per byte + shielded actions × per action, in AX units.
    pub fee_base_units: u64,
    pub fee_per_byte_units: u64,
    pub fee_per_action_units: u64,
    /// A transaction's expiry height is at most this far ahead of the block it lands in.
    pub expiry_window_blocks: u64,
    /// Who may mint.
    pub governors: Governors,
    /// Public accounts that exist before the first block.
    pub accounts: Vec<AlphaGenesisAccount>,
}

/// k of n ed25519 keys that together order a mint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Governors {
    pub threshold: u32,
    pub keys: Vec<PublicKey>,
}

/// A public account of Alpha at genesis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlphaGenesisAccount {
    pub address: AlphaAddress,
    pub balance_units: u64,
}

/// Parameters and first accounts of Delta.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeltaGenesis {
    pub block_interval_ms: u64,
    /// An outage longer than this moves the schedule to the present instead of catching up.
    pub max_lag_ms: u64,
    /// Bytes of an encoded block body, at most.
    pub max_block_bytes: u64,
    /// The chain id of EIP-155.
    pub chain_id: u64,
    pub block_gas_limit: u64,
    /// The most gas that one transaction may ask for.
    pub tx_gas_limit: u64,
    pub base_fee_initial_wei: u64,
    /// EIP-1559's denominator: the base fee moves by at most 1 / this per block.
    pub base_fee_change_denominator: u64,
    pub min_base_fee_wei: u64,
    /// sAX accounts that exist before the first block, each unit backed by one locked on Alpha.
    pub accounts: Vec<DeltaGenesisAccount>,
    /// Whether people may send DX to each other. Where they may not, it moves by trade and stake.
    pub dx_transferable: bool,
    /// Who has the DX: `DX_SUPPLY_UNITS` together.
    pub dx_accounts: Vec<DeltaGenesisAccount>,
}

/// An account of Delta at genesis. Its balance in wei (of DX: in 10^-18 DX) is `balance_units ×
/// WEI_PER_UNIT`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeltaGenesisAccount {
    pub address: EvmAddress,
    pub balance_units: u64,
}

/// How attestations enter blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestationGenesis {
    /// Attestations of the other chain that one block may consume, at most.
    pub max_per_block: u32,
}

/// AX at genesis, in units. `issued = public + locked`, and `locked` backs Delta's sAX 1:1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenesisSupply {
    /// Sum of the public accounts on Alpha.
    pub public_units: u64,
    /// Units locked on Alpha, equal to the sum of Delta's accounts.
    pub locked_units: u64,
    /// public + locked.
    pub issued_units: u64,
}

impl Genesis {
    /// The supply that both chains start from.
    ///
    /// # Errors
    /// A sum above u64, which `validate` reports as well.
    pub fn supply(&self) -> Result<GenesisSupply, GenesisProblem> {
        validate::supply(self)
    }

    /// The validators of the first height of both chains.
    ///
    /// # Errors
    /// A list that is no validator set, which `validate` reports as well.
    pub fn validator_set(&self) -> Result<ValidatorSet, ValidatorSetError> {
        ValidatorSet::new(self.validators.iter().map(|v| (v.public_key, v.power)))
    }

    /// Sum of all voting power. Valid genesis files keep three times this within u64.
    pub fn total_power(&self) -> u64 {
        self.validators
            .iter()
            .fold(0, |sum: u64, validator| sum.saturating_add(validator.power))
    }
}

#[cfg(test)]
mod tests;
