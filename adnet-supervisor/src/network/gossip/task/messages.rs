//! Messages through the router: our own, those of peers, and the worker's verdicts.

use std::time::Instant;

use adnet_common::node::{GossipId, Verdict};
use libp2p_gossipsub::{Message, MessageAcceptance, MessageId, PublishError};
use libp2p_identity::PeerId as RouterPeer;

use super::{
    super::{
        super::{identity::PeerId, reputation::Offence},
        allowance::Rationed,
        config,
        handle::Gossiped,
        peer::{from_libp2p, to_libp2p},
    },
    Task,
};

/// Our own messages that go out in one go when a peer has joined: a quarter of the queue to it.
const OUTBOX_TURN: usize = 128;

impl Task {
    pub(super) fn publish(&mut self, message: Vec<u8>) {
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

    pub(super) fn publish_waiting(&mut self) {
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

    /// A new message. The gate has judged its topic and size.
    pub(super) fn on_message(&mut self, source: RouterPeer, id: &MessageId, message: Message) {
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
    pub(super) fn shed(&mut self, peer: &PeerId, id: GossipId) {
        self.figures.shed.inc();
        self.tell_router(peer, id, MessageAcceptance::Ignore);
    }

    pub(super) fn report(&mut self, peer: &PeerId, id: GossipId, verdict: Verdict) {
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
}
