//! A network that is a line: one validator at its end, and followers each linked to the one before.

use std::time::{Duration, Instant};

use adnet_common::chain_id::ChainId;
use adnet_tests::harness::{Options, TestNode, eventually};

use super::{
    agreement::{assert_same_blocks, await_growth},
    options,
};

const NODES: usize = 4;

fn line() -> Vec<TestNode> {
    let mut nodes = vec![TestNode::start(Options {
        keeps_addresses: true,
        ..options()
    })];
    for i in 1..NODES {
        nodes.push(TestNode::following(&nodes[i - 1]));
    }
    for (i, node) in nodes.iter().enumerate() {
        let neighbours = if i == 0 || i + 1 == NODES { 1 } else { 2 };
        eventually("the neighbours are linked", || {
            node.is_linked_to(neighbours).then_some(())
        });
    }
    nodes
}

/// A counter of gossip on the metrics page, summed over chains.
fn gossiped(node: &TestNode, topic: &str, event: &str) -> f64 {
    let (_, page) = node.metrics().text("/metrics").expect("answers");
    let labels = [format!("topic=\"{topic}\""), format!("event=\"{event}\"")];
    page.lines()
        .filter(|line| line.starts_with("adnet_gossip_messages_total{"))
        .filter(|line| labels.iter().all(|label| line.contains(label)))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

#[test]
fn what_any_node_of_a_line_is_given_is_final_on_all() {
    let nodes = line();
    await_growth(&nodes.iter().collect::<Vec<_>>(), 2);
    // The far end first: its transactions have the whole line before them.
    for (nonce, from) in (0..NODES).rev().enumerate() {
        let begun = Instant::now();
        let user = nodes[from].alpha_user(0);
        let to = nodes[from].alpha_user(1).address();
        let tx = user.transfer(nonce as u64, to, 1);
        user.send(&tx).expect("accepted");
        let heights: Vec<u64> = nodes
            .iter()
            .map(|node| {
                let user = node.alpha_user(0);
                eventually("it is final here", || user.final_at(&tx.id()))
            })
            .collect();
        assert!(heights.iter().all(|h| *h == heights[0]), "{heights:?}");
        println!(
            "given to node {from}: final on all after {:?}",
            begun.elapsed()
        );
        assert!(begun.elapsed() < Duration::from_secs(15));

        let user = nodes[from].delta_user(0);
        let to = nodes[from].delta_user(1).address();
        let tx = user.transfer(nonce as u64, to, 1.try_into().expect("small"));
        user.send(&tx).expect("accepted");
        for node in &nodes {
            let user = node.delta_user(0);
            eventually("it is final here", || user.receipt(&tx));
        }
    }
    // The blocks are announced from hand to hand as well.
    for node in &nodes[1..] {
        eventually("announcements have come by", || {
            (gossiped(node, "block", "accepted") > 0.0).then_some(())
        });
    }
    assert!(gossiped(&nodes[1], "tx", "accepted") >= 4.0);
    for node in &nodes {
        assert_eq!(gossiped(node, "tx", "rejected"), 0.0);
        assert_eq!(gossiped(node, "block", "rejected"), 0.0);
    }
    assert_same_blocks(&nodes.iter().collect::<Vec<_>>());
    let heights = ChainId::ALL.map(|chain| super::height(&nodes[NODES - 1], chain));
    assert!(heights.iter().all(|height| *height > 2), "{heights:?}");
}
