//! Writes the data directories of a test network.
//!
//! Invariants: a key is never overwritten; node 0 gets the genesis last, so where it has one, the
//! whole network is there; a network that exists is never changed.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use adnet_common::{
    chain_id::ChainId,
    config::CONFIG_FILE_NAME,
    genesis::{GENESIS_FILE_NAME, Genesis, GenesisError, GenesisValidator},
    hash::Hash,
    keys::{
        KeyDir, KeyFileError, KeyKind, NODE_KEY_NAME, PublicKey, SecretKey, VALIDATOR_KEY_NAME,
    },
};

use super::plan::{NodePlan, Plan, existing};
use crate::{
    network::{self, NetworkError},
    new_node::manual_with,
};

/// Block intervals other than the production ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Intervals {
    pub alpha_ms: Option<u64>,
    pub delta_ms: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Written {
    pub is_new: bool,
    pub genesis: Hash,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum TestnetError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Key(#[from] KeyFileError),
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    #[error("{dir} holds another network ({why}); choose another directory, or remove it")]
    Other { dir: PathBuf, why: String },
    #[error("the genesis would not be valid: {0}")]
    Invalid(String),
    #[error(transparent)]
    Record(#[from] NetworkError),
}

/// The public keys of one node.
struct Keys {
    validator: PublicKey,
    node: PublicKey,
}

/// Makes the network, or finds that it is there.
pub(super) fn write(
    plan: &Plan,
    intervals: Intervals,
    discovery: bool,
) -> Result<Written, TestnetError> {
    let nodes = plan.nodes();
    let first = nodes.first().expect("a network has at least one node");
    let genesis_of = |node: &NodePlan| node.data_dir.join(GENESIS_FILE_NAME);
    if genesis_of(first).exists() {
        return found(plan, intervals);
    }
    let keys: Vec<Keys> = nodes.iter().map(keys_of).collect::<Result<_, _>>()?;
    let genesis = genesis(&keys, intervals)?;
    let boot_node = match discovery {
        true => Some(record_of(first, &genesis)?),
        false => None,
    };
    for (i, node) in nodes.iter().enumerate() {
        let file = node.data_dir.join(CONFIG_FILE_NAME);
        let finding = match &boot_node {
            Some(record) => by_discovery(node, Some(record).filter(|_| i > 0)),
            None => by_list(nodes, &keys, i),
        };
        let text = configuration(node, finding);
        fs::write(&file, text).map_err(|source| TestnetError::Io { path: file, source })?;
    }
    for node in nodes.iter().rev() {
        let file = genesis_of(node);
        // Of an attempt that was broken off: nobody has run on it, since node 0 has none.
        match fs::remove_file(&file) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(TestnetError::Io { path: file, source });
            }
            _ => {}
        }
        genesis.create_file(&file)?;
    }
    Ok(Written {
        is_new: true,
        genesis: genesis.hash(),
    })
}

/// The network that is there, if it is the wanted one.
fn found(plan: &Plan, intervals: Intervals) -> Result<Written, TestnetError> {
    let first = plan
        .nodes()
        .first()
        .expect("a network has at least one node");
    let dir = first.data_dir.parent().unwrap_or(Path::new(".")).to_owned();
    let other = |why: String| TestnetError::Other {
        dir: dir.clone(),
        why,
    };
    let genesis = Genesis::load(&first.data_dir.join(GENESIS_FILE_NAME))?;
    let (wanted, there) = (plan.nodes().len(), genesis.validators.len());
    if wanted != there || existing(&dir).len() != there {
        return Err(other(format!("{there} validators")));
    }
    let alpha_ms = genesis.alpha.block_interval_ms;
    let delta_ms = genesis.delta.block_interval_ms;
    let differs = |wanted: Option<u64>, is: u64| wanted.is_some_and(|wanted| wanted != is);
    if differs(intervals.alpha_ms, alpha_ms) || differs(intervals.delta_ms, delta_ms) {
        return Err(other(format!(
            "block intervals of {alpha_ms} and {delta_ms} ms"
        )));
    }
    Ok(Written {
        is_new: false,
        genesis: genesis.hash(),
    })
}

