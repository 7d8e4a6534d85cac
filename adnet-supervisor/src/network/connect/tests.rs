//! Who is dialled: by judgement alone, and by real nodes.

use std::{
    net::UdpSocket,
    time::{Duration, Instant},
};

use adnet_common::{chain_id::ChainId, keys::PublicKey};
use prometheus::Registry;

use super::{
    plan::{Target, View, anchor, feeler, outbound, validators},
    *,
};
use crate::network::{
    ChainNet, Limits, Network, NetworkConfig, ValidatorKeys,
    address_book::tests::{candidate, empty_book, numbers},
    discovery::Contents,
    identity::Identity,
};

const NOW_MS: u64 = 1_700_000_000_000;
const CHAIN: ChainId = ChainId::Delta;
const VOTER: PublicKey = PublicKey([5; 32]);
const PATIENCE: Duration = Duration::from_secs(20);

/// What a plan is made from, with nobody linked.
struct Scene {
    book: Book,
    limits: Limits,
    taken: BTreeSet<PeerId>,
    chosen: Vec<IpAddr>,
    banned: BTreeSet<PeerId>,
}

impl Scene {
    fn new() -> Self {
        Self {
            book: empty_book(false),
            limits: Limits::default(),
            taken: BTreeSet::new(),
            chosen: Vec::new(),
            banned: BTreeSet::new(),
        }
    }

    fn add(&mut self, n: u32, ip: [u8; 4]) -> PeerId {
        let candidate = candidate(n, ip);
        assert!(self.book.add(&candidate, candidate.ip, NOW_MS));
        candidate.peer
    }

