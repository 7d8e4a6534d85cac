//! A network's start and its end.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use prometheus::Registry;

use super::{
    Network, accept,
    address_book::{self, AddressBook},
    arrival::{Arrival, Receiver},
    connect::{self, Known},
    dial,
    discovery::{About, Discovery},
    error::NetworkError,
    gossip,
    identity::Identity,
    metrics,
    node::{self, ChainNode},
    reputation::Reputation,
    settings::NetworkConfig,
    unix_ms,
};

/// Threads of the network's own runtime. One would do for the traffic; the second keeps
/// keep-alives going while the first is in a burst of cryptography.
const RUNTIME_THREADS: usize = 2;
/// How long a shutdown waits for goodbyes to leave and for tasks to end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

impl Network {
    /// Starts the endpoints and begins to dial.
    ///
    /// # Errors
    /// A bad network name, a chain given twice, a socket that cannot be used, a metric that the
    /// registry holds already.
    pub fn start(
        config: NetworkConfig,
        registry: &Registry,
        receiver: Receiver,
    ) -> Result<Network, NetworkError> {
        let identity = Arc::new(Identity::from_seed(config.node_seed));
        let reputation = Arc::new(Reputation::default());
        let (store, is_private) = (config.store.clone(), config.limits.is_private);
        let book = AddressBook::open(store, is_private, &reputation, unix_ms())?;
        let book = Arc::new(book);
        let terms = node::Terms::new(&config, reputation.clone(), book.clone())?;
        let metrics = metrics::Metrics::register(registry)?;
        let figures = gossip::Figures::register(registry)?;
        let receiver: Arc<dyn Fn(Arrival) + Send + Sync> = Arc::from(receiver);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(RUNTIME_THREADS)
            .thread_name("adnet-network")
            .enable_all()
            .build()
            .map_err(NetworkError::Runtime)?;

        let mut nodes = BTreeMap::new();
        let mut threads = Vec::new();
        for chain_net in config.chains {
            let chain = chain_net.chain;
            if nodes.contains_key(&chain) {
                return Err(NetworkError::ChainTwice(chain));
            }
            let (node, thread, commands, peers) = ChainNode::open(
                &terms,
                chain_net,
                &identity,
                metrics.of_chain(chain),
                receiver.clone(),
                runtime.handle(),
            )?;
            for commands in commands {
                let figures = figures.of(chain, commands.topic());
                runtime.spawn(gossip::run(node.clone(), figures, commands));
            }
            runtime.spawn(accept::accept(node.clone()));
            for address in peers {
                runtime.spawn(dial::keep_linked(node.clone(), address));
            }
            nodes.insert(chain, node);
            threads.push(thread);
        }
        let discovery = match config.discovery {
            Some(discovery) => {
                let ports = nodes
                    .iter()
                    .filter_map(|(chain, node): (_, &Arc<ChainNode>)| {
                        Some((*chain, node.local_address()?.port()))
                    });
                let about = About {
                    identity: &identity,
                    genesis: config.genesis,
                    ports: &ports.collect(),
                    is_private,
                };
                let started = Discovery::start(discovery, about, &book);
                let discovery = Arc::new(runtime.block_on(started)?);
                tracing::info!(record = discovery.record(), "discovery listens");
                let walk = discovery.clone().walk(book.clone(), metrics.shared());
                runtime.spawn(walk);
                Some(discovery)
            }
            None => None,
        };
        let known = Arc::new(Known {
            book: book.clone(),
            discovery: discovery.clone(),
        });
        // Whoever links its configured peers only chooses nobody, whatever its book has from before.
        for node in nodes.values().filter(|node| !node.limits.configured_only) {
            runtime.spawn(connect::keep_connected(node.clone(), known.clone()));
        }
        runtime.spawn(address_book::keep(book.clone()));
        Ok(Network {
            peer_id: identity.id(),
            nodes,
            reputation,
            book,
            discovery,
            threads: Mutex::new(threads),
            runtime: Some(runtime),
        })
    }

    /// Says goodbye to all peers and ends all tasks. Takes at most a few seconds, and does not
    /// wait for a receiver that is blocked.
    pub fn shutdown(self) {
        drop(self);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        let nodes = &self.nodes;
        let goodbyes = async {
            for node in nodes.values() {
                node.stop();
            }
            for node in nodes.values() {
                node.idle().await;
            }
        };
        runtime.block_on(async {
            // A peer that does not answer must not hold up the end.
            let _ = tokio::time::timeout(SHUTDOWN_TIMEOUT, goodbyes).await;
        });
        runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
        if let Err(error) = self.book.save(unix_ms()) {
            tracing::warn!(%error, "the address book could not be written");
        }
        // With the last sender gone the threads hand over what has arrived, and end.
        self.nodes.clear();
        let deadline = Instant::now() + SHUTDOWN_TIMEOUT;
        let threads = self
            .threads
            .get_mut()
            .expect("nobody panics while holding the threads");
        for thread in threads.iter() {
            if !thread.wait(deadline.saturating_duration_since(Instant::now())) {
                tracing::warn!("the receiver of network messages is blocked; its thread is left");
            }
        }
    }
}
