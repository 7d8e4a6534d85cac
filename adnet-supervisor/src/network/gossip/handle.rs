//! The handle of a chain's gossip: what the rest of the node says to the task that owns the router.

use adnet_common::{
    chain_id::ChainId,
    node::{GossipId, Topic, Verdict},
};
use tokio::sync::mpsc;

use super::{super::identity::PeerId, session::Attachment};

/// What waits for the task at most, in both directions of the worker together. More is shed.
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

/// What the task is asked for.
pub(super) enum Command {
    Attach(Attachment),
    /// The peer has configured us. If we have configured it, too, each passes everything on to the
    /// other.
    ConfiguredUs(PeerId),
    Publish(Topic, Vec<u8>),
    Verdict(PeerId, Topic, GossipId, Verdict),
    /// Ends the session with a peer.
    #[cfg(test)]
    End(PeerId),
}

/// The task's end of the channel.
pub struct Commands(pub(super) mpsc::Receiver<Command>);

/// The handle of the task.
pub struct Gossip {
    commands: mpsc::Sender<Command>,
}

impl Gossip {
    pub fn new() -> (Self, Commands) {
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        (Self { commands }, Commands(receiver))
    }

    /// Lends a session to the router; waits for room. False if the network is ending.
    pub(super) async fn attach(&self, attachment: Attachment) -> bool {
        let command = Command::Attach(attachment);
        self.commands.send(command).await.is_ok()
    }

    /// A peer says that it has configured us.
    pub async fn configured_us(&self, peer: PeerId) {
        // After the end of the network nobody needs to know.
        let _ = self.commands.send(Command::ConfiguredUs(peer)).await;
    }

    /// False if the task is too busy to take it, or has ended.
    pub fn publish(&self, topic: Topic, bytes: Vec<u8>) -> bool {
        let command = Command::Publish(topic, bytes);
        self.commands.try_send(command).is_ok()
    }

    /// A verdict that is lost is as good as *ignore*.
    pub fn verdict(&self, peer: PeerId, topic: Topic, id: GossipId, verdict: Verdict) -> bool {
        let command = Command::Verdict(peer, topic, id, verdict);
        self.commands.try_send(command).is_ok()
    }

    #[cfg(test)]
    pub fn end_session(&self, peer: PeerId) {
        let sent = self.commands.try_send(Command::End(peer));
        assert!(sent.is_ok(), "the task is there");
    }
}
