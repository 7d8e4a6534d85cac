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
//! Messages for everybody (transactions, announced blocks) are gossiped, see `gossip`; all others go
//! to linked peers directly. Peers are found by `discovery`, remembered in `address_book` and dialled
//! by `connect`; configured ones are dialled by `dial` in any case, and under
//! [`Limits::configured_only`] they are all that is ever linked.

mod accept;
mod address;
mod address_book;
mod admission;
mod class;
mod connect;
mod delivery;
mod dial;
mod discovery;
mod endpoint;
mod error;
pub mod formats;
mod frame;
mod gossip;
mod hello;
mod identity;
mod inbound;
mod limits;
mod link;
mod metrics;
mod node;
mod outbound;
mod queue;
mod rate;
mod refusal;
mod reputation;
mod session;
mod subnet;
mod tls;
mod validators;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    net::{SocketAddr, UdpSocket},
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use adnet_common::{
    chain_id::ChainId,
    node::{GossipId, Topic, Verdict},
};
use bytes::Bytes;
use prometheus::Registry;
use tokio::runtime::Runtime;

pub use address::{PeerAddr, PeerAddrError};
pub use class::Class;
pub use discovery::DiscoveryConfig;
pub use error::NetworkError;
pub use gossip::Gossiped;
pub use hello::{PROTOCOL_VERSION, Role};
pub use identity::PeerId;
pub use limits::Limits;
pub use refusal::Refusal;
pub use reputation::Offence;
pub use validators::{ValidatorKeys, ValidatorProof};

use address_book::AddressBook;
use connect::Known;
use delivery::DeliveryThread;
use discovery::{About, Candidate, Contents, Discovery};
use identity::Identity;
use node::ChainNode;
use reputation::Reputation;

use crate::store::Store;

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
    /// The number of the network, a part of what validators sign.
    pub network_id: u32,
    /// Hash of the genesis file. Peers with another one are refused.
    pub genesis: [u8; 32],
    /// Who votes; the handle may be given another set while the network runs.
    pub validators: ValidatorKeys,
    /// At most one entry per chain.
    pub chains: Vec<ChainNet>,
    /// For each chain.
    pub limits: Limits,
    /// How peers are found, if the node looks for any.
    pub discovery: Option<DiscoveryConfig>,
    /// Where known peers and bans are kept over a restart.
    pub store: Option<Store>,
}

/// One chain's endpoint.
pub struct ChainNet {
    pub chain: ChainId,
    /// Bound already, so that a worker or supervisor restart can inherit it.
    pub socket: UdpSocket,
    /// Dialled for ever, with back-off. The node itself in this list is skipped.
    pub persistent_peers: Vec<PeerAddr>,
    /// Of a validator's node: the proof for this chain.
    pub proof: Option<ValidatorProof>,
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

/// What comes from peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    Message(Inbound),
    /// Waits for its verdict.
    Gossip(Gossiped),
}

