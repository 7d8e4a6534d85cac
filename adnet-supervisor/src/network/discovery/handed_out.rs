//! Records as operators hand them out and take them in.

use std::{collections::BTreeMap, net::SocketAddr};

use adnet_common::chain_id::ChainId;
use discv5::Enr;

use super::{
    candidate::Candidate,
    record::{Contents, build},
};
use crate::network::{error::NetworkError, identity::Identity};

/// The record of a node that need not run: what its operator hands out. `ports` are those of the
/// chains' endpoints. It counts as older than any that the running node gives out.
///
/// # Errors
/// The record would be longer than records may be.
pub fn record_of(
    node_seed: [u8; 32],
    genesis: &[u8; 32],
    discovery: SocketAddr,
    ports: &BTreeMap<ChainId, u16>,
) -> Result<String, NetworkError> {
    let contents = Contents {
        genesis,
        ip: Some(discovery.ip()),
        discovery_port: discovery.port(),
        ports,
        seq: 1,
    };
    build(&Identity::from_seed(node_seed), &contents)
        .map(|record| record.to_base64())
        .map_err(|error| NetworkError::Discovery(error.to_string()))
}

/// Whether a text is the record of a node of the network with this genesis.
///
/// # Errors
/// What is wrong with it.
pub fn check_boot_node(text: &str, genesis: &[u8; 32]) -> Result<(), NetworkError> {
    boot_node(text, genesis).map(drop)
}

/// Reads a record of an operator's list.
pub fn boot_node(text: &str, genesis: &[u8; 32]) -> Result<(Candidate, Enr), NetworkError> {
    Candidate::read_text(text, genesis).map_err(|error| NetworkError::BootNode {
        record: text.to_owned(),
        error,
    })
}
