//! Verification of bundles in batches.
//!
//! A batch shares the one expensive step of all its proofs, so 64 together cost a tenth each of what
//! one costs alone. It says only whether *all* are good: a batch that fails is halved until the bad
//! ones are found, which costs an attacker's peer its standing and us a few batches.
//!
//! A batch covers proof, spend signatures and binding signature. Bytes of ciphertexts and keys are
//! covered by the signatures alone, so these are never left out. Whether nullifiers are fresh and
//! the anchor is known is not the business of a proof: the state says so.
//!
//! Batches go side by side, one on each core and each on its core alone. The proof library would spread
//! a single batch over all cores, but the way in which it splits its sums of points then takes more than
//! twice the work for each proof.

use adnet_common::application::Until;
use orchard::bundle::{Authorized, BatchValidator};
use orchard::circuit::VerifyingKey;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::verifying_key::verifying_key;

/// Bundles of one batch, at most. The proof library multiplies all that it has added up by another random
/// number with each bundle, so more cost more than they share, and a bad one costs more as well.
pub const BATCH_MAX: usize = 320;
/// Fewer are not worth being split among cores.
const BATCH_MIN: usize = 8;

/// A bundle with the hash that its signatures sign.
pub struct Proved {
    pub bundle: orchard::Bundle<Authorized, i64>,
    pub sighash: [u8; 32],
}

/// Whether each of these is good, in their order, up to the last or up to the first that is not. Uses
/// as many cores as the pool of threads that it is called in.
pub fn verify(bundles: &[Proved], until: Until) -> Vec<bool> {
    if bundles.is_empty() {
        return Vec::new(); // who has nothing to prove does not wait for the key
    }
    let key = verifying_key();
    let cores = rayon::current_num_threads();
    let batches: Vec<&[Proved]> = bundles.chunks(batch_size(bundles.len(), cores)).collect();
    // Batches are begun in their order, so all before a bad one are finished, too.
    let (next, end) = (AtomicUsize::new(0), AtomicUsize::new(batches.len()));
    let work = || {
        let mut finished = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= end.load(Ordering::Relaxed) {
                return finished;
            }
            let mut verdicts = Vec::with_capacity(batches[index].len());
            judge(key, batches[index], until, &mut verdicts);
            if is_over(until, &verdicts) {
                end.fetch_min(index + 1, Ordering::Relaxed);
            }
            finished.push((index, verdicts));
        }
    };
    let mut finished = on_single_cores(cores.min(batches.len()), work);
    finished.sort_unstable_by_key(|(index, _)| *index);
    let mut verdicts = Vec::with_capacity(bundles.len());
    for (_, batch) in finished {
        verdicts.extend(batch);
        if is_over(until, &verdicts) {
            break;
        }
    }
    verdicts
}

/// Bundles of each batch, if so many are verified by so many cores: every core has as many batches as
/// the others, all of one size.
pub fn batch_size(bundles: usize, cores: usize) -> usize {
    let rounds = bundles.div_ceil(cores * BATCH_MAX).max(1);
    bundles.div_ceil(cores * rounds).max(BATCH_MIN)
}

fn is_over(until: Until, verdicts: &[bool]) -> bool {
    until == Until::FirstInvalid && verdicts.last() == Some(&false)
}

/// Does `work` on so many threads at once, each of which the proof library takes for the only one. They
/// are new ones, so that they have the priority of whoever waits for them.
fn on_single_cores<T: Send>(threads: usize, work: impl Fn() -> Vec<T> + Sync) -> Vec<T> {
    let alone = || {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1);
        let pool = pool.thread_name(|_| "proofs".to_owned()).build();
        let pool = pool.unwrap_or_else(|e| panic!("a thread that verifies cannot be started: {e}"));
        pool.install(&work)
    };
    thread::scope(|scope| {
        let started: Vec<_> = (0..threads).map(|_| scope.spawn(alone)).collect();
        let ended = started.into_iter().flat_map(|thread| {
            let ended = thread.join();
            ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        ended.collect()
    })
}

/// Adds the verdicts on these.
fn judge(key: &VerifyingKey, bundles: &[Proved], until: Until, verdicts: &mut Vec<bool>) {
    if are_all_good(key, bundles) {
        verdicts.resize(verdicts.len() + bundles.len(), true);
    } else {
        find_bad(key, bundles, until, verdicts);
    }
}

/// Adds the verdicts on these, of which at least one is bad.
fn find_bad(key: &VerifyingKey, bundles: &[Proved], until: Until, verdicts: &mut Vec<bool>) {
    if bundles.len() == 1 {
        verdicts.push(false);
        return;
    }
    let (left, right) = bundles.split_at(bundles.len() / 2);
    let before = verdicts.len();
    judge(key, left, until, verdicts);
    if is_over(until, verdicts) {
        return;
    }
    match verdicts[before..].contains(&false) {
        true => judge(key, right, until, verdicts),
        false => find_bad(key, right, until, verdicts),
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
