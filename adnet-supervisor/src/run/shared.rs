//! What every role that owns a node opens: store, signer, network, metrics, the service threads.
//!
//! The supervisor opens it for its workers, the isolated debugging mode for the chain in its own
//! process. Both chains' code sees the same rings either way.

use super::events::{Event, Events};
use super::services::{self, ControlService, StoreService};
use super::validators::CurrentValidators;
use super::watch::Watch;
use crate::control::{ControlError, ControlServer};
use crate::metrics::{MetricsServer, WorkerMetrics};
use crate::network::{
    Arrival, ChainNet, DiscoveryConfig, Limits, Network, NetworkConfig, PeerAddr, ValidatorKeys,
};
use crate::node_state::{ChainPlan, NodeIdentity, NodeState};
use crate::signer::LocalSigner;
use crate::store::{NetworkIdentity, Store, StoreOptions};
use crate::topology::{SEGMENT_PREFIX, Topology};
use adnet_common::api::PeerReport;
use adnet_common::chain_id::ChainId;
use adnet_common::config::{ChainConfig, Config};
use adnet_common::genesis::Genesis;
use adnet_common::ipc::{LinkError, Sender};
use adnet_common::keys::{
    KeyDir, KeyFileError, KeyKind, NODE_KEY_NAME, PublicKey, VALIDATOR_KEY_NAME,
};
use adnet_common::messages::{GossipInMsg, NetworkInMsg, StopMsg};
use anyhow::Context;
use prometheus::Registry;
use std::collections::BTreeMap;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a peer's message waits for room in a worker's ring: its peers are slowed down meanwhile.
const INBOUND_PATIENCE: Duration = Duration::from_millis(500);

pub(super) type SharedSender = Arc<Mutex<Sender>>;

/// Everything a running node shares over the lives of its workers.
pub struct Shared {
    pub genesis: Arc<Genesis>,
    pub state: Arc<NodeState>,
    pub store: Store,
    /// The key that votes, if this node is a validator.
    pub validator: Option<PublicKey>,
    pub validators: Arc<CurrentValidators>,
    pub topology: Arc<Topology>,
    control_down: BTreeMap<ChainId, SharedSender>,
    network: Arc<Network>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    metrics: MetricsServer,
    control: ControlServer,
}

pub fn chain_config(config: &Config, chain: ChainId) -> &ChainConfig {
    match chain {
        ChainId::Alpha => &config.alpha,
        ChainId::Delta => &config.delta,
    }
}

pub fn block_interval_ms(genesis: &Genesis, chain: ChainId) -> u64 {
    match chain {
        ChainId::Alpha => genesis.alpha.block_interval_ms,
        ChainId::Delta => genesis.delta.block_interval_ms,
    }
}

/// This build, for the log of who attaches to a ring.
pub fn build_id() -> [u8; 16] {
    let version =
        adnet_common::hash::Hash::of("adnet/build", &[env!("CARGO_PKG_VERSION").as_bytes()]);
    *version
        .0
        .first_chunk()
        .expect("a hash has more than 16 bytes")
}

