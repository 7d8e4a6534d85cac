//! Messages of peers and of the other chain, taken by nodes.
#![no_main]

#[macro_use]
#[path = "../over_group.rs"]
mod over_group;

over_group!(Node);
