//! Gossipsub's parameters, each where the default would not do.
//!
//! Size limits, queues and the bounds of control messages hold each other in balance: with the
//! defaults, messages near the size limit break the stream that carries them, and so does the
//! gossip about many small ones. The tests at the end keep the balance.

use std::time::Duration;

use adnet_common::{
    attestation::MAX_CERTIFICATE_BYTES, block::MAX_TX_BYTES, chain_id::ChainId, node::Topic,
};
use libp2p_gossipsub::{
    Config, ConfigBuilder, ConfigBuilderError, IdentTopic, Message, MessageId, PeerScoreParams,
    PeerScoreThresholds, TopicHash, TopicScoreParams, ValidationMode, score_parameter_decay,
};
use ring::digest;

/// The receiver holds its limit against the encoded message plus up to 8 KiB of the next one that
/// it happens to have read already, the sender against the bare payload. Without this margin a
/// full-sized message breaks the stream, and five breaks disable gossip in the session.
const ENVELOPE_BYTES: usize = 16 << 10;
/// Bytes of a header around its certificate; a header has some 300.
const HEADER_BYTES_MAX: usize = 4 << 10;
/// Bytes of a message id.
pub const ID_BYTES: usize = 20;
/// Ids in one IHAVE or IWANT. The default (5,000) does not fit the default size limit (16 KiB).
const fn ids_max(topic: Topic) -> usize {
    match topic {
        Topic::Transaction => 2_000,
        Topic::Block => 200,
    }
}
/// What an id takes in a control message, with its tag and length.
const ENCODED_ID_BYTES: usize = ID_BYTES + 2;
/// Messages of a topic that wait for one peer. Times the largest message, this is memory; a message
/// that waits for seconds is dropped anyway.
const fn queue_messages_max(topic: Topic) -> usize {
    match topic {
        Topic::Transaction => 512,
        Topic::Block => 64,
    }
}
/// How long an id is remembered, and with it that its message is a duplicate.
const DUPLICATE_MEMORY: Duration = Duration::from_secs(60);
/// How long the score of a peer that has left is remembered; its bans are kept elsewhere.
const SCORE_MEMORY: Duration = Duration::from_secs(600);
/// Below this nothing of a peer is read. Six invalid messages within minutes lead there; five are
/// a ban of a peer that we have not configured.
pub const GRAYLIST_SCORE: f64 = -320.0;

/// The largest payload of a topic.
pub const fn message_bytes_max(topic: Topic) -> usize {
    match topic {
        Topic::Transaction => MAX_TX_BYTES,
        Topic::Block => MAX_CERTIFICATE_BYTES + HEADER_BYTES_MAX,
    }
}

/// The number is of the wire format.
pub fn topic(chain: ChainId, topic: Topic) -> IdentTopic {
    IdentTopic::new(format!("/adnet/1/{chain}/{}", topic.name()))
}

/// The id is a hash of what is said, so that the same content is forwarded once, whoever sent it.
fn message_id(message: &Message) -> MessageId {
    MessageId::new(&content_id(&message.topic, &message.data))
}

fn content_id(topic: &TopicHash, data: &[u8]) -> [u8; ID_BYTES] {
    let topic = topic.as_str();
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(&(topic.len() as u64).to_be_bytes());
    hash.update(topic.as_bytes());
    hash.update(data);
    let digest = hash.finish();
    *digest.as_ref().first_chunk().expect("SHA-256 has 32 bytes")
}

pub fn router_config(topic: Topic) -> Result<Config, ConfigBuilderError> {
    let mut builder = ConfigBuilder::default();
    // No protocol id of our own: it would fix the version at 1.1. The ALPN keeps networks apart.
    builder
        .validate_messages()
        .validation_mode(ValidationMode::Anonymous) // authors sign inside of the payload
        .message_id_fn(message_id)
        .flood_publish(true)
        .mesh_n(8)
        .mesh_n_low(6)
        .mesh_n_high(12)
        .mesh_outbound_min(3)
        .heartbeat_initial_delay(Duration::from_millis(200))
        .max_transmit_size(message_bytes_max(topic) + ENVELOPE_BYTES)
        .max_control_messages_sent(ids_max(topic))
        .max_control_message_size(2 * ids_max(topic) * ENCODED_ID_BYTES)
        // For a small message it costs more than it saves.
        .idontwant_message_size_threshold(16 << 10)
        .connection_handler_queue_len(queue_messages_max(topic))
        .duplicate_cache_time(DUPLICATE_MEMORY)
        // Peers are found by other means.
        .prune_peers(0);
    builder.build()
}

