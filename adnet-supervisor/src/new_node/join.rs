//! Joining a network that exists: its genesis, and the nodes to begin with.

use adnet_common::{
    chain_id::ChainId,
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
    if file.exists() {
        let loaded = load(&Default::default(), &Default::default(), Some(&file));
        let is_same = loaded.is_ok_and(|loaded| {
            let config = loaded.config;
            let boot_nodes = join.boot_nodes.join(",");
            let mut trusted = join.trusted.iter().map(|(chain, block)| {
                let there = match chain {
                    ChainId::Alpha => &config.alpha,
                    ChainId::Delta => &config.delta,
                };
                there.trusted_block() == Some(*block)
            });
            (boot_nodes.is_empty() || config.network.boot_nodes == boot_nodes)
                && trusted.all(|is_same| is_same)
        });
        let says_nothing = join.boot_nodes.is_empty() && join.trusted.is_empty();
        if !is_same && !says_nothing {
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
            let mut set = vec![("network.boot_nodes", records)];
            for (chain, block) in &join.trusted {
                let key = match chain {
                    ChainId::Alpha => "alpha.trusted_block",
                    ChainId::Delta => "delta.trusted_block",
                };
                set.push((key, format!("\"{block}\"")));
            }
            manual_with(&set)
        }
    }
}
