//! Authenticated QUIC links to peers that carry the messages of both chains.
//!
//! One UDP socket and one endpoint per chain, one node key for both, one connection per peer and
//! chain. Messages are opaque here: the chain core of a worker judges them. What this module
//! promises is who sent a message (the key that TLS proved), that it is within its class's bound,
//! and that memory stays bounded whatever peers do.
//!
//! Invariants:
//! - nothing is delivered before TLS has proved the peer's key and both hellos have agreed on
//!   version, chain and genesis;
//! - every queue is bounded; a full one drops by its class's rule and counts it, and no call of
//!   [`Network`] ever waits for a peer;
//! - a chain whose receiver stalls slows down its own peers only, never the other chain.
//!
//! Deliberately absent: discovery, gossip and scores. A gossip router would open bidirectional
//! streams on the same connections; today a peer may open none.

mod accept;
mod address;
mod admission;
mod class;
mod delivery;
mod dial;
mod endpoint;
mod error;
mod frame;
mod hello;
mod identity;
mod inbound;
mod link;
mod metrics;
mod node;
mod outbound;
mod queue;
mod rate;
mod refusal;
mod reputation;
mod session;
mod tls;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    net::{SocketAddr, UdpSocket},
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use adnet_common::chain_id::ChainId;
use bytes::Bytes;
use prometheus::Registry;
use tokio::runtime::Runtime;

pub use address::{PeerAddr, PeerAddrError};
pub use class::Class;
pub use error::NetworkError;
pub use hello::{PROTOCOL_VERSION, Role};
pub use identity::PeerId;
pub use refusal::Refusal;
pub use reputation::Offence;

use delivery::DeliveryThread;
use identity::Identity;
use node::ChainNode;
use reputation::Reputation;

/// Threads of the network's own runtime. One would do for the traffic; the second keeps
/// keep-alives going while the first is in a burst of cryptography.
const RUNTIME_THREADS: usize = 2;
/// How long a shutdown waits for goodbyes to leave and for tasks to end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// What a network is started with.
pub struct NetworkConfig {
    /// The secret of the node key; its public half is the peer id on both chains.
    pub node_seed: [u8; 32],
    /// Part of the ALPN: 1 to 64 bytes of `[a-z0-9-]`.
    pub network_name: String,
    /// Hash of the genesis file. Peers with another one are refused.
    pub genesis: [u8; 32],
    /// What this node tells its peers that it is.
    pub role: Role,
    /// At most one entry per chain.
    pub chains: Vec<ChainNet>,
    /// Links per chain, persistent peers included; these always have their place.
    pub max_peers_per_chain: usize,
}

/// One chain's endpoint.
pub struct ChainNet {
    pub chain: ChainId,
    /// Bound already, so that a worker or supervisor restart can inherit it.
    pub socket: UdpSocket,
    /// Dialled for ever, with back-off. The node itself in this list is skipped.
    pub persistent_peers: Vec<PeerAddr>,
}

/// A message from a peer, within its class's size bound and otherwise unjudged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inbound {
    pub chain: ChainId,
    /// The key that the sender proved to hold. It need not be the author.
    pub peer: PeerId,
    pub class: Class,
    pub bytes: Vec<u8>,
}

/// Receives messages. Called on one thread per chain, one message at a time, consensus first; may
/// block: then that chain's peers are slowed down by flow control.
pub type Receiver = Box<dyn Fn(Inbound) + Send + Sync>;

/// Who opened a connection.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Direction {
    Inbound,
    Outbound,
}

/// A linked peer.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    pub peer: PeerId,
    pub chain: ChainId,
    pub address: SocketAddr,
    pub direction: Direction,
    pub role: Role,
    /// As the peer told last; unproved.
    pub tip_height: u64,
    pub connected_since: SystemTime,
    /// Smoothed, as QUIC measures it (RFC 9002).
    pub round_trip: Duration,
    /// UDP payload bytes, QUIC's own included.
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Zero for a peer without blame, and below for one with; see [`Offence`].
    pub score: f64,
}

/// A running network, for use from plain threads. Dropping it says goodbye to all peers and ends
/// its threads; that blocks for a moment, and so must not happen inside an async task.
pub struct Network {
    peer_id: PeerId,
    nodes: BTreeMap<ChainId, Arc<ChainNode>>,
    /// One for both chains.
    reputation: Arc<Reputation>,
    /// In a mutex only because a network is shared between threads; locked once, at the end.
    threads: Mutex<Vec<DeliveryThread>>,
    /// Taken at shutdown.
    runtime: Option<Runtime>,
}

