//! Finding nodes: discv5 on one UDP port for both chains.
//!
//! Walks towards random points of the network's table, and gives the address book who answered. What
//! a walk returns has answered at the address in its own record, so nobody enters addresses of
//! others. Records that merely come to us enter discv5's routing table at most, and no book.

mod candidate;
mod handed_out;
mod record;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashSet},
    io,
    net::{IpAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use adnet_common::chain_id::ChainId;
use discv5::{
    ConfigBuilder, Discv5, Enr, ListenConfig, PermitBanList, ProtocolIdentity, RateLimiterBuilder,
};
use tokio::{sync::Notify, time::sleep};

pub use candidate::Candidate;
pub use handed_out::{check_boot_node, record_of};
pub use record::{Contents, RecordError, build, key_of};

use handed_out::boot_node;

use super::{
    address_book::AddressBook, error::NetworkError, identity::Identity, metrics::SharedMetrics,
    unix_ms,
};

/// Between two walks while nobody needs addresses, at first and at the most.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Between two walks when somebody does.
const PAUSE_WANTED: Duration = Duration::from_secs(10);
/// A request over loopback or the world takes less, or is lost.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);
const WALK_TIMEOUT: Duration = Duration::from_secs(10);
/// Packets per second that are looked at: in all, of one node, of one address.
const PACKETS_PER_S: u64 = 200;
const PACKETS_OF_NODE_PER_S: u64 = 8;
const PACKETS_OF_ADDRESS_PER_S: u64 = 16;
/// Node records of the address book that are given to discv5 at the start.
const SEEDS_MAX: usize = 100;
/// So many peers must see us at the same address before we believe it.
const ADDRESS_WITNESSES: usize = 5;

/// How a node is to be found, and whom it asks first.
pub struct DiscoveryConfig {
    /// Bound already.
    pub socket: UdpSocket,
    /// What peers are told, where it is not the address of the socket.
    pub external_ip: Option<IpAddr>,
    /// Records in their text form.
    pub boot_nodes: Vec<String>,
}

/// What discovery must know of the node.
pub struct About<'a> {
    pub identity: &'a Identity,
    pub genesis: [u8; 32],
    /// The chains that we follow, with the ports of their endpoints.
    pub ports: &'a BTreeMap<ChainId, u16>,
    pub is_private: bool,
}

/// A running discovery.
pub struct Discovery {
    discv5: Discv5,
    genesis: [u8; 32],
    /// Somebody looks for peers and finds none in the book.
    wanted: Arc<Notify>,
}

impl Discovery {
    /// Starts on the socket, with the boot nodes and what the book knows. Must be called within a
    /// tokio runtime.
    ///
    /// # Errors
    /// A boot node's record is of no use, or the socket is.
    pub async fn start(
        config: DiscoveryConfig,
        about: About<'_>,
        book: &AddressBook,
    ) -> Result<Self, NetworkError> {
        let failed = |why: String| NetworkError::Discovery(why);
        let boot = config.boot_nodes.iter();
        let boot = boot.map(|text| boot_node(text, &about.genesis));
        let boot = boot.collect::<Result<Vec<_>, _>>()?;
        let enr = own_record(&config, &about).map_err(|error| failed(error.to_string()))?;
        let listen = listen(config.socket).map_err(|error| failed(error.to_string()))?;
        let has_address = enr.ip4().is_some() || enr.ip6().is_some();
        let settings = settings(listen, about.is_private, has_address, &boot);
        let key = key_of(about.identity);
        let mut discv5 =
            Discv5::new(enr, key, settings).map_err(|error| failed(error.to_owned()))?;
        for (_, enr) in &boot {
            if enr.node_id() != discv5.local_enr().node_id() {
                discv5
                    .add_enr(enr.clone())
                    .map_err(|error| failed(error.to_owned()))?;
            }
        }
        let known: Vec<String> = {
            let book = book.lock();
            let tried = book.entries().filter(|entry| entry.is_tried);
            tried
                .take(SEEDS_MAX)
                .map(|entry| entry.node.record.clone())
                .collect()
        };
        for text in known {
            // A bucket may be full; the rest will do.
            if let Ok(enr) = text.parse::<Enr>() {
                let _ = discv5.add_enr(enr);
            }
        }
        let started = discv5.start().await;
        started.map_err(|error| failed(error.to_string()))?;
        Ok(Self {
            discv5,
            genesis: about.genesis,
            wanted: Arc::default(),
        })
    }

    /// Our record as it is now; its address may have been learnt.
    pub fn record(&self) -> String {
        self.discv5.local_enr().to_base64()
    }

