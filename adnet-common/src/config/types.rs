//! The configuration as the node uses it: plain typed values, one struct per section.
//!
//! Invariants: every field is one key of `default.toml`, which explains it; every field is read
//! somewhere in the node; the `Default` values are exactly those of `default.toml` (a test
//! compares them). Types that `load` returns have passed `limits`.

use std::{net::SocketAddr, path::PathBuf};

use crate::keys::PublicKey;
use crate::trusted_block::TrustedBlock;
use serde::{Deserialize, Serialize};

/// All settings of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub node: NodeConfig,
    pub log: LogConfig,
    pub alpha: ChainConfig,
    pub alpha_api: AlphaApiConfig,
    pub delta: ChainConfig,
    pub delta_api: DeltaApiConfig,
    pub network: NetworkConfig,
    pub metrics: MetricsConfig,
    pub supervisor: SupervisorConfig,
    pub store: StoreConfig,
}

/// `[node]`: where the node lives and which chains it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    pub data_dir: PathBuf,
    pub mode: Mode,
}

impl NodeConfig {
    /// The network's genesis. A data directory without it is not yet that of a node.
    pub fn genesis_file(&self) -> PathBuf {
        self.data_dir.join(crate::genesis::GENESIS_FILE_NAME)
    }

    /// The folder of the database.
    pub fn database_dir(&self) -> PathBuf {
        self.data_dir.join("db")
    }

    /// The Unix socket that `adnet status` asks.
    pub fn control_socket(&self) -> PathBuf {
        self.data_dir.join("control.sock")
    }
}

/// Which workers the supervisor starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    Dual,
    AlphaOnly,
    DeltaOnly,
}

impl Mode {
    /// True if this mode starts the Alpha worker.
    pub fn runs_alpha(self) -> bool {
        matches!(self, Mode::Dual | Mode::AlphaOnly)
    }

    /// True if this mode starts the Delta worker.
    pub fn runs_delta(self) -> bool {
        matches!(self, Mode::Dual | Mode::DeltaOnly)
    }
}

/// `[log]`: what is logged and how a line looks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    pub level: LogLevel,
    pub format: LogFormat,
}

/// The least severe level that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// The journal under systemd, otherwise `Human`.
    Auto,
    Human,
    Json,
}

/// `[alpha]` and `[delta]`: one chain's HTTP API and mempool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainConfig {
    /// UDP address of the QUIC endpoint.
    pub p2p_listen: SocketAddr,
    /// `KEY@HOST:PORT`, separated by commas.
    pub persistent_peers: String,
    /// `HEIGHT:HASH`, or empty.
    pub trusted_block: String,
    pub api_listen: SocketAddr,
    pub api_max_body_bytes: u64,
    pub api_max_header_bytes: u64,
    pub api_request_timeout_ms: u64,
    /// Requests per second and client address that the API sustains; 0 switches the limit off.
    pub api_rate_limit_per_s: u64,
    pub api_rate_burst: u64,
    pub api_max_connections: u64,
    pub mempool_max_bytes: u64,
    pub mempool_max_txs: u64,
    pub mempool_max_per_sender: u64,
    pub mempool_ttl_s: u64,
}

/// `[delta_api]`: bounds of Delta's JSON-RPC beside what both chains' APIs have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeltaApiConfig {
    pub logs_max_blocks: u64,
    pub logs_max_results: u64,
    pub filters_max: u64,
    pub filter_ttl_s: u64,
    pub subscriptions_max: u64,
}

impl Default for DeltaApiConfig {
    fn default() -> Self {
        Self {
            logs_max_blocks: 100_000,
            logs_max_results: 10_000,
            filters_max: 1_024,
            filter_ttl_s: 300,
            subscriptions_max: 32,
        }
    }
}

/// `[alpha_api]`: what Alpha's HTTP API does beside what both chains' do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlphaApiConfig {
    /// Whether the node scans blocks with a viewing key that a client on this machine gives it.
    pub viewing_key_balance: bool,
    /// ed25519 public keys, separated by commas; empty if everybody may submit mint orders.
    pub operator_keys: String,
}

