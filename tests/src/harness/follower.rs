//! A second node of a network: it holds no validator's key, takes blocks from another node, and
//! executes each of them itself.

use std::{fs, sync::Arc};

use adnet_common::genesis::Genesis;

use super::{Options, TestNode};

impl TestNode {
    /// Starts a node with an empty database that follows `leader`, which keeps its addresses.
    ///
    /// It has every block from genesis on from `leader`, checks its certificate, and executes it: a
    /// header whose roots are not what execution gives stops it.
    pub fn following(leader: &TestNode) -> TestNode {
        let mut node = TestNode::made(Options {
            alpha_interval_ms: leader.genesis.alpha.block_interval_ms,
            delta_interval_ms: leader.genesis.delta.block_interval_ms,
            // So that others can follow this one.
            keeps_addresses: true,
            ..Options::default()
        });
        node.dial(&[leader]);
        let genesis = node.data_dir().join("genesis.json");
        fs::copy(leader.data_dir().join("genesis.json"), &genesis).expect("both folders are ours");
        let loaded = Genesis::load(&genesis).expect("the leader runs on it");
        node.genesis = Arc::new(loaded);
        node.restart();
        node
    }
}
