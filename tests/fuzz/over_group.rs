//! A fuzz target over a list of decoders: the first byte names the decoder.
//!
//! Beside libFuzzer's own changes, now and then an input is a valid encoding with a few changes, so
//! that the deep parts of a format are reached without a corpus.

#[path = "../src/hostile/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the mutation test uses the rest")]
pub mod hostile;

macro_rules! over_decoders {
    ($decoders:expr) => {
        thread_local! {
            static DECODERS: Vec<over_group::hostile::Decoder> = $decoders;
        }

        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
            DECODERS.with(|all| over_group::hostile::check_named(all, bytes));
        });

        libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
            if seed % 8 == 0 {
                let seed = u64::from(seed);
                let fresh = DECODERS.with(|all| over_group::hostile::near_valid(all, seed));
                if fresh.len() <= max_size {
                    data[..fresh.len()].copy_from_slice(&fresh);
                    return fresh.len();
                }
            }
            libfuzzer_sys::fuzzer_mutate(data, size, max_size)
        });
    };
}

/// Over one group of the chains' decoders.
#[allow(unused_macros, reason = "one target has a list of its own")]
macro_rules! over_group {
    ($group:ident) => {
        over_decoders!(over_group::hostile::of_group(
            over_group::hostile::Group::$group
        ));
    };
}
