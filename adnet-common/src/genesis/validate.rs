//! What makes a genesis valid. All problems are found in one go, so that a person mends them once.

use std::{collections::BTreeSet, fmt};

use crate::consensus::VALIDATORS_MAX;
use crate::{
    block::{MAX_BODY_BYTES, MAX_INBOX, MAX_TX_BYTES, MAX_TXS},
    keys::PublicKey,
};

use super::{DX_SUPPLY_UNITS, DeltaGenesisAccount, GENESIS_VERSION, Genesis, GenesisSupply};

/// Validators, governors and the like per list, at most: the size of the largest committee that the
/// consensus engine is measured with, with room to grow.
const GOVERNORS_MAX: usize = 100;
const ACCOUNTS_MAX: usize = 200_000;
/// A commit is one message of at most 256 MiB to the database, and gas is what bounds it: a byte of a log
/// costs 8, and nothing that is stored costs less.
const BLOCK_GAS_MAX: u64 = 1_600_000_000;
/// A receipt is read back with at most 2^20 logs, and a log costs 375.
const TX_GAS_MAX: u64 = 300_000_000;

/// One thing that is wrong, with the place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenesisProblem {
    /// The field, as `delta.accounts[3].address`.
    pub field: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl fmt::Display for GenesisProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.problem)
    }
}

/// Collects problems while the checks go on.
#[derive(Default)]
struct Problems(Vec<GenesisProblem>);

impl Problems {
    fn add(&mut self, field: impl Into<String>, problem: impl Into<String>) {
        self.0.push(GenesisProblem {
            field: field.into(),
            problem: problem.into(),
        });
    }

    /// `value` must lie within `range`.
    fn range(&mut self, field: &str, value: u64, range: std::ops::RangeInclusive<u64>) {
        if !range.contains(&value) {
            self.add(
                field,
                format!("{value} is not within {} to {}", range.start(), range.end()),
            );
        }
    }

    /// The same for a range whose reason nobody could guess.
    fn range_because(
        &mut self,
        field: &str,
        value: u64,
        range: std::ops::RangeInclusive<u64>,
        why: &str,
    ) {
        if !range.contains(&value) {
            let (start, end) = range.into_inner();
            self.add(
                field,
                format!("{value} is not within {start} to {end}: {why}"),
            );
        }
    }

    fn count(&mut self, field: &str, count: usize, range: std::ops::RangeInclusive<usize>) {
        if !range.contains(&count) {
            self.add(
                field,
                format!(
                    "{count} entries, expected {} to {}",
                    range.start(),
                    range.end()
                ),
            );
        }
    }

    /// Keys of a list must differ, and each must be a curve point.
    fn keys<'a>(&mut self, list: &str, field: &str, keys: impl Iterator<Item = &'a PublicKey>) {
        let mut seen = BTreeSet::new();
        for (index, key) in keys.enumerate() {
            if !key.is_on_curve() {
                self.add(
                    format!("{list}[{index}]{field}"),
                    format!("{key} is not an ed25519 public key"),
                );
            }
            if !seen.insert(*key) {
                self.add(
                    format!("{list}[{index}]{field}"),
                    format!("{key} is there twice"),
                );
            }
        }
    }
}

impl Genesis {
    /// Every problem of this genesis; empty if it is valid.
    pub fn validate(&self) -> Vec<GenesisProblem> {
        let mut problems = Problems::default();
        network(self, &mut problems);
        validators(self, &mut problems);
        alpha(self, &mut problems);
        delta(self, &mut problems);
        problems.range(
            "attestation.max_per_block",
            self.attestation.max_per_block.into(),
            1..=MAX_INBOX as u64,
        );
        if let Err(problem) = supply(self) {
            problems.0.push(problem);
        }
        problems.0
    }
}

