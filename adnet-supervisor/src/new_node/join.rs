//! Joining a network that exists: its genesis, and the nodes to begin with.

use adnet_common::{
    config::{CONFIG_FILE_NAME, NodeConfig, load},
    genesis::Genesis,
};

use super::{Join, NewNodeError, manual_with};
use crate::network::check_boot_node;

/// The genesis of the network to join. Nothing has been written when this fails.
pub(super) fn genesis(join: &Join, node: &NodeConfig) -> Result<Genesis, NewNodeError> {
    let own = node.genesis_file();
    let genesis = match &join.genesis_file {
        Some(file) => Genesis::load(file)?,
        None if own.exists() => Genesis::load(&own)?,
        None => return Err(NewNodeError::NoGenesisToJoin(own)),
    };
    if own.exists() && Genesis::load(&own)?.hash() != genesis.hash() {
        return Err(NewNodeError::OtherGenesis(own));
    }
    for record in &join.boot_nodes {
        check_boot_node(record, &genesis.hash().0)?;
    }
    let file = node.data_dir.join(CONFIG_FILE_NAME);
    if file.exists() && !join.boot_nodes.is_empty() {
        let loaded = load(&Default::default(), &Default::default(), Some(&file));
        let there = loaded.map(|loaded| loaded.config.network.boot_nodes);
        let is_same = there.is_ok_and(|there| there == join.boot_nodes.join(","));
        if !is_same {
            return Err(NewNodeError::OtherConfiguration(file));
        }
    }
    Ok(genesis)
}

/// The configuration file of a new node: of a development network, or of one that joins.
pub(super) fn configuration(join: Option<&Join>) -> String {
    match join {
        None => manual_with(&[("network.private", "true".to_owned())]),
        Some(join) => {
            let records = format!("{:?}", join.boot_nodes.join(","));
            manual_with(&[("network.boot_nodes", records)])
        }
    }
}
