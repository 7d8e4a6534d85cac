//! The chain core with both applications in the simulator: deaths at every durable operation,
//! troubled networks, cadence, determinism, and controls that the oracle sees what it should.

mod cadence;
mod contracts;
mod controls;
mod partitions;
mod regressions;
mod shielded;

use adnet_tests::sim::{Crash, Crashes, Death, Family, Honesty, Moment, Report, Scenario, run};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Two blocks of Alpha, a dozen of Delta, with locks and unlocks between them.
const SHORT_MS: u64 = 36_000;

fn held(scenario: &Scenario) -> Report {
    run(scenario).unwrap_or_else(|violation| panic!("{violation}, in {scenario:?}"))
}

/// Plays these seeds of a family, on two threads.
fn all_held(family: Family, seeds: std::ops::Range<u64>) -> Vec<(Scenario, Report)> {
    let (next, reports) = (AtomicU64::new(seeds.start), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let seed = next.fetch_add(1, Ordering::Relaxed)
                    && seed < seeds.end
                {
                    let scenario = family.of(seed);
                    let report = held(&scenario);
                    let mut reports = reports.lock().expect("no other thread has panicked");
                    reports.push((scenario, report));
                }
            });
        }
    });
    reports.into_inner().expect("all threads have ended well")
}

fn dying(crash: Crash, honesty: Honesty) -> Scenario {
    Scenario {
        crashes: Crashes::Once(crash),
        honesty,
        ..Scenario::alone(7, SHORT_MS)
    }
}

#[test]
fn a_validator_may_die_at_every_durable_operation() {
    let whole = held(&Scenario::alone(7, SHORT_MS));
    assert!(whole.ops > 50, "{} operations", whole.ops);
    assert!(whole.locked_units > 0 && whole.unlocked_units > 0);
    for op in 0..whole.ops {
        for moment in [Moment::Before, Moment::After] {
            for death in [Death::Worker, Death::Node, Death::Power] {
                let crash = Crash { op, moment, death };
                let report = held(&dying(crash, Honesty::Honest));
                assert!(report.deaths <= 1 && report.settled > 0);
            }
        }
    }
}

#[test]
fn networks_hold_with_all_troubles_at_once() {
    let (mut deaths, mut locked, mut unlocked, mut proved) = (0, 0, 0, 0);
    for (_, report) in all_held(Family::Troubled, 0..60) {
        deaths += report.deaths;
        locked += report.locked_units;
        unlocked += report.unlocked_units;
        proved += report.equivocations;
    }
    assert!(deaths > 50, "{deaths} deaths");
    assert!(locked > 0 && unlocked > 0 && proved > 0);
}

/// The network that the tests of equivocation share: delays, losses, and nobody dies.
fn accused(equivocator: Option<usize>) -> Scenario {
    Scenario {
        validators: 4,
        lost_percent: 8,
        doubled_percent: 5,
        delay_max_ms: 90,
        equivocator,
        ..Scenario::alone(2, 60_000)
    }
}

#[test]
fn a_validator_that_signs_twice_forks_nothing_and_is_proved_guilty_on_chain() {
    let report = held(&accused(Some(2)));
    assert!(report.equivocations > 0, "blocks hold the evidence");
    assert!(report.settled > 0);
    // The same network without it accuses nobody.
    assert_eq!(held(&accused(None)).equivocations, 0);
}

#[test]
fn a_seed_is_a_whole_run() {
    for family in Family::ALL {
        let digest = |seed| held(&family.of(seed)).digest;
        let first = digest(3);
        assert_eq!(first, digest(3), "{family}");
        assert_ne!(first, digest(4), "{family}");
    }
}
