//! Networks of real nodes, as processes, and what happens to them: a manifest says how many there
//! are, what carries their datagrams, and when they are killed, paused, restarted or cut off.
//!
//! [`run`] plays a manifest and holds it against rules that are seen from outside alone: the same
//! block per height everywhere, the equation of the supply, who has no quorum decides nothing, who
//! has one goes on, and after each perturbation all go on in time. Whatever happens, no process,
//! namespace or socket is left.

pub mod agreement;
mod load;
mod manifest;
mod namespaces;
mod perturb;
mod proxy;

pub use load::{Load, Settled, assert_final_everywhere};
pub use manifest::{Carrier, Manifest, Perturbation, What};
pub use namespaces::Namespaces;
pub use perturb::Recovery;
pub use proxy::{Proxy, Wire};

use crate::harness::{Dial, Options, PassedSocket, TestNode, eventually};
use crate::sim::Random;
use adnet_common::chain_id::ChainId;
use adnet_common::genesis::Genesis;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

/// Where nodes listen in a namespace of their own.
const ALPHA_PORT: u16 = 4_130;
const DELTA_PORT: u16 = 4_131;

/// What carries the datagrams of a running network.
enum Between {
    Proxy(Proxy),
    Namespaces(Namespaces),
}

impl Between {
    fn part(&self, side: &BTreeSet<usize>) {
        match self {
            Between::Proxy(proxy) => proxy.part(side),
            Between::Namespaces(namespaces) => namespaces.part(side),
        }
    }

    /// With the proxy, several nodes that are disconnected still hear each other.
    fn disconnect(&self, nodes: &BTreeSet<usize>) {
        match self {
            Between::Proxy(proxy) => proxy.part(nodes),
            Between::Namespaces(namespaces) => namespaces.disconnect(nodes),
        }
    }

    fn heal(&self) {
        match self {
            Between::Proxy(proxy) => proxy.heal(),
            Between::Namespaces(namespaces) => namespaces.heal(),
        }
    }
}

/// A running network. The nodes end before what is between them.
pub struct Cluster {
    pub nodes: Vec<TestNode>,
    carrier: Between,
    random: Random,
    recoveries: Vec<Recovery>,
}

impl Cluster {
    /// Starts the network of a manifest; `genesis` may change what its nodes agree on.
    pub fn start(manifest: &Manifest, genesis: impl FnOnce(&mut Genesis)) -> Self {
        let options = Options {
            alpha_interval_ms: manifest.alpha_interval_ms,
            delta_interval_ms: manifest.delta_interval_ms,
            ..Options::default()
        };
        let wants_namespaces = manifest.carrier == Carrier::Namespaces;
        let (carrier, nodes) = if wants_namespaces && Namespaces::are_allowed() {
            let spaces = Namespaces::lay(manifest.validators).expect("they are allowed");
            let options = (0..manifest.validators).map(|node| in_space(&options, &spaces, node));
            let route = |Dial { to, chain, .. }| {
                let port = match chain {
                    ChainId::Alpha => ALPHA_PORT,
                    ChainId::Delta => DELTA_PORT,
                };
                format!("{}:{port}", Namespaces::address(to))
            };
            let nodes = TestNode::network_over(options.collect(), genesis, route);
            (Between::Namespaces(spaces), nodes)
        } else {
            if wants_namespaces {
                eprintln!("no network namespaces without root and `ip`: a proxy instead");
            }
            let proxy = Proxy::new(manifest.seed, manifest.wire);
            let options = vec![options; manifest.validators];
            let route = |Dial {
                             from,
                             to,
                             chain,
                             port,
                         }| {
                let target = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                proxy.lay(from, to, chain, target).to_string()
            };
            let nodes = TestNode::network_over(options, genesis, route);
            (Between::Proxy(proxy), nodes)
        };
        Self {
            nodes,
            carrier,
            random: Random::new(manifest.seed),
            recoveries: Vec::new(),
        }
    }

    /// The same blocks everywhere, and supplies that add up.
    pub fn assert_agreement(&self) {
        let all: Vec<&TestNode> = self.nodes.iter().collect();
        agreement::assert_same_blocks(&all);
        for node in &self.nodes {
            for chain in ChainId::ALL {
                let api = node.api(chain);
                let supply = eventually("the supply is served", || api.get("/v1/supply").ok());
                assert_eq!(supply["holds"], true, "{chain}: {supply}");
            }
        }
    }
}

/// Options of a node in its namespace. Its APIs come to it as sockets that stay outside.
fn in_space(options: &Options, spaces: &Namespaces, node: usize) -> Options {
    let address = Namespaces::address(node);
    let listen = [("alpha", ALPHA_PORT), ("delta", DELTA_PORT)]
        .map(|(chain, port)| format!("{chain}.p2p_listen={address}:{port}"));
    let arguments = listen.into_iter().flat_map(|set| ["--set".to_owned(), set]);
    let mut options = options.clone();
    options.arguments.extend(arguments);
    options.namespace = Some(spaces.of(node));
    options.sockets = Some(["alpha-api", "delta-api"].map(PassedSocket::new));
    options
}

/// What a run has shown.
#[derive(Debug)]
pub struct Outcome {
    pub recoveries: Vec<Recovery>,
    pub settled: Vec<Settled>,
}

/// Plays a manifest to its end.
///
/// # Panics
/// If a rule is broken.
pub fn run(manifest: &Manifest) -> Outcome {
    let mut cluster = Cluster::start(manifest, |_| {});
    let load = manifest
        .has_clients
        .then(|| Load::start(&cluster.nodes, manifest.seed));
    for perturbation in &manifest.perturbations {
        for _ in 0..perturbation.times {
            cluster.perturb(perturbation);
        }
    }
    let all: Vec<&TestNode> = cluster.nodes.iter().collect();
    agreement::await_growth(&all, 3);
    let settled = load.map(Load::stop).unwrap_or_default();
    assert_final_everywhere(&cluster.nodes, &settled);
    cluster.assert_agreement();
    Outcome {
        recoveries: cluster.recoveries.split_off(0),
        settled,
    }
}
