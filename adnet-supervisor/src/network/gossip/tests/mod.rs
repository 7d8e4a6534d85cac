//! Gossip between whole networks in one process, each with a worker that judges by the first byte
//! of a message.

mod floods;
mod overtaking;
mod raw;
mod routes;

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use adnet_common::{
    chain_id::ChainId,
    node::{Fault, Topic, Verdict},
};
use prometheus::{Registry, proto::MetricType};

use super::Gossiped;
use crate::network::{
    Arrival, ChainNet, Limits, Network, NetworkConfig, PeerAddr, PeerId, ValidatorKeys,
    identity::Identity,
};

const CHAIN: ChainId = ChainId::Delta;
const PATIENCE: Duration = Duration::from_secs(30);

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// What the worker of these tests says; it does not answer at all to `.`.
fn verdict_of(bytes: &[u8]) -> Option<Verdict> {
    match bytes.first() {
        Some(b'!') => Some(Verdict::Reject(Fault::BadTransaction)),
        Some(b'?') => Some(Verdict::Ignore),
        Some(b'.') => None,
        _ => Some(Verdict::Accept),
    }
}

/// A bound socket and the address at which others find this node.
struct Place {
    seed: u8,
    socket: UdpSocket,
    address: SocketAddr,
}

fn id_of(seed: u8) -> PeerId {
    Identity::from_seed([seed; 32]).id()
}

fn place(seed: u8) -> Place {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    Place {
        seed,
        socket,
        address,
    }
}

fn peer_address(seed: u8, at: SocketAddr) -> PeerAddr {
    format!("{}@{at}", hex::encode(id_of(seed)))
        .parse()
        .unwrap()
}

struct Peer {
    id: PeerId,
    address: SocketAddr,
    /// Taken when the node ends.
    network: Option<Arc<Network>>,
    registry: Registry,
    /// What the worker was given, in order.
    seen: Arc<Mutex<Vec<Gossiped>>>,
    /// Messages that came from peers directly.
    direct: Arc<AtomicU64>,
    ends: Arc<AtomicBool>,
    judge: Option<JoinHandle<()>>,
}

impl Peer {
    fn start(place: Place, peers: Vec<PeerAddr>) -> Self {
        let (seen, direct) = (Arc::<Mutex<Vec<Gossiped>>>::default(), Arc::default());
        let (given, to_judge) = mpsc::channel();
        let receiver = {
            let (seen, direct): (_, Arc<AtomicU64>) = (seen.clone(), Arc::clone(&direct));
            Box::new(move |arrival| match arrival {
                Arrival::Message(_) => {
                    direct.fetch_add(1, Ordering::Relaxed);
                }
                Arrival::Gossip(message) => {
                    seen.lock().unwrap().push(message.clone());
                    // The judge ends first.
                    let _ = given.send(message);
                }
            })
        };
        let config = NetworkConfig {
            node_seed: [place.seed; 32],
            network_name: "hostile".into(),
            network_id: 1,
            genesis: [7; 32],
            validators: ValidatorKeys::default(),
            chains: vec![ChainNet {
                chain: CHAIN,
                socket: place.socket,
                persistent_peers: peers,
                proof: None,
            }],
            limits: Limits {
                peers_max: 16,
                outbound_peers: 0,
                ..Limits::default()
            },
            discovery: None,
            store: None,
        };
        let registry = Registry::new();
        let network = Arc::new(Network::start(config, &registry, receiver).unwrap());
        let ends = Arc::new(AtomicBool::new(false));
        let judge = thread::spawn({
            let (ends, network) = (ends.clone(), Arc::downgrade(&network));
            move || judge(&to_judge, &network, &ends)
        });
        Self {
            id: id_of(place.seed),
            address: place.address,
            network: Some(network),
            registry,
            seen,
            direct,
            ends,
            judge: Some(judge),
        }
    }

    fn network(&self) -> &Network {
        self.network.as_ref().expect("taken at the end only")
    }

    fn publish(&self, topic: Topic, text: &str) {
        self.publish_bytes(topic, text.as_bytes().to_vec());
    }

    fn publish_bytes(&self, topic: Topic, bytes: Vec<u8>) {
        wait_for("room for a message of ours", || {
            self.network().publish(CHAIN, topic, bytes.clone())
        });
    }

    fn times_seen(&self, text: &str) -> usize {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|m| m.bytes == text.as_bytes()).count()
    }

    fn has_seen(&self, text: &str) -> bool {
        self.times_seen(text) > 0
    }

    fn is_linked(&self, to: &Peer) -> bool {
        self.network().peers().iter().any(|info| info.peer == to.id)
    }

    fn figure(&self, name: &str, labels: &[(&str, &str)]) -> i64 {
        figure(&self.registry, name, labels)
    }

    fn messages(&self, event: &str) -> i64 {
        let labels = [("event", event)];
        self.figure("adnet_gossip_messages_total", &labels)
    }

    fn refused(&self, by: &str, reason: &str) -> i64 {
        let labels = [("by", by), ("reason", reason)];
        self.figure("adnet_network_refusals_total", &labels)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(judge) = self.judge.take() {
            let ended = judge.join();
            assert!(ended.is_ok() || thread::panicking());
        }
        self.network = None; // ours is the last
    }
}

fn judge(messages: &mpsc::Receiver<Gossiped>, network: &Weak<Network>, ends: &AtomicBool) {
    while !ends.load(Ordering::Relaxed) {
        let Ok(message) = messages.recv_timeout(Duration::from_millis(20)) else {
            continue;
        };
        if let (Some(verdict), Some(network)) = (verdict_of(&message.bytes), network.upgrade()) {
            network.verdict(CHAIN, &message.peer, message.topic, message.id, verdict);
        }
    }
}

/// Sum of a counter or gauge over the series that have these labels.
fn figure(registry: &Registry, name: &str, labels: &[(&str, &str)]) -> i64 {
    let families = registry.gather();
    let Some(family) = families.iter().find(|family| family.name() == name) else {
        return 0; // nothing was counted yet
    };
    let chosen = family.get_metric().iter().filter(|metric| {
        let has = |(name, value): &(&str, &str)| {
            let mut pairs = metric.get_label().iter();
            pairs.any(|pair| pair.name() == *name && pair.value() == *value)
        };
        labels.iter().all(has)
    });
    let value = |metric: &prometheus::proto::Metric| match family.get_field_type() {
        MetricType::COUNTER => metric.get_counter().get_value() as i64,
        _ => metric.get_gauge().get_value() as i64,
    };
    chosen.map(value).sum()
}

/// Nodes of which each dials the one before. Back when neighbours hear each other.
fn line(seeds: std::ops::RangeInclusive<u8>) -> Vec<Peer> {
    let mut peers: Vec<Peer> = Vec::new();
    for seed in seeds {
        let before = peers
            .last()
            .map(|peer| peer_address(seed - 1, peer.address));
        peers.push(Peer::start(place(seed), before.into_iter().collect()));
    }
    let count = peers.len();
    wait_for("the links and sessions of the line", || {
        peers.iter().enumerate().all(|(i, peer)| {
            let neighbours = if i == 0 || i + 1 == count { 1 } else { 2 };
            Topic::ALL.iter().all(|topic| {
                let of_topic = [("topic", topic.name())];
                peer.figure("adnet_gossip_sessions", &of_topic) == neighbours
                    && peer.figure("adnet_gossip_mesh_peers", &of_topic) == neighbours
            })
        })
    });
    peers
}