fn keys_of(node: &NodePlan) -> Result<Keys, TestnetError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&node.data_dir)
        .map_err(|source| TestnetError::Io {
            path: node.data_dir.clone(),
            source,
        })?;
    let dir = KeyDir::of(&node.data_dir);
    let public = |name, kind| -> Result<PublicKey, TestnetError> {
        let key = match dir.load_kind(name, kind) {
            Ok(key) => key,
            Err(KeyFileError::Missing { .. }) => {
                let key = SecretKey::random(kind);
                dir.create(name, &key)?;
                key
            }
            Err(error) => return Err(error.into()),
        };
        Ok(key
            .ed25519_public()
            .expect("keys of a node are ed25519 keys"))
    };
    Ok(Keys {
        validator: public(VALIDATOR_KEY_NAME, KeyKind::Validator)?,
        node: public(NODE_KEY_NAME, KeyKind::Node)?,
    })
}

fn genesis(keys: &[Keys], intervals: Intervals) -> Result<Genesis, TestnetError> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let first = keys.first().expect("a network has at least one node");
    let mut genesis = Genesis::dev(first.validator, now_ms);
    let validator = |(i, keys): (usize, &Keys)| GenesisValidator {
        name: format!("node-{i}"),
        public_key: keys.validator,
        power: 1,
    };
    genesis.validators = keys.iter().enumerate().map(validator).collect();
    genesis.set_intervals(intervals.alpha_ms, intervals.delta_ms);
    let problems: Vec<String> = genesis.validate().iter().map(ToString::to_string).collect();
    match problems.is_empty() {
        true => Ok(genesis),
        false => Err(TestnetError::Invalid(problems.join("; "))),
    }
}

