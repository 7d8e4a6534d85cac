//! A new node: data directory, keys, genesis of a one-validator development network.
//!
//! Invariants: keys are never overwritten; the genesis is written last, so a data directory with a
//! genesis is complete; a genesis is only replaced while there is no database that began with it.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use adnet_common::{
    chain_id::ChainId,
    config::{CONFIG_FILE_NAME, NodeConfig},
    genesis::{DEV_ACCOUNTS, Genesis, GenesisError},
    hash::Hash,
    keys::{
        KeyDir, KeyFileError, KeyKind, NODE_KEY_NAME, PublicKey, SecretKey, VALIDATOR_KEY_NAME,
    },
    trusted_block::TrustedBlock,
};

mod join;
mod manual;

use crate::network::NetworkError;

pub use manual::manual_with;

/// What to make, and where.
#[derive(Clone, Debug)]
pub struct NewNode {
    pub node: NodeConfig,
    /// Block intervals other than the production ones, in milliseconds.
    pub alpha_block_interval_ms: Option<u64>,
    pub delta_block_interval_ms: Option<u64>,
    /// Replace a genesis whose network has not begun.
    pub replace_genesis: bool,
    /// The network to join; without, the node gets a development network of its own.
    pub join: Option<Join>,
}

/// A network that exists.
#[derive(Clone, Debug)]
pub struct Join {
    /// Its genesis file, where the data directory does not hold it yet.
    pub genesis_file: Option<PathBuf>,
    /// Records of nodes to begin with.
    pub boot_nodes: Vec<String>,
    /// Blocks that the operator vouches for, to begin with a recent state.
    pub trusted: BTreeMap<ChainId, TrustedBlock>,
}

/// What is in the data directory now, and which of it is new.
#[derive(Clone, Debug)]
pub struct NewNodeReport {
    pub data_dir: PathBuf,
    /// Each part with whether it was made just now.
    pub parts: Vec<(NodePart, PathBuf, bool)>,
    pub validator: PublicKey,
    pub network_name: String,
    pub genesis_hash: Hash,
    pub alpha_block_interval_ms: u64,
    pub delta_block_interval_ms: u64,
    /// Whether it is a development network, with accounts that everybody knows.
    pub is_development: bool,
}

/// One thing that a data directory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodePart {
    ValidatorKey,
    NodeKey,
    ConfigFile,
    Genesis,
}

/// Why no node could be made.
#[derive(Debug, thiserror::Error)]
pub enum NewNodeError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Key(#[from] KeyFileError),
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    #[error(
        "{0} holds a database but no genesis.json: put its genesis back, or choose another data directory"
    )]
    DatabaseWithoutGenesis(PathBuf),
    #[error(
        "{0} holds the data of a running network, whose genesis cannot be replaced; \
         choose another data directory"
    )]
    NetworkHasBegun(PathBuf),
    #[error(
        "{path} exists with other block intervals (alpha {alpha_ms} ms, delta {delta_ms} ms); \
         --force replaces it while there is no database"
    )]
    OtherIntervals {
        path: PathBuf,
        alpha_ms: u64,
        delta_ms: u64,
    },
    #[error("the genesis would not be valid: {0}")]
    Invalid(String),
    #[error(
        "a boot node belongs to a network that exists: give its genesis by --genesis, or put it \
         into {0} first"
    )]
    NoGenesisToJoin(PathBuf),
    #[error("{0} is there already, and another genesis than the one given")]
    OtherGenesis(PathBuf),
    #[error(
        "{0} is there already and keeps what it says; set network.boot_nodes, alpha.trusted_block and \
         delta.trusted_block in it by hand"
    )]
    OtherConfiguration(PathBuf),
    #[error(transparent)]
    BootNode(#[from] NetworkError),
}

impl NewNode {
    /// A development node with production block intervals.
    pub fn in_dir(node: NodeConfig) -> Self {
        NewNode {
            node,
            alpha_block_interval_ms: None,
            delta_block_interval_ms: None,
            replace_genesis: false,
            join: None,
        }
    }
}

