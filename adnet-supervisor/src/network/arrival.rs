//! What comes from peers, and who takes it.

use adnet_common::chain_id::ChainId;

use super::{class::Class, gossip::Gossiped, identity::PeerId};

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
