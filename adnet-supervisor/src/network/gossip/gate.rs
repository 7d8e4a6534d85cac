//! The router of a topic as it is set up, and what it lets in.

use adnet_common::{chain_id::ChainId, node::Topic};
use libp2p_gossipsub::{
    Behaviour, DataTransform, MaxCountSubscriptionFilter, Message, MessageAuthenticity, RawMessage,
    TopicHash, WhitelistSubscriptionFilter,
};
use prometheus::IntCounter;

use super::config;

pub type Router = Behaviour<Gate, MaxCountSubscriptionFilter<WhitelistSubscriptionFilter>>;

/// Sees each message before the router knows whether it is a duplicate. What is not of our topic, or
/// too large, goes no further, so that it takes no memory of the router.
pub struct Gate {
    topic: Topic,
    name: TopicHash,
    received: IntCounter,
}

impl DataTransform for Gate {
    fn inbound_transform(&self, raw: RawMessage) -> Result<Message, std::io::Error> {
        let refuse = |why| Err(std::io::Error::new(std::io::ErrorKind::InvalidData, why));
        if raw.topic != self.name {
            return refuse("a message of another topic");
        }
        if raw.data.len() > config::message_bytes_max(self.topic) {
            return refuse("a message over its topic's bound");
        }
        self.received.inc();
        Ok(Message {
            source: raw.source,
            data: raw.data,
            sequence_number: raw.sequence_number,
            topic: raw.topic,
        })
    }

    fn outbound_transform(&self, _: &TopicHash, data: Vec<u8>) -> Result<Vec<u8>, std::io::Error> {
        Ok(data)
    }
}

/// A router of one topic, which it has joined. `received` counts what comes in.
///
/// # Errors
/// The parameters do not fit each other; none depends on settings, so the tests of `config` see it
/// first.
pub fn router(chain: ChainId, topic: Topic, received: IntCounter) -> Result<Router, String> {
    let topic_name = config::topic(chain, topic);
    let name = topic_name.hash();
    let filter = MaxCountSubscriptionFilter {
        filter: WhitelistSubscriptionFilter([name.clone()].into()),
        max_subscribed_topics: 1,
        max_subscriptions_per_request: 4,
    };
    let gate = Gate {
        topic,
        name,
        received,
    };
    let mut router = Router::new_with_subscription_filter_and_transform(
        MessageAuthenticity::Anonymous,
        config::router_config(topic).map_err(|error| error.to_string())?,
        filter,
        gate,
    )?;
    let (params, thresholds) = config::score_params(chain, topic);
    router.with_peer_score(params, thresholds)?;
    let joined = router.subscribe(&topic_name);
    joined.map_err(|error| error.to_string())?;
    Ok(router)
}
