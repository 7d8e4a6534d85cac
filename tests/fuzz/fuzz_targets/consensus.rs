//! Consensus messages, evidence and validator sets: see `hostile`. The first byte names the decoder.
#![no_main]

#[path = "../../src/hostile/mod.rs"]
#[allow(dead_code, reason = "the mutation test uses the rest")]
mod hostile;

use hostile::{Group, check_group};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| check_group(Group::Consensus, bytes));
