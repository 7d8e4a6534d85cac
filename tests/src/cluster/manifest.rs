//! What a run of a cluster is: a file in `tests/manifests`.

use super::proxy::Wire;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What carries datagrams between the nodes.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Carrier {
    /// A proxy on loopback, which can lose, double and delay them.
    Proxy,
    /// A network namespace per node, or the proxy where this process may not make them.
    Namespaces,
}

/// What happens to a network.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// These do not hear the others.
    Split(BTreeSet<usize>),
    /// Each of these hears nobody.
    Disconnect(BTreeSet<usize>),
    /// SIGKILL to the supervisor, and a start on the same data.
    Kill(BTreeSet<usize>),
    /// SIGTERM, and a start on the same data.
    Restart(BTreeSet<usize>),
    /// SIGSTOP to all processes of the node, and SIGCONT.
    Pause(BTreeSet<usize>),
}

impl What {
    pub fn nodes(&self) -> &BTreeSet<usize> {
        match self {
            What::Split(nodes)
            | What::Disconnect(nodes)
            | What::Kill(nodes)
            | What::Restart(nodes)
            | What::Pause(nodes) => nodes,
        }
    }
}

/// Something that happens, lasts and ends.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Perturbation {
    /// It begins when every node has so many more blocks of Delta than at the end of the last one.
    pub after_blocks: u64,
    /// And a little later, up to this, as the seed says: at any instant within a block.
    #[serde(default = "block_ms")]
    pub jitter_ms: u64,
    pub lasts_ms: u64,
    #[serde(default = "once")]
    pub times: u32,
    pub what: What,
}

fn block_ms() -> u64 {
    150
}

fn once() -> u32 {
    1
}

/// A network and what happens to it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub seed: u64,
    pub validators: usize,
    pub alpha_interval_ms: u64,
    pub delta_interval_ms: u64,
    pub carrier: Carrier,
    /// For the proxy alone.
    #[serde(default)]
    pub wire: Wire,
    /// Whether clients send transactions all along, to any node.
    pub has_clients: bool,
    #[serde(default, rename = "perturbation")]
    pub perturbations: Vec<Perturbation>,
}

impl Manifest {
    /// Reads `tests/manifests/NAME.toml`.
    ///
    /// # Panics
    /// If it is not there or is no manifest: it is part of the sources.
    pub fn named(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests");
        let path = folder.join(name).with_extension("toml");
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let manifest: Self =
            toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        for perturbation in &manifest.perturbations {
            let nodes = perturbation.what.nodes();
            let known = nodes.iter().all(|node| *node < manifest.validators);
            assert!(known && !nodes.is_empty(), "{perturbation:?}");
        }
        manifest
    }
}