/// Receives messages. Called on one thread per chain, one message at a time, consensus first; may
/// block: then that chain's peers are slowed down by flow control.
pub type Receiver = Box<dyn Fn(Arrival) + Send + Sync>;

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
    book: Arc<AddressBook>,
    discovery: Option<Arc<Discovery>>,
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
        let (store, is_private) = (config.store.clone(), config.limits.is_private);
        let book = AddressBook::open(store, is_private, &reputation, unix_ms())?;
        let book = Arc::new(book);
        let terms = node::Terms::new(&config, reputation.clone(), book.clone())?;
        let metrics = metrics::Metrics::register(registry)?;
        let figures = gossip::Figures::register(registry)?;
        let receiver: Arc<dyn Fn(Arrival) + Send + Sync> = Arc::from(receiver);
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
            let (node, thread, commands, peers) = ChainNode::open(
                &terms,
                chain_net,
                &identity,
                metrics.of_chain(chain),
                receiver.clone(),
                runtime.handle(),
            )?;
            for commands in commands {
                let figures = figures.of(chain, commands.topic());
                runtime.spawn(gossip::run(node.clone(), figures, commands));
            }
            runtime.spawn(accept::accept(node.clone()));
            for address in peers {
                runtime.spawn(dial::keep_linked(node.clone(), address));
            }
            nodes.insert(chain, node);
            threads.push(thread);
        }
        let discovery = match config.discovery {
            Some(discovery) => {
                let ports = nodes
                    .iter()
                    .filter_map(|(chain, node): (_, &Arc<ChainNode>)| {
                        Some((*chain, node.local_address()?.port()))
                    });
                let about = About {
                    identity: &identity,
                    genesis: config.genesis,
                    ports: &ports.collect(),
                    is_private,
                };
                let started = Discovery::start(discovery, about, &book);
                let discovery = Arc::new(runtime.block_on(started)?);
                tracing::info!(record = discovery.record(), "discovery listens");
                let walk = discovery.clone().walk(book.clone(), metrics.shared());
                runtime.spawn(walk);
                Some(discovery)
            }
            None => None,
        };
        let known = Arc::new(Known {
            book: book.clone(),
            discovery: discovery.clone(),
        });
        // Whoever links its configured peers only chooses nobody, whatever its book has from before.
        for node in nodes.values().filter(|node| !node.limits.configured_only) {
            runtime.spawn(connect::keep_connected(node.clone(), known.clone()));
        }
        runtime.spawn(address_book::keep(book.clone()));
        Ok(Network {
            peer_id: identity.id(),
            nodes,
            reputation,
            book,
            discovery,
            threads: Mutex::new(threads),
            runtime: Some(runtime),
        })
    }

    /// The public node key, the same on both chains.
    pub fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    /// Our node record as discovery gives it out now; `None` without discovery.
    pub fn record(&self) -> Option<String> {
        self.discovery.as_ref().map(|discovery| discovery.record())
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

    /// Gives a message to everybody, from peer to peer. Never waits; while nobody is there to hear
    /// it, it is kept within bounds. False if it was not taken.
    pub fn publish(&self, chain: ChainId, topic: Topic, bytes: Vec<u8>) -> bool {
        let node = self.nodes.get(&chain);
        node.is_some_and(|node| node.gossip.publish(topic, bytes))
    }

    /// What the worker says of a gossiped message: only what it accepts goes on to other peers, and
    /// what it rejects counts against the peer that passed it on.
    pub fn verdict(
        &self,
        chain: ChainId,
        peer: &PeerId,
        topic: Topic,
        id: GossipId,
        verdict: Verdict,
    ) {
        if let Some(node) = self.nodes.get(&chain) {
            node.gossip.verdict(*peer, topic, id, verdict);
        }
        if let Verdict::Reject(fault) = verdict {
            self.blame(peer, Offence::from(fault));
        }
    }

    /// All linked peers, by chain and peer id.
    pub fn peers(&self) -> Vec<PeerInfo> {
        let of_chain = |(chain, node): (&ChainId, &Arc<ChainNode>)| {
            let chain = *chain;
            let links = node.links.all();
            links
                .into_iter()
                .map(move |link| link.info(chain, node.role_of(&link), node.score(&link.peer)))
                .collect::<Vec<_>>()
        };
        self.nodes.iter().flat_map(of_chain).collect()
    }

    /// Enters what a peer did. If that leads to a ban, its links on both chains end, except where
    /// it is configured: an operator's choice stands, and shows in the score only.
    pub fn blame(&self, peer: &PeerId, offence: Offence) {
        let Some(ban) = self.reputation.blame(peer, offence, unix_ms()) else {
            return;
        };
        self.book.keep_ban(ban);
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

/// The record of a node that need not run: what its operator hands out. `ports` are those of the
/// chains' endpoints. It counts as older than any that the running node gives out.
///
/// # Errors
/// The record would be longer than records may be.
pub fn record_of(
    node_seed: [u8; 32],
    genesis: &[u8; 32],
    discovery: SocketAddr,
    ports: &BTreeMap<ChainId, u16>,
) -> Result<String, NetworkError> {
    let contents = Contents {
        genesis,
        ip: Some(discovery.ip()),
        discovery_port: discovery.port(),
        ports,
        seq: 1,
    };
    discovery::build(&Identity::from_seed(node_seed), &contents)
        .map(|record| record.to_base64())
        .map_err(|error| NetworkError::Discovery(error.to_string()))
}

/// Whether a text is the record of a node of the network with this genesis.
///
/// # Errors
/// What is wrong with it.
pub fn check_boot_node(text: &str, genesis: &[u8; 32]) -> Result<(), NetworkError> {
    match Candidate::read_text(text, genesis) {
        Ok(_) => Ok(()),
        Err(error) => Err(NetworkError::BootNode {
            record: text.to_owned(),
            error,
        }),
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
        if let Err(error) = self.book.save(unix_ms()) {
            tracing::warn!(%error, "the address book could not be written");
        }
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
