//! Tests of the consensus engine: one engine among played validators, and small networks.

pub mod bench;
mod formats;
mod guarding;
mod network;
mod replay;
mod signing;
mod traps;
