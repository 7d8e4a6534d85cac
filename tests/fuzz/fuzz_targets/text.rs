//! Genesis files, addresses and transactions in JSON.
#![no_main]

#[macro_use]
#[path = "../over_group.rs"]
mod over_group;

over_group!(Text);
