//! The task that owns the router of a topic of a chain.

use std::{
    collections::{BTreeMap, HashSet},
    net::SocketAddr,
    sync::{Arc, MutexGuard, atomic::Ordering},
    time::{Duration, Instant},
};

use adnet_common::node::{GossipId, Topic, Verdict};
use futures::StreamExt;
use libp2p_core::{Multiaddr, Transport, multiaddr::Protocol, transport::ListenerId};
use libp2p_gossipsub::{Event, Message, MessageAcceptance, MessageId, PublishError, TopicHash};
use libp2p_identity::PeerId as RouterPeer;
use libp2p_swarm::{
    Config, ConnectionId, Swarm, SwarmEvent,
    dial_opts::{DialOpts, PeerCondition},
};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use super::{
    super::{
        Direction,
        error::NetworkError,
        identity::{PeerId, Short},
        node::ChainNode,
        reputation::Offence,
    },
    allowance::{Allowance, Rationed},
    config,
    figures::TopicFigures,
    gate::{Router, router},
    handle::{Command, Commands, Gossiped},
    handover::{Accepted, Dialled, Handover},
    inbox::Inbox,
    muxer::Muxer,
    outbox::Outbox,
    peer::{from_libp2p, to_libp2p},
    session::Attachment,
};

/// Gauges, scores and what has waited for too long are seen to once per heartbeat.
const TICK: Duration = Duration::from_secs(1);
/// A session without streams for so long is broken: routers greet each other at once.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Our own messages that go out in one go when a peer has joined: a quarter of the queue to it.
const OUTBOX_TURN: usize = 128;

/// A session that the router has, or is about to have.
struct Session {
    /// Of a dial, so that another's failure is not taken for this one's.
    dial: Option<ConnectionId>,
    allowance: Allowance,
}

struct Task {
    node: Arc<ChainNode>,
    topic: Topic,
    /// Of the topic, among peers.
    name: TopicHash,
    figures: TopicFigures,
    swarm: Swarm<Router>,
    dialled: Dialled,
    accepted: mpsc::UnboundedSender<Accepted>,
    sessions: BTreeMap<RouterPeer, Session>,
    /// Sessions that wait for the end of the one before.
    waiting: BTreeMap<RouterPeer, Attachment>,
    explicit: HashSet<RouterPeer>,
    inbox: Inbox,
    outbox: Outbox,
    /// New messages so far: what was received beside them are duplicates.
    new: u64,
}

/// Runs for as long as the network.
pub async fn run(node: Arc<ChainNode>, figures: TopicFigures, commands: Commands) {
    match Task::new(node.clone(), commands.topic, figures) {
        Ok(task) => task.run(commands.receiver).await,
        Err(error) => tracing::error!(chain = %node.chain, %error, "gossip cannot start"),
    }
}

fn multiaddr(address: SocketAddr) -> Multiaddr {
    Multiaddr::from(address.ip())
        .with(Protocol::Udp(address.port()))
        .with(Protocol::QuicV1)
}

