//! The handle of a chain's gossip: what the rest of the node says to the tasks that own the routers.

use adnet_common::{
    chain_id::ChainId,
    node::{GossipId, Topic, Verdict},
};
use tokio::sync::mpsc;

use super::{super::identity::PeerId, index, session::Attachment};

/// What waits for a task at most, in both directions of the worker together. More is shed.
const COMMANDS_MAX: usize = 1024;

/// A gossiped message from a peer, within its topic's bound and otherwise unjudged. It waits for
/// [`Network::verdict`](crate::network::Network::verdict).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gossiped {
    pub chain: ChainId,
    /// Who passed it on. It need not be the author.
    pub peer: PeerId,
    pub topic: Topic,
    pub id: GossipId,
    pub bytes: Vec<u8>,
}

/// What the task of a topic is asked for.
pub(super) enum Command {
    Attach(Attachment),
    /// The peer has configured us. If we have configured it, too, each passes everything on to the
    /// other.
    ConfiguredUs(PeerId),
    Publish(Vec<u8>),
    Verdict(PeerId, GossipId, Verdict),
    /// Ends the session with a peer.
    #[cfg(test)]
    End(PeerId),
}

/// The end of the channel for the task of a topic.
pub struct Commands {
    pub(super) topic: Topic,
    pub(super) receiver: mpsc::Receiver<Command>,
}

impl Commands {
    pub fn topic(&self) -> Topic {
        self.topic
    }
}

/// The handle of the tasks.
pub struct Gossip {
    commands: [mpsc::Sender<Command>; Topic::ALL.len()],
}

impl Gossip {
    pub fn new() -> (Self, [Commands; Topic::ALL.len()]) {
        let channels = Topic::ALL.map(|topic| {
            let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
            (commands, Commands { topic, receiver })
        });
        let [(tx, tx_end), (block, block_end)] = channels;
        let commands = [tx, block];
        (Self { commands }, [tx_end, block_end])
    }

    fn task(&self, topic: Topic) -> &mpsc::Sender<Command> {
        &self.commands[index(topic)]
    }

    /// Lends a session to the router of a topic; waits for room. False if the network is ending.
    pub(super) async fn attach(&self, topic: Topic, attachment: Attachment) -> bool {
        let command = Command::Attach(attachment);
        self.task(topic).send(command).await.is_ok()
    }

    /// A peer says in a session of the topic that it has configured us.
    pub async fn configured_us(&self, topic: Topic, peer: PeerId) {
        // After the end of the network nobody needs to know.
        let _ = self.task(topic).send(Command::ConfiguredUs(peer)).await;
    }

    /// False if the task is too busy to take it, or has ended.
    pub fn publish(&self, topic: Topic, bytes: Vec<u8>) -> bool {
        let command = Command::Publish(bytes);
        self.task(topic).try_send(command).is_ok()
    }

    /// A verdict that is lost is as good as *ignore*.
    pub fn verdict(&self, peer: PeerId, topic: Topic, id: GossipId, verdict: Verdict) -> bool {
        let command = Command::Verdict(peer, id, verdict);
        self.task(topic).try_send(command).is_ok()
    }

    #[cfg(test)]
    pub fn end_session(&self, topic: Topic, peer: PeerId) {
        let sent = self.task(topic).try_send(Command::End(peer));
        assert!(sent.is_ok(), "the task is there");
    }
}
