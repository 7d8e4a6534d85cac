//! What peers say before they are linked. Needs the supervisor, and with it the database:
//! `cargo +nightly fuzz run --features supervisor peer`.
#![no_main]

#[macro_use]
#[path = "../over_group.rs"]
mod over_group;
#[path = "../../src/hostile_peers.rs"]
mod hostile_peers;

use over_group::hostile;

over_decoders!(hostile_peers::decoders());
