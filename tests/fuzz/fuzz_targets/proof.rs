//! Certificates, finality proofs, attestations and state proofs.
#![no_main]

#[macro_use]
#[path = "../over_group.rs"]
mod over_group;

over_group!(Proof);
