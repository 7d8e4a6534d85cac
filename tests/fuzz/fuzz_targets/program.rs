//! Calls of Delta's system programs.
#![no_main]

#[macro_use]
#[path = "../over_group.rs"]
mod over_group;

over_group!(Program);
