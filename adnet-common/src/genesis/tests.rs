//! The genesis as operators and other nodes meet it: identity, files, and every rule of validity.

use std::fs;

use crate::keys::{AlphaAddress, KeyKind, PublicKey, SecretKey};

use super::*;

const NOW_MS: u64 = 1_800_000_000_000;

fn dev() -> Genesis {
    let validator = dev_governor_seed(9).ed25519_public().expect("ed25519");
    Genesis::dev(validator, NOW_MS)
}

/// The fields that `validate` complains about after `change`.
fn fields_after(change: impl FnOnce(&mut Genesis)) -> Vec<String> {
    let mut genesis = dev();
    change(&mut genesis);
    genesis
        .validate()
        .into_iter()
        .map(|problem| problem.field)
        .collect()
}

#[test]
fn the_development_genesis_is_valid_and_backs_every_sax() {
    let genesis = dev();
    assert_eq!(genesis.validate(), []);
    let supply = genesis.supply().expect("small sums");
    assert_eq!(
        supply.issued_units,
        supply.public_units + supply.locked_units
    );
    assert_eq!(supply.locked_units, 3_000_000 * UNITS_PER_AX);
    assert_eq!(
        (
            genesis.alpha.block_interval_ms,
            genesis.delta.block_interval_ms
        ),
        (15_000, 3_000)
    );
    for index in 0..DEV_ACCOUNTS {
        let owner = dev_alpha_seed(index).ed25519_public().expect("ed25519");
        assert_eq!(
            genesis.alpha.accounts[index].address,
            AlphaAddress::from(owner)
        );
        assert_eq!(
            dev_delta_secret(index).expect("exists").kind(),
            KeyKind::Delta
        );
    }
    assert!(dev_delta_secret(DEV_ACCOUNTS).is_none());
}

#[test]
fn the_hash_is_frozen() {
    // Another value here means another canonical form, so every existing network would split. (Or
    // only other development parameters: then the new value is right.)
    assert_eq!(
        dev().hash().to_string(),
        "f777653912177713f7841b833a38d6995697b8eeb1a26fa2ab4e4ec79dd21f34"
    );
}

#[test]
fn the_hash_ignores_the_order_of_lists_and_sees_every_field() {
    let mut shuffled = dev();
    shuffled.alpha.accounts.reverse();
    shuffled.alpha.governors.keys.reverse();
    shuffled.delta.accounts.reverse();
    shuffled.delta.dx_accounts.reverse();
    assert_eq!(shuffled.hash(), dev().hash());

    // Change each number, text and list of the JSON form in turn: every change must move the hash.
    let original = serde_json::to_value(dev()).expect("serialises");
    let mut changed_leaves = 0;
    for path in leaf_paths(&original, String::new()) {
        let mut changed = original.clone();
        let leaf = changed
            .pointer_mut(&path)
            .expect("the path came from this value");
        *leaf = match leaf {
            serde_json::Value::Number(number) => (number.as_u64().expect("u64") + 1).into(),
            serde_json::Value::String(text) => other_text(text).into(),
            serde_json::Value::Bool(flag) => (!*flag).into(),
            other => panic!("the genesis holds numbers, texts and flags, not {other}"),
        };
        let genesis: Genesis = serde_json::from_value(changed).expect("still well-formed");
        assert_ne!(genesis.hash(), dev().hash(), "{path} is not in the hash");
        changed_leaves += 1;
    }
    assert!(changed_leaves > 30, "{changed_leaves}");
}

fn leaf_paths(value: &serde_json::Value, path: String) -> Vec<String> {
    match value {
        serde_json::Value::Object(fields) => fields
            .iter()
            .flat_map(|(key, value)| leaf_paths(value, format!("{path}/{key}")))
            .collect(),
        serde_json::Value::Array(items) => items
            .iter()
            .enumerate()
            .flat_map(|(index, value)| leaf_paths(value, format!("{path}/{index}")))
            .collect(),
        _ => vec![path],
    }
}

/// Another text of the same kind: an address, a key, or a name.
fn other_text(text: &str) -> String {
    if text.starts_with("ax1") {
        AlphaAddress([0x42; 32]).to_string()
    } else if let Some(digits) = text.strip_prefix("0x") {
        format!("0x{}", "9".repeat(digits.len()))
    } else if text.len() == 64 {
        "9".repeat(64)
    } else {
        format!("{text}x")
    }
}

#[test]
fn a_file_round_trips_is_never_replaced_and_unknown_fields_are_refused() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join(GENESIS_FILE_NAME);
    dev().create_file(&path).expect("written");
    assert_eq!(Genesis::load(&path).expect("reads back"), dev());
    assert!(matches!(
        dev().create_file(&path),
        Err(GenesisError::Io { .. })
    ));
    assert_eq!(
        fs::read_dir(dir.path()).expect("lists").count(),
        1,
        "no temporary file stays"
    );

    let text = fs::read_to_string(&path).expect("reads");
    fs::write(&path, text.replacen("\"version\"", "\"verzion\"", 1)).expect("written");
    let error = Genesis::load(&path).expect_err("unknown field").to_string();
    assert!(
        error.contains("verzion") && error.contains("line 2"),
        "{error}"
    );
}

#[test]
fn an_oversized_file_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join(GENESIS_FILE_NAME);
    // A sparse file: the bound must hold without reading all of it.
    fs::File::create(&path)
        .and_then(|file| file.set_len(1 << 40))
        .expect("sparse file");
    assert!(matches!(
        Genesis::load(&path),
        Err(GenesisError::TooLarge { .. })
    ));
}