impl Shared {
    /// Opens everything for a node that runs `chains`. `metrics` listens already.
    pub fn open(
        config: &Config,
        chains: &[ChainId],
        listens: &BTreeMap<ChainId, std::net::SocketAddr>,
        metrics: TcpListener,
        events: &Events,
    ) -> anyhow::Result<Shared> {
        let genesis_file = config.node.genesis_file();
        let genesis = Arc::new(Genesis::load(&genesis_file)?);
        let genesis_hash = genesis.hash();
        let network = NetworkIdentity {
            network_id: genesis.network_id,
            genesis: genesis_hash,
            name: genesis.network_name.clone(),
        };
        let options = StoreOptions {
            cache_bytes: config.store.cache_bytes,
            max_open_files: config.store.max_open_files,
        };
        let store = Store::open(&config.node.database_dir(), &options, &network)?;
        let (signer, validator) = open_signer(config, &genesis, &store)?;
        let plan = |chain: &ChainId| ChainPlan {
            chain: *chain,
            block_interval: Duration::from_millis(block_interval_ms(&genesis, *chain)),
            api_listen: listens.get(chain).copied(),
        };
        let plans: Vec<ChainPlan> = chains.iter().map(plan).collect();
        let identity = NodeIdentity {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            network_name: genesis.network_name.clone(),
            network_id: genesis.network_id,
            genesis: genesis_hash,
            data_dir: config.node.data_dir.clone(),
        };
        let state = Arc::new(NodeState::new(identity, &plans));
        let removed = adnet_shm::unlink_stale(SEGMENT_PREFIX);
        if removed > 0 {
            tracing::info!(removed, "removed shared memory that a killed node had left");
        }
        let topology = Arc::new(Topology::create(chains, build_id())?);

        let registry = Registry::new();
        store.register_metrics(&registry)?;
        if let Some(signer) = &signer {
            signer.register_metrics(&registry)?;
        }
        let worker_metrics = Arc::new(WorkerMetrics::default());
        let metrics = MetricsServer::start(
            metrics,
            registry.clone(),
            Arc::clone(&state),
            Arc::clone(&worker_metrics),
        )?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut ends = BTreeMap::new();
        let mut network_down: BTreeMap<ChainId, SharedSender> = BTreeMap::new();
        let mut control_down = BTreeMap::new();
        for chain in chains {
            let crate::topology::SupervisorEnds {
                data,
                query,
                control,
                network,
            } = topology.supervisor_ends(*chain)?;
            network_down.insert(*chain, Arc::new(Mutex::new(network.1)));
            control_down.insert(*chain, Arc::new(Mutex::new(control.1)));
            ends.insert(*chain, (data, query, control.0, network.0));
        }
        let members = genesis.validators.iter().map(|v| (v.public_key, v.power));
        let validators = Arc::new(CurrentValidators::new(chains, members));
        let network = Arc::new(start_network(
            config,
            &genesis,
            &store,
            chains,
            validators.keys(),
            signer.as_deref(),
            &registry,
            network_down,
        )?);
        let control_socket = config.node.control_socket();
        let control = start_control(&control_socket, &state, &network, events)?;
        let mut threads = Vec::new();
        for (chain, (data, query, control, outbound)) in ends {
            let service = |is_data| StoreService {
                chain,
                store: store.clone(),
                signer: signer.clone().filter(|_| is_data),
                events: events.clone(),
                state: Arc::clone(&state),
                is_data,
            };
            let (on_data, on_query) = (service(true), service(false));
            threads.push(start(format!("{chain}-data"), &stop, move |stop| {
                on_data.run(data.0, data.1, stop);
            })?);
            threads.push(start(format!("{chain}-query"), &stop, move |stop| {
                on_query.run(query.0, query.1, stop);
            })?);
            let on_control = ControlService {
                chain,
                state: Arc::clone(&state),
                events: events.clone(),
                network: Arc::clone(&network),
                validators: Arc::clone(&validators),
                metrics: Arc::clone(&worker_metrics),
            };
            threads.push(start(format!("{chain}-control"), &stop, move |stop| {
                on_control.run(control, stop);
            })?);
            let for_outbound = Arc::clone(&network);
            threads.push(start(format!("{chain}-network"), &stop, move |stop| {
                services::outbound(chain, outbound, &for_outbound, stop);
            })?);
        }
        let watch = Watch {
            state: Arc::clone(&state),
            network: Arc::clone(&network),
            workers: control_down.clone(),
        };
        threads.push(start("watch".to_owned(), &stop, move |stop| {
            watch.run(stop)
        })?);
        Ok(Shared {
            genesis,
            state,
            store,
            validator,
            validators,
            topology,
            control_down,
            network,
            threads,
            stop,
            metrics,
            control,
        })
    }

