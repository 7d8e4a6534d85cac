//! Networks of real validators whose datagrams go over something that a test controls.

use std::{fs, sync::Arc};

use adnet_common::{
    chain_id::ChainId,
    genesis::{Genesis, GenesisValidator},
    keys::{KeyKind, NODE_KEY_NAME, VALIDATOR_KEY_NAME},
};

use super::{Options, TestNode, eventually};

/// One node that dials another.
#[derive(Copy, Clone, Debug)]
pub struct Dial {
    pub from: usize,
    pub to: usize,
    pub chain: ChainId,
    /// Where the other node listens, unless its options say so.
    pub port: u16,
}

impl TestNode {
    /// Makes validators of the same power, one for each of `options`, and starts them; back when each
    /// is ready and all are linked. `genesis` changes what they agree on, and `route` tells at which
    /// `HOST:PORT` a node reaches another.
    pub fn network_over(
        options: Vec<Options>,
        genesis: impl FnOnce(&mut Genesis),
        mut route: impl FnMut(Dial) -> String,
    ) -> Vec<TestNode> {
        let count = options.len();
        let made = |options: Options| {
            TestNode::made(Options {
                keeps_addresses: true,
                ..options
            })
        };
        let mut nodes: Vec<TestNode> = options.into_iter().map(made).collect();
        let mut shared = Genesis::clone(&nodes[0].genesis);
        let validator = |(i, node): (usize, &TestNode)| GenesisValidator {
            name: format!("validator-{i}"),
            public_key: node.public_key(VALIDATOR_KEY_NAME, KeyKind::Validator),
            power: 1,
        };
        shared.validators = nodes.iter().enumerate().map(validator).collect();
        genesis(&mut shared);
        let shared = Arc::new(shared);
        let peers: Vec<_> = nodes
            .iter()
            .map(|node| {
                let key = node.public_key(NODE_KEY_NAME, KeyKind::Node);
                let ports = [node.listen.alpha_p2p, node.listen.delta_p2p];
                (key, ports)
            })
            .collect();
        for (from, node) in nodes.iter_mut().enumerate() {
            for (chain, place) in [(ChainId::Alpha, 0), (ChainId::Delta, 1)] {
                let others = (0..count).filter(|to| *to != from);
                let entries = others.map(|to| {
                    let (key, ports) = &peers[to];
                    let port = ports[place];
                    let at = route(Dial {
                        from,
                        to,
                        chain,
                        port,
                    });
                    format!("{key}@{at}")
                });
                let entries = entries.collect::<Vec<_>>().join(",");
                let setting = format!("{chain}.persistent_peers={entries}");
                node.options.arguments.extend(["--set".to_owned(), setting]);
            }
            let file = node.data_dir().join("genesis.json");
            fs::remove_file(&file).expect("init made one");
            shared.create_file(&file).expect("the folder is ours");
            node.genesis = Arc::clone(&shared);
        }
        for node in &mut nodes {
            node.launch();
        }
        for node in &mut nodes {
            node.await_ready();
        }
        for node in &nodes {
            eventually("all are linked", || {
                node.is_linked_to(count - 1).then_some(())
            });
        }
        nodes
    }
}
