//! Where a test's node listens.

use std::{
    collections::BTreeSet,
    fs,
    net::{TcpListener, UdpSocket},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use crate::sim::Random;

/// One address per listening socket of a node.
#[derive(Clone, Debug)]
pub(super) struct Listen {
    pub alpha_api: u16,
    pub delta_api: u16,
    pub metrics: u16,
    pub alpha_p2p: u16,
    pub delta_p2p: u16,
    pub discovery: u16,
}

impl Listen {
    /// The system chooses, anew at each start.
    pub fn anywhere() -> Self {
        Listen {
            alpha_api: 0,
            delta_api: 0,
            metrics: 0,
            alpha_p2p: 0,
            delta_p2p: 0,
            discovery: 0,
        }
    }

    /// Ports that stay this node's own while it is down. They lie below those that the system gives
    /// to clients: one of these could be taken by any client in the meantime, even by one that
    /// tries to reach this very port, and then has itself for a peer.
    pub fn at_free_ports() -> Self {
        // A port is free until its node starts, so no two nodes of this process may be given it.
        static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
        static CALLS: AtomicU64 = AtomicU64::new(0);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let nanoseconds = now.map_or(0, |now| u64::from(now.subsec_nanos()));
        let calls = CALLS.fetch_add(1, Ordering::Relaxed);
        let own = u64::from(std::process::id()) << 32;
        let mut random = Random::new(own ^ (calls << 56) ^ nanoseconds);
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
        let first_of_clients = range
            .ok()
            .and_then(|range| range.split_whitespace().next()?.parse::<u64>().ok())
            .unwrap_or(32_768)
            .clamp(11_000, 65_535);
        let mut given = GIVEN
            .lock()
            .expect("nobody panics but where no port is free");
        let mut next = || {
            for _ in 0..1_000 {
                let port = 10_000 + random.below(first_of_clients - 10_000);
                let port = u16::try_from(port).expect("clamped above");
                if given.contains(&port) {
                    continue;
                }
                let tcp = TcpListener::bind(("127.0.0.1", port));
                let udp = UdpSocket::bind(("127.0.0.1", port));
                if tcp.is_ok() && udp.is_ok() {
                    given.insert(port);
                    return port;
                }
            }
            panic!("no free port from 10000 to {first_of_clients}");
        };
        Listen {
            alpha_api: next(),
            delta_api: next(),
            metrics: next(),
            alpha_p2p: next(),
            delta_p2p: next(),
            discovery: next(),
        }
    }

    /// As `--set` takes them.
    pub fn settings(&self) -> [String; 6] {
        [
            ("alpha.api_listen", self.alpha_api),
            ("delta.api_listen", self.delta_api),
            ("metrics.listen", self.metrics),
            ("alpha.p2p_listen", self.alpha_p2p),
            ("delta.p2p_listen", self.delta_p2p),
            ("network.discovery_listen", self.discovery),
        ]
        .map(|(key, port)| format!("{key}=127.0.0.1:{port}"))
    }
}