    /// Whether this node's vote alone makes a quorum, so that blocks wait for nobody else.
    pub fn decides_alone(&self) -> bool {
        let own = self.validator.as_ref();
        own.is_some_and(|own| self.validators.decides_alone(own))
    }

    /// Asks a worker to stop in order.
    pub fn ask_to_stop(&self, chain: ChainId, deadline: Duration) {
        self.topology.heartbeat(chain).request_stop();
        let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        let sender = self
            .control_down
            .get(&chain)
            .expect("a wanted chain has its links");
        let mut sender = sender.lock().expect("nobody panics while holding a sender");
        // The hint in the heartbeat says the same to a worker whose ring is full.
        let _ = sender.send(&StopMsg { deadline_ms }, Duration::ZERO);
    }

    /// Set when the node's threads are to end.
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// Ends the service threads and `watches`, then network, servers and segments. Nothing else
    /// holds the segments by then, so they are unlinked here and not left to the next start.
    pub fn close(self, watches: Vec<JoinHandle<()>>) {
        self.stop.store(true, Ordering::Release);
        for thread in self.threads.into_iter().chain(watches) {
            if thread.join().is_err() {
                tracing::error!("a service thread had panicked");
            }
        }
        // It may be looking at the network for a client.
        drop(self.control);
        if let Ok(network) = Arc::try_unwrap(self.network) {
            network.shutdown();
        }
        self.metrics.stop();
    }
}

/// The network outlives no question: a node that closes it has no peers any more.
fn start_control(
    socket: &Path,
    state: &Arc<NodeState>,
    network: &Arc<Network>,
    events: &Events,
) -> Result<ControlServer, ControlError> {
    let network = Arc::downgrade(network);
    let peers = move || {
        let peers = network.upgrade().map(|network| network.peers());
        peers
            .unwrap_or_default()
            .into_iter()
            .map(|info| PeerReport::new(info.chain, info.into()))
            .collect()
    };
    let events = events.clone();
    let on_stop = move || events.send(Event::StopAsked);
    ControlServer::start(
        socket,
        Arc::clone(state),
        Box::new(peers),
        Box::new(on_stop),
    )
}

fn start(
    name: String,
    stop: &Arc<AtomicBool>,
    work: impl FnOnce(&AtomicBool) + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    let stop = Arc::clone(stop);
    std::thread::Builder::new()
        .name(name)
        .spawn(move || work(&stop))
}

type OpenedSigner = (Option<Arc<LocalSigner>>, Option<PublicKey>);

/// The signer, if this node holds a validator key. It votes whenever the key is in the set.
fn open_signer(config: &Config, genesis: &Genesis, store: &Store) -> anyhow::Result<OpenedSigner> {
    let keys = KeyDir::of(&config.node.data_dir);
    let key = match keys.load_kind(VALIDATOR_KEY_NAME, KeyKind::Validator) {
        Ok(key) => key,
        Err(KeyFileError::Missing { .. }) => {
            tracing::info!("no validator key: this node follows the chains without voting");
            return Ok((None, None));
        }
        Err(error) => return Err(error.into()),
    };
    let signer = LocalSigner::open(&key, genesis.network_id, genesis.hash(), store.clone())?;
    let public = signer.public_key();
    if !genesis.validators.iter().any(|v| v.public_key == public) {
        tracing::warn!(validator = %public, "the validator key is not in the genesis: this node votes only if it has come into the set since");
    }
    crate::process::sandbox::protect_key_holder().context("the key cannot be protected")?;
    Ok((Some(Arc::new(signer)), Some(public)))
}

fn limits(config: &Config) -> Limits {
    let of = |setting: u64| usize::try_from(setting).unwrap_or(usize::MAX);
    let network = &config.network;
    Limits {
        is_private: network.private,
        configured_only: network.persistent_peers_only,
        peers_max: of(network.max_peers),
        outbound_peers: of(network.outbound_peers),
        outbound_per_subnet: of(network.outbound_per_subnet),
        outbound_per_region: of(network.outbound_per_region),
        per_address_max: of(network.max_per_address),
        per_subnet_max: of(network.max_per_subnet),
    }
}

