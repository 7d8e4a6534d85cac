//! What gossip counts, by chain and topic.

use adnet_common::{chain_id::ChainId, node::Topic};
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

pub struct Figures {
    messages: IntCounterVec,
    mesh: IntGaugeVec,
    sessions: IntGaugeVec,
    explicit: IntGaugeVec,
    graylisted: IntGaugeVec,
}

impl Figures {
    /// # Errors
    /// One of the names is in the registry already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, text: &str, labels: &[&str]| {
            let gauge = IntGaugeVec::new(Opts::new(name, text), labels)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let messages = IntCounterVec::new(
            Opts::new(
                "adnet_gossip_messages_total",
                "Gossiped messages: published by us or not (unsent); received, of them duplicates \
                 and new ones delivered to the worker; what it or the supervisor then said",
            ),
            &["chain", "topic", "event"],
        )?;
        registry.register(Box::new(messages.clone()))?;
        Ok(Self {
            messages,
            mesh: gauge(
                "adnet_gossip_mesh_peers",
                "Peers of the mesh of a topic; the mutually configured ones come on top",
                &["chain", "topic"],
            )?,
            sessions: gauge(
                "adnet_gossip_sessions",
                "Gossip sessions",
                &["chain", "topic"],
            )?,
            explicit: gauge(
                "adnet_gossip_explicit_peers",
                "Sessions with peers that we and that have configured each other",
                &["chain", "topic"],
            )?,
            graylisted: gauge(
                "adnet_gossip_graylisted_peers",
                "Sessions with peers whose messages are not read for their score",
                &["chain", "topic"],
            )?,
        })
    }

    pub fn of(&self, chain: ChainId, topic: Topic) -> TopicFigures {
        let labels = [chain.name(), topic.name()];
        let count = |event| {
            let labels = [labels[0], labels[1], event];
            self.messages.with_label_values(&labels)
        };
        TopicFigures {
            published: count("published"),
            unsent: count("unsent"),
            received: count("received"),
            duplicate: count("duplicate"),
            delivered: count("delivered"),
            accepted: count("accepted"),
            ignored: count("ignored"),
            rejected: count("rejected"),
            shed: count("shed"),
            mesh: self.mesh.with_label_values(&labels),
            sessions: self.sessions.with_label_values(&labels),
            explicit: self.explicit.with_label_values(&labels),
            graylisted: self.graylisted.with_label_values(&labels),
        }
    }
}

/// The figures of one topic of a chain.
#[derive(Clone)]
pub struct TopicFigures {
    pub published: IntCounter,
    /// Published by the worker, and given up: nobody to send to, or no room.
    pub unsent: IntCounter,
    /// From peers, duplicates included.
    pub received: IntCounter,
    pub duplicate: IntCounter,
    /// Handed over to the worker.
    pub delivered: IntCounter,
    pub accepted: IntCounter,
    pub ignored: IntCounter,
    pub rejected: IntCounter,
    /// New messages that never came to the worker: above the peer's share, or no room.
    pub shed: IntCounter,
    pub mesh: IntGauge,
    pub sessions: IntGauge,
    pub explicit: IntGauge,
    pub graylisted: IntGauge,
}