/// Scores that forgive noise and shut out who sends invalid messages.
pub fn score_params(chain: ChainId, of: Topic) -> (PeerScoreParams, PeerScoreThresholds) {
    let of_topic = TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.01,
        time_in_mesh_quantum: Duration::from_secs(1),
        time_in_mesh_cap: 300.0,
        first_message_deliveries_weight: 0.5,
        first_message_deliveries_decay: score_parameter_decay(Duration::from_secs(60)),
        first_message_deliveries_cap: 20.0,
        // These punish the peers of a quiet topic; their message rate is not known.
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: -10.0,
        invalid_message_deliveries_decay: score_parameter_decay(Duration::from_secs(600)),
        ..TopicScoreParams::default()
    };
    let params = PeerScoreParams {
        topics: [(topic(chain, of).hash(), of_topic)].into(),
        topic_score_cap: 30.0,
        // Ours is what the peer's reputation is, for both chains and everything it does.
        app_specific_weight: 1.0,
        // Addresses are counted where connections are admitted.
        ip_colocation_factor_weight: 0.0,
        behaviour_penalty_threshold: 6.0,
        behaviour_penalty_decay: score_parameter_decay(Duration::from_secs(60)),
        // Counts messages that did not get through *our* queue: a burst of ours is no crime.
        slow_peer_weight: -0.05,
        slow_peer_threshold: 100.0,
        retain_score: SCORE_MEMORY,
        ..PeerScoreParams::default()
    };
    let thresholds = PeerScoreThresholds {
        gossip_threshold: -40.0,
        publish_threshold: -80.0,
        graylist_threshold: GRAYLIST_SCORE,
        // Nobody is believed about peers.
        accept_px_threshold: 1e9,
        opportunistic_graft_threshold: 5.0,
    };
    (params, thresholds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both() -> [Config; Topic::ALL.len()] {
        Topic::ALL.map(|topic| router_config(topic).expect("the bounds fit each other"))
    }

    #[test]
    fn the_configuration_is_consistent_and_forwards_nothing_unjudged() {
        for config in both() {
            assert!(config.validate_messages());
        }
        for (chain, topic) in ChainId::ALL.into_iter().zip(Topic::ALL) {
            let (params, thresholds) = score_params(chain, topic);
            assert_eq!(params.validate(), Ok(()));
            assert_eq!(thresholds.validate(), Ok(()));
        }
    }

    /// The receiver's buffer may hold 8 KiB of the next message beside a full one.
    #[test]
    fn a_full_message_fits_with_a_part_of_the_next() {
        for (topic, config) in Topic::ALL.into_iter().zip(both()) {
            let name = super::topic(ChainId::Alpha, topic).hash();
            let limit = config.max_transmit_size_for_topic(&name);
            let envelope = name.as_str().len() + 64;
            assert!(limit >= message_bytes_max(topic) + envelope + (8 << 10));
        }
    }

    /// Two heartbeats' gossip about as many messages as there may be fits what a peer takes.
    #[test]
    fn what_we_gossip_about_fits_what_a_peer_reads() {
        for config in both() {
            let ids = config.max_control_messages_sent();
            assert!(ids * ENCODED_ID_BYTES * 2 <= config.max_control_message_size());
            assert!(config.max_control_message_size() < config.max_transmit_size());
        }
    }

    /// What may wait for one peer, and what the router keeps of judged messages, is bounded.
    #[test]
    fn the_queue_to_a_peer_is_short() {
        for config in both() {
            assert!(config.connection_handler_queue_len() <= 512);
            assert!(config.history_length() <= 5);
        }
    }

    #[test]
    fn an_id_names_topic_and_content() {
        let [tx, block] = Topic::ALL.map(|of| topic(ChainId::Alpha, of).hash());
        let id = content_id(&tx, b"abc");
        assert_eq!(id, content_id(&tx, b"abc"));
        assert_ne!(id, content_id(&tx, b"abd"));
        assert_ne!(id, content_id(&block, b"abc"));
        let other_chain = topic(ChainId::Delta, Topic::Transaction).hash();
        assert_ne!(id, content_id(&other_chain, b"abc"));
        assert_eq!(other_chain.as_str(), "/adnet/1/delta/tx");
    }

    /// The fifth invalid message bans a stranger; the sixth shuts out whoever is not banned.
    #[test]
    fn invalid_messages_graylist_after_the_ban() {
        let (params, _) = score_params(ChainId::Alpha, Topic::Transaction);
        let topic = params.topics.values().next().unwrap();
        let score = |count: f64| topic.invalid_message_deliveries_weight * count * count;
        let best = params.topic_score_cap;
        assert!(score(5.0) + best > GRAYLIST_SCORE);
        assert!(score(6.0) + best <= GRAYLIST_SCORE + 1.0);
    }
}
