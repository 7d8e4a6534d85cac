//! A fuzz target over one group of the decoders in `hostile`: the first byte names the decoder.
//!
//! Beside libFuzzer's own changes, now and then an input is a valid encoding with a few changes, so
//! that the deep parts of a format are reached without a corpus.

#[path = "../src/hostile/mod.rs"]
#[allow(dead_code, reason = "the mutation test uses the rest")]
pub mod hostile;

macro_rules! over_group {
    ($group:ident) => {
        use over_group::hostile::{Group, check_group, near_valid};

        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check_group(Group::$group, bytes));

        libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
            if seed % 8 == 0 {
                let fresh = near_valid(Group::$group, u64::from(seed));
                if fresh.len() <= max_size {
                    data[..fresh.len()].copy_from_slice(&fresh);
                    return fresh.len();
                }
            }
            libfuzzer_sys::fuzzer_mutate(data, size, max_size)
        });
    };
}
