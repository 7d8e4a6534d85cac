//! Networks of real processes that are cut apart, killed, paused and restarted: nothing forks, who
//! has no quorum decides nothing, all go on in time, and what is sent to any node is final on all.
//!
//! `ADNET_CLUSTER_TIMES=10` repeats each perturbation ten times as often; `ADNET_CLUSTER_SEED`
//! changes the moments. `ADNET_CLUSTER_LONG=1` adds a cut of minutes.

mod large_body;

use adnet_tests::cluster::{Manifest, Outcome, run};
use std::sync::{Mutex, MutexGuard};

/// One network at a time: each has a dozen processes or more.
static ONE: Mutex<()> = Mutex::new(());

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|n| n.parse().ok())
}

/// A test that has failed leaves nothing behind that the next one could stumble over.
fn alone() -> MutexGuard<'static, ()> {
    ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn played(name: &str) -> Outcome {
    let _alone = alone();
    let mut manifest = Manifest::named(name);
    if let Some(seed) = setting("ADNET_CLUSTER_SEED") {
        manifest.seed = seed;
    }
    let more = setting("ADNET_CLUSTER_TIMES").unwrap_or(1) as u32;
    for perturbation in &mut manifest.perturbations {
        perturbation.times *= more;
    }
    let outcome = run(&manifest);
    for recovery in &outcome.recoveries {
        println!(
            "{name}: {} went on {:?} after {:?}, and all nodes {:?} after it",
            recovery.chain, recovery.decided, recovery.what, recovery.level
        );
    }
    println!(
        "{name}: {} transactions final everywhere",
        outcome.settled.len()
    );
    let expected: u32 = manifest.perturbations.iter().map(|p| p.times).sum();
    assert_eq!(outcome.recoveries.len(), 2 * expected as usize);
    assert!(!manifest.has_clients || outcome.settled.len() > 10);
    outcome
}

#[test]
fn halves_decide_nothing_and_go_on_together() {
    played("halves");
}

#[test]
fn three_go_on_without_the_one_that_is_cut_off() {
    played("isolated");
}

#[test]
fn a_network_over_bad_wires_bears_cuts() {
    played("bad-wires");
}

#[test]
fn four_bear_kills_pauses_and_restarts() {
    played("mixed");
}

#[test]
fn seven_bear_two_that_are_away() {
    played("seven");
}

/// Takes minutes, and runs with `ADNET_CLUSTER_LONG=1` only: by then nodes dial each other with the
/// longest pauses.
#[test]
fn a_long_cut_is_healed_as_soon_as_a_short_one() {
    match setting("ADNET_CLUSTER_LONG") {
        Some(_) => drop(played("long-cut")),
        None => println!("left out: it takes minutes, set ADNET_CLUSTER_LONG=1"),
    }
}
