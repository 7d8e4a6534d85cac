//! One chain's side of the network: endpoint, links, lanes, and the tasks around them.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Instant,
};

use adnet_common::{chain_id::ChainId, node::Topic};
use bytes::Bytes;
use quinn::VarInt;
use tokio::{runtime::Handle, sync::Semaphore, sync::watch};

use super::{
    Arrival, ChainNet, Direction, NetworkConfig,
    address::PeerAddr,
    address_book::AddressBook,
    admission::{Admission, Identities},
    class::Class,
    delivery::{Delivery, DeliveryThread},
    endpoint::QuicEndpoint,
    error::{LinkError, NetworkError},
    gossip::{self, Gossip},
    hello::{Hello, PROTOCOL_VERSION, Role},
    identity::{Identity, PeerId, Short},
    limits::Limits,
    link::{Link, LinkTable},
    metrics::{ChainMetrics, DropCause},
    queue::Pushed,
    rate::TokenBucket,
    refusal::{By, Refusal},
    reputation::{Offence, Reputation},
    unix_ms,
    validators::{ValidatorKeys, ValidatorProof},
};

const NAME_BYTES_MAX: usize = 64;
/// Large messages (bodies, sync responses) that unknown peers may have under way together; with
/// their size it bounds the memory that strangers can hold.
const UNKNOWN_TRANSFERS_MAX: usize = 8;
/// Log lines about refused connections: so many at once, so many per second after that.
const LOG_BURST: u32 = 20;
const LOG_RATE_PER_S: u32 = 1;

/// What every peer must agree to, the same on both chains.
pub struct Terms {
    network_name: String,
    network_id: u32,
    genesis: [u8; 32],
    limits: Limits,
    validators: ValidatorKeys,
    identities: Arc<Identities>,
    reputation: Arc<Reputation>,
    book: Arc<AddressBook>,
}

impl Terms {
    pub fn new(
        config: &NetworkConfig,
        reputation: Arc<Reputation>,
        book: Arc<AddressBook>,
    ) -> Result<Self, NetworkError> {
        let name = &config.network_name;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(plain) {
            return Err(NetworkError::Name(name.clone()));
        }
        Ok(Self {
            network_name: name.clone(),
            network_id: config.network_id,
            genesis: config.genesis,
            limits: config.limits,
            validators: config.validators.clone(),
            identities: Arc::default(),
            reputation,
            book,
        })
    }

    /// The protocol name that TLS agrees on: it keeps networks, chains and wire versions apart.
    pub fn alpn(&self, chain: ChainId) -> Vec<u8> {
        format!("adnet/{}/{chain}/{PROTOCOL_VERSION}", self.network_name).into_bytes()
    }
}

pub struct ChainNode {
    pub chain: ChainId,
    pub us: PeerId,
    pub quic: QuicEndpoint,
    pub links: LinkTable,
    pub admission: Admission,
    pub delivery: Delivery,
    pub gossip: Gossip,
    pub metrics: ChainMetrics,
    /// Height of our last block; hellos carry it, and links pass on its changes.
    pub tip: watch::Sender<u64>,
    /// See [`UNKNOWN_TRANSFERS_MAX`].
    pub unknown_transfers: Semaphore,
    /// Connections of each key, on both chains together.
    pub identities: Arc<Identities>,
    pub limits: Limits,
    pub validators: ValidatorKeys,
    reputation: Arc<Reputation>,
    book: Arc<AddressBook>,
    network_id: u32,
    genesis: [u8; 32],
    /// Ours, if we are a validator's node.
    proof: Option<ValidatorProof>,
    log_rate: Mutex<TokenBucket>,
}

/// A chain's node, the thread that delivers to its receiver, what the routers of gossip are told, and
/// whom to dial.
pub type Opened = (
    Arc<ChainNode>,
    DeliveryThread,
    [gossip::Commands; Topic::ALL.len()],
    Vec<PeerAddr>,
);

impl ChainNode {
    /// Opens the endpoint and starts the thread that delivers. Nobody accepts or dials yet; the
    /// addresses are those to dial.
    pub fn open(
        terms: &Terms,
        net: ChainNet,
        identity: &Identity,
        metrics: ChainMetrics,
        receiver: Arc<dyn Fn(Arrival) + Send + Sync>,
        runtime: &Handle,
    ) -> Result<Opened, NetworkError> {
        let _context = runtime.enter();
        let chain = net.chain;
        let us = identity.id();
        let mut peers = net.persistent_peers;
        // One list may serve all nodes of a network.
        peers.retain(|address| address.peer != us);
        let configured: BTreeSet<PeerId> = peers.iter().map(|address| address.peer).collect();
        let quic = QuicEndpoint::new(identity, chain, terms.alpn(chain), net.socket)?;
        let (delivery, thread) = Delivery::start(chain, receiver)?;
        let (gossip, commands) = Gossip::new();
        let node = Arc::new(Self {
            chain,
            us,
            quic,
            admission: Admission::new(configured.len(), &terms.limits),
            links: LinkTable::new(us, configured, terms.validators.clone(), &terms.limits),
            delivery,
            gossip,
            metrics,
            tip: watch::Sender::new(0),
            unknown_transfers: Semaphore::new(UNKNOWN_TRANSFERS_MAX),
            identities: terms.identities.clone(),
            limits: terms.limits,
            validators: terms.validators.clone(),
            reputation: terms.reputation.clone(),
            book: terms.book.clone(),
            network_id: terms.network_id,
            genesis: terms.genesis,
            proof: net.proof,
            log_rate: Mutex::new(TokenBucket::new(LOG_RATE_PER_S, LOG_BURST, Instant::now())),
        });
        Ok((node, thread, commands, peers))
    }

