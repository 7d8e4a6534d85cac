//! The network through its public interface: several nodes in one process on 127.0.0.1.
//!
//! Every wait polls with a deadline; every socket is ephemeral and handed over bound.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use adnet_common::chain_id::ChainId;
use adnet_supervisor::network::{
    Arrival, ChainNet, Class, Direction, Inbound, Limits, Network, NetworkConfig, NetworkError,
    PeerAddr, PeerId, Receiver, Role, ValidatorKeys,
};
use prometheus::Registry;

const PATIENCE: Duration = Duration::from_secs(20);

/// Polls until the condition holds.
fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// What a node has received.
#[derive(Clone, Default)]
struct Inbox(Arc<Mutex<Vec<Inbound>>>);

impl Inbox {
    fn receiver(&self) -> Receiver {
        let inbox = self.0.clone();
        Box::new(move |arrival| {
            if let Arrival::Message(message) = arrival {
                inbox.lock().unwrap().push(message);
            }
        })
    }

    fn of(&self, class: Class) -> Vec<Inbound> {
        let inbox = self.0.lock().unwrap();
        inbox.iter().filter(|m| m.class == class).cloned().collect()
    }

    fn count(&self, class: Class) -> usize {
        let inbox = self.0.lock().unwrap();
        inbox.iter().filter(|m| m.class == class).count()
    }
}

fn socket() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn peer_address(peer: PeerId, at: SocketAddr) -> PeerAddr {
    format!("{}@{at}", hex::encode(peer)).parse().unwrap()
}

fn config(seed: u8) -> NetworkConfig {
    NetworkConfig {
        node_seed: [seed; 32],
        network_name: "quic-test".into(),
        network_id: 1,
        genesis: [7; 32],
        validators: ValidatorKeys::default(),
        chains: Vec::new(),
        limits: Limits {
            peers_max: 8,
            outbound_peers: 0,
            ..Limits::default()
        },
        discovery: None,
        store: None,
    }
}

fn on(chain: ChainId, socket: UdpSocket, persistent_peers: Vec<PeerAddr>) -> ChainNet {
    ChainNet {
        chain,
        socket,
        persistent_peers,
        proof: None,
    }
}

/// The public half of the key of [`config`].
fn id_of(seed: u8) -> PeerId {
    let key = ed25519_consensus::SigningKey::from([seed; 32]);
    key.verification_key().to_bytes()
}

/// A node of the Delta chain.
struct Node {
    network: Network,
    registry: Registry,
    inbox: Inbox,
}

impl Node {
    fn start(mut config: NetworkConfig, socket: UdpSocket, peers: Vec<PeerAddr>) -> Self {
        config.chains = vec![on(ChainId::Delta, socket, peers)];
        let (registry, inbox) = (Registry::new(), Inbox::default());
        let network = Network::start(config, &registry, inbox.receiver()).unwrap();
        Self {
            network,
            registry,
            inbox,
        }
    }

    fn is_linked(&self, peer: &PeerId) -> bool {
        self.network.peers().iter().any(|info| info.peer == *peer)
    }

    fn refused(&self, by: &str, reason: &str) -> u64 {
        counter(
            &self.registry,
            "adnet_network_refusals_total",
            &[("by", by), ("reason", reason)],
        )
    }
}

/// Sum of a counter over the series that have these labels.
fn counter(registry: &Registry, name: &str, labels: &[(&str, &str)]) -> u64 {
    let families = registry.gather();
    let series = families
        .iter()
        .filter(|family| family.name() == name)
        .flat_map(|family| family.get_metric());
    let chosen = series.filter(|metric| {
        let has = |(name, value): &(&str, &str)| {
            let mut pairs = metric.get_label().iter();
            pairs.any(|pair| pair.name() == *name && pair.value() == *value)
        };
        labels.iter().all(has)
    });
    chosen
        .map(|metric| metric.get_counter().get_value() as u64)
        .sum()
}

/// The first dials the second, and both know of the link.
fn linked_pair() -> (Node, Node) {
    let (socket_a, _) = socket();
    let (socket_b, address_b) = socket();
    let b = Node::start(config(2), socket_b, vec![]);
    let a = Node::start(config(1), socket_a, vec![peer_address(id_of(2), address_b)]);
    wait_for("a link", || {
        a.is_linked(&id_of(2)) && b.is_linked(&id_of(1))
    });
    (a, b)
}