/// Settings by which a node finds its peers.
type Finding = Vec<(&'static str, String)>;

/// All others are its persistent peers.
fn by_list(nodes: &[NodePlan], keys: &[Keys], own: usize) -> Finding {
    let peers = |address: fn(&NodePlan) -> std::net::SocketAddr| {
        let others = nodes.iter().zip(keys).enumerate();
        let others = others.filter(|(i, _)| *i != own);
        let entries = others.map(|(_, (peer, keys))| format!("{}@{}", keys.node, address(peer)));
        format!("{:?}", entries.collect::<Vec<_>>().join(", "))
    };
    vec![
        ("alpha.persistent_peers", peers(NodePlan::alpha_p2p)),
        ("delta.persistent_peers", peers(NodePlan::delta_p2p)),
        ("network.discovery", "false".to_owned()),
    ]
}

/// It asks one node for the others, and that one asks nobody.
fn by_discovery(node: &NodePlan, boot_node: Option<&String>) -> Finding {
    let mut finding = vec![("network.discovery_listen", quoted(node.discovery()))];
    finding.extend(boot_node.map(|record| ("network.boot_nodes", format!("{record:?}"))));
    finding
}

fn record_of(node: &NodePlan, genesis: &Genesis) -> Result<String, TestnetError> {
    let key = KeyDir::of(&node.data_dir).load_kind(NODE_KEY_NAME, KeyKind::Node)?;
    let ports = BTreeMap::from([
        (ChainId::Alpha, node.alpha_p2p().port()),
        (ChainId::Delta, node.delta_p2p().port()),
    ]);
    let genesis = genesis.hash().0;
    Ok(network::record_of(
        *key.expose(),
        &genesis,
        node.discovery(),
        &ports,
    )?)
}

fn quoted(address: std::net::SocketAddr) -> String {
    format!("\"{address}\"")
}

/// The manual with the addresses of this node filled in, and how it finds its peers.
fn configuration(node: &NodePlan, finding: Finding) -> String {
    let mut settings = vec![
        ("alpha.api_listen", quoted(node.alpha_api())),
        ("alpha.p2p_listen", quoted(node.alpha_p2p())),
        ("delta.api_listen", quoted(node.delta_api())),
        ("delta.p2p_listen", quoted(node.delta_p2p())),
        ("metrics.listen", quoted(node.metrics())),
        ("network.private", "true".to_owned()),
    ];
    settings.extend(finding);
    manual_with(&settings)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use adnet_common::config;

    use super::*;

    const NONE: Intervals = Intervals {
        alpha_ms: None,
        delta_ms: None,
    };

    #[test]
    fn each_node_is_whole_and_knows_the_others() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let plan = Plan::new(dir.path().join("net"), 4, Some(21_000)).expect("it fits");
        let written = write(&plan, NONE, false).expect("written");
        assert!(written.is_new);
        for (i, node) in plan.nodes().iter().enumerate() {
            let file = node.data_dir.join(CONFIG_FILE_NAME);
            let loaded = config::load(&BTreeMap::new(), &BTreeMap::new(), Some(&file));
            let config = loaded.expect("a valid configuration").config;
            assert_eq!(config.alpha.api_listen, node.alpha_api());
            assert_eq!(config.delta.p2p_listen, node.delta_p2p());
            assert_eq!(config.metrics.listen, node.metrics());
            let peers = config.delta.persistent_peers;
            assert_eq!(peers.split(',').count(), 3, "{peers}");
            let own = node.delta_p2p().to_string();
            assert!(!peers.contains(&own), "node {i} does not dial itself");
            let genesis = Genesis::load(&node.data_dir.join(GENESIS_FILE_NAME));
            let genesis = genesis.expect("a genesis");
            assert_eq!(genesis.hash(), written.genesis);
            let own = KeyDir::of(&node.data_dir)
                .load_kind(VALIDATOR_KEY_NAME, KeyKind::Validator)
                .expect("a key");
            let own = own.ed25519_public().expect("ed25519");
            assert_eq!(genesis.validators[i].public_key, own);
        }
    }

    #[test]
    fn with_discovery_each_knows_the_first_only() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let plan = Plan::new(dir.path().join("net"), 4, Some(21_000)).expect("it fits");
        let genesis = write(&plan, NONE, true).expect("written").genesis;
        for (i, node) in plan.nodes().iter().enumerate() {
            let file = node.data_dir.join(CONFIG_FILE_NAME);
            let loaded = config::load(&BTreeMap::new(), &BTreeMap::new(), Some(&file));
            let config = loaded.expect("a valid configuration").config;
            assert!(config.network.private && config.network.discovery);
            assert_eq!(config.network.discovery_listen, node.discovery());
            assert_eq!(config.alpha.persistent_peers, "");
            let boot_nodes = config.network.boot_nodes;
            match i {
                0 => assert_eq!(boot_nodes, ""),
                _ => network::check_boot_node(&boot_nodes, &genesis.0).expect("a record"),
            }
        }
    }

    #[test]
    fn a_second_time_changes_nothing_and_another_network_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let plan = |n| Plan::new(dir.path().into(), n, None).expect("it fits");
        let first = write(&plan(2), NONE, false).expect("written");
        let again = write(&plan(2), NONE, false).expect("found");
        assert!(!again.is_new && again.genesis == first.genesis);
        let more = write(&plan(3), NONE, false).expect_err("another number");
        assert!(more.to_string().contains("2 validators"), "{more}");
        let fast = Intervals {
            delta_ms: Some(100),
            ..NONE
        };
        assert!(write(&plan(2), fast, false).is_err());
    }

    #[test]
    fn an_attempt_that_was_broken_off_is_finished_with_the_same_keys() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let plan = Plan::new(dir.path().into(), 2, None).expect("it fits");
        write(&plan, NONE, false).expect("written");
        let first = plan.nodes()[0].data_dir.join(GENESIS_FILE_NAME);
        let before = Genesis::load(&first).expect("a genesis");
        fs::remove_file(&first).expect("there");
        assert!(write(&plan, NONE, false).expect("written again").is_new);
        let after = Genesis::load(&first).expect("a genesis");
        assert_eq!(before.validators, after.validators);
    }
}