fn discovery(config: &Config) -> anyhow::Result<Option<DiscoveryConfig>> {
    let network = &config.network;
    if !network.runs_discovery() {
        return Ok(None);
    }
    let listen = network.discovery_listen;
    let socket = UdpSocket::bind(listen).with_context(|| {
        format!("network.discovery_listen: cannot bind UDP {listen}; choose another port or stop what uses it")
    })?;
    let records = network.boot_nodes.split(',').map(str::trim);
    let records = records.filter(|record| !record.is_empty());
    Ok(Some(DiscoveryConfig {
        socket,
        // Checked with the configuration; empty means that peers tell it.
        external_ip: network.external_ip.parse().ok(),
        boot_nodes: records.map(str::to_owned).collect(),
    }))
}

#[expect(
    clippy::too_many_arguments,
    reason = "what a node has opened, each once"
)]
fn start_network(
    config: &Config,
    genesis: &Genesis,
    store: &Store,
    chains: &[ChainId],
    validators: ValidatorKeys,
    signer: Option<&LocalSigner>,
    registry: &Registry,
    down: BTreeMap<ChainId, SharedSender>,
) -> anyhow::Result<Network> {
    let keys = KeyDir::of(&config.node.data_dir);
    let key = keys.load_kind(NODE_KEY_NAME, KeyKind::Node)?;
    let peer = key.ed25519_public().expect("a node key is an ed25519 key");
    let chain_net = |chain: &ChainId| {
        let settings = chain_config(config, *chain);
        let socket = UdpSocket::bind(settings.p2p_listen).with_context(|| {
            let address = settings.p2p_listen;
            format!("{chain}.p2p_listen: cannot bind UDP {address}; choose another port or stop what uses it")
        })?;
        let named = settings
            .persistent_peers
            .split(',')
            .map(str::trim)
            .filter(|p| !p.is_empty());
        let peers = named.map(str::parse::<PeerAddr>);
        let persistent_peers = peers.collect::<Result<Vec<_>, _>>()?;
        Ok::<_, anyhow::Error>(ChainNet {
            chain: *chain,
            socket,
            persistent_peers,
            proof: signer.map(|signer| signer.prove_peer(*chain, &peer.0)),
        })
    };
    let network = NetworkConfig {
        node_seed: *key.expose(),
        network_name: genesis.network_name.clone(),
        network_id: genesis.network_id,
        genesis: genesis.hash().0,
        validators,
        chains: chains.iter().map(chain_net).collect::<Result<_, _>>()?,
        limits: limits(config),
        discovery: discovery(config)?,
        store: Some(store.clone()),
    };
    let receiver = move |arrival: Arrival| {
        let chain = match &arrival {
            Arrival::Message(message) => message.chain,
            Arrival::Gossip(gossiped) => gossiped.chain,
        };
        let Some(sender) = down.get(&chain) else {
            return;
        };
        let mut sender = sender.lock().expect("nobody panics while holding a sender");
        let sent = match arrival {
            Arrival::Message(message) => {
                let arrived = NetworkInMsg {
                    peer: message.peer,
                    class: services::arrived(message.class) as u8,
                    bytes: message.bytes,
                };
                sender.send(&arrived, INBOUND_PATIENCE)
            }
            Arrival::Gossip(gossiped) => {
                let arrived = GossipInMsg {
                    peer: gossiped.peer,
                    topic: gossiped.topic as u8,
                    id: gossiped.id,
                    bytes: gossiped.bytes,
                };
                sender.send(&arrived, INBOUND_PATIENCE)
            }
        };
        match sent {
            // Shed at ingress: consensus and sync repeat, and gossip without a verdict ends here.
            Ok(()) | Err(LinkError::Full(_)) => {}
            Err(error) => tracing::error!(%chain, %error, "a worker's ring is broken"),
        }
    };
    Ok(Network::start(network, registry, Box::new(receiver))?)
}
