//! What the network counts, by chain.

use adnet_common::chain_id::ChainId;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::{
    class::Class,
    connect::{Outcome, Purpose},
    refusal::{By, Refusal},
};

/// Why a message that was meant to be sent, or had begun to arrive, was given up.
#[derive(Copy, Clone, Debug)]
pub enum DropCause {
    /// The peer's queue is full.
    QueueFull,
    /// Larger than its class allows.
    Oversize,
    /// The transfer took longer than its class allows.
    Timeout,
}

impl DropCause {
    fn name(self) -> &'static str {
        match self {
            DropCause::QueueFull => "queue_full",
            DropCause::Oversize => "oversize",
            DropCause::Timeout => "timeout",
        }
    }
}

/// Figures of the node as a whole.
#[derive(Clone)]
pub struct SharedMetrics {
    discovery_nodes: IntGauge,
    new: IntGauge,
    tried: IntGauge,
}

impl SharedMetrics {
    pub fn set_discovery_nodes(&self, count: usize) {
        self.discovery_nodes.set(count as i64);
    }

    pub fn set_book(&self, new: usize, tried: usize) {
        self.new.set(new as i64);
        self.tried.set(tried as i64);
    }
}

pub struct Metrics {
    dials: IntCounterVec,
    shared: SharedMetrics,
    peers: IntGaugeVec,
    links: IntGaugeVec,
    bytes: IntCounterVec,
    messages: IntCounterVec,
    dropped: IntCounterVec,
    refusals: IntCounterVec,
}

impl Metrics {
    /// # Errors
    /// One of the names is in the registry already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, text: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, text), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let opts = Opts::new("adnet_network_peers", "Linked peers");
        let peers = IntGaugeVec::new(opts, &["chain"])?;
        registry.register(Box::new(peers.clone()))?;
        let opts = Opts::new("adnet_network_links", "Linked peers by who dialled whom");
        let links = IntGaugeVec::new(opts, &["chain", "direction"])?;
        registry.register(Box::new(links.clone()))?;
        let opts = Opts::new(
            "adnet_network_address_book_peers",
            "Known peers: those that were told, and those that have proved their key",
        );
        let book = IntGaugeVec::new(opts, &["table"])?;
        registry.register(Box::new(book.clone()))?;
        let discovery_nodes = IntGauge::new(
            "adnet_network_discovery_nodes",
            "Nodes in the routing table of discovery",
        )?;
        registry.register(Box::new(discovery_nodes.clone()))?;
        let shared = SharedMetrics {
            discovery_nodes,
            new: book.with_label_values(&["new"]),
            tried: book.with_label_values(&["tried"]),
        };
        let flow = ["chain", "class", "direction"];
        Ok(Self {
            shared,
            dials: counter(
                "adnet_network_dials_total",
                "Dials of peers from the address book by what they were for and how they ended",
                &["chain", "purpose", "outcome"],
            )?,
            peers,
            links,
            bytes: counter(
                "adnet_network_message_bytes_total",
                "Bytes of messages exchanged with peers, without the transport's own",
                &flow,
            )?,
            messages: counter(
                "adnet_network_messages_total",
                "Messages exchanged with peers",
                &flow,
            )?,
            dropped: counter(
                "adnet_network_dropped_messages_total",
                "Messages given up before they were sent or received whole",
                &["chain", "class", "cause"],
            )?,
            refusals: counter(
                "adnet_network_refusals_total",
                "Connections refused or ended for a named reason, by us or by the peer",
                &["chain", "reason", "by"],
            )?,
        })
    }

    pub fn shared(&self) -> SharedMetrics {
        self.shared.clone()
    }

    pub fn of_chain(&self, chain: ChainId) -> ChainMetrics {
        let flow = |direction: &str| {
            Class::ALL.map(|class| {
                let labels = [chain.name(), class.name(), direction];
                Flow {
                    bytes: self.bytes.with_label_values(&labels),
                    messages: self.messages.with_label_values(&labels),
                }
            })
        };
        ChainMetrics {
            chain,
            peers: self.peers.with_label_values(&[chain.name()]),
            inbound: self.links.with_label_values(&[chain.name(), "inbound"]),
            outbound: self.links.with_label_values(&[chain.name(), "outbound"]),
            received: flow("in"),
            sent: flow("out"),
            dropped: self.dropped.clone(),
            refusals: self.refusals.clone(),
            dials: self.dials.clone(),
        }
    }
}

struct Flow {
    bytes: IntCounter,
    messages: IntCounter,
}

impl Flow {
    fn count(&self, bytes: usize) {
        self.bytes.inc_by(bytes as u64);
        self.messages.inc();
    }
}

/// The same for one chain, with the counters of the hot path looked up once.
pub struct ChainMetrics {
    chain: ChainId,
    peers: IntGauge,
    inbound: IntGauge,
    outbound: IntGauge,
    received: [Flow; Class::ALL.len()],
    sent: [Flow; Class::ALL.len()],
    dropped: IntCounterVec,
    refusals: IntCounterVec,
    dials: IntCounterVec,
}

impl ChainMetrics {
    pub fn dialled(&self, purpose: Purpose, outcome: Outcome) {
        let labels = [self.chain.name(), purpose.name(), outcome.name()];
        self.dials.with_label_values(&labels).inc();
    }

    pub fn set_peers(&self, inbound: usize, outbound: usize) {
        self.peers.set((inbound + outbound) as i64);
        self.inbound.set(inbound as i64);
        self.outbound.set(outbound as i64);
    }

    pub fn received(&self, class: Class, bytes: usize) {
        self.received[class.index()].count(bytes);
    }

    pub fn sent(&self, class: Class, bytes: usize) {
        self.sent[class.index()].count(bytes);
    }

    pub fn dropped(&self, class: Class, cause: DropCause, messages: usize) {
        let labels = [self.chain.name(), class.name(), cause.name()];
        self.dropped
            .with_label_values(&labels)
            .inc_by(messages as u64);
    }

    pub fn refused(&self, by: By, reason: Refusal) {
        let labels = [self.chain.name(), reason.name(), by.name()];
        self.refusals.with_label_values(&labels).inc();
    }
}
