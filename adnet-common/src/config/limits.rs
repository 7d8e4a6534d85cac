//! The limits within which a configuration can work, and the rules between keys.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
};

use super::{
    Loaded,
    error::ConfigError,
    origin::Origin,
    schema::{leaves, table_of},
    types::ChainConfig,
};
use crate::{block::MAX_TX_BYTES, keys::PublicKey, trusted_block::TrustedBlock};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// 300 bytes in base 64.
const RECORD_TEXT_MAX: usize = 400;

/// The range of every whole number. `CHAIN_LIMITS` holds for both chains.
const LIMITS: [(&str, RangeInclusive<u64>); 18] = [
    ("delta_api.logs_max_blocks", 1..=100_000_000),
    ("delta_api.logs_max_results", 1..=1_000_000),
    ("delta_api.filters_max", 2..=1_000_000),
    ("delta_api.filter_ttl_s", 1..=86_400),
    ("delta_api.subscriptions_max", 1..=10_000),
    ("network.max_peers", 1..=1_000),
    ("network.outbound_peers", 1..=100),
    ("network.outbound_per_subnet", 1..=100),
    ("network.outbound_per_region", 1..=100),
    ("network.max_per_address", 1..=1_000),
    ("network.max_per_subnet", 1..=1_000),
    ("supervisor.shutdown_deadline_ms", 100..=600_000),
    ("supervisor.hang_warn_ms", 20..=600_000),
    ("supervisor.hang_kill_ms", 50..=600_000),
    ("supervisor.restart_limit", 1..=1_000),
    ("supervisor.restart_window_s", 1..=86_400),
    ("store.cache_bytes", 8 * MIB..=1024 * GIB),
    ("store.max_open_files", 64..=1_000_000),
];

const CHAIN_LIMITS: [(&str, RangeInclusive<u64>); 10] = [
    ("api_max_body_bytes", KIB..=64 * MIB),
    // hyper wants a read buffer of at least 8 KiB.
    ("api_max_header_bytes", 8 * KIB..=MIB),
    ("api_request_timeout_ms", 100..=600_000),
    ("api_rate_limit_per_s", 0..=1_000_000),
    ("api_rate_burst", 1..=10_000_000),
    ("api_max_connections", 1..=100_000),
    // One transaction of the largest size must fit.
    ("mempool_max_bytes", MAX_TX_BYTES as u64..=16 * GIB),
    ("mempool_max_txs", 1..=10_000_000),
    ("mempool_max_per_sender", 1..=1_000_000),
    ("mempool_ttl_s", 1..=7 * 86_400),
];

/// Every broken limit and rule.
pub(super) fn check(loaded: &Loaded) -> Vec<ConfigError> {
    let mut errors = ranges(loaded);
    let mut rule = |broken: bool, key: &str, problem: &str| {
        if broken {
            errors.push(error_at(loaded, key, problem.to_owned()));
        }
    };
    let config = &loaded.config;
    let supervisor = &config.supervisor;
    rule(
        supervisor.hang_kill_ms <= supervisor.hang_warn_ms,
        "supervisor.hang_kill_ms",
        "must be above supervisor.hang_warn_ms: a worker is warned about before it is killed",
    );
    for (section, chain) in [("alpha", &config.alpha), ("delta", &config.delta)] {
        let ChainConfig {
            api_rate_limit_per_s,
            api_rate_burst,
            ..
        } = chain;
        rule(
            *api_rate_limit_per_s > 0 && api_rate_burst < api_rate_limit_per_s,
            &format!("{section}.api_rate_burst"),
            "must be at least api_rate_limit_per_s, or the sustained rate is never reached",
        );
        let trusted = chain.trusted_block.trim();
        let parsed = trusted.parse::<TrustedBlock>();
        if let (false, Err(error)) = (trusted.is_empty(), parsed) {
            let key = format!("{section}.trusted_block");
            rule(true, &key, &error.to_string());
        }
        rule(
            chain.mempool_max_per_sender > chain.mempool_max_txs,
            &format!("{section}.mempool_max_per_sender"),
            "must not be above mempool_max_txs",
        );
    }
    let network = &config.network;
    rule(
        network.outbound_peers > network.max_peers,
        "network.outbound_peers",
        "must not be above network.max_peers",
    );
    rule(
        network.max_per_subnet < network.max_per_address,
        "network.max_per_subnet",
        "must be at least network.max_per_address: a subnet is made of addresses",
    );
    rule(
        !network.external_ip.is_empty() && network.external_ip.parse::<IpAddr>().is_err(),
        "network.external_ip",
        "is no IP address; leave it empty to learn it from peers",
    );
    rule(
        config.node.data_dir.as_os_str().is_empty(),
        "node.data_dir",
        "must not be empty",
    );
    let operators = config.alpha_api.operator_keys.split(',').map(str::trim);
    for key in operators.filter(|key| !key.is_empty()) {
        let usable = key.parse::<PublicKey>().is_ok_and(|key| key.is_on_curve());
        let problem = "names an operator by what is no ed25519 public key of 64 hex digits";
        rule(!usable, "alpha_api.operator_keys", problem);
    }
    errors.extend(port_clashes(loaded));
    errors.extend(peer_mistakes(loaded));
    errors
}