    /// Asks for a walk soon.
    pub fn want(&self) {
        self.wanted.notify_one();
    }

    /// The filter takes every packet from this node: a validator, whose address somebody could
    /// otherwise have banned by sending packets in its name.
    pub fn permit(&self, record: &str, ip: IpAddr) {
        if let Ok(enr) = record.parse::<Enr>() {
            self.discv5.permit_node(&enr.node_id());
            self.discv5.permit_ip(ip);
        }
    }

    /// Walks for as long as the network runs.
    pub async fn walk(self: Arc<Self>, book: Arc<AddressBook>, metrics: SharedMetrics) {
        let mut pause = PAUSE_MIN;
        loop {
            let found = self.discv5.find_node(enr::NodeId::random()).await;
            let mut fresh = 0;
            for enr in found.unwrap_or_default() {
                fresh += usize::from(self.take(&enr, &book));
            }
            metrics.set_discovery_nodes(self.discv5.table_entries_id().len());
            let (new, tried) = book.lock().count();
            metrics.set_book(new, tried);
            // As long as there is something to find, it is worth looking.
            pause = match fresh {
                0 => (pause * 2).min(PAUSE_MAX),
                _ => PAUSE_MIN,
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = self.wanted.notified() => sleep(pause.min(PAUSE_WANTED)).await,
            }
        }
    }

    /// Enters the record of a node that has answered. True if it was not in the book.
    fn take(&self, enr: &Enr, book: &AddressBook) -> bool {
        let candidate = match Candidate::read(enr, &self.genesis) {
            Ok(candidate) => candidate,
            Err(error) => {
                tracing::debug!(record = %enr, %error, "a found record is of no use");
                return false;
            }
        };
        let mut book = book.lock();
        let is_known = book.get(&candidate.peer).is_some();
        book.add(&candidate, candidate.ip, unix_ms()) && !is_known
    }
}

fn own_record(config: &DiscoveryConfig, about: &About<'_>) -> Result<Enr, enr::Error> {
    let local = config.socket.local_addr().ok();
    let bound = local.map(|address| address.ip());
    let bound = bound.filter(|ip| !ip.is_unspecified());
    let contents = Contents {
        genesis: &about.genesis,
        ip: config.external_ip.or(bound),
        discovery_port: local.map_or(0, |address| address.port()),
        ports: about.ports,
        // Above that of any earlier run.
        seq: unix_ms() / 1000,
    };
    build(about.identity, &contents)
}

fn listen(socket: UdpSocket) -> io::Result<ListenConfig> {
    socket.set_nonblocking(true)?;
    let is_v4 = socket.local_addr()?.is_ipv4();
    let socket = Some(Arc::new(tokio::net::UdpSocket::from_std(socket)?));
    Ok(match is_v4 {
        true => ListenConfig::FromSockets {
            ipv4: socket,
            ipv6: None,
        },
        false => ListenConfig::FromSockets {
            ipv4: None,
            ipv6: socket,
        },
    })
}

fn settings(
    listen: ListenConfig,
    is_private: bool,
    has_address: bool,
    boot: &[(Candidate, Enr)],
) -> discv5::Config {
    let mut config = ConfigBuilder::new(listen);
    let protocol_id = *b"adnet1";
    config
        .protocol_identity(ProtocolIdentity {
            protocol_id,
            protocol_version: [0, 1],
        })
        .table_filter(record::is_of_our_kind)
        .request_timeout(REQUEST_TIMEOUT)
        .query_timeout(WALK_TIMEOUT)
        .enr_peer_update_min(ADDRESS_WITNESSES)
        .disable_report_discovered_peers();
    // What is known is neither voted on nor taken back for want of visitors.
    if has_address {
        config.disable_enr_update();
    }
    if !is_private {
        let second = Duration::from_secs(1);
        let rates = RateLimiterBuilder::new()
            .total_n_every(PACKETS_PER_S, second)
            .node_n_every(PACKETS_OF_NODE_PER_S, second)
            .ip_n_every(PACKETS_OF_ADDRESS_PER_S, second)
            .build()
            .expect("a rate in all is given");
        config
            .ip_limit()
            .enable_packet_filter()
            .filter_rate_limiter(Some(rates))
            // The filter bans by an address that anybody can write into a packet.
            .permit_ban_list(PermitBanList {
                permit_ips: boot.iter().map(|(candidate, _)| candidate.ip).collect(),
                permit_nodes: boot
                    .iter()
                    .map(|(_, enr)| enr.node_id())
                    .collect::<HashSet<_>>(),
                ..PermitBanList::default()
            });
    }
    config.build()
}
