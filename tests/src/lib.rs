//! What the tests of the whole node share.

pub mod harness;
pub mod hostile;
pub mod sim;
