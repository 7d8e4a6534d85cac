//! Transactions of both chains.
#![no_main]

#[macro_use]
#[path = "../over_group.rs"]
mod over_group;

over_group!(Transaction);
