//! The shielded pool.

pub mod address;

/// Actions of one bundle, at most.
pub const ACTIONS_MAX: usize = 32;