#[test]
fn each_class_travels_both_ways_up_to_its_bound() {
    let (a, b) = linked_pair();
    assert_eq!(a.network.peer_id(), id_of(1));
    for (from, to, other) in [(&a, &b, id_of(2)), (&b, &a, id_of(1))] {
        for class in Class::ALL {
            for bytes in [0, 1, 1500, class.message_bytes_max()] {
                let message = vec![class.tag(); bytes];
                let expected = to.inbox.count(class) + 1;
                assert!(from.network.send(ChainId::Delta, &other, class, message));
                wait_for("the message", || to.inbox.count(class) == expected);
                let got = to.inbox.of(class).pop().unwrap();
                assert_eq!(got.peer, from.network.peer_id());
                assert_eq!(got.chain, ChainId::Delta);
                assert_eq!(got.bytes.len(), bytes);
                assert!(got.bytes.iter().all(|byte| *byte == class.tag()));
            }
            let oversize = vec![0; class.message_bytes_max() + 1];
            assert!(!from.network.send(ChainId::Delta, &other, class, oversize));
        }
    }
    // Nothing goes to a peer that is not linked, or on a chain that is not served.
    let stranger = id_of(9);
    let send = |chain, peer| a.network.send(chain, &peer, Class::Consensus, vec![1]);
    assert!(!send(ChainId::Delta, stranger));
    assert!(!send(ChainId::Alpha, id_of(2)));
    let sent = counter(
        &a.registry,
        "adnet_network_message_bytes_total",
        &[("direction", "out"), ("class", "body")],
    );
    assert_eq!(sent, (1501 + Class::Body.message_bytes_max()) as u64);
}

#[test]
fn consensus_messages_keep_their_order() {
    let (a, b) = linked_pair();
    for n in 0..1000u32 {
        let message = n.to_be_bytes().to_vec();
        assert_eq!(
            a.network
                .broadcast(ChainId::Delta, Class::Consensus, message),
            1
        );
    }
    wait_for("all messages", || b.inbox.count(Class::Consensus) == 1000);
    let got = b.inbox.of(Class::Consensus);
    let numbers = (0..1000u32).map(|n| n.to_be_bytes().to_vec());
    assert!(got.into_iter().map(|m| m.bytes).eq(numbers));
}

#[test]
fn three_nodes_that_dial_each_other_end_with_one_link_per_pair() {
    let bound: Vec<_> = (0..3).map(|_| socket()).collect();
    let list: Vec<PeerAddr> = (0..3u8)
        .map(|n| peer_address(id_of(n + 1), bound[usize::from(n)].1))
        .collect();
    // The same list for all: each node skips itself.
    let nodes: Vec<Node> = bound
        .into_iter()
        .zip(1u8..)
        .map(|((socket, _), seed)| Node::start(config(seed), socket, list.clone()))
        .collect();
    let settled = || {
        let views: Vec<_> = nodes.iter().map(|node| node.network.peers()).collect();
        views.iter().all(|peers| peers.len() == 2)
            // Both ends must agree on who dialled: then it is the same connection.
            && views.iter().enumerate().all(|(us, peers)| {
                peers.iter().all(|info| {
                    let them = nodes.iter().position(|n| n.network.peer_id() == info.peer);
                    let back = views[them.unwrap()].iter().find(|i| i.peer == nodes[us].network.peer_id());
                    back.is_some_and(|back| back.direction != info.direction)
                })
            })
    };
    wait_for("a full mesh", settled);
    for (n, node) in nodes.iter().enumerate() {
        let mark = vec![n as u8; 100];
        wait_for("a broadcast to both others", || {
            node.network
                .broadcast(ChainId::Delta, Class::SyncRequest, mark.clone())
                == 2
        });
    }
    wait_for("all broadcasts", || {
        nodes.iter().all(|node| {
            let got = node.inbox.of(Class::SyncRequest);
            let mut marks: Vec<u8> = got.iter().map(|m| m.bytes[0]).collect();
            marks.sort();
            marks.dedup();
            marks.len() == 2
        })
    });
}

