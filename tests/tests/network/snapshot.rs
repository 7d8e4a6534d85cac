//! A node that joins late and begins with a snapshot of a recent state.

use adnet_common::chain_id::ChainId;
use adnet_tests::cluster::agreement::{assert_same_blocks_from, await_growth, block, height};
use adnet_tests::harness::{Options, TestNode, eventually};

fn block_path(chain: ChainId, height: u64) -> String {
    match chain {
        ChainId::Alpha => format!("/v1/block/{height}"),
        ChainId::Delta => format!("/v1/blocks/{height}"),
    }
}

/// The first height whose block a node has, above the genesis.
fn first_block(node: &TestNode, chain: ChainId) -> u64 {
    let api = node.api(chain);
    let heights = 1..=height(node, chain);
    let mut here = heights.filter(|height| api.get(&block_path(chain, *height)).is_ok());
    here.next().expect("it has blocks")
}

#[test]
fn a_fifth_node_begins_with_a_snapshot_and_stays_with_the_network() {
    let options = Options {
        alpha_interval_ms: 120,
        delta_interval_ms: 60,
        ..Options::default()
    };
    let nodes = TestNode::network(4, &options);
    let all: Vec<&TestNode> = nodes.iter().collect();
    // Something is in the state beside the genesis: both accounts of a transfer, and a lock's.
    let (sender, recipient) = (nodes[1].alpha_user(0), nodes[1].alpha_user(2));
    let transfer = sender.transfer(0, recipient.address(), 5);
    sender.send(&transfer).expect("accepted");
    while height(all[0], ChainId::Delta) < adnet_delta::SNAPSHOT_EVERY_BLOCKS + 5 {
        await_growth(&all[..1], 5);
    }
    let mut fifth = TestNode::newcomer(&all, &options);
    for chain in ChainId::ALL {
        let hash = block(&nodes[2].api(chain), chain, 7)[0].take();
        let hash = hash.as_str().expect("a hash");
        fifth.set(&format!("{chain}.trusted_block"), &format!("7:{hash}"));
    }
    let there = ChainId::ALL.map(|chain| (chain, height(all[0], chain)));
    fifth.restart();
    for (chain, there) in there {
        eventually("it is where the others were", || {
            (height(&fifth, chain) >= there).then_some(())
        });
        let first = first_block(&fifth, chain);
        let every = match chain {
            ChainId::Alpha => adnet_alpha::SNAPSHOT_EVERY_BLOCKS,
            ChainId::Delta => adnet_delta::SNAPSHOT_EVERY_BLOCKS,
        };
        assert!(first.is_multiple_of(every), "{chain} begins at {first}");
        let missing = fifth.api(chain).get(&block_path(chain, 3));
        assert_eq!(missing.expect_err("not here").code(), "NOT_FOUND");
        eventually("the figures of sync tell of it", || {
            (fifth.figure("adnet_sync_pieces{", chain)? > 0).then_some(())
        });
    }
    let account = |node: &TestNode| {
        let user = node.alpha_user(2);
        eventually("the account is served", || {
            node.alpha()
                .get(&format!("/v1/balance/{}", user.address()))
                .ok()
        })
    };
    assert_eq!(
        account(&fifth)["balance_units"],
        account(&nodes[0])["balance_units"]
    );
    // What it has is enough to go on with after a death.
    fifth.kill();
    fifth.restart();
    let mut five = all;
    five.push(&fifth);
    await_growth(&five, 3);
    for (chain, there) in there {
        assert_same_blocks_from(&five, chain, there);
        assert_eq!(fifth.figure("adnet_sync_bad_ranges{", chain), Some(0));
    }
}
