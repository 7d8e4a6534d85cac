//! Verification of bundles in batches.
//!
//! A batch shares the one expensive step of all its proofs, so 64 together cost a tenth each of what
//! one costs alone. It says only whether *all* are good: a batch that fails is halved until the bad
//! ones are found, which costs an attacker's peer its standing and us a few batches.
//!
//! A batch covers proof, spend signatures and binding signature. Bytes of ciphertexts and keys are
//! covered by the signatures alone, so these are never left out. Whether nullifiers are fresh and
//! the anchor is known is not the business of a proof: the state says so.

use orchard::bundle::{Authorized, BatchValidator};
use orchard::circuit::VerifyingKey;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use rayon::prelude::*;

use super::verifying_key::verifying_key;

/// Bundles of one batch, at most: more gain little, and a bad one costs more.
pub const BATCH_MAX: usize = 128;
/// Fewer are not worth being split among cores.
const BATCH_MIN: usize = 16;

/// A bundle with the hash that its signatures sign.
pub struct Proved {
    pub bundle: orchard::Bundle<Authorized, i64>,
    pub sighash: [u8; 32],
}

/// Whether each of these is good, in their order. Uses all cores.
pub fn verify(bundles: &[Proved]) -> Vec<bool> {
    if bundles.is_empty() {
        return Vec::new();
    }
    let key = verifying_key();
    let share = bundles.len().div_ceil(rayon::current_num_threads());
    let batches = bundles.par_chunks(share.clamp(BATCH_MIN, BATCH_MAX));
    let verdicts = batches.flat_map_iter(|batch| {
        let mut verdicts = vec![false; batch.len()];
        bisect(key, batch, &mut verdicts);
        verdicts
    });
    verdicts.collect()
}

fn bisect(key: &VerifyingKey, bundles: &[Proved], verdicts: &mut [bool]) {
    if are_all_good(key, bundles) {
        verdicts.fill(true);
    } else if bundles.len() > 1 {
        let (left, right) = bundles.split_at(bundles.len() / 2);
        let (left_verdicts, right_verdicts) = verdicts.split_at_mut(left.len());
        bisect(key, left, left_verdicts);
        bisect(key, right, right_verdicts);
    }
}

fn are_all_good(key: &VerifyingKey, bundles: &[Proved]) -> bool {
    let mut batch = BatchValidator::new(key);
    for proved in bundles {
        if batch.add_bundle(&proved.bundle, proved.sighash).is_err() {
            return false;
        }
    }
    // The randomness decides how a batch is combined, not what it says: a bad one passes with a
    // chance of 2^-128.
    batch.validate(UnwrapErr(SysRng))
}
