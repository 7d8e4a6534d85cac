//! Networks of several nodes in one process on loopback, each linked with each, and what arrives.
//!
//! A message carries when it was sent; all nodes read one clock. A thread beside each network accepts
//! every gossiped message at once, as a worker without anything else to do.

use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc;
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use adnet_common::chain_id::ChainId;
use adnet_common::node::{Topic, Verdict};
use adnet_supervisor::network::{
    Arrival, ChainNet, Class, Gossiped, Limits, Network, NetworkConfig, PeerAddr, PeerId,
    ValidatorKeys,
};
use prometheus::Registry;

const CHAIN: ChainId = ChainId::Delta;
const PATIENCE: Duration = Duration::from_secs(30);
/// Kind, number, and when it was sent.
const HEAD_BYTES: usize = 1 + 8 + 8;

static CLOCK: LazyLock<Instant> = LazyLock::new(Instant::now);

/// How long messages of each kind took, in the order of their arrival, over all receivers.
type Taken = Arc<Mutex<Vec<(u8, Duration)>>>;

/// See the module.
pub struct Mesh {
    nodes: Vec<Arc<Network>>,
    taken: Taken,
    sent: u64,
}

fn seed(index: usize) -> [u8; 32] {
    [u8::try_from(index + 1).expect("a few nodes"); 32]
}

fn id(index: usize) -> PeerId {
    let key = ed25519_consensus::SigningKey::from(seed(index));
    key.verification_key().to_bytes()
}

fn hear(taken: &Taken, bytes: &[u8]) {
    let Some((head, _)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
        return;
    };
    let sent_ns = u64::from_be_bytes(head[9..].try_into().expect("eight bytes"));
    let took = CLOCK
        .elapsed()
        .saturating_sub(Duration::from_nanos(sent_ns));
    let mut taken = taken.lock().expect("nobody panics with it");
    taken.push((head[0], took));
}

/// Accepts what is gossiped.
fn judge(gossiped: &mpsc::Receiver<Gossiped>, network: &std::sync::Weak<Network>) {
    while let (Ok(message), Some(network)) = (gossiped.recv(), network.upgrade()) {
        let Gossiped {
            peer, topic, id, ..
        } = message;
        network.verdict(CHAIN, &peer, topic, id, Verdict::Accept);
    }
}

impl Mesh {
    /// Back when each is linked with each, and gossip has had time to make its meshes.
    pub fn start(count: usize) -> Self {
        LazyLock::force(&CLOCK);
        let bind = |_| UdpSocket::bind("127.0.0.1:0").expect("a port on loopback");
        let sockets: Vec<UdpSocket> = (0..count).map(bind).collect();
        let at = |socket: &UdpSocket| socket.local_addr().expect("a bound socket");
        let addresses: Vec<SocketAddr> = sockets.iter().map(at).collect();
        let taken = Taken::default();
        let nodes: Vec<Arc<Network>> = sockets
            .into_iter()
            .enumerate()
            .map(|(index, socket)| start(index, socket, &addresses, &taken))
            .collect();
        let deadline = Instant::now() + PATIENCE;
        while !nodes.iter().all(|node| node.peers().len() == count - 1) {
            assert!(Instant::now() < deadline, "not all are linked");
            thread::sleep(Duration::from_millis(10));
        }
        thread::sleep(Duration::from_secs(3));
        Self {
            nodes,
            taken,
            sent: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn message(&mut self, kind: u8, bytes: usize) -> Vec<u8> {
        self.sent += 1;
        let mut message = Vec::with_capacity(bytes);
        message.push(kind);
        message.extend(self.sent.to_be_bytes());
        let now_ns = u64::try_from(CLOCK.elapsed().as_nanos()).expect("centuries");
        message.extend(now_ns.to_be_bytes());
        message.resize(bytes.max(HEAD_BYTES), 0x5a);
        message
    }

    /// Gossips a transaction from a node; false if it has no room for it.
    pub fn publish(&mut self, node: usize, kind: u8, bytes: usize) -> bool {
        let message = self.message(kind, bytes);
        self.nodes[node].publish(CHAIN, Topic::Transaction, message)
    }

    /// Sends from a node to all others directly, as consensus does.
    pub fn broadcast(&mut self, node: usize, kind: u8, bytes: usize) {
        let message = self.message(kind, bytes);
        self.nodes[node].broadcast(CHAIN, Class::Consensus, message);
    }

    /// How many messages of a kind have arrived, over all receivers.
    pub fn arrived(&self, kind: u8) -> usize {
        let taken = self.taken.lock().expect("nobody panics with it");
        taken.iter().filter(|(of, _)| *of == kind).count()
    }

    /// Waits until so many of a kind have arrived, or no more do.
    pub fn await_arrivals(&self, kind: u8, expected: usize) {
        let (mut before, mut since) = (self.arrived(kind), Instant::now());
        while before < expected && since.elapsed() < Duration::from_secs(3) {
            thread::sleep(Duration::from_millis(20));
            let now = self.arrived(kind);
            if now != before {
                (before, since) = (now, Instant::now());
            }
        }
    }

    /// How long those of a kind took, sorted.
    pub fn times(&self, kind: u8) -> Vec<Duration> {
        let taken = self.taken.lock().expect("nobody panics with it");
        let of_kind = taken.iter().filter(|(of, _)| *of == kind);
        let mut times: Vec<Duration> = of_kind.map(|(_, took)| *took).collect();
        times.sort_unstable();
        times
    }
}

fn start(index: usize, socket: UdpSocket, all: &[SocketAddr], taken: &Taken) -> Arc<Network> {
    let others = all.iter().enumerate().filter(|(other, _)| *other != index);
    let address = |(other, at): (usize, &SocketAddr)| -> PeerAddr {
        let text = format!("{}@{at}", hex::encode(id(other)));
        text.parse().expect("a key and an address")
    };
    let (given, gossiped) = mpsc::channel();
    let heard = Arc::clone(taken);
    let receiver = Box::new(move |arrival| match arrival {
        Arrival::Message(message) => hear(&heard, &message.bytes),
        Arrival::Gossip(message) => {
            hear(&heard, &message.bytes);
            // The judge ends with the process.
            let _ = given.send(message);
        }
    });
    let config = NetworkConfig {
        node_seed: seed(index),
        network_name: "bench".into(),
        network_id: 1,
        genesis: [7; 32],
        validators: ValidatorKeys::default(),
        chains: vec![ChainNet {
            chain: CHAIN,
            socket,
            persistent_peers: others.map(address).collect(),
            proof: None,
        }],
        limits: Limits {
            outbound_peers: 0,
            ..Limits::default()
        },
        discovery: None,
        store: None,
    };
    let network = Network::start(config, &Registry::new(), receiver);
    let network = Arc::new(network.expect("a network on loopback"));
    let to_judge = Arc::downgrade(&network);
    thread::spawn(move || judge(&gossiped, &to_judge));
    network
}

/// Bytes that have gone over loopback since the machine started.
pub fn loopback_bytes() -> u64 {
    let table = std::fs::read_to_string("/proc/net/dev").expect("Linux");
    let line = table
        .lines()
        .find_map(|line| line.trim().strip_prefix("lo:"));
    let received = line.and_then(|line| line.split_whitespace().next());
    let received = received.and_then(|bytes| bytes.parse().ok());
    received.expect("there is a loopback")
}
