//! The genesis of a development network: one validator, and accounts whose secrets everybody knows.
//!
//! Nothing here protects value. Delta's accounts are the first three of the mnemonic "test test
//! test test test test test test test test test junk", which anvil and hardhat use as well; Alpha's
//! accounts and governors are ed25519 seeds made by SHA-256 from a sentence. A node never uses this
//! genesis unless it is told to make a development network.

use sha2::{Digest, Sha256};

use crate::keys::{AlphaAddress, EvmAddress, KeyKind, PublicKey, SecretKey};

use super::{
    AlphaGenesis, AlphaGenesisAccount, AttestationGenesis, DX_SUPPLY_UNITS, DeltaGenesis,
    DeltaGenesisAccount, GENESIS_VERSION, Genesis, GenesisValidator, Governors, UNITS_PER_AX,
};

/// The name of every development network.
pub const DEV_NETWORK_NAME: &str = "adnet-dev";

/// The network id of every development network.
pub const DEV_NETWORK_ID: u32 = 4_130;

/// The EIP-155 chain id of Delta on every development network.
pub const DEV_DELTA_CHAIN_ID: u64 = 424_030;

/// Accounts on each chain, and governors.
pub const DEV_ACCOUNTS: usize = 3;

/// Balance of each development account on either chain: one million whole AX or sAX.
const DEV_BALANCE_UNITS: u64 = 1_000_000 * UNITS_PER_AX;

/// All DX, split among Delta's development accounts: 400, 300 and 300 million whole ones.
const DEV_DX_UNITS: [u64; DEV_ACCOUNTS] = [
    DX_SUPPLY_UNITS / 10 * 4,
    DX_SUPPLY_UNITS / 10 * 3,
    DX_SUPPLY_UNITS / 10 * 3,
];

/// Secrets and addresses of m/44'/60'/0'/0/0 to 2 of the well-known mnemonic: public knowledge.
const DELTA_DEV_ACCOUNTS: [(&str, &str); DEV_ACCOUNTS] = [
    (
        "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
        "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266",
    ),
    (
        "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
        "0x70997970c51812dc3a010c7d01b50e0d17dc79c8",
    ),
    (
        "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
        "0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc",
    ),
];

impl Genesis {
    /// The genesis of a new one-validator development network that begins at `now_ms` (Unix time).
    ///
    /// Intervals are the production ones (15 s and 3 s); set `alpha.block_interval_ms` and
    /// `delta.block_interval_ms` for other ones.
    pub fn dev(validator_pubkey: PublicKey, now_ms: u64) -> Genesis {
        Genesis {
            version: GENESIS_VERSION,
            network_name: DEV_NETWORK_NAME.to_owned(),
            network_id: DEV_NETWORK_ID,
            genesis_time_ms: now_ms,
            validators: vec![GenesisValidator {
                name: "dev-validator".to_owned(),
                public_key: validator_pubkey,
                power: 1,
            }],
            alpha: AlphaGenesis {
                block_interval_ms: 15_000,
                max_lag_ms: 60_000,
                max_block_bytes: 4 * 1024 * 1024,
                max_block_txs: 10_000,
                fee_base_units: 100,
                fee_per_byte_units: 1,
                fee_per_action_units: 500,
                expiry_window_blocks: 40,
                governors: Governors {
                    threshold: 2,
                    keys: (0..DEV_ACCOUNTS)
                        .map(|index| public(&dev_governor_seed(index)))
                        .collect(),
                },
                accounts: (0..DEV_ACCOUNTS)
                    .map(|index| AlphaGenesisAccount {
                        address: AlphaAddress::from(public(&dev_alpha_seed(index))),
                        balance_units: DEV_BALANCE_UNITS,
                    })
                    .collect(),
            },
            delta: DeltaGenesis {
                block_interval_ms: 3_000,
                max_lag_ms: 15_000,
                max_block_bytes: 4 * 1024 * 1024,
                chain_id: DEV_DELTA_CHAIN_ID,
                // The costliest code of a block takes less than the time until the next one.
                block_gas_limit: 100_000_000,
                tx_gas_limit: 30_000_000,
                base_fee_initial_wei: 1_000_000_000,
                base_fee_change_denominator: 32,
                min_base_fee_wei: 100_000_000,
                accounts: delta_accounts([DEV_BALANCE_UNITS; DEV_ACCOUNTS]),
                dx_transferable: false,
                dx_accounts: delta_accounts(DEV_DX_UNITS),
            },
            attestation: AttestationGenesis { max_per_block: 256 },
        }
    }

    /// Gives the chains other block intervals than they have, in milliseconds. How far a block may
    /// lag grows with them.
    pub fn set_intervals(&mut self, alpha_ms: Option<u64>, delta_ms: Option<u64>) {
        let (alpha, delta) = (&mut self.alpha, &mut self.delta);
        alpha.block_interval_ms = alpha_ms.unwrap_or(alpha.block_interval_ms);
        delta.block_interval_ms = delta_ms.unwrap_or(delta.block_interval_ms);
        let lag_ms = |interval_ms: u64| interval_ms.saturating_mul(4);
        alpha.max_lag_ms = alpha.max_lag_ms.max(lag_ms(alpha.block_interval_ms));
        delta.max_lag_ms = delta.max_lag_ms.max(lag_ms(delta.block_interval_ms));
    }
}

/// The secret of Alpha's development account `index`: sha256("adnet dev alpha account INDEX").
pub fn dev_alpha_seed(index: usize) -> SecretKey {
    seed_from(&format!("adnet dev alpha account {index}"))
}

/// The secret of governor `index` of a development network: sha256("adnet dev governor INDEX").
pub fn dev_governor_seed(index: usize) -> SecretKey {
    seed_from(&format!("adnet dev governor {index}"))
}

/// The secret of Delta's development account `index`; `None` from `DEV_ACCOUNTS` on.
pub fn dev_delta_secret(index: usize) -> Option<SecretKey> {
    let (secret, _) = DELTA_DEV_ACCOUNTS.get(index)?;
    Some(SecretKey::from_hex(KeyKind::Delta, secret).expect("a constant that a test reads"))
}

fn delta_accounts(balances_units: [u64; DEV_ACCOUNTS]) -> Vec<DeltaGenesisAccount> {
    let accounts = DELTA_DEV_ACCOUNTS.iter().zip(balances_units);
    accounts
        .map(|((_, address), balance_units)| DeltaGenesisAccount {
            address: address
                .parse::<EvmAddress>()
                .expect("a constant that a test reads"),
            balance_units,
        })
        .collect()
}

fn seed_from(sentence: &str) -> SecretKey {
    SecretKey::from_bytes(KeyKind::Alpha, &Sha256::digest(sentence).into())
        .expect("any 32 bytes are an ed25519 seed")
}

fn public(seed: &SecretKey) -> PublicKey {
    seed.ed25519_public()
        .expect("an Alpha key is an ed25519 seed")
}
