//! Networks that form by discovery: each node is told of one other, and of nobody's place but that.

use std::time::{Duration, Instant};

use adnet_common::{chain_id::ChainId, consensus::Domain};
use adnet_supervisor::network::{Network, ValidatorProof};
use adnet_tests::harness::{TestNode, eventually};
use ed25519_consensus::SigningKey;

use super::{
    agreement::{assert_same_blocks, await_growth, height},
    flood::{Flood, stranger},
    options,
};

/// Sum of the series of a metric whose labels contain all of `parts`.
pub fn metric(node: &TestNode, name: &str, parts: &[&str]) -> f64 {
    let page = eventually("the metrics are served", || {
        node.metrics().text("/metrics").ok()
    });
    let of = page.1.lines().filter(|line| line.starts_with(name));
    let of = of.filter(|line| parts.iter().all(|part| line.contains(part)));
    of.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

fn form(count: usize, arguments: &[&str]) -> Vec<TestNode> {
    let begun = Instant::now();
    let mut options = options();
    options
        .arguments
        .extend(arguments.iter().map(|&argument| argument.to_owned()));
    let nodes = TestNode::network_by_discovery(count, &options);
    println!(
        "{count} nodes: all linked to all after {:?}",
        begun.elapsed()
    );
    let all: Vec<&TestNode> = nodes.iter().collect();
    await_growth(&all, 3);
    assert_same_blocks(&all);
    for node in &nodes {
        let others = (count - 1) as f64;
        let known = metric(node, "adnet_network_address_book_peers", &[]);
        assert_eq!(known, others, "each has found all");
        for peer in node.peers() {
            assert_eq!(peer["role"], "validator", "proved, not said");
        }
    }
    nodes
}

#[test]
fn four_nodes_that_know_one_boot_node_form_a_network() {
    let mut nodes = form(4, &[]);
    // What they have learnt outlives the boot node and a restart.
    let mut boot = nodes.remove(0);
    boot.kill();
    let mut restarted = nodes.pop().expect("three are left");
    restarted.kill();
    restarted.restart();
    let all: Vec<&TestNode> = nodes.iter().chain([&restarted]).collect();
    for node in &all {
        eventually("it is linked to the other two", || {
            node.is_linked_to(2).then_some(())
        });
    }
    await_growth(&all, 3);
    boot.restart();
    let all: Vec<&TestNode> = all.into_iter().chain([&boot]).collect();
    for node in &all {
        eventually("the boot node is back", || {
            node.is_linked_to(3).then_some(())
        });
    }
    await_growth(&all, 2);
    assert_same_blocks(&all);
}

/// With one place for chosen peers: what links all of them is that validators dial each other.
#[test]
fn so_do_seven() {
    form(7, &["--set", "network.outbound_peers=1"]);
}

#[test]
fn a_follower_finds_the_validators_and_a_node_of_another_network_nobody() {
    let nodes = TestNode::network_by_discovery(4, &options());
    let mut follower = nodes[3].follower_by_discovery(&options());
    follower.restart();
    eventually("it has found all", || {
        follower.is_linked_to(4).then_some(())
    });
    let there = height(&nodes[0], ChainId::Delta);
    eventually("it follows", || {
        (height(&follower, ChainId::Delta) >= there).then_some(())
    });
    let full = nodes[0].peers();
    let full = full.iter().filter(|peer| peer["role"] == "full");
    assert_eq!(full.count(), 2, "the follower, on both chains");

    // A node of a network of the same name with another genesis, at its persistent peer's door.
    let mut stranger = nodes[0].stranger_at_its_door(&options());
    stranger.restart();
    eventually("it is refused by name", || {
        let refused = metric(
            &nodes[0],
            "adnet_network_refusals_total",
            &["reason=\"wrong_genesis\""],
        );
        (refused >= 1.0).then_some(())
    });
    assert_eq!(nodes[0].peers().len(), 8, "four others on two chains");
    stranger.kill();
    let all: Vec<&TestNode> = nodes.iter().collect();
    await_growth(&all, 2);
}

#[test]
fn strangers_are_refused_by_name() {
    let nodes = TestNode::network_by_discovery(1, &options());
    let node = &nodes[0];
    let stranger = |seed| stranger(seed, &node.genesis, node.endpoint(ChainId::Delta));
    let mut other_network = stranger(1);
    other_network.network_name = "another".to_owned();
    let mut other_genesis = stranger(2);
    other_genesis.genesis = [0; 32];
    let mut stolen_proof = stranger(3);
    let domain = Domain {
        network_id: node.genesis.network_id,
        chain: ChainId::Delta,
        genesis: node.genesis.hash(),
    };
    // A validator has signed this for another peer.
    let key = SigningKey::from([1; 32]);
    stolen_proof.chains[0].proof = Some(ValidatorProof::make(&key, &domain, &[9; 32]));
    for (config, reason) in [
        (other_network, "wrong_network"),
        (other_genesis, "wrong_genesis"),
        (stolen_proof, "wrong_proof"),
    ] {
        let registry = prometheus::Registry::new();
        let peer = Network::start(config, &registry, Box::new(|_| {})).expect("it starts");
        let label = format!("reason=\"{reason}\"");
        let refused = || {
            // Of two that hear each other's hello, either may be the first to refuse.
            metric(node, "adnet_network_refusals_total", &[label.as_str()])
        };
        eventually("it is refused", || (refused() >= 1.0).then_some(()));
        assert!(peer.peers().is_empty(), "{reason}");
        peer.shutdown();
    }
    assert!(node.peers().is_empty());
}

/// Memory of the supervisor, in bytes.
fn resident_bytes(node: &TestNode) -> u64 {
    let path = format!("/proc/{}/status", node.supervisor().pid);
    let status = std::fs::read_to_string(path).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    1024 * kib.expect("the kernel tells it in KiB")
}

/// Blocks of Delta within a time.
fn growth_within(node: &TestNode, time: Duration) -> u64 {
    let (before, begun) = (height(node, ChainId::Delta), Instant::now());
    while begun.elapsed() < time {
        std::thread::sleep(Duration::from_millis(20));
    }
    height(node, ChainId::Delta) - before
}

#[test]
fn a_flood_of_connections_leaves_the_cadence_alone_and_memory_bounded() {
    const TIME: Duration = Duration::from_secs(8);
    let nodes = TestNode::network_by_discovery(4, &options());
    let all: Vec<&TestNode> = nodes.iter().collect();
    await_growth(&all, 2);
    // Blocks that were due before all were linked are made up for first.
    let due = TIME.as_millis() as u64 / options().delta_interval_ms;
    let usual = growth_within(&nodes[1], TIME).min(due);
    let memory = resident_bytes(&nodes[0]);
    let flood = Flood::start(&nodes[0]);
    let flooded = growth_within(&nodes[1], TIME);
    let linked = flood.stop();
    let more = resident_bytes(&nodes[0]).saturating_sub(memory);
    println!("{linked} strangers; {flooded} blocks of {due}, {usual} before; {more} bytes more");
    assert!(linked >= 20, "{linked} are no flood");
    assert!(
        4 * flooded >= 3 * usual,
        "{flooded} blocks instead of {usual}"
    );
    assert!(more < 64 << 20, "{more} bytes more");
    for node in &nodes {
        let validators = || {
            let peers = node.peers();
            peers
                .iter()
                .filter(|peer| peer["role"] == "validator")
                .count()
        };
        eventually("all validators are linked", || {
            (validators() == 6).then_some(())
        });
    }
    assert_same_blocks(&all);
}