/// `[network]`: how peers are found, and how many of them there may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// All nodes belong to one operator: no limits by address, and loopback is a place to be.
    pub private: bool,
    /// Links nobody but the persistent peers, and shows itself to nobody else.
    pub persistent_peers_only: bool,
    pub discovery: bool,
    /// UDP address of discovery, one for both chains.
    pub discovery_listen: SocketAddr,
    /// The address that peers are told; empty if they are to tell it us.
    pub external_ip: String,
    /// Node records (`enr:...`), separated by commas.
    pub boot_nodes: String,
    /// Peers per chain, beside configured ones and validators.
    pub max_peers: u64,
    /// How many of them this node chooses and dials itself.
    pub outbound_peers: u64,
    pub outbound_per_subnet: u64,
    pub outbound_per_region: u64,
    pub max_per_address: u64,
    pub max_per_subnet: u64,
}

/// `[metrics]`: health, readiness and Prometheus metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsConfig {
    pub listen: SocketAddr,
}

/// `[supervisor]`: how workers are watched, restarted and stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SupervisorConfig {
    pub shutdown_deadline_ms: u64,
    pub hang_warn_ms: u64,
    pub hang_kill_ms: u64,
    pub restart_limit: u64,
    pub restart_window_s: u64,
    pub require_sandbox: bool,
    /// Whether a second Alpha worker waits to take over.
    pub alpha_standby: bool,
}

/// `[store]`: the database that both chains share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    pub cache_bytes: u64,
    pub max_open_files: u64,
}

impl AlphaApiConfig {
    /// The operators' keys. `load` has refused other texts.
    pub fn operators(&self) -> impl Iterator<Item = PublicKey> {
        let keys = self.operator_keys.split(',').map(str::trim);
        keys.filter_map(|key| key.parse().ok())
    }
}

impl NetworkConfig {
    /// Whether this node looks for others, and can be found by them.
    pub fn runs_discovery(&self) -> bool {
        self.discovery && !self.persistent_peers_only
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            node: NodeConfig {
                data_dir: PathBuf::from("./adnet-data"),
                mode: Mode::Dual,
            },
            log: LogConfig {
                level: LogLevel::Info,
                format: LogFormat::Auto,
            },
            alpha: ChainConfig::with_ports(3030, 4130),
            alpha_api: AlphaApiConfig::default(),
            delta_api: DeltaApiConfig::default(),
            delta: ChainConfig {
                // Delta's blocks are five times as frequent and its traders send bursts.
                api_rate_limit_per_s: 1_000,
                api_rate_burst: 2_000,
                mempool_max_per_sender: 256,
                ..ChainConfig::with_ports(4030, 4131)
            },
            network: NetworkConfig {
                private: false,
                persistent_peers_only: false,
                discovery: true,
                discovery_listen: SocketAddr::from(([0, 0, 0, 0], 4132)),
                external_ip: String::new(),
                boot_nodes: String::new(),
                max_peers: 64,
                outbound_peers: 8,
                outbound_per_subnet: 1,
                outbound_per_region: 2,
                max_per_address: 8,
                max_per_subnet: 16,
            },
            metrics: MetricsConfig {
                listen: loopback(9090),
            },
            supervisor: SupervisorConfig {
                shutdown_deadline_ms: 10_000,
                hang_warn_ms: 250,
                hang_kill_ms: 2_000,
                restart_limit: 5,
                restart_window_s: 10,
                require_sandbox: false,
                alpha_standby: true,
            },
            store: StoreConfig {
                cache_bytes: 64 * 1024 * 1024,
                max_open_files: 512,
            },
        }
    }
}

impl ChainConfig {
    /// The trusted block, if there is one. `load` has refused other texts.
    pub fn trusted_block(&self) -> Option<TrustedBlock> {
        self.trusted_block.parse().ok()
    }

    fn with_ports(api: u16, p2p: u16) -> Self {
        ChainConfig {
            p2p_listen: SocketAddr::from(([0, 0, 0, 0], p2p)),
            persistent_peers: String::new(),
            trusted_block: String::new(),
            api_listen: loopback(api),
            api_max_body_bytes: 1024 * 1024,
            api_max_header_bytes: 16 * 1024,
            api_request_timeout_ms: 10_000,
            api_rate_limit_per_s: 200,
            api_rate_burst: 400,
            api_max_connections: 1_024,
            mempool_max_bytes: 64 * 1024 * 1024,
            mempool_max_txs: 50_000,
            mempool_max_per_sender: 64,
            mempool_ttl_s: 600,
        }
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
