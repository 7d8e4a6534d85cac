//! Gossip: messages for everybody, passed on from peer to peer (gossipsub over our own links).
//!
//! One router per chain and topic, in a task of its own (`task`). It opens no connection: each link of
//! the chain lends it a *session* (`session`, `muxer`, `handover`). The end of a session never ends
//! the link, and is followed by the next session. Topics share nothing but the link: each has streams
//! with a priority (`stream`), a pace and bounds of its own, so that an announced block waits for no
//! transactions.
//!
//! Invariants:
//! - nothing that a peer sends goes on before the worker has accepted it;
//! - a message waits for the worker within bounds (`inbox`); what does not fit ends here;
//! - what a peer may pass on is rationed (`allowance`), and so is what is read of it (`pace`).

mod allowance;
mod config;
mod figures;
mod gate;
mod handle;
mod handover;
mod inbox;
mod muxer;
mod outbox;
mod pace;
mod peer;
mod session;
mod stream;
mod task;

#[cfg(test)]
mod tests;

pub use figures::Figures;
pub use handle::{Commands, Gossip, Gossiped};
pub use session::{LinkSessions, keep_sessions};
pub use stream::{bye_topic, gossip_topic, read_bye, read_header};
pub use task::run;

use adnet_common::node::Topic;

/// Place in arrays that hold one item per topic, in the order of [`Topic::ALL`].
const fn index(topic: Topic) -> usize {
    topic as usize - 1
}