#[test]
fn an_invalid_file_lists_every_problem_at_once() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join(GENESIS_FILE_NAME);
    let mut genesis = dev();
    genesis.version = 7;
    genesis.validators[0].power = 0;
    genesis.alpha.governors.threshold = 4;
    genesis.create_file(&path).expect("written");
    let error = Genesis::load(&path).expect_err("invalid").to_string();
    for part in [
        "version: 7",
        "validators[0].power",
        "alpha.governors.threshold: 4",
    ] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn each_rule_names_its_field() {
    assert_eq!(
        fields_after(|g| g.network_name = "Bad Name".into()),
        ["network_name"]
    );
    assert_eq!(fields_after(|g| g.network_id = 0), ["network_id"]);
    assert_eq!(
        fields_after(|g| g.genesis_time_ms = 1_800_000_000),
        ["genesis_time_ms"]
    );
    assert_eq!(fields_after(|g| g.validators.clear()), ["validators"]);
    assert_eq!(
        fields_after(|g| g.validators[0].name.clear()),
        ["validators[0].name"]
    );
    assert_eq!(
        fields_after(|g| g.validators[0].power = u64::MAX / 2),
        ["validators"]
    );
    assert_eq!(
        fields_after(|g| g.validators.push(g.validators[0].clone())),
        ["validators[1].public_key"]
    );
    let off_curve = PublicKey([2; 32]);
    assert!(!off_curve.is_on_curve());
    assert_eq!(
        fields_after(|g| g.validators[0].public_key = off_curve),
        ["validators[0].public_key"]
    );
    assert_eq!(
        fields_after(|g| g.alpha.block_interval_ms = 0),
        ["alpha.block_interval_ms"]
    );
    assert_eq!(
        fields_after(|g| g.alpha.max_lag_ms = 1),
        ["alpha.max_lag_ms"]
    );
    assert_eq!(
        fields_after(|g| g.alpha.max_block_bytes = 1),
        ["alpha.max_block_bytes"]
    );
    assert_eq!(
        fields_after(|g| g.alpha.max_block_txs = 0),
        ["alpha.max_block_txs"]
    );
    assert_eq!(
        fields_after(|g| g.alpha.expiry_window_blocks = 0),
        ["alpha.expiry_window_blocks"]
    );
    assert_eq!(
        fields_after(|g| g.alpha.governors.threshold = 0),
        ["alpha.governors.threshold"]
    );
    assert_eq!(
        fields_after(|g| g.alpha.governors.keys[1] = g.alpha.governors.keys[0]),
        ["alpha.governors.keys[1]"]
    );
    assert_eq!(
        fields_after(|g| g.alpha.accounts.push(g.alpha.accounts[0].clone())),
        ["alpha.accounts[3].address"]
    );
    assert_eq!(fields_after(|g| g.delta.chain_id = 0), ["delta.chain_id"]);
    assert_eq!(
        fields_after(|g| g.delta.block_gas_limit = 1_600_000_001),
        ["delta.block_gas_limit"]
    );
    assert!(fields_after(|g| g.delta.block_gas_limit = 1_600_000_000).is_empty());
    let tx_gas_limit = |gas| {
        fields_after(|g| {
            g.delta.block_gas_limit = 1_600_000_000;
            g.delta.tx_gas_limit = gas;
        })
    };
    assert_eq!(tx_gas_limit(300_000_001), ["delta.tx_gas_limit"]);
    assert!(tx_gas_limit(300_000_000).is_empty());
    assert_eq!(
        fields_after(|g| {
            g.delta.block_gas_limit = 200_000_000;
            g.delta.tx_gas_limit = 200_000_001;
        }),
        ["delta.tx_gas_limit"]
    );
    assert_eq!(
        fields_after(|g| g.delta.base_fee_change_denominator = 0),
        ["delta.base_fee_change_denominator"]
    );
    assert_eq!(
        fields_after(|g| g.delta.base_fee_initial_wei = g.delta.min_base_fee_wei - 1),
        ["delta.base_fee_initial_wei"]
    );
    assert_eq!(
        fields_after(|g| g.delta.accounts.push(g.delta.accounts[0].clone())),
        ["delta.accounts[3].address"]
    );
    let twice = |g: &mut Genesis| {
        let mut again = g.delta.dx_accounts[0].clone();
        again.balance_units = 0;
        g.delta.dx_accounts.push(again);
    };
    assert_eq!(fields_after(twice), ["delta.dx_accounts[3].address"]);
    assert_eq!(
        fields_after(|g| g.delta.dx_accounts[0].balance_units -= 1),
        ["delta.dx_accounts"]
    );
    assert_eq!(
        fields_after(|g| g.delta.dx_accounts[0].balance_units = u64::MAX),
        ["delta.dx_accounts"]
    );
    assert_eq!(
        fields_after(|g| g.attestation.max_per_block = 0),
        ["attestation.max_per_block"]
    );
}

#[test]
fn sums_that_overflow_are_problems_not_panics() {
    assert_eq!(
        fields_after(|g| g.alpha.accounts[0].balance_units = u64::MAX),
        ["alpha.accounts"]
    );
    assert_eq!(
        fields_after(|g| g.delta.accounts[0].balance_units = u64::MAX),
        ["delta.accounts"]
    );
    let both = fields_after(|g| {
        g.alpha.accounts.truncate(1);
        g.alpha.accounts[0].balance_units = u64::MAX;
        g.delta.accounts.truncate(1);
        g.delta.accounts[0].balance_units = 1;
    });
    assert_eq!(both, ["alpha.accounts and delta.accounts together"]);
}

#[test]
fn a_validator_key_file_gives_the_key_that_the_genesis_names() {
    let key = SecretKey::random(KeyKind::Validator);
    let genesis = Genesis::dev(key.ed25519_public().expect("ed25519"), NOW_MS);
    assert_eq!(Some(genesis.validators[0].public_key), key.ed25519_public());
}