impl Task {
    fn new(
        node: Arc<ChainNode>,
        topic: Topic,
        figures: TopicFigures,
    ) -> Result<Self, NetworkError> {
        let chain = node.chain;
        let setup = |error: String| NetworkError::Gossip { chain, error };
        let router = router(chain, topic, figures.received.clone()).map_err(setup)?;
        let dialled = Dialled::default();
        let (accepted, handed_over) = mpsc::unbounded_channel();
        let local = node.local_address();
        let local = local.ok_or_else(|| setup("the endpoint has no address".to_owned()))?;
        let transport = Handover {
            dialled: dialled.clone(),
            accepted: handed_over,
            local: multiaddr(local),
            listener: ListenerId::next(),
        };
        let us = to_libp2p(&node.us).expect("our key was made from a seed");
        let swarm_config = Config::with_tokio_executor().with_idle_connection_timeout(IDLE_TIMEOUT);
        Ok(Self {
            topic,
            name: config::topic(chain, topic).hash(),
            figures,
            swarm: Swarm::new(transport.boxed(), router, us, swarm_config),
            dialled,
            accepted,
            sessions: BTreeMap::new(),
            waiting: BTreeMap::new(),
            explicit: HashSet::new(),
            inbox: Inbox::new(topic),
            outbox: Outbox::new(topic),
            new: 0,
            node,
        })
    }

    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.on_command(command),
                    None => return,
                },
                event = self.swarm.select_next_some() => self.on_event(event),
                _ = tick.tick() => self.on_tick(),
            }
            while let Some(message) = self.inbox.pop(Instant::now()) {
                self.figures.delivered.inc();
                self.node.delivery.deliver_gossip(message);
            }
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Attach(attachment) => self.attach(attachment),
            Command::ConfiguredUs(peer) => self.make_explicit(&peer),
            Command::Publish(message) => self.publish(message),
            Command::Verdict(peer, id, verdict) => {
                self.inbox.settle(&id);
                self.report(&peer, id, verdict);
            }
            #[cfg(test)]
            Command::End(peer) => {
                let peer = to_libp2p(&peer).expect("a key of a test");
                let _ = self.swarm.disconnect_peer_id(peer);
            }
        }
    }

    /// Never two sessions with one peer: the router tells its topics in the first one only, and
    /// what it queued for the peer may leave through the one that is about to end.
    fn attach(&mut self, attachment: Attachment) {
        let Some(peer) = to_libp2p(&attachment.peer) else {
            return;
        };
        if self.sessions.contains_key(&peer) {
            self.waiting.insert(peer, attachment);
            let _ = self.swarm.disconnect_peer_id(peer);
            return;
        }
        let remote = multiaddr(attachment.remote);
        let dial = match attachment.direction {
            Direction::Inbound => {
                // The other end is in the swarm, which lives as long as this task.
                let _ = self.accepted.send((peer, remote, attachment.muxer));
                None
            }
            Direction::Outbound => {
                self.lock_dialled().insert(peer, attachment.muxer);
                let options = DialOpts::peer_id(peer)
                    .condition(PeerCondition::Always)
                    .addresses(vec![remote])
                    .build();
                let dial = options.connection_id();
                if let Err(error) = self.swarm.dial(options) {
                    let (chain, peer_id) = (self.node.chain, Short(attachment.peer));
                    tracing::warn!(%chain, peer = %peer_id, %error, "the router refused a link");
                    self.lock_dialled().remove(&peer);
                    return;
                }
                Some(dial)
            }
        };
        let allowance = Allowance::new(self.topic, Instant::now());
        self.sessions.insert(peer, Session { dial, allowance });
        if attachment.configured_us.load(Ordering::Relaxed) {
            self.make_explicit(&attachment.peer);
        }
    }

    fn lock_dialled(&self) -> MutexGuard<'_, BTreeMap<RouterPeer, Muxer>> {
        self.dialled.lock().expect("no panic under this lock")
    }

    /// Both have configured each other: no score and no mesh stands between them. One side alone
    /// would only refuse the other's invitations into the mesh.
    fn make_explicit(&mut self, peer: &PeerId) {
        let Some(named) = to_libp2p(peer) else {
            return;
        };
        if self.node.links.is_configured(peer)
            && self.sessions.contains_key(&named)
            && self.explicit.insert(named)
        {
            self.swarm.behaviour_mut().add_explicit_peer(&named);
        }
    }

    fn detached(&mut self, peer: &RouterPeer) {
        self.sessions.remove(peer);
        if self.explicit.remove(peer) {
            // Or the router would dial it again and again.
            self.swarm.behaviour_mut().remove_explicit_peer(peer);
        }
        if let Some(next) = self.waiting.remove(peer) {
            self.attach(next);
        }
    }

    fn publish(&mut self, message: Vec<u8>) {
        let unsent = if message.len() > config::message_bytes_max(self.topic) {
            let (chain, topic, bytes) = (self.node.chain, self.topic.name(), message.len());
            tracing::error!(%chain, topic, bytes, "a message over its topic's bound was not published");
            1
        } else if self.is_heard() {
            let name = self.name.clone();
            match self.swarm.behaviour_mut().publish(name, message) {
                Ok(_) => {
                    self.figures.published.inc();
                    0
                }
                // It came by already.
                Err(PublishError::Duplicate) => 0,
                Err(error) => {
                    tracing::debug!(chain = %self.node.chain, %error, "a message was not published");
                    1
                }
            }
        } else {
            self.outbox.push(message)
        };
        self.figures.unsent.inc_by(unsent);
    }

    fn is_heard(&self) -> bool {
        let mut peers = self.swarm.behaviour().all_peers();
        peers.any(|(_, topics)| topics.contains(&&self.name))
    }

    fn publish_waiting(&mut self) {
        for _ in 0..OUTBOX_TURN {
            if !self.is_heard() {
                return;
            }
            let Some(message) = self.outbox.pop() else {
                return;
            };
            self.publish(message);
        }
    }

    fn on_event(&mut self, event: SwarmEvent<Event>) {
        match event {
            SwarmEvent::Behaviour(Event::Message {
                propagation_source,
                message_id,
                message,
            }) => self.on_message(propagation_source, &message_id, message),
            SwarmEvent::Behaviour(Event::Subscribed { .. }) => self.publish_waiting(),
            // Its streams are spoilt; the next session has new ones.
            SwarmEvent::Behaviour(Event::GossipsubNotSupported { peer_id }) => {
                let _ = self.swarm.disconnect_peer_id(peer_id);
            }
            SwarmEvent::ConnectionEstablished { peer_id, .. }
                if self.waiting.contains_key(&peer_id) =>
            {
                let _ = self.swarm.disconnect_peer_id(peer_id);
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                num_established: 0,
                ..
            } => self.detached(&peer_id),
            SwarmEvent::OutgoingConnectionError {
                connection_id,
                peer_id: Some(peer),
                ..
            } => {
                let session = self.sessions.get(&peer);
                if session.is_some_and(|session| session.dial == Some(connection_id)) {
                    self.lock_dialled().remove(&peer);
                    self.detached(&peer);
                }
            }
            _ => {}
        }
    }

    /// A new message. The gate has judged its topic and size.
    fn on_message(&mut self, source: RouterPeer, id: &MessageId, message: Message) {
        let Some(peer) = from_libp2p(&source) else {
            return;
        };
        let id: GossipId = *id.0.first_chunk().expect("our ids have this length");
        self.new += 1;
        let now = Instant::now();
        let bytes = message.data.len();
        let rationed = match self.sessions.get_mut(&source) {
            Some(session) => session.allowance.take(bytes, now),
            None => Rationed::Excess, // its session has just ended
        };
        let gossiped = Gossiped {
            chain: self.node.chain,
            peer,
            topic: self.topic,
            id,
            bytes: message.data,
        };
        let is_taken = rationed == Rationed::Within && self.inbox.push(gossiped, now).is_ok();
        if !is_taken {
            self.shed(&peer, id);
        }
        if rationed == Rationed::Flood {
            self.node.blame(&peer, Offence::Flood);
        }
    }

    /// A message that never came to the worker ends here.
    fn shed(&mut self, peer: &PeerId, id: GossipId) {
        self.figures.shed.inc();
        self.tell_router(peer, id, MessageAcceptance::Ignore);
    }

    fn report(&mut self, peer: &PeerId, id: GossipId, verdict: Verdict) {
        let figures = &self.figures;
        let acceptance = match verdict {
            Verdict::Accept => {
                figures.accepted.inc();
                MessageAcceptance::Accept
            }
            Verdict::Ignore => {
                figures.ignored.inc();
                MessageAcceptance::Ignore
            }
            Verdict::Reject(_) => {
                figures.rejected.inc();
                MessageAcceptance::Reject
            }
        };
        self.tell_router(peer, id, acceptance);
    }

    fn tell_router(&mut self, peer: &PeerId, id: GossipId, acceptance: MessageAcceptance) {
        let Some(peer) = to_libp2p(peer) else {
            return;
        };
        let router = self.swarm.behaviour_mut();
        let id = MessageId::new(&id);
        if !router.report_message_validation_result(&id, &peer, acceptance) {
            tracing::debug!(chain = %self.node.chain, "a verdict came too late");
        }
    }

    fn on_tick(&mut self) {
        for message in self.inbox.expire(Instant::now()) {
            self.shed(&message.peer, message.id);
        }
        self.publish_waiting();
        let mut graylisted = 0;
        let peers: Vec<RouterPeer> = self.sessions.keys().copied().collect();
        for named in &peers {
            let router = self.swarm.behaviour_mut();
            if let Some(peer) = from_libp2p(named) {
                router.set_application_score(named, self.node.score(&peer));
            }
            let score = router.peer_score(named);
            graylisted += i64::from(score.is_some_and(|score| score < config::GRAYLIST_SCORE));
        }
        self.figures.graylisted.set(graylisted);
        self.figures.sessions.set(peers.len() as i64);
        self.figures.explicit.set(self.explicit.len() as i64);
        let mesh = self.swarm.behaviour().mesh_peers(&self.name).count();
        self.figures.mesh.set(mesh as i64);
        // Of what is received and not new; some of it may not have come out of the router yet.
        let known = self.new + self.figures.duplicate.get();
        let duplicates = self.figures.received.get().saturating_sub(known);
        self.figures.duplicate.inc_by(duplicates);
    }
}