/// Sums both chains' accounts with overflow as a problem.
pub(super) fn supply(genesis: &Genesis) -> Result<GenesisSupply, GenesisProblem> {
    let overflow = |field: &str| GenesisProblem {
        field: field.to_owned(),
        problem: format!("the balances add up to more than {} units", u64::MAX),
    };
    let public_units = sum(genesis
        .alpha
        .accounts
        .iter()
        .map(|account| account.balance_units))
    .ok_or_else(|| overflow("alpha.accounts"))?;
    let locked_units = sum(genesis
        .delta
        .accounts
        .iter()
        .map(|account| account.balance_units))
    .ok_or_else(|| overflow("delta.accounts"))?;
    let issued_units = public_units
        .checked_add(locked_units)
        .ok_or_else(|| overflow("alpha.accounts and delta.accounts together"))?;
    Ok(GenesisSupply {
        public_units,
        locked_units,
        issued_units,
    })
}

fn sum(mut balances: impl Iterator<Item = u64>) -> Option<u64> {
    balances.try_fold(0, u64::checked_add)
}

fn network(genesis: &Genesis, problems: &mut Problems) {
    if genesis.version != GENESIS_VERSION {
        let version = genesis.version;
        problems.add(
            "version",
            format!("{version} is unknown, this release reads {GENESIS_VERSION}"),
        );
    }
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let name = &genesis.network_name;
    if name.is_empty() || name.len() > 32 || !name.bytes().all(plain) {
        problems.add("network_name", "expected 1 to 32 of a-z, 0-9 and -");
    }
    problems.range("network_id", genesis.network_id.into(), 1..=u32::MAX.into());
    // 2020-01-01 to 2120-01-01: a time in seconds or microseconds falls outside.
    problems.range(
        "genesis_time_ms",
        genesis.genesis_time_ms,
        1_577_836_800_000..=4_733_510_400_000,
    );
}

fn validators(genesis: &Genesis, problems: &mut Problems) {
    problems.count("validators", genesis.validators.len(), 1..=VALIDATORS_MAX);
    problems.keys(
        "validators",
        ".public_key",
        genesis.validators.iter().map(|v| &v.public_key),
    );
    for (index, validator) in genesis.validators.iter().enumerate() {
        if validator.power == 0 {
            problems.add(
                format!("validators[{index}].power"),
                "0, expected at least 1",
            );
        }
        let name = &validator.name;
        if name.is_empty() || name.chars().count() > 64 || name.chars().any(char::is_control) {
            problems.add(
                format!("validators[{index}].name"),
                "expected 1 to 64 printable characters",
            );
        }
    }
    // Quorum arithmetic triples the total.
    let total = genesis
        .validators
        .iter()
        .try_fold(0u64, |sum, validator| sum.checked_add(validator.power));
    if total.and_then(|total| total.checked_mul(3)).is_none() {
        problems.add(
            "validators",
            "three times the total power does not fit into 64 bits",
        );
    }
}

fn schedule(
    problems: &mut Problems,
    chain: &str,
    interval_ms: u64,
    max_lag_ms: u64,
    max_block_bytes: u64,
) {
    problems.range(
        &format!("{chain}.block_interval_ms"),
        interval_ms,
        10..=3_600_000,
    );
    let lag_range = interval_ms.min(3_600_000)..=86_400_000;
    problems.range(&format!("{chain}.max_lag_ms"), max_lag_ms, lag_range);
    // A block must have room for the largest transaction, and the codec's bound stands above any genesis.
    let body_range = 2 * MAX_TX_BYTES as u64..=MAX_BODY_BYTES as u64;
    problems.range(
        &format!("{chain}.max_block_bytes"),
        max_block_bytes,
        body_range,
    );
}

