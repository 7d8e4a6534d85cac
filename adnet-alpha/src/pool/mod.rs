//! The shielded pool.

pub mod verifying_key;
