//! Several validators of one network, each a real node, linked over loopback.

use std::{fs, net::SocketAddr, path::Path, sync::Arc};

use adnet_common::{
    chain_id::ChainId,
    genesis::{Genesis, GenesisValidator},
    keys::{KeyDir, KeyKind, NODE_KEY_NAME, PublicKey, VALIDATOR_KEY_NAME},
};
use adnet_supervisor::network::PeerAddr;
use serde_json::Value;

use super::{Options, TestNode, adnet, eventually, report::ask};

impl TestNode {
    /// Makes `count` validators of the same power and starts them; back when each is ready and all
    /// are linked to each other on both chains.
    pub fn network(count: usize, options: &Options) -> Vec<TestNode> {
        let mut nodes = TestNode::validators(count, options);
        for i in 0..count {
            let (before, rest) = nodes.split_at_mut(i);
            let (node, after) = rest.split_first_mut().expect("there are more than i");
            let others: Vec<&TestNode> = before.iter().chain(after.iter()).collect();
            node.dial(&others);
        }
        TestNode::start_all(&mut nodes);
        nodes
    }

    /// The same, but each is told of the first one only, by its record.
    pub fn network_by_discovery(count: usize, options: &Options) -> Vec<TestNode> {
        let mut nodes = TestNode::validators(count, options);
        let record = nodes[0].record();
        for node in &mut nodes[1..] {
            node.set("network.boot_nodes", &record);
        }
        TestNode::start_all(&mut nodes);
        nodes
    }

    /// A node of the same network that is no validator and is told of this one only, not started.
    pub fn follower_by_discovery(&self, options: &Options) -> TestNode {
        let mut node = TestNode::made(Options {
            keeps_addresses: true,
            ..options.clone()
        });
        node.adopt(&self.genesis);
        node.set("network.boot_nodes", &self.record());
        node
    }

    /// A node of a network of the same name with another genesis, that dials this one; not started.
    pub fn stranger_at_its_door(&self, options: &Options) -> TestNode {
        let mut stranger = TestNode::made(options.clone());
        stranger.dial(&[self]);
        stranger
    }

    /// Where and by which key a node that keeps its addresses is dialled.
    pub fn endpoint(&self, chain: ChainId) -> PeerAddr {
        let port = match chain {
            ChainId::Alpha => self.listen.alpha_p2p,
            ChainId::Delta => self.listen.delta_p2p,
        };
        assert_ne!(port, 0, "a peer keeps its addresses");
        PeerAddr {
            peer: self.public_key(NODE_KEY_NAME, KeyKind::Node).0,
            host: "127.0.0.1".to_owned(),
            port,
        }
    }

    /// Its UDP ports: those of both chains, and of discovery.
    pub fn udp_doors(&self) -> [SocketAddr; 3] {
        let listen = &self.listen;
        [listen.alpha_p2p, listen.delta_p2p, listen.discovery]
            .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
    }

    fn start_all(nodes: &mut [TestNode]) {
        for node in nodes.iter_mut() {
            node.launch();
        }
        for node in nodes.iter_mut() {
            node.await_ready();
        }
        for node in nodes.iter() {
            eventually("all are linked", || {
                node.is_linked_to(nodes.len() - 1).then_some(())
            });
        }
    }

    /// Nodes with a genesis in common, of which none knows another.
    pub(super) fn validators(count: usize, options: &Options) -> Vec<TestNode> {
        let mut nodes: Vec<TestNode> = (0..count)
            .map(|_| {
                TestNode::made(Options {
                    keeps_addresses: true,
                    ..options.clone()
                })
            })
            .collect();
        let mut genesis = Genesis::clone(&nodes[0].genesis);
        let validator = |(i, node): (usize, &TestNode)| GenesisValidator {
            name: format!("validator-{i}"),
            public_key: node.validator_key(),
            power: 1,
        };
        genesis.validators = nodes.iter().enumerate().map(validator).collect();
        let genesis = Arc::new(genesis);
        for node in &mut nodes {
            node.adopt(&genesis);
        }
        nodes
    }