    /// What we say of ourselves at this moment.
    pub fn hello(&self) -> Hello {
        Hello {
            version: PROTOCOL_VERSION,
            chain: self.chain,
            genesis: self.genesis,
            tip_height: *self.tip.borrow(),
            proof: self.proof,
        }
    }

    /// Judges a peer's hello by ours.
    pub fn judge_hello(&self, bytes: &[u8], peer: &PeerId) -> Result<Hello, Refusal> {
        Hello::receive(bytes, &self.hello(), self.network_id, peer)
    }

    /// Whether we are the node of a validator that votes at present.
    pub fn is_validator(&self) -> bool {
        self.proof
            .is_some_and(|proof| self.validators.contains(&proof.key))
    }

    /// What a linked peer has proved to be.
    pub fn role_of(&self, link: &Link) -> Role {
        match self.links.is_validator(link) {
            true => Role::Validator,
            false => Role::Full,
        }
    }

    /// Brings the figures of the links up to date.
    pub fn show_peers(&self) {
        let links = self.links.all();
        let of = |direction| {
            links
                .iter()
                .filter(|link| link.direction == direction)
                .count()
        };
        let (inbound, outbound) = (of(Direction::Inbound), of(Direction::Outbound));
        self.metrics.set_peers(inbound, outbound);
    }

    pub fn local_address(&self) -> Option<SocketAddr> {
        self.quic.endpoint.local_addr().ok()
    }

    /// Queues a message for one link. False if it was not taken.
    pub fn enqueue(&self, link: &Link, class: Class, message: Bytes) -> bool {
        let dropped = |cause, messages| self.metrics.dropped(class, cause, messages);
        match link.queue(class).push(message) {
            Pushed::Queued => true,
            Pushed::Displaced(messages) => {
                dropped(DropCause::QueueFull, messages);
                true
            }
            Pushed::Full => {
                dropped(DropCause::QueueFull, 1);
                false
            }
            Pushed::Oversize => {
                dropped(DropCause::Oversize, 1);
                tracing::error!(
                    chain = %self.chain,
                    class = class.name(),
                    bytes_max = class.message_bytes_max(),
                    "message over its class's bound was not sent"
                );
                false
            }
        }
    }

    /// Counts a connection that came to nothing if it was for a named reason, and logs it. Who
    /// connects can cause this at will, so only so many lines are warnings.
    pub fn report(&self, address: SocketAddr, error: &LinkError) {
        let chain = self.chain;
        if let Some((by, reason)) = error.refusal() {
            self.metrics.refused(by, reason);
            let is_usual = [Refusal::ShuttingDown, Refusal::Duplicate, Refusal::Feeler];
            if is_usual.contains(&reason) {
                tracing::debug!(%chain, %address, %error, "connection ended");
                return;
            }
        }
        let mut rate = self.log_rate.lock().expect("no panic under this lock");
        if rate.take(Instant::now()).is_ok() {
            tracing::warn!(%chain, %address, %error, "connection failed");
        } else {
            tracing::debug!(%chain, %address, %error, "connection failed");
        }
    }

    /// Ends a link whose peer has broken the rules.
    pub fn violated(&self, link: &Link, reason: Refusal) {
        self.metrics.refused(By::Us, reason);
        let (chain, peer) = (self.chain, Short(link.peer));
        tracing::warn!(%chain, %peer, %reason, "link ended for a violation");
        // Before the close, so that a ban that follows is the reason that the peer reads.
        self.blame(&link.peer, Offence::Protocol);
        reason.close(&link.connection);
    }

    /// Enters what a peer did on this chain. A ban ends its link here at once; a link of the other
    /// chain is refused when it comes again.
    pub fn blame(&self, peer: &PeerId, offence: Offence) {
        if let Some(ban) = self.reputation.blame(peer, offence, unix_ms()) {
            self.book.keep_ban(ban);
            self.end_banned(peer);
        }
    }

    /// The peer's standing, on both chains together.
    pub fn score(&self, peer: &PeerId) -> f64 {
        self.reputation.score(peer, unix_ms())
    }

    /// True if this peer is not to be linked now. Never so for a configured one.
    pub fn is_banned(&self, peer: &PeerId) -> bool {
        let until_ms = self.reputation.banned_until_ms(peer, unix_ms());
        until_ms.is_some() && !self.links.is_configured(peer)
    }

    /// Ends the link of a peer that is banned now.
    pub fn end_banned(&self, peer: &PeerId) {
        if !self.is_banned(peer) {
            return;
        }
        let chain = self.chain;
        tracing::warn!(%chain, peer = %Short(*peer), "peer banned");
        if let Some(link) = self.links.get(peer) {
            self.metrics.refused(By::Us, Refusal::Banned);
            Refusal::Banned.close(&link.connection);
        }
    }

    /// Says goodbye to all peers.
    pub fn stop(&self) {
        let reason = Refusal::ShuttingDown;
        let code = VarInt::from_u32(reason.code());
        self.quic.endpoint.close(code, reason.name().as_bytes());
    }

    /// Waits until the goodbyes are out.
    pub async fn idle(&self) {
        self.quic.endpoint.wait_idle().await;
    }
}