fn alpha(genesis: &Genesis, problems: &mut Problems) {
    let alpha = &genesis.alpha;
    schedule(
        problems,
        "alpha",
        alpha.block_interval_ms,
        alpha.max_lag_ms,
        alpha.max_block_bytes,
    );
    problems.range(
        "alpha.max_block_txs",
        alpha.max_block_txs.into(),
        1..=MAX_TXS as u64,
    );
    // A thousand whole AX per transaction and ten per byte: above that it is a slip of the pen.
    problems.range("alpha.fee_base_units", alpha.fee_base_units, 0..=10_000_000);
    problems.range(
        "alpha.fee_per_byte_units",
        alpha.fee_per_byte_units,
        0..=100_000,
    );
    problems.range(
        "alpha.fee_per_action_units",
        alpha.fee_per_action_units,
        0..=10_000_000,
    );
    problems.range(
        "alpha.expiry_window_blocks",
        alpha.expiry_window_blocks,
        1..=10_000,
    );
    let governors = &alpha.governors;
    problems.count(
        "alpha.governors.keys",
        governors.keys.len(),
        1..=GOVERNORS_MAX,
    );
    problems.keys("alpha.governors.keys", "", governors.keys.iter());
    let keys = governors.keys.len().max(1) as u64;
    problems.range(
        "alpha.governors.threshold",
        governors.threshold.into(),
        1..=keys,
    );
    problems.count("alpha.accounts", alpha.accounts.len(), 0..=ACCOUNTS_MAX);
    let owners: Vec<PublicKey> = alpha
        .accounts
        .iter()
        .map(|account| account.address.public_key())
        .collect();
    problems.keys("alpha.accounts", ".address", owners.iter());
}

fn delta(genesis: &Genesis, problems: &mut Problems) {
    let delta = &genesis.delta;
    schedule(
        problems,
        "delta",
        delta.block_interval_ms,
        delta.max_lag_ms,
        delta.max_block_bytes,
    );
    // EIP-2294 bounds chain ids so that wallets can compute with them.
    problems.range("delta.chain_id", delta.chain_id, 1..=(u64::MAX >> 1) - 36);
    problems.range_because(
        "delta.block_gas_limit",
        delta.block_gas_limit,
        1_000_000..=BLOCK_GAS_MAX,
        "a block of logs that uses more gas would be too large to be stored",
    );
    problems.range_because(
        "delta.tx_gas_limit",
        delta.tx_gas_limit,
        21_000..=delta.block_gas_limit.clamp(21_000, TX_GAS_MAX),
        "a block has no more, or the receipt of a transaction that uses more gas may have too many logs to be read back",
    );
    problems.range(
        "delta.base_fee_change_denominator",
        delta.base_fee_change_denominator,
        1..=1_000_000,
    );
    let highest_fee_wei = 1_000_000_000_000_000_000;
    problems.range(
        "delta.min_base_fee_wei",
        delta.min_base_fee_wei,
        0..=highest_fee_wei,
    );
    let initial_range = delta.min_base_fee_wei.min(highest_fee_wei)..=highest_fee_wei;
    problems.range(
        "delta.base_fee_initial_wei",
        delta.base_fee_initial_wei,
        initial_range,
    );
    evm_accounts(problems, "delta.accounts", &delta.accounts);
    evm_accounts(problems, "delta.dx_accounts", &delta.dx_accounts);
    let dx = sum(delta.dx_accounts.iter().map(|owner| owner.balance_units));
    if dx != Some(DX_SUPPLY_UNITS) {
        problems.add(
            "delta.dx_accounts",
            format!("the balances must add up to {DX_SUPPLY_UNITS} units, all DX there is"),
        );
    }
}

fn evm_accounts(problems: &mut Problems, list: &str, accounts: &[DeltaGenesisAccount]) {
    problems.count(list, accounts.len(), 0..=ACCOUNTS_MAX);
    let mut seen = BTreeSet::new();
    for (index, account) in accounts.iter().enumerate() {
        if !seen.insert(account.address) {
            problems.add(
                format!("{list}[{index}].address"),
                format!("{} is there twice", account.address),
            );
        }
    }
}
