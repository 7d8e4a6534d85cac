//! A node that joins late: it fetches what it has missed from several peers at once.

use adnet_common::chain_id::ChainId;
use adnet_tests::harness::{Options, TestNode, eventually};

use crate::agreement::{assert_same_blocks, await_growth, height};

/// Blocks of Delta, of which there are twice as many as of Alpha.
const BLOCKS: u64 = 200;

#[test]
fn a_fifth_node_joins_a_long_chain_and_stays_with_it() {
    let options = Options {
        alpha_interval_ms: 120,
        delta_interval_ms: 60,
        ..Options::default()
    };
    let nodes = TestNode::network(4, &options);
    let all: Vec<&TestNode> = nodes.iter().collect();
    while height(all[0], ChainId::Delta) < BLOCKS {
        await_growth(&all[..1], 5);
    }
    let there = ChainId::ALL.map(|chain| (chain, height(all[0], chain)));
    let mut fifth = TestNode::newcomer(&all, &options);
    fifth.restart();
    for (chain, there) in there {
        eventually("it has what it missed", || {
            (height(&fifth, chain) >= there).then_some(())
        });
        // They were fetched in ranges from several peers, not one by one as they were decided.
        eventually("the figures of sync tell of it", || {
            let fetched = fifth.figure("adnet_sync_blocks{", chain)?;
            (fetched >= there).then_some(())
        });
        let requests = fifth.figure("adnet_sync_requests{", chain);
        assert!(requests.is_some_and(|n| n >= 3), "{requests:?}");
        let served = |node: &&TestNode| {
            eventually("the figures of the others do, too", || {
                node.figure("adnet_sync_blocks_served{", chain)
            })
        };
        let servers = all.iter().filter(|node| served(node) > 0).count();
        assert!(servers >= 3, "{servers} peers served blocks of {chain}");
    }
    let mut five = all;
    five.push(&fifth);
    await_growth(&five, 3);
    assert_same_blocks(&five);
    for chain in ChainId::ALL {
        assert_eq!(fifth.figure("adnet_sync_bad_ranges{", chain), Some(0));
    }
}
