//! Making a node: once, twice, by halves, and never over what exists.

use std::{fs, os::unix::fs::PermissionsExt};

use adnet_common::chain_id::ChainId;
use adnet_common::config::{self, Config};
use adnet_common::trusted_block::TrustedBlock;

use super::*;

fn fixture() -> (tempfile::TempDir, NewNode) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let node = NodeConfig {
        data_dir: dir.path().join("data"),
        ..Config::default().node
    };
    (dir, NewNode::in_dir(node))
}

#[test]
fn a_new_node_is_complete_and_private() {
    let (_dir, new) = fixture();
    let report = create(&new).expect("made");
    assert!(
        report
            .parts
            .iter()
            .all(|(_, path, is_new)| *is_new && path.exists())
    );
    let mode = |path: &Path| fs::metadata(path).expect("exists").permissions().mode() & 0o7777;
    assert_eq!(mode(&report.data_dir), 0o700);
    for name in [VALIDATOR_KEY_NAME, NODE_KEY_NAME] {
        assert_eq!(
            mode(&report.data_dir.join("keys").join(format!("{name}.key"))),
            0o600
        );
    }
    let genesis = Genesis::load(&new.node.genesis_file()).expect("valid");
    assert_eq!(genesis.validators[0].public_key, report.validator);
    assert_eq!(genesis.hash(), report.genesis_hash);
    let text = report.to_string();
    for (_, path, _) in &report.parts {
        assert!(text.contains(&path.display().to_string()), "{text}");
    }
}

#[test]
fn the_written_configuration_file_says_only_that_the_network_is_private() {
    let (_dir, new) = fixture();
    create(&new).expect("made");
    let file = new.node.data_dir.join(CONFIG_FILE_NAME);
    let loaded = config::load(&Default::default(), &Default::default(), Some(&file));
    let loaded = loaded.expect("the commented manual is a right file");
    let mut expected = Config::default();
    expected.network.private = true;
    assert_eq!(loaded.config, expected);
}

#[test]
fn a_node_that_joins_has_the_genesis_and_the_boot_nodes_of_the_network() {
    let (_dir, first) = fixture();
    let made = create(&first).expect("made");
    let genesis_file = Some(first.node.genesis_file());
    let (dir, second) = fixture();
    let record = crate::network::record_of(
        [1; 32],
        &made.genesis_hash.0,
        "192.0.2.1:4132".parse().expect("an address"),
        &Default::default(),
    );
    let boot_nodes = vec![record.expect("a record")];
    let (height, hash) = (12, made.genesis_hash);
    let trusted = TrustedBlock { height, hash };
    let join = |genesis_file: &Option<PathBuf>, boot_nodes: &[String]| NewNode {
        join: Some(Join {
            genesis_file: genesis_file.clone(),
            boot_nodes: boot_nodes.to_vec(),
            trusted: [(ChainId::Delta, trusted)].into(),
        }),
        ..second.clone()
    };
    let without = create(&join(&None, &boot_nodes));
    assert!(matches!(without, Err(NewNodeError::NoGenesisToJoin(_))));
    let nonsense = create(&join(&genesis_file, &["enr:-abc".to_owned()]));
    assert!(matches!(nonsense, Err(NewNodeError::BootNode(_))));
    assert!(!second.node.data_dir.exists(), "nothing is left of it");

    let joined = join(&genesis_file, &boot_nodes);
    let report = create(&joined).expect("made");
    assert_eq!(report.genesis_hash, made.genesis_hash);
    assert!(create(&joined).is_ok(), "doing it twice changes nothing");
    let file = second.node.data_dir.join(CONFIG_FILE_NAME);
    let loaded = config::load(&Default::default(), &Default::default(), Some(&file));
    let config = loaded.expect("valid").config;
    assert_eq!(config.alpha.trusted_block(), None);
    assert_eq!(config.delta.trusted_block(), Some(trusted));
    let network = config.network;
    assert_eq!(
        (network.boot_nodes, network.private),
        (boot_nodes[0].clone(), false)
    );
    let other = create(&join(&genesis_file, &[]));
    assert!(
        other.is_ok(),
        "without boot nodes there is nothing to change"
    );

    let mut changed = joined.clone();
    let changes = &mut changed.join.as_mut().expect("it joins").trusted;
    changes.insert(ChainId::Alpha, trusted);
    let refused = create(&changed);
    assert!(matches!(refused, Err(NewNodeError::OtherConfiguration(_))));

    // Another network is not joined in the same place.
    let (_other_dir, stranger) = fixture();
    create(&stranger).expect("made");
    let stranger = Some(stranger.node.genesis_file());
    let refused = create(&join(&stranger, &[]));
    assert!(matches!(refused, Err(NewNodeError::OtherGenesis(_))));
    drop(dir);
}

#[test]
fn doing_it_twice_changes_nothing_and_says_so() {
    let (_dir, new) = fixture();
    let first = create(&new).expect("made");
    let second = create(&new).expect("kept");
    assert!(second.parts.iter().all(|(_, _, is_new)| !is_new));
    assert_eq!(
        (first.validator, first.genesis_hash),
        (second.validator, second.genesis_hash)
    );
}

#[test]
fn what_a_crash_left_out_is_added() {
    let (_dir, new) = fixture();
    let first = create(&new).expect("made");
    fs::remove_file(new.node.genesis_file()).expect("removed");
    let second = create(&new).expect("completed");
    assert_eq!(first.validator, second.validator, "keys are kept");
    let made: Vec<_> = second
        .parts
        .iter()
        .filter(|(_, _, is_new)| *is_new)
        .map(|part| part.0)
        .collect();
    assert_eq!(made, [NodePart::Genesis]);
}

#[test]
fn other_intervals_need_force_and_force_needs_that_nothing_began() {
    let (_dir, new) = fixture();
    create(&new).expect("made");
    let mut fast = NewNode {
        alpha_block_interval_ms: Some(100),
        delta_block_interval_ms: Some(50),
        ..new.clone()
    };
    assert!(matches!(
        create(&fast),
        Err(NewNodeError::OtherIntervals { .. })
    ));
    fast.replace_genesis = true;
    let report = create(&fast).expect("replaced");
    assert_eq!(
        (
            report.alpha_block_interval_ms,
            report.delta_block_interval_ms
        ),
        (100, 50)
    );

    fs::create_dir(new.node.database_dir()).expect("made");
    assert!(matches!(
        create(&fast),
        Err(NewNodeError::NetworkHasBegun(_))
    ));
    create(&new).expect("without force everything is kept");
    fs::remove_file(new.node.genesis_file()).expect("removed");
    assert!(matches!(
        create(&new),
        Err(NewNodeError::DatabaseWithoutGenesis(_))
    ));
}

#[test]
fn impossible_intervals_are_refused() {
    let (_dir, new) = fixture();
    for interval_ms in [0, u64::MAX] {
        let new = NewNode {
            alpha_block_interval_ms: Some(interval_ms),
            ..new.clone()
        };
        assert!(
            matches!(create(&new), Err(NewNodeError::Invalid(_))),
            "{interval_ms}"
        );
        assert!(!new.node.genesis_file().exists());
    }
}
