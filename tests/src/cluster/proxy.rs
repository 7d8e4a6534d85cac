//! A UDP proxy between nodes: it loses, doubles and delays datagrams as a seed says, and cuts links.
//!
//! For each node that dials another there is one socket in front, which the dialler takes for the
//! other node, and one behind, which the other node takes for the dialler. So each pair of nodes can
//! be parted without the nodes or the kernel knowing. It opens nothing, as QUIC's datagrams are
//! opaque to it.

use crate::sim::Random;
use adnet_common::chain_id::ChainId;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::runtime::{Builder, Runtime};

/// Delayed datagrams at the same time; more are lost, as in any router.
const DELAYED_MAX: usize = 16_384;
const DATAGRAM_BYTES_MAX: usize = 65_536;

/// How the proxy treats datagrams.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wire {
    pub lost_percent: u64,
    pub doubled_percent: u64,
    /// Each takes 0 to this longer, so they overtake each other.
    pub delay_max_ms: u64,
}

/// One direction of a link.
#[derive(Copy, Clone)]
struct Path {
    from: usize,
    to: usize,
}

struct State {
    wire: Wire,
    /// Nodes that do not hear the others, nor are heard by them.
    side: Mutex<BTreeSet<usize>>,
    delayed: AtomicUsize,
    carried: AtomicUsize,
}

impl State {
    fn is_cut(&self, path: Path) -> bool {
        let side = self.side.lock().expect("nobody panics while holding it");
        side.contains(&path.from) != side.contains(&path.to)
    }
}

/// All links of a network. Dropped, it closes its sockets.
pub struct Proxy {
    seed: u64,
    state: Arc<State>,
    runtime: Runtime,
}

impl Proxy {
    pub fn new(seed: u64, wire: Wire) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("proxy")
            .enable_all()
            .build();
        let state = State {
            wire,
            side: Mutex::default(),
            delayed: AtomicUsize::new(0),
            carried: AtomicUsize::new(0),
        };
        Self {
            seed,
            state: Arc::new(state),
            runtime: runtime.expect("a thread and an epoll"),
        }
    }

    /// The address at which the node `from` reaches `to`, which listens at `target`.
    pub fn lay(&self, from: usize, to: usize, chain: ChainId, target: SocketAddr) -> SocketAddr {
        let anywhere = (Ipv4Addr::LOCALHOST, 0);
        let (front, back) = self
            .runtime
            .block_on(async {
                let front = UdpSocket::bind(anywhere).await?;
                let back = UdpSocket::bind(anywhere).await?;
                back.connect(target).await?;
                Ok::<_, io::Error>((front, back))
            })
            .expect("sockets on loopback");
        let address = front.local_addr().expect("it is bound");
        let name = (from as u64) << 40 | (to as u64) << 16 | u64::from(chain.as_byte());
        let random = Random::new(self.seed ^ name);
        let state = Arc::clone(&self.state);
        self.runtime
            .spawn(carry(state, Path { from, to }, random, front, back));
        address
    }

    /// From now on these nodes and the others do not hear each other.
    pub fn part(&self, side: &BTreeSet<usize>) {
        let mut held = self.state.side.lock();
        let held = held.as_mut().expect("nobody panics while holding it");
        held.clone_from(side);
    }

    pub fn heal(&self) {
        self.part(&BTreeSet::new());
    }

    /// Datagrams that have arrived somewhere.
    pub fn carried(&self) -> usize {
        self.state.carried.load(Ordering::Relaxed)
    }
}

/// Carries datagrams of one link in both directions, for as long as the proxy lives.
async fn carry(
    state: Arc<State>,
    path: Path,
    mut random: Random,
    front: UdpSocket,
    back: UdpSocket,
) {
    let (front, back) = (Arc::new(front), Arc::new(back));
    let (mut there, mut here) = (vec![0; DATAGRAM_BYTES_MAX], vec![0; DATAGRAM_BYTES_MAX]);
    let mut home = None;
    let reverse = Path {
        from: path.to,
        to: path.from,
    };
    loop {
        // An error is that of an earlier datagram, to a node that is down.
        tokio::select! {
            received = front.recv_from(&mut there) => if let Ok((count, source)) = received {
                home = Some(source);
                deliver(&state, path, &mut random, &back, None, &there[..count]).await;
            },
            received = back.recv(&mut here) => if let (Ok(count), Some(home)) = (received, home) {
                deliver(&state, reverse, &mut random, &front, Some(home), &here[..count]).await;
            },
        }
    }
}