/// Makes what is missing and reports what is there. Doing it twice changes nothing.
pub fn create(new: &NewNode) -> Result<NewNodeReport, NewNodeError> {
    let node = &new.node;
    let has_database = node.database_dir().exists();
    let has_genesis = node.genesis_file().exists();
    if has_database && new.replace_genesis {
        return Err(NewNodeError::NetworkHasBegun(node.data_dir.clone()));
    }
    if has_database && !has_genesis {
        return Err(NewNodeError::DatabaseWithoutGenesis(node.data_dir.clone()));
    }
    let joined = new.join.as_ref().map(|join| join::genesis(join, node));
    let joined = joined.transpose()?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&node.data_dir)
        .map_err(|source| NewNodeError::Io {
            path: node.data_dir.clone(),
            source,
        })?;

    let mut parts = Vec::new();
    let keys = KeyDir::of(&node.data_dir);
    let validator = key(
        &keys,
        VALIDATOR_KEY_NAME,
        KeyKind::Validator,
        NodePart::ValidatorKey,
        &mut parts,
    )?;
    key(
        &keys,
        NODE_KEY_NAME,
        KeyKind::Node,
        NodePart::NodeKey,
        &mut parts,
    )?;
    let config_file = node.data_dir.join(CONFIG_FILE_NAME);
    let is_new = !config_file.exists();
    if is_new {
        fs::write(&config_file, join::configuration(new.join.as_ref())).map_err(|source| {
            NewNodeError::Io {
                path: config_file.clone(),
                source,
            }
        })?;
    }
    parts.push((NodePart::ConfigFile, config_file, is_new));

    let genesis_file = node.genesis_file();
    let genesis = if let Some(genesis) = joined {
        if !has_genesis {
            genesis.create_file(&genesis_file)?;
        }
        parts.push((NodePart::Genesis, genesis_file, !has_genesis));
        genesis
    } else if has_genesis && !new.replace_genesis {
        let genesis = Genesis::load(&genesis_file)?;
        insist_on_intervals(new, &genesis, &genesis_file)?;
        parts.push((NodePart::Genesis, genesis_file, false));
        genesis
    } else {
        let genesis = development_genesis(new, validator)?;
        if has_genesis {
            fs::remove_file(&genesis_file).map_err(|source| NewNodeError::Io {
                path: genesis_file.clone(),
                source,
            })?;
        }
        genesis.create_file(&genesis_file)?;
        parts.push((NodePart::Genesis, genesis_file, true));
        genesis
    };
    Ok(NewNodeReport {
        data_dir: node.data_dir.clone(),
        parts,
        validator,
        genesis_hash: genesis.hash(),
        network_name: genesis.network_name,
        alpha_block_interval_ms: genesis.alpha.block_interval_ms,
        delta_block_interval_ms: genesis.delta.block_interval_ms,
        is_development: new.join.is_none(),
    })
}

/// Reads a key of the node, or makes it, and returns its public half.
fn key(
    keys: &KeyDir,
    name: &str,
    kind: KeyKind,
    part: NodePart,
    parts: &mut Vec<(NodePart, PathBuf, bool)>,
) -> Result<PublicKey, NewNodeError> {
    let path = keys.path_of(name)?;
    let (key, is_new) = match keys.load_kind(name, kind) {
        Ok(key) => (key, false),
        Err(KeyFileError::Missing { .. }) => {
            let key = SecretKey::random(kind);
            keys.create(name, &key)?;
            (key, true)
        }
        Err(error) => return Err(error.into()),
    };
    parts.push((part, path, is_new));
    Ok(key
        .ed25519_public()
        .expect("keys of a node are ed25519 keys"))
}

/// The genesis of a network that begins now.
fn development_genesis(new: &NewNode, validator: PublicKey) -> Result<Genesis, NewNodeError> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let mut genesis = Genesis::dev(validator, now_ms);
    genesis.set_intervals(new.alpha_block_interval_ms, new.delta_block_interval_ms);
    let problems: Vec<String> = genesis.validate().iter().map(ToString::to_string).collect();
    if problems.is_empty() {
        Ok(genesis)
    } else {
        Err(NewNodeError::Invalid(problems.join("; ")))
    }
}

fn insist_on_intervals(new: &NewNode, genesis: &Genesis, path: &Path) -> Result<(), NewNodeError> {
    let (alpha_ms, delta_ms) = (
        genesis.alpha.block_interval_ms,
        genesis.delta.block_interval_ms,
    );
    let other = new
        .alpha_block_interval_ms
        .is_some_and(|wanted| wanted != alpha_ms)
        || new
            .delta_block_interval_ms
            .is_some_and(|wanted| wanted != delta_ms);
    if other {
        return Err(NewNodeError::OtherIntervals {
            path: path.to_path_buf(),
            alpha_ms,
            delta_ms,
        });
    }
    Ok(())
}

impl NodePart {
    fn describe(self) -> &'static str {
        match self {
            NodePart::ValidatorKey => {
                "validator key (signs blocks; keep a copy, never use it twice)"
            }
            NodePart::NodeKey => "node key (the node's identity among its peers)",
            NodePart::ConfigFile => "configuration file (the manual, every value commented out)",
            NodePart::Genesis => "genesis (the rules and first accounts of the network)",
        }
    }
}

impl fmt::Display for NewNodeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (part, path, is_new) in &self.parts {
            let word = if *is_new { "made" } else { "kept" };
            writeln!(f, "  {word}  {}  {}", path.display(), part.describe())?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "  network    {}  genesis {}",
            self.network_name, self.genesis_hash
        )?;
        writeln!(f, "  validator  {}", self.validator)?;
        let (alpha_ms, delta_ms) = (self.alpha_block_interval_ms, self.delta_block_interval_ms);
        writeln!(
            f,
            "  blocks     alpha every {alpha_ms} ms, delta every {delta_ms} ms"
        )?;
        if !self.is_development {
            return write!(
                f,
                "  joins      a network of others; it follows until its validator is one of theirs"
            );
        }
        write!(
            f,
            "  accounts   dev-0 to dev-{} on both chains (`adnet keys list`)",
            DEV_ACCOUNTS - 1
        )
    }
}

#[cfg(test)]
mod tests;
