//! Gossip: messages for everybody, passed on from peer to peer (gossipsub over our own links).
//!
//! One router per chain, in a task of its own (`task`). It opens no connection: each link of the
//! chain lends it a *session* (`session`, `muxer`, `handover`). The end of a session never ends
//! the link, and is followed by the next session.
//!
//! Invariants:
//! - nothing that a peer sends goes on before the worker has accepted it;
//! - a message waits for the worker within bounds (`inbox`); what does not fit ends here;
//! - what a peer may pass on is rationed (`allowance`), and so is what is read of it (`pace`).

mod allowance;
mod config;
mod figures;
mod handle;
mod handover;
mod inbox;
mod muxer;
mod outbox;
mod pace;
mod peer;
mod session;
mod task;

#[cfg(test)]
mod tests;

pub use figures::Figures;
pub use handle::{Commands, Gossip, Gossiped};
pub use session::{BYE_TAG, GOSSIP_TAG, Sessions, keep_session, read_bye, read_header};
pub use task::run;
