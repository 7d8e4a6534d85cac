//! Blocks, headers and what they hold.
#![no_main]

#[macro_use]
#[path = "../over_group.rs"]
mod over_group;

over_group!(Block);
