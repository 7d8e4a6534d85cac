//! What a network is started with.

use std::net::UdpSocket;

use adnet_common::chain_id::ChainId;

use super::{
    address::PeerAddr,
    discovery::DiscoveryConfig,
    limits::Limits,
    validators::{ValidatorKeys, ValidatorProof},
};
use crate::store::Store;

/// For both chains; see the fields.
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
