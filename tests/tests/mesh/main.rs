//! The chain core of several nodes on a virtual clock, linked in various ways: catching up with
//! honest, silent and lying peers, floods, and networks in which not everybody is linked with
//! everybody.

mod flooding;
mod range_sync;
mod snapshot;
mod world;