    fn plan<T>(&self, plan: impl FnOnce(&Book, &View<'_>) -> T) -> T {
        let view = View {
            chain: CHAIN,
            now_ms: NOW_MS,
            limits: &self.limits,
            taken: &self.taken,
            chosen: &self.chosen,
            is_banned: &|peer| self.banned.contains(peer),
            votes: &|key| *key == VOTER,
        };
        plan(&self.book, &view)
    }

    /// Links what is chosen until nobody is.
    fn fill(&mut self, seed: u64) -> Vec<Target> {
        let mut random = numbers(seed);
        let mut linked = Vec::new();
        while let Some(target) = self.plan(|book, view| outbound(book, view, &mut random)) {
            self.taken.insert(target.peer);
            self.chosen.push(target.address.ip());
            linked.push(target);
        }
        linked
    }
}

#[test]
fn eight_are_chosen_of_eight_subnets_and_no_more() {
    for seed in 0..20 {
        let mut scene = Scene::new();
        // Four regions with many subnets each, and a few with one.
        for n in 0..200u8 {
            let ip = [10 + n % 4, 1, n, 1];
            let candidate = candidate(u32::from(n), ip);
            scene.book.add(&candidate, candidate.ip, NOW_MS);
        }
        scene.add(300, [60, 1, 1, 1]);
        let linked = scene.fill(seed);
        assert_eq!(linked.len(), scene.limits.outbound_peers);
        let count = |near: fn(IpAddr) -> IpAddr| {
            let mut counts = BTreeMap::new();
            for target in &linked {
                *counts.entry(near(target.address.ip())).or_insert(0) += 1;
            }
            counts.into_values().max()
        };
        assert_eq!(count(crate::network::subnet::subnet), Some(1));
        assert_eq!(count(crate::network::subnet::region), Some(2));
    }
}

#[test]
fn an_attacker_with_one_region_gets_two_places_at_the_most() {
    for seed in 0..20 {
        let mut scene = Scene::new();
        for n in 0..12u8 {
            scene.add(u32::from(n), [100 + n, 1, 1, 1]);
        }
        for n in 0..65_536u32 {
            let [_, _, c, d] = n.to_be_bytes();
            let candidate = candidate(1_000 + n, [9, 9, c, d]);
            scene.book.add(&candidate, candidate.ip, NOW_MS);
        }
        let linked = scene.fill(seed);
        let is_attacker = |target: &&Target| target.address.ip().to_string().starts_with("9.9.");
        assert_eq!(linked.len(), 8);
        assert!(linked.iter().filter(is_attacker).count() <= 2);
    }
}

#[test]
fn two_runs_choose_differently() {
    let chosen = |seed| {
        let mut scene = Scene::new();
        for n in 0..100u8 {
            scene.add(u32::from(n), [100 + n, 1, 1, 1]);
        }
        let peers = scene.fill(seed).into_iter().map(|target| target.peer);
        peers.collect::<BTreeSet<_>>()
    };
    assert_ne!(chosen(1), chosen(2));
}

#[test]
fn anchors_are_dialled_while_there_are_places() {
    let mut scene = Scene::new();
    let peers = [scene.add(1, [10, 1, 1, 1]), scene.add(2, [11, 1, 1, 1])];
    let first = scene.plan(|book, view| anchor(book, view, &peers)).unwrap();
    assert_eq!((first.peer, first.purpose), (peers[0], Purpose::Anchor));
    scene.taken.insert(peers[0]);
    let second = scene.plan(|book, view| anchor(book, view, &peers)).unwrap();
    assert_eq!(second.peer, peers[1]);
    scene.chosen = vec![[1, 1, 1, 1].into(); 8];
    assert_eq!(scene.plan(|book, view| anchor(book, view, &peers)), None);
}

#[test]
fn validators_are_dialled_even_where_all_places_are_taken() {
    let mut scene = Scene::new();
    let voter = scene.add(1, [10, 1, 1, 1]);
    let former = scene.add(2, [11, 1, 1, 1]);
    scene.book.is_of_validator(&voter, VOTER);
    scene.book.is_of_validator(&former, PublicKey([6; 32]));
    scene.chosen = vec![[10, 1, 1, 2].into(); 8];
    let targets = scene.plan(validators);
    assert_eq!(targets.len(), 1);
    assert_eq!(
        (targets[0].peer, targets[0].purpose),
        (voter, Purpose::Validator)
    );
    // However often it has failed, the pause is short.
    for _ in 0..30 {
        scene.book.failed(&voter, true);
    }
    scene.book.attempted(&voter, CHAIN, NOW_MS - 20_000);
    assert_eq!(scene.plan(validators).len(), 1);
    scene.book.attempted(&voter, CHAIN, NOW_MS - 1_000);
    assert_eq!(scene.plan(validators).len(), 0);
}

#[test]
fn banned_and_linked_peers_are_not_dialled() {
    let mut scene = Scene::new();
    let (banned, linked) = (scene.add(1, [10, 1, 1, 1]), scene.add(2, [11, 1, 1, 1]));
    scene.book.is_of_validator(&banned, VOTER);
    scene.banned.insert(banned);
    scene.taken.insert(linked);
    assert!(scene.plan(validators).is_empty());
    assert_eq!(scene.fill(1), []);
    let tested = scene.plan(|book, view| feeler(book, view, true, &mut numbers(1)));
    assert_eq!(tested, None);
    assert_eq!(scene.plan(|book, view| anchor(book, view, &[banned])), None);
}

#[test]
fn feelers_test_new_addresses_also_when_all_places_are_taken() {
    let mut scene = Scene::new();
    let tried = scene.add(1, [10, 1, 1, 1]);
    scene.book.succeeded(&tried, NOW_MS);
    let feel = |scene: &Scene, is_search| {
        scene.plan(|book, view| feeler(book, view, is_search, &mut numbers(1)))
    };
    assert_eq!(feel(&scene, false), None, "it has proved itself");
    let new = scene.add(2, [11, 1, 1, 1]);
    scene.chosen = vec![[1, 1, 1, 1].into(); 8];
    let target = feel(&scene, false).unwrap();
    assert_eq!((target.peer, target.purpose), (new, Purpose::Feeler));
    scene.taken.insert(new);
    // Whoever looks for validators looks at all, but at none twice in a short time.
    assert_eq!(feel(&scene, true), None);
}

/// A real node that dials from its book alone.
fn node(seed: u8, limits: Limits) -> (Network, Registry) {
    let registry = Registry::new();
    let config = NetworkConfig {
        node_seed: [seed; 32],
        network_name: "connect".into(),
        network_id: 1,
        genesis: [7; 32],
        validators: ValidatorKeys::default(),
        chains: vec![ChainNet {
            chain: CHAIN,
            socket: UdpSocket::bind("127.0.0.1:0").unwrap(),
            persistent_peers: Vec::new(),
            proof: None,
        }],
        limits,
        discovery: None,
        store: None,
    };
    let network = Network::start(config, &registry, Box::new(|_| {})).unwrap();
    (network, registry)
}

/// What a node of this seed would say of an endpoint at this port.
fn record_of(seed: u8, port: u16) -> crate::network::discovery::Candidate {
    let contents = Contents {
        genesis: &[7; 32],
        ip: Some([127, 0, 0, 1].into()),
        discovery_port: 1,
        ports: &BTreeMap::from([(CHAIN, port)]),
        seq: 1,
    };
    let identity = Identity::from_seed([seed; 32]);
    let enr = crate::network::discovery::build(&identity, &contents).unwrap();
    crate::network::discovery::Candidate::read(&enr, &[7; 32]).unwrap()
}

fn dials(registry: &Registry, outcome: &str) -> f64 {
    let families = registry.gather();
    let dials = families
        .iter()
        .filter(|f| f.name() == "adnet_network_dials_total");
    let series = dials.flat_map(|family| family.get_metric());
    let of = series.filter(|metric| {
        metric
            .get_label()
            .iter()
            .any(|label| label.value() == outcome)
    });
    of.map(|metric| metric.get_counter().get_value()).sum()
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_record_with_anothers_address_is_found_out_and_its_victim_not_blamed() {
    let (us, registry) = node(1, Limits::default());
    let (victim, _) = node(2, Limits::default());
    let port = victim.local_address(CHAIN).unwrap().port();
    let liar = record_of(3, port);
    us.book.lock().add(&liar, liar.ip, unix_ms());
    wait_for("the lie comes out", || dials(&registry, "wrong_key") == 1.0);
    assert!(us.book.lock().get(&liar.peer).is_none());
    // The victim may be met at that very address.
    assert_eq!(us.reputation.score(&victim.peer_id(), unix_ms()), 0.0);
    let honest = record_of(2, port);
    us.book.lock().add(&honest, honest.ip, unix_ms());
    wait_for("the victim is linked", || us.peers().len() == 1);
    assert_eq!(us.peers()[0].direction, Direction::Outbound);
    assert!(
        us.book
            .lock()
            .get(&victim.peer_id())
            .is_some_and(|entry| entry.is_tried)
    );
}

#[test]
fn whoever_dials_in_enters_no_book() {
    let (us, _) = node(1, Limits::default());
    let (other, _) = node(2, Limits::default());
    let record = record_of(1, us.local_address(CHAIN).unwrap().port());
    other.book.lock().add(&record, record.ip, unix_ms());
    wait_for("it is linked", || us.peers().len() == 1);
    assert_eq!(us.peers()[0].direction, Direction::Inbound);
    assert_eq!(us.book.lock().count(), (0, 0));
}

#[test]
fn a_lost_peer_is_dialled_again_and_a_banned_one_is_not() {
    let (us, _) = node(1, Limits::default());
    let (other, _) = node(2, Limits::default());
    let port = other.local_address(CHAIN).unwrap().port();
    let record = record_of(2, port);
    us.book.lock().add(&record, record.ip, unix_ms());
    wait_for("it is linked", || us.peers().len() == 1);
    other.nodes[&CHAIN].links.all()[0]
        .connection
        .close(1u32.into(), b"");
    wait_for("the link ends", || us.peers().is_empty());
    wait_for("it is linked again", || us.peers().len() == 1);
    let banned = other.peer_id();
    for _ in 0..2 {
        us.blame(&banned, crate::network::Offence::Protocol);
    }
    wait_for("the ban ends the link", || us.peers().is_empty());
    let attempt_ms = || us.book.lock().get(&banned).unwrap().last_attempt_ms;
    let (last_ms, begun) = (attempt_ms(), Instant::now());
    while begun.elapsed() < Duration::from_secs(4) {
        assert_eq!(attempt_ms(), last_ms, "it was dialled again");
        std::thread::sleep(Duration::from_millis(50));
    }
}
