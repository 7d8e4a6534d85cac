//! A second node of a network: it holds no validator's key, takes blocks from another node, and
//! executes each of them itself.

use std::{fs, sync::Arc};

use adnet_common::{
    genesis::Genesis,
    keys::{KeyDir, KeyKind, NODE_KEY_NAME},
};

use super::{Options, TestNode};

impl TestNode {
    /// Starts a node with an empty database that follows `leader`, which keeps its addresses.
    ///
    /// It has every block from genesis on from `leader`, checks its certificate, and executes it: a
    /// header whose roots are not what execution gives stops it.
    pub fn following(leader: &TestNode) -> TestNode {
        let keys = KeyDir::of(leader.data_dir());
        let key = keys.load_kind(NODE_KEY_NAME, KeyKind::Node);
        let key = key.expect("init made a node key").ed25519_public();
        let key = key.expect("a node key is an ed25519 key");
        let listen = &leader.listen;
        assert_ne!(listen.alpha_p2p, 0, "a leader keeps its addresses");
        let peer = |chain: &str, port| format!("{chain}.persistent_peers={key}@127.0.0.1:{port}");
        let peers = [
            peer("alpha", listen.alpha_p2p),
            peer("delta", listen.delta_p2p),
        ];
        let mut node = TestNode::made(Options {
            alpha_interval_ms: leader.genesis.alpha.block_interval_ms,
            delta_interval_ms: leader.genesis.delta.block_interval_ms,
            keeps_addresses: false,
            arguments: peers
                .into_iter()
                .flat_map(|peer| ["--set".to_owned(), peer])
                .collect(),
        });
        let genesis = node.data_dir().join("genesis.json");
        fs::copy(leader.data_dir().join("genesis.json"), &genesis).expect("both folders are ours");
        let loaded = Genesis::load(&genesis).expect("the leader runs on it");
        node.genesis = Arc::new(loaded);
        node.restart();
        node
    }
}
