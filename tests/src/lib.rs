//! What the tests of the whole node share.

pub mod cluster;
pub mod harness;
pub mod hostile;
pub mod hostile_peers;
pub mod shielded;
pub mod sim;
pub mod verification;
