//! The task that owns the router of a topic of a chain.

mod messages;
mod sessions;

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use adnet_common::node::Topic;
use futures::StreamExt;
use libp2p_core::{Transport, transport::ListenerId};
use libp2p_gossipsub::{Event, TopicHash};
use libp2p_identity::PeerId as RouterPeer;
use libp2p_swarm::{Config, ConnectionId, Swarm, SwarmEvent};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use super::{
    super::{error::NetworkError, node::ChainNode},
    allowance::Allowance,
    config,
    figures::TopicFigures,
    gate::{Router, router},
    handle::{Command, Commands},
    handover::{Accepted, Dialled, Handover},
    inbox::Inbox,
    outbox::Outbox,
    peer::{from_libp2p, to_libp2p},
    session::Attachment,
};
use sessions::multiaddr;

/// Gauges, scores and what has waited for too long are seen to once per heartbeat.
const TICK: Duration = Duration::from_secs(1);
/// A session without streams for so long is broken: routers greet each other at once.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

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
