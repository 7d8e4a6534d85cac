//! Typed messages over rings: sending with fragments, receiving in place, requests with answers.

mod link;
mod remote;

pub use link::{LinkError, Received, Receiver, Sender};
pub use remote::Remote;
