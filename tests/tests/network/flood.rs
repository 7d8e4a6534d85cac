//! Strangers without number at one node's doors: peers that link and leave, and packets of noise.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use adnet_common::{chain_id::ChainId, genesis::Genesis};
use adnet_supervisor::network::{
    ChainNet, Limits, Network, NetworkConfig, PeerAddr, ValidatorKeys,
};
use adnet_tests::harness::TestNode;

/// Threads that link, and noise packets between two pauses.
const LINKERS: u64 = 4;
const NOISE: usize = 100;
/// A stranger stays for so long at most.
const STAY: Duration = Duration::from_millis(300);

/// Runs until it is stopped.
pub struct Flood {
    stop: Arc<AtomicBool>,
    linked: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Flood {
    pub fn start(victim: &TestNode) -> Flood {
        let stop: Arc<AtomicBool> = Arc::default();
        let linked: Arc<AtomicU64> = Arc::default();
        let mut threads = Vec::new();
        for linker in 0..LINKERS {
            let (stop, linked) = (stop.clone(), linked.clone());
            let door = victim.endpoint(ChainId::Delta);
            let genesis = victim.genesis.clone();
            threads.push(thread::spawn(move || {
                let mut seed = linker;
                while !stop.load(Ordering::Relaxed) {
                    seed += LINKERS;
                    let config = stranger(seed, &genesis, door.clone());
                    link_and_leave(config, &linked);
                }
            }));
        }
        for address in victim.udp_doors() {
            let stop = stop.clone();
            threads.push(thread::spawn(move || make_noise(address, &stop)));
        }
        Flood {
            stop,
            linked,
            threads,
        }
    }

    /// Ends it, and tells how many strangers were linked.
    pub fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("a flood does not panic");
        }
        self.linked.load(Ordering::Relaxed)
    }
}

/// A peer in this process that dials one node, and is honest otherwise.
pub fn stranger(seed: u64, genesis: &Genesis, door: PeerAddr) -> NetworkConfig {
    let mut node_seed = [0xf1; 32];
    node_seed[..8].copy_from_slice(&seed.to_be_bytes());
    NetworkConfig {
        node_seed,
        network_name: genesis.network_name.clone(),
        network_id: genesis.network_id,
        genesis: genesis.hash().0,
        validators: ValidatorKeys::default(),
        chains: vec![ChainNet {
            chain: ChainId::Delta,
            socket: UdpSocket::bind("127.0.0.1:0").expect("a free port"),
            persistent_peers: vec![door],
            proof: None,
        }],
        limits: Limits::default(),
        discovery: None,
        store: None,
    }
}

fn link_and_leave(config: NetworkConfig, linked: &AtomicU64) {
    let registry = prometheus::Registry::new();
    let network = Network::start(config, &registry, Box::new(|_| {}));
    let network = network.expect("a network of its own starts");
    let deadline = Instant::now() + STAY;
    while network.peers().is_empty() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    linked.fetch_add(u64::from(!network.peers().is_empty()), Ordering::Relaxed);
}

fn make_noise(to: SocketAddr, stop: &AtomicBool) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let mut packet = [0xa5_u8; 1200];
    let mut count = 0u64;
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..NOISE {
            count += 1;
            // Half of them look like the first packet of a connection.
            packet[0] = if count.is_multiple_of(2) { 0xc3 } else { 0x40 };
            packet[5..13].copy_from_slice(&count.to_be_bytes());
            // The system may drop what comes too fast.
            let _ = socket.send_to(&packet, to);
        }
        thread::sleep(Duration::from_millis(20));
    }
}