#[test]
fn tips_are_told_in_hello_and_later() {
    let (a, b) = linked_pair();
    a.network.set_tip(ChainId::Delta, 41);
    a.network.set_tip(ChainId::Delta, 42);
    wait_for("the tip", || b.network.peers()[0].tip_height == 42);
    let info = b.network.peers().remove(0);
    assert_eq!(
        (info.direction, info.role),
        (Direction::Inbound, Role::Full)
    );
    assert_eq!(a.network.peers()[0].direction, Direction::Outbound);
    assert!(info.bytes_in > 0 && info.bytes_out > 0);

    let (socket, _) = socket();
    let address = a.network.local_address(ChainId::Delta).unwrap();
    let c = Node::start(config(3), socket, vec![peer_address(id_of(1), address)]);
    wait_for("the third's link", || c.is_linked(&id_of(1)));
    assert_eq!(c.network.peers()[0].tip_height, 42);
}

#[test]
fn another_genesis_is_refused_by_name_on_both_sides() {
    let (socket_a, _) = socket();
    let (socket_b, address_b) = socket();
    let b = Node::start(config(2), socket_b, vec![]);
    let mut other = config(1);
    other.genesis = [8; 32];
    let a = Node::start(other, socket_a, vec![peer_address(id_of(2), address_b)]);
    wait_for("the refusal", || {
        a.refused("us", "wrong_genesis") > 0 && b.refused("peer", "wrong_genesis") > 0
    });
    assert!(a.network.peers().is_empty() && b.network.peers().is_empty());
}

#[test]
fn another_network_is_refused_by_name_on_both_sides() {
    let (socket_a, _) = socket();
    let (socket_b, address_b) = socket();
    let b = Node::start(config(2), socket_b, vec![]);
    let mut other = config(1);
    other.network_name = "elsewhere".into();
    let a = Node::start(other, socket_a, vec![peer_address(id_of(2), address_b)]);
    wait_for("the refusal", || {
        a.refused("peer", "wrong_network") > 0 && b.refused("us", "wrong_network") > 0
    });
    assert!(a.network.peers().is_empty() && b.network.peers().is_empty());
}

/// The key dialled is the only one that will do, whoever answers at the address.
#[test]
fn a_peer_with_another_key_than_the_one_dialled_is_not_linked() {
    let (socket_a, _) = socket();
    let (socket_b, address_b) = socket();
    let b = Node::start(config(2), socket_b, vec![]);
    let wrong = vec![peer_address(id_of(3), address_b)];
    let a = Node::start(config(1), socket_a, wrong);
    wait_for("the refusal", || a.refused("us", "wrong_key") > 0);
    assert!(a.network.peers().is_empty() && b.network.peers().is_empty());
}

#[test]
fn a_peer_that_restarts_is_linked_again() {
    let (socket_a, _) = socket();
    let (socket_b, address_b) = socket();
    let b = Node::start(config(2), socket_b, vec![]);
    let a = Node::start(config(1), socket_a, vec![peer_address(id_of(2), address_b)]);
    wait_for("a link", || a.is_linked(&id_of(2)));
    b.network.shutdown();
    wait_for("the goodbye", || !a.is_linked(&id_of(2)));

    let again = UdpSocket::bind(address_b).unwrap();
    let b = Node::start(config(2), again, vec![]);
    wait_for("a new link", || a.is_linked(&id_of(2)));
    wait_for("the acceptor's view", || b.is_linked(&id_of(1)));
    assert!(
        a.network
            .send(ChainId::Delta, &id_of(2), Class::Body, vec![5; 9])
    );
    wait_for("the message", || b.inbox.count(Class::Body) == 1);
}

