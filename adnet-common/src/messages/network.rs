//! Worker ↔ supervisor: messages of the chain to and from its peers.

use rkyv::{Archive, Deserialize, Serialize};

/// To one peer, or when there is none, to all but some.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct NetworkOutMsg {
    pub peer: Option<[u8; 32]>,
    pub except: Vec<[u8; 32]>,
    pub class: u8,
    pub bytes: Vec<u8>,
}

#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct NetworkInMsg {
    pub peer: [u8; 32],
    pub class: u8,
    pub bytes: Vec<u8>,
}

/// For everybody, by a topic.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct GossipOutMsg {
    pub topic: u8,
    pub bytes: Vec<u8>,
}

/// A peer has passed this on; it waits for a [`VerdictMsg`] with its id.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct GossipInMsg {
    pub peer: [u8; 32],
    pub topic: u8,
    pub id: [u8; 20],
    pub bytes: Vec<u8>,
}

/// What becomes of a gossiped message.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct VerdictMsg {
    pub peer: [u8; 32],
    pub topic: u8,
    pub id: [u8; 20],
    pub verdict: u8,
}

/// The worker's verdict: this peer did what no honest node does, or does rarely. `offence` is the
/// number of a [`crate::node::Offence`].
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct PeerMsg {
    pub peer: [u8; 32],
    pub offence: u8,
}