impl Network {
    /// Starts the endpoints and begins to dial.
    ///
    /// # Errors
    /// A bad network name, a chain given twice, a socket that cannot be used, a metric that the
    /// registry holds already.
    pub fn start(
        config: NetworkConfig,
        registry: &Registry,
        receiver: Receiver,
    ) -> Result<Network, NetworkError> {
        let identity = Arc::new(Identity::from_seed(config.node_seed));
        let reputation = Arc::new(Reputation::default());
        let terms = node::Terms::new(&config, reputation.clone())?;
        let metrics = metrics::Metrics::register(registry)?;
        let receiver: Arc<dyn Fn(Inbound) + Send + Sync> = Arc::from(receiver);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(RUNTIME_THREADS)
            .thread_name("adnet-network")
            .enable_all()
            .build()
            .map_err(NetworkError::Runtime)?;

        let mut nodes = BTreeMap::new();
        let mut threads = Vec::new();
        for chain_net in config.chains {
            let chain = chain_net.chain;
            if nodes.contains_key(&chain) {
                return Err(NetworkError::ChainTwice(chain));
            }
            let (node, thread, peers) = ChainNode::open(
                &terms,
                chain_net,
                &identity,
                metrics.of_chain(chain),
                receiver.clone(),
                runtime.handle(),
            )?;
            runtime.spawn(accept::accept(node.clone()));
            for address in peers {
                runtime.spawn(dial::keep_linked(node.clone(), address));
            }
            nodes.insert(chain, node);
            threads.push(thread);
        }
        Ok(Network {
            peer_id: identity.id(),
            nodes,
            reputation,
            threads: Mutex::new(threads),
            runtime: Some(runtime),
        })
    }

    /// The public node key, the same on both chains.
    pub fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    /// Where a chain's endpoint listens; `None` for a chain that was not configured.
    pub fn local_address(&self, chain: ChainId) -> Option<SocketAddr> {
        self.nodes.get(&chain)?.local_address()
    }

    /// Queues a message to every linked peer of the chain and returns to how many. Never waits:
    /// where a queue is full, the rule of the class decides what is dropped.
    pub fn broadcast(&self, chain: ChainId, class: Class, bytes: Vec<u8>) -> usize {
        self.broadcast_except(chain, class, bytes, &[])
    }

    /// As [`Network::broadcast`], but not to these peers.
    pub fn broadcast_except(
        &self,
        chain: ChainId,
        class: Class,
        bytes: Vec<u8>,
        except: &[PeerId],
    ) -> usize {
        let Some(node) = self.nodes.get(&chain) else {
            return 0;
        };
        let bytes = Bytes::from(bytes);
        let links = node.links.all();
        links
            .iter()
            .filter(|link| !except.contains(&link.peer))
            .filter(|link| node.enqueue(link, class, bytes.clone()))
            .count()
    }

    /// Queues a message to one peer. False if it is not linked, the message is over the class's
    /// bound, or the queue refused it.
    pub fn send(&self, chain: ChainId, peer: &PeerId, class: Class, bytes: Vec<u8>) -> bool {
        let Some(node) = self.nodes.get(&chain) else {
            return false;
        };
        let link = node.links.get(peer);
        link.is_some_and(|link| node.enqueue(&link, class, Bytes::from(bytes)))
    }

    /// All linked peers, by chain and peer id.
    pub fn peers(&self) -> Vec<PeerInfo> {
        let of_chain = |(chain, node): (&ChainId, &Arc<ChainNode>)| {
            let chain = *chain;
            let links = node.links.all();
            links
                .into_iter()
                .map(move |link| link.info(chain, node.score(&link.peer)))
                .collect::<Vec<_>>()
        };
        self.nodes.iter().flat_map(of_chain).collect()
    }

    /// Enters what a peer did. If that leads to a ban, its links on both chains end, except where
    /// it is configured: an operator's choice stands, and shows in the score only.
    pub fn blame(&self, peer: &PeerId, offence: Offence) {
        if self.reputation.blame(peer, offence, unix_ms()).is_none() {
            return;
        }
        for node in self.nodes.values() {
            node.end_banned(peer);
        }
    }

    /// Tells all peers of the chain, and those that come later, the height of the last block.
    pub fn set_tip(&self, chain: ChainId, height: u64) {
        if let Some(node) = self.nodes.get(&chain) {
            node.tip.send_replace(height);
        }
    }

    /// Says goodbye to all peers and ends all tasks. Takes at most a few seconds, and does not
    /// wait for a receiver that is blocked.
    pub fn shutdown(self) {
        drop(self);
    }
}

/// Milliseconds since 1970; a clock before that counts as zero.
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

impl Drop for Network {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        let nodes = &self.nodes;
        let goodbyes = async {
            for node in nodes.values() {
                node.stop();
            }
            for node in nodes.values() {
                node.idle().await;
            }
        };
        runtime.block_on(async {
            // A peer that does not answer must not hold up the end.
            let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, goodbyes).await;
        });
        runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
        // With the last sender gone the threads hand over what has arrived, and end.
        self.nodes.clear();
        let deadline = Instant::now() + SHUTDOWN_TIMEOUT;
        let threads = self
            .threads
            .get_mut()
            .expect("nobody panics while holding the threads");
        for thread in threads.iter() {
            if !thread.wait(deadline.saturating_duration_since(Instant::now())) {
                tracing::warn!("the receiver of network messages is blocked; its thread is left");
            }
        }
    }
}