async fn deliver(
    state: &Arc<State>,
    path: Path,
    random: &mut Random,
    by: &Arc<UdpSocket>,
    to: Option<SocketAddr>,
    datagram: &[u8],
) {
    let Wire {
        lost_percent,
        doubled_percent,
        delay_max_ms,
    } = state.wire;
    let copies = match (random.chance(lost_percent), random.chance(doubled_percent)) {
        (true, _) => 0,
        (false, true) => 2,
        (false, false) => 1,
    };
    if state.is_cut(path) {
        return;
    }
    for _ in 0..copies {
        state.carried.fetch_add(1, Ordering::Relaxed);
        let delay_ms = random.below(delay_max_ms + 1);
        if delay_ms == 0 {
            send(by, to, datagram).await;
        } else if state.delayed.fetch_add(1, Ordering::Relaxed) < DELAYED_MAX {
            let (state, by, datagram) = (Arc::clone(state), Arc::clone(by), datagram.to_vec());
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(delay_ms)).await;
                state.delayed.fetch_sub(1, Ordering::Relaxed);
                send(&by, to, &datagram).await;
            });
        } else {
            state.delayed.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A node that is down gets nothing, which is what happens to datagrams.
async fn send(by: &UdpSocket, to: Option<SocketAddr>, datagram: &[u8]) {
    let _ = match to {
        Some(to) => by.send_to(datagram, to).await,
        None => by.send(datagram).await,
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket as StdSocket;

    fn socket() -> StdSocket {
        let socket = StdSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback");
        let patience = Duration::from_millis(300);
        socket.set_read_timeout(Some(patience)).expect("set");
        socket
    }

    /// How many of 200 datagrams arrive, with an answer to each that does.
    fn arrived(proxy: &Proxy) -> (usize, usize) {
        let (one, other) = (socket(), socket());
        let target = other.local_addr().expect("bound");
        let front = proxy.lay(0, 1, ChainId::Alpha, target);
        let (mut there, mut back) = (0, 0);
        let mut bytes = [0; 16];
        for number in 0..200u8 {
            one.send_to(&[number], front).expect("loopback");
        }
        while let Ok((_, from)) = other.recv_from(&mut bytes) {
            there += 1;
            other.send_to(b"answer", from).expect("loopback");
        }
        while one.recv_from(&mut bytes).is_ok() {
            back += 1;
        }
        (there, back)
    }

    #[test]
    fn it_carries_both_ways_and_loses_as_it_is_told() {
        let honest = Proxy::new(1, Wire::default());
        assert_eq!(arrived(&honest), (200, 200));
        assert_eq!(honest.carried(), 400);
        let wire = Wire {
            lost_percent: 30,
            doubled_percent: 0,
            delay_max_ms: 5,
        };
        let (there, back) = arrived(&Proxy::new(1, wire));
        assert!((100..180).contains(&there), "{there}");
        assert!(back < there, "{back} of {there}");
        let doubling = Wire {
            doubled_percent: 100,
            ..Wire::default()
        };
        assert_eq!(arrived(&Proxy::new(1, doubling)), (400, 800));
    }

    #[test]
    fn a_cut_link_carries_nothing_and_a_healed_one_all() {
        let proxy = Proxy::new(1, Wire::default());
        proxy.part(&BTreeSet::from([1, 2]));
        assert_eq!(arrived(&proxy), (0, 0));
        proxy.part(&BTreeSet::from([0, 1]));
        assert_eq!(arrived(&proxy), (200, 200), "both are on the same side");
        proxy.heal();
        assert_eq!(arrived(&proxy), (200, 200));
    }
}
