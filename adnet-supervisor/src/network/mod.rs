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
mod arrival;
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
mod life;
mod limits;
mod link;
mod metrics;
mod node;
mod outbound;
mod peer_info;
mod queue;
mod rate;
mod refusal;
mod reputation;
mod session;
mod settings;
mod subnet;
mod tls;
mod validators;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::SystemTime,
};

use adnet_common::{
    chain_id::ChainId,
    node::{GossipId, Topic, Verdict},
};
use bytes::Bytes;
use tokio::runtime::Runtime;

pub use address::{PeerAddr, PeerAddrError};
pub use arrival::{Arrival, Inbound, Receiver};
pub use class::Class;
pub use discovery::{DiscoveryConfig, check_boot_node, record_of};
pub use error::NetworkError;
pub use gossip::Gossiped;
pub use hello::{PROTOCOL_VERSION, Role};
pub use identity::PeerId;
pub use limits::Limits;
pub use peer_info::{Direction, PeerInfo};
pub use refusal::Refusal;
pub use reputation::Offence;
pub use settings::{ChainNet, NetworkConfig};
pub use validators::{ValidatorKeys, ValidatorProof};

use address_book::AddressBook;
use delivery::DeliveryThread;
use discovery::Discovery;
use node::ChainNode;
use reputation::Reputation;

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
}

/// Milliseconds since 1970; a clock before that counts as zero.
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
