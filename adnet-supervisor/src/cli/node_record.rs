//! The record of this node, by which others find it: what `adnet keys show node --record` prints.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    net::SocketAddr,
    process::ExitCode,
};

use adnet_common::{
    chain_id::ChainId,
    config::Config,
    genesis::Genesis,
    keys::{KeyDir, KeyKind, NODE_KEY_NAME},
};

use super::{UsageError, settings::SettingsArgs};
use crate::network;

/// Prints the record.
pub(super) fn show(name: &str, settings: &SettingsArgs) -> anyhow::Result<ExitCode> {
    if name != NODE_KEY_NAME {
        let why = format!("only the key {NODE_KEY_NAME} has a record, not {name}");
        return Err(UsageError(why).into());
    }
    let loaded = settings
        .load()
        .map_err(|errors| UsageError(errors.to_string()))?;
    writeln!(io::stdout(), "{}", of(&loaded.config)?)?;
    Ok(ExitCode::SUCCESS)
}

/// The record of the node with this configuration.
pub(super) fn of(config: &Config) -> anyhow::Result<String> {
    let network = &config.network;
    let listen = network.discovery_listen;
    let ip = network.external_ip.parse().unwrap_or(listen.ip());
    let mut ports = BTreeMap::new();
    if config.node.mode.runs_alpha() {
        ports.insert(ChainId::Alpha, config.alpha.p2p_listen.port());
    }
    if config.node.mode.runs_delta() {
        ports.insert(ChainId::Delta, config.delta.p2p_listen.port());
    }
    let unusable = if !network.discovery {
        Some("network.discovery is off: nobody can find this node by a record")
    } else if ip.is_unspecified() {
        Some("set network.external_ip: nobody can reach a node at 0.0.0.0")
    } else if listen.port() == 0 || ports.values().any(|port| *port == 0) {
        Some("give network.discovery_listen and p2p_listen fixed ports, not 0")
    } else {
        None
    };
    if let Some(why) = unusable {
        return Err(UsageError(why.to_owned()).into());
    }
    let genesis = Genesis::load(&config.node.genesis_file())?;
    let keys = KeyDir::of(&config.node.data_dir);
    let key = keys.load_kind(NODE_KEY_NAME, KeyKind::Node)?;
    let discovery = SocketAddr::new(ip, listen.port());
    let genesis = genesis.hash().0;
    Ok(network::record_of(
        *key.expose(),
        &genesis,
        discovery,
        &ports,
    )?)
}