/// While one chain's receiver is stuck, its queues stay within their bounds, whatever is sent; the
/// other chain of the same two nodes goes on, and afterwards consensus is first.
#[test]
fn a_flood_stays_within_bounds_and_leaves_the_other_chain_alone() {
    let (alpha, alpha_at) = socket();
    let (delta, delta_at) = socket();
    let gate = Arc::new((Mutex::new(true), Condvar::new()));
    let (received, delta_received) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let receiver: Receiver = {
        let (gate, received, delta_received) =
            (gate.clone(), received.clone(), delta_received.clone());
        Box::new(move |arrival| match arrival {
            Arrival::Gossip(_) => {}
            Arrival::Message(message) if message.chain == ChainId::Delta => {
                delta_received.fetch_add(1, Ordering::Relaxed);
            }
            Arrival::Message(_) => {
                let (shut, opened) = &*gate;
                let shut = shut.lock().unwrap();
                drop(opened.wait_while(shut, |shut| *shut).unwrap());
                received.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let mut server = config(2);
    server.chains = vec![
        on(ChainId::Alpha, alpha, vec![]),
        on(ChainId::Delta, delta, vec![]),
    ];
    let server_registry = Registry::new();
    let server = Network::start(server, &server_registry, receiver).unwrap();
    let mut client = config(1);
    let at = |place| vec![peer_address(id_of(2), place)];
    client.chains = vec![
        on(ChainId::Alpha, socket().0, at(alpha_at)),
        on(ChainId::Delta, socket().0, at(delta_at)),
    ];
    let registry = Registry::new();
    let client = Network::start(client, &registry, Box::new(|_| {})).unwrap();
    wait_for("both links", || server.peers().len() == 2);

    // 200 MB of consensus messages and 400 MB of bodies, far above every bound, as fast as it goes.
    for n in 0..2000 {
        client.broadcast(ChainId::Alpha, Class::Consensus, vec![1; 100_000]);
        if n % 20 == 0 {
            client.broadcast(ChainId::Alpha, Class::Body, vec![2; 4_000_000]);
        }
    }
    let dropped = |class: &str| {
        counter(
            &registry,
            "adnet_network_dropped_messages_total",
            &[("class", class), ("cause", "queue_full")],
        )
    };
    assert!(dropped("consensus") > 1000, "the queue is bounded");
    assert!(dropped("body") > 50, "the queue is bounded");
    let delta_peer = [id_of(2)];
    for _ in 0..100 {
        assert!(client.send(
            ChainId::Delta,
            &delta_peer[0],
            Class::Consensus,
            vec![3; 200]
        ));
    }
    wait_for("the other chain", || {
        delta_received.load(Ordering::Relaxed) == 100
    });
    assert_eq!(received.load(Ordering::Relaxed), 0);
    let taken = counter(
        &server_registry,
        "adnet_network_message_bytes_total",
        &[("chain", "alpha"), ("direction", "in")],
    );
    let lanes: u64 = (36 + 16) << 20;
    let under_way = (Class::Body.message_bytes_max() + Class::Consensus.message_bytes_max()) * 2;
    assert!(
        taken <= lanes + under_way as u64,
        "{taken} bytes were taken in"
    );

    *gate.0.lock().unwrap() = false;
    gate.1.notify_all();
    let last = |class: Class| {
        assert!(client.send(ChainId::Alpha, &delta_peer[0], class, vec![4; 10]));
    };
    let before = received.load(Ordering::Relaxed);
    last(Class::Consensus);
    wait_for("the flow to go on", || {
        received.load(Ordering::Relaxed) > before
    });
}

/// A receiver that never returns does not keep the network from ending.
#[test]
fn shutdown_does_not_wait_for_a_stuck_receiver() {
    let (socket_a, _) = socket();
    let (socket_b, address_b) = socket();
    let stuck = Arc::new(AtomicBool::new(false));
    let release = Arc::new((Mutex::new(false), Condvar::new()));
    let receiver: Receiver = {
        let (stuck, release) = (stuck.clone(), release.clone());
        Box::new(move |_| {
            stuck.store(true, Ordering::Relaxed);
            let done = release.0.lock().unwrap();
            drop(release.1.wait_while(done, |done| !*done).unwrap());
        })
    };
    let mut server = config(2);
    server.chains = vec![on(ChainId::Delta, socket_b, vec![])];
    let server = Network::start(server, &Registry::new(), receiver).unwrap();
    let a = Node::start(config(1), socket_a, vec![peer_address(id_of(2), address_b)]);
    wait_for("a message", || {
        a.network
            .broadcast(ChainId::Delta, Class::Consensus, vec![1]);
        stuck.load(Ordering::Relaxed)
    });
    let begun = Instant::now();
    server.shutdown();
    assert!(begun.elapsed() < Duration::from_secs(10));
    wait_for("the goodbye", || !a.is_linked(&id_of(2)));
    *release.0.lock().unwrap() = true;
    release.1.notify_all();
}

#[test]
fn mistakes_of_the_configuration_have_names() {
    let start = |config| Network::start(config, &Registry::new(), Box::new(|_| {}));
    let mut unnamed = config(1);
    unnamed.network_name = "Not A Name".into();
    assert!(matches!(start(unnamed), Err(NetworkError::Name(_))));
    let mut twice = config(1);
    twice.chains = vec![
        on(ChainId::Alpha, socket().0, vec![]),
        on(ChainId::Alpha, socket().0, vec![]),
    ];
    let error = start(twice).err();
    assert!(matches!(
        error,
        Some(NetworkError::ChainTwice(ChainId::Alpha))
    ));
}