    /// Puts this genesis in the place of its own.
    pub(super) fn adopt(&mut self, genesis: &Arc<Genesis>) {
        let file = self.data_dir().join("genesis.json");
        fs::remove_file(&file).expect("init made one");
        genesis.create_file(&file).expect("the folder is ours");
        self.genesis = Arc::clone(genesis);
    }

    /// Sets a key of its configuration for the next starts.
    pub fn set(&mut self, key: &str, value: &str) {
        let setting = format!("{key}={value}");
        self.options.arguments.extend(["--set".to_owned(), setting]);
    }

    /// What its operator would hand out to others.
    pub fn record(&self) -> String {
        let mut command = adnet();
        command.args(["keys", "show", "node", "--record", "--data-dir"]);
        command.arg(self.data_dir());
        for setting in self.listen.settings() {
            command.args(["--set", &setting]);
        }
        let output = command.output().expect("the binary runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout)
            .expect("text")
            .trim()
            .to_owned()
    }

    /// The public half of its validator's key.
    pub fn validator_key(&self) -> PublicKey {
        self.public_key(VALIDATOR_KEY_NAME, KeyKind::Validator)
    }

    /// Its linked peers, as `adnet peers --json` gives them.
    pub fn peers(&self) -> Vec<Value> {
        peers_at(&self.data_dir().join("control.sock")).unwrap_or_default()
    }

    /// Makes a node that is no validator and follows the network of these nodes from them, without
    /// starting it. It knows the network's genesis and nothing else.
    pub fn newcomer(network: &[&TestNode], options: &Options) -> TestNode {
        let mut node = TestNode::made(Options {
            keeps_addresses: true,
            ..options.clone()
        });
        node.dial(network);
        let genesis = &network[0].genesis;
        let file = node.data_dir().join("genesis.json");
        fs::remove_file(&file).expect("init made one");
        genesis.create_file(&file).expect("the folder is ours");
        node.genesis = Arc::clone(genesis);
        node
    }

    /// Makes a node like [`TestNode::newcomer`] that has all blocks of `source`, which is stopped.
    pub fn with_blocks_of(source: &TestNode, network: &[&TestNode], options: &Options) -> TestNode {
        let node = TestNode::newcomer(&[&[source], network].concat(), options);
        let (from, to) = (source.data_dir().join("db"), node.data_dir().join("db"));
        fs::create_dir_all(&to).expect("the folder is ours");
        for file in fs::read_dir(&from).expect("a stopped node has a database") {
            let file = file.expect("the folder is ours");
            if file.file_type().is_ok_and(|kind| kind.is_file()) {
                fs::copy(file.path(), to.join(file.file_name())).expect("room for a copy");
            }
        }
        node
    }

    /// The value of a gauge or counter without labels but the chain's, if it is served by now.
    pub fn figure(&self, name: &str, chain: ChainId) -> Option<u64> {
        let (_, text) = self.metrics().text("/metrics").ok()?;
        let mut lines = text.lines().filter(|line| line.starts_with(name));
        let line = lines.find(|line| line.contains(chain.name()))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// Makes the nodes of `peers`, which keep their addresses, persistent peers of this one.
    pub(super) fn dial(&mut self, peers: &[&TestNode]) {
        for chain in ChainId::ALL {
            let entries = peers.iter().map(|peer| peer.endpoint(chain).to_string());
            let entries = entries.collect::<Vec<_>>().join(",");
            let setting = format!("{chain}.persistent_peers={entries}");
            self.options.arguments.extend(["--set".to_owned(), setting]);
        }
    }

    pub(super) fn public_key(&self, name: &str, kind: KeyKind) -> PublicKey {
        let key = KeyDir::of(self.data_dir()).load_kind(name, kind);
        let key = key.expect("init made the keys").ed25519_public();
        key.expect("keys of a node are ed25519 keys")
    }

    /// Whether it has so many peers on each chain.
    pub fn is_linked_to(&self, count: usize) -> bool {
        let peers = self.peers();
        let of = |chain: &str| peers.iter().filter(|peer| peer["chain"] == chain).count();
        of("alpha") == count && of("delta") == count
    }
}

fn peers_at(socket: &Path) -> Option<Vec<Value>> {
    let mut answer = ask(socket, "peers")?;
    Some(answer["peers"].as_array_mut()?.drain(..).collect())
}
