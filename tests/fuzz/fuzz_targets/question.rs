//! Parameters of Delta's JSON-RPC.
#![no_main]

#[macro_use]
#[path = "../over_group.rs"]
mod over_group;

over_group!(Question);
