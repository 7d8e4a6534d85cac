//! The shielded pool: notes that only their owners can read, and proofs that nothing is made of
//! nothing.
//!
//! The proof system is Halo 2 as the `orchard` crate has it (no trusted setup). This module has what
//! the chain adds: bytes of bundles ([`bundle`]), addresses ([`address`]), verification in batches
//! ([`proofs`], [`verifying_key`]), the tree of note commitments and its recent roots ([`tree`]; it
//! grows by `grow`, with the hash `crh`). What a transaction with a bundle must satisfy besides is in
//! `rules`, and what the state must allow in `state`.

pub mod address;
pub mod bundle;
mod crh;
mod grow;
pub mod proofs;
pub mod tree;
pub mod verifying_key;

pub use address::{ShieldedAddress, ShieldedAddressError};
pub use bundle::{ACTIONS_MAX, ActionBytes, Bundle, BundleProof};

/// Why the bytes of a bundle are none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadBundle(pub String);

#[cfg(test)]
mod tests;
