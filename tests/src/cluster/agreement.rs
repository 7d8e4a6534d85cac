//! What must hold between the nodes of a network, seen through their APIs.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::harness::{Api, TestNode, eventually};
use adnet_common::chain_id::ChainId;
use serde_json::Value;

pub fn height(node: &TestNode, chain: ChainId) -> u64 {
    eventually("the API answers", || node.api(chain).height().ok())
}

/// Hash and roots of a committed block.
pub fn block(api: &Api, chain: ChainId, height: u64) -> Value {
    let path = match chain {
        ChainId::Alpha => format!("/v1/block/{height}"),
        ChainId::Delta => format!("/v1/blocks/{height}"),
    };
    let mut block = eventually("the block is served", || api.get(&path).ok());
    Value::Array(
        ["hash", "state_root", "parent"]
            .map(|field| block[field].take())
            .into(),
    )
}

/// The same block at each height that all of them have, on both chains.
pub fn assert_same_blocks(nodes: &[&TestNode]) {
    for chain in ChainId::ALL {
        assert_same_blocks_from(nodes, chain, 0);
    }
}

/// The same block at each height from `first` on that all of them have.
pub fn assert_same_blocks_from(nodes: &[&TestNode], chain: ChainId, first: u64) {
    let heights = nodes.iter().map(|node| height(node, chain));
    let common = heights.min().expect("a network has nodes");
    assert!(common > first, "{chain} has blocks");
    for at in first..=common {
        let expected = block(&nodes[0].api(chain), chain, at);
        assert!(expected[0].is_string(), "{expected}");
        for node in &nodes[1..] {
            let found = block(&node.api(chain), chain, at);
            assert_eq!(found, expected, "{chain} at {at}");
        }
    }
}

/// Until each has `blocks` more on both chains than it has now.
pub fn await_growth(nodes: &[&TestNode], blocks: u64) {
    let wanted: Vec<_> = nodes
        .iter()
        .flat_map(|node| ChainId::ALL.map(|chain| (node, chain, height(node, chain) + blocks)))
        .collect();
    for (node, chain, wanted) in wanted {
        eventually("the chain grows", || {
            (node.api(chain).height().ok()? >= wanted).then_some(())
        });
    }
}

/// Waits until none of these nodes has had a new block for `quiet`, which is many intervals, and
/// returns where they stand.
pub fn await_standstill(nodes: &[&TestNode], quiet: Duration) -> Vec<(ChainId, u64)> {
    let look = || {
        let of = |chain| nodes.iter().map(move |node| height(node, chain)).max();
        ChainId::ALL.map(|chain| (chain, of(chain).expect("a network has nodes")))
    };
    let (mut stands, mut since) = (look(), Instant::now());
    let deadline = Instant::now() + 4 * quiet;
    while since.elapsed() < quiet {
        assert!(Instant::now() < deadline, "the chains go on: {stands:?}");
        thread::sleep(Duration::from_millis(20));
        let now = look();
        if now != stands {
            (stands, since) = (now, Instant::now());
        }
    }
    stands.to_vec()
}
