//! The chain's rules from outside: whole blocks on a store in memory.

mod functions;
pub(crate) mod harness;
mod history;
mod random;
mod refusals;
mod restore;
mod shielded;
mod validators;
