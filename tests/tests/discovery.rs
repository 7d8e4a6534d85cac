//! Nodes that find, choose and remember each other: whole networks in one process, over loopback.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use adnet_common::{chain_id::ChainId, hash::Hash};
use adnet_supervisor::{
    network::{
        ChainNet, Direction, DiscoveryConfig, Limits, Network, NetworkConfig, ValidatorKeys,
    },
    store::{NetworkIdentity, Store, StoreOptions},
};
use prometheus::Registry;

const CHAIN: ChainId = ChainId::Alpha;
const PATIENCE: Duration = Duration::from_secs(60);

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A full node at an address, with what it is told.
struct Plan {
    seed: u8,
    ip: IpAddr,
    limits: Limits,
    boot_nodes: Vec<String>,
    discovery: bool,
    store: Option<Store>,
}

impl Plan {
    fn new(seed: u8, ip: [u8; 4], limits: Limits, boot: Option<&Network>) -> Self {
        Self {
            seed,
            ip: ip.into(),
            limits,
            boot_nodes: boot.and_then(Network::record).into_iter().collect(),
            discovery: true,
            store: None,
        }
    }

    fn start(self) -> Network {
        let socket = || UdpSocket::bind(SocketAddr::new(self.ip, 0)).expect("a free port");
        let config = NetworkConfig {
            node_seed: [self.seed; 32],
            network_name: "discovery".into(),
            network_id: 1,
            genesis: [7; 32],
            validators: ValidatorKeys::default(),
            chains: vec![ChainNet {
                chain: CHAIN,
                socket: socket(),
                persistent_peers: Vec::new(),
                proof: None,
            }],
            limits: self.limits,
            discovery: self.discovery.then(|| DiscoveryConfig {
                socket: socket(),
                external_ip: None,
                boot_nodes: self.boot_nodes,
            }),
            store: self.store,
        };
        Network::start(config, &Registry::new(), Box::new(|_| {})).expect("it starts")
    }
}

/// The addresses of the peers that a node has dialled.
fn outbound(network: &Network) -> Vec<IpAddr> {
    let peers = network.peers();
    let dialled = peers
        .iter()
        .filter(|peer| peer.direction == Direction::Outbound);
    dialled.map(|peer| peer.address.ip()).collect()
}

#[test]
fn a_dozen_nodes_fill_their_places_from_one_boot_node() {
    let limits = Limits {
        is_private: true,
        peers_max: 16,
        outbound_peers: 4,
        ..Limits::default()
    };
    let here = [127, 0, 0, 1];
    let mut nodes = vec![Plan::new(1, here, limits, None).start()];
    for seed in 2..=12 {
        let node = Plan::new(seed, here, limits, nodes.first()).start();
        nodes.push(node);
    }
    wait_for("each has chosen its peers", || {
        // Whom all others have dialled has nobody left to choose.
        let has_chosen =
            |node: &Network| outbound(node).len() == 4 || node.peers().len() == nodes.len() - 1;
        nodes.iter().all(has_chosen)
    });
    // The boot node is not everybody's peer, as it would be if the nearest or the first were taken.
    let chosen_by_all = nodes.iter().find(|node| {
        let id = node.peer_id();
        let has = |other: &&Network| other.peers().iter().any(|peer| peer.peer == id);
        nodes.iter().filter(has).count() == nodes.len() - 1
    });
    println!(
        "linked to all: {:?}",
        chosen_by_all.map(|node| node.peer_id()[0])
    );
    for node in &nodes {
        assert!(node.peers().len() <= 16);
    }
}

#[test]
fn chosen_peers_are_of_different_neighbourhoods() {
    let limits = Limits::default();
    // Five nodes of one region, of which two share a subnet, and three of other regions.
    let places = [
        [127, 50, 1, 1],
        [127, 50, 1, 2],
        [127, 50, 2, 1],
        [127, 50, 3, 1],
        [127, 50, 4, 1],
        [127, 51, 1, 1],
        [127, 52, 1, 1],
        [127, 53, 1, 1],
    ];
    let mut nodes: Vec<Network> = Vec::new();
    for (seed, ip) in (1..).zip(places) {
        nodes.push(Plan::new(seed, ip, limits, nodes.first()).start());
    }
    let prefixes = |ips: &[IpAddr], bytes: usize| {
        let mut counts: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        for ip in ips {
            let IpAddr::V4(ip) = ip else { continue };
            *counts.entry(ip.octets()[..bytes].to_vec()).or_default() += 1;
        }
        counts.into_values().max().unwrap_or(0)
    };
    let check = || {
        for node in &nodes {
            let ips = outbound(node);
            assert!(prefixes(&ips, 3) <= 1, "{ips:?}");
            assert!(prefixes(&ips, 2) <= 2, "{ips:?}");
        }
    };
    wait_for("all are linked to some", || {
        check();
        nodes.iter().all(|node| node.peers().len() >= 4)
    });
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        check();
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_node_comes_back_to_its_peers_without_boot_node_or_discovery() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let store = || {
        let network = NetworkIdentity {
            network_id: 1,
            genesis: Hash([7; 32]),
            name: "discovery".into(),
        };
        Store::open(dir.path(), &StoreOptions::default(), &network).expect("a good database")
    };
    let limits = Limits {
        is_private: true,
        ..Limits::default()
    };
    let here = [127, 0, 0, 1];
    let boot = Plan::new(1, here, limits, None).start();
    let other = Plan::new(2, here, limits, Some(&boot)).start();
    let mut plan = Plan::new(3, here, limits, Some(&boot));
    plan.store = Some(store());
    let node = plan.start();
    wait_for("it has found both", || node.peers().len() == 2);
    node.shutdown();
    boot.shutdown();
    wait_for("the other is alone", || other.peers().is_empty());

    let mut plan = Plan::new(3, here, limits, None);
    plan.discovery = false;
    plan.store = Some(store());
    let node = plan.start();
    wait_for("it remembers the one that is left", || {
        node.peers().iter().any(|peer| peer.peer == other.peer_id())
    });
}