/// Every persistent peer must have the form `KEY@HOST:PORT`. Names are resolved at each dial.
fn peer_mistakes(loaded: &Loaded) -> Vec<ConfigError> {
    let config = &loaded.config;
    let lists = [
        ("alpha.persistent_peers", &config.alpha.persistent_peers),
        ("delta.persistent_peers", &config.delta.persistent_peers),
    ];
    let mut errors = Vec::new();
    for (key, list) in lists {
        let peers = list.split(',').map(str::trim);
        for peer in peers.filter(|peer| !peer.is_empty() && !is_peer(peer)) {
            let problem = format!("`{peer}` is not of the form KEY@HOST:PORT");
            errors.push(error_at(loaded, key, problem));
        }
    }
    let boot = config.network.boot_nodes.split(',').map(str::trim);
    for record in boot.filter(|record| !record.is_empty() && !is_record(record)) {
        let problem = format!("`{record}` is no node record: `enr:` and its text");
        errors.push(error_at(loaded, "network.boot_nodes", problem));
    }
    errors
}

/// The outer form of a node record; its signatures are checked when the node starts.
fn is_record(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let inner = text.strip_prefix("enr:");
    inner.is_some_and(|inner| {
        !inner.is_empty() && inner.len() <= RECORD_TEXT_MAX && inner.bytes().all(plain)
    })
}

fn is_peer(text: &str) -> bool {
    let Some((key, place)) = text.split_once('@') else {
        return false;
    };
    let Some((host, port)) = place.rsplit_once(':') else {
        return false;
    };
    let port = port.parse::<u16>().unwrap_or(0);
    key.parse::<PublicKey>().is_ok() && !host.is_empty() && port != 0
}

fn ranges(loaded: &Loaded) -> Vec<ConfigError> {
    let values = leaves(&table_of(&loaded.config));
    let chains = ["alpha", "delta"].into_iter().flat_map(|chain| {
        CHAIN_LIMITS
            .into_iter()
            .map(move |(name, range)| (format!("{chain}.{name}"), range))
    });
    let others = LIMITS
        .into_iter()
        .map(|(key, range)| (key.to_owned(), range));
    let mut errors = Vec::new();
    for (key, range) in others.chain(chains) {
        let value = values
            .get(&key)
            .and_then(toml::Value::as_integer)
            .expect("limits name integer keys only");
        if !u64::try_from(value).is_ok_and(|value| range.contains(&value)) {
            let problem = format!("expected {} to {}", range.start(), range.end());
            errors.push(error_at(loaded, &key, problem));
        }
    }
    errors
}

/// Two listeners of one node cannot share a port. Port 0 lets the system choose and never clashes.
fn port_clashes(loaded: &Loaded) -> Vec<ConfigError> {
    let config = &loaded.config;
    let mut listeners: Vec<(&str, SocketAddr)> = vec![("metrics.listen", config.metrics.listen)];
    if config.node.mode.runs_alpha() {
        listeners.push(("alpha.api_listen", config.alpha.api_listen));
    }
    if config.node.mode.runs_delta() {
        listeners.push(("delta.api_listen", config.delta.api_listen));
    }
    let mut errors = clashes_among(loaded, &listeners);
    // UDP ports, apart from the TCP ones.
    let mut peers = Vec::new();
    if config.node.mode.runs_alpha() {
        peers.push(("alpha.p2p_listen", config.alpha.p2p_listen));
    }
    if config.node.mode.runs_delta() {
        peers.push(("delta.p2p_listen", config.delta.p2p_listen));
    }
    if config.network.runs_discovery() {
        let listen = config.network.discovery_listen;
        peers.push(("network.discovery_listen", listen));
    }
    errors.extend(clashes_among(loaded, &peers));
    errors
}

fn clashes_among(loaded: &Loaded, listeners: &[(&str, SocketAddr)]) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    for (index, (key, address)) in listeners.iter().enumerate() {
        for (other_key, other) in &listeners[..index] {
            let same_host = address.ip() == other.ip()
                || address.ip().is_unspecified()
                || other.ip().is_unspecified();
            if address.port() != 0 && address.port() == other.port() && same_host {
                errors.push(error_at(
                    loaded,
                    key,
                    format!("port {} is also that of {other_key}", address.port()),
                ));
            }
        }
    }
    errors
}

/// An error about the value that won for `key`.
pub(super) fn error_at(loaded: &Loaded, key: &str, problem: String) -> ConfigError {
    let value = leaves(&table_of(&loaded.config))
        .get(key)
        .map(toml::Value::to_string);
    let origin = loaded.origins.get(key).cloned().unwrap_or(Origin::Default);
    ConfigError::new(key, value, origin, problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_whole_number_has_a_range() {
        let limited = |key: &str| {
            LIMITS.iter().any(|(name, _)| *name == key)
                || CHAIN_LIMITS.iter().any(|(name, _)| {
                    key.strip_prefix("alpha.").or(key.strip_prefix("delta.")) == Some(*name)
                })
        };
        for (key, value) in crate::config::schema::defaults() {
            assert_eq!(value.is_integer(), limited(&key), "{key}");
        }
    }
}
