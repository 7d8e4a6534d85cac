//! A validator that signs twice loses its place on both chains, whatever else happens meanwhile. That
//! all machines and both chains end with the same set, without the guilty one, is for the simulation
//! to check at the end of every run; here are the runs.

use adnet_tests::sim::{
    Absence, Crash, Crashes, Cut, Death, Moment, Outage, Report, Scenario, Shape, run,
};
use std::collections::BTreeSet;

/// Two blocks of Alpha, a dozen of Delta.
const SHORT_MS: u64 = 36_000;

fn held(scenario: &Scenario) -> Report {
    let report = run(scenario).unwrap_or_else(|violation| panic!("{violation}, in {scenario:?}"));
    assert!(
        report.equivocations > 0,
        "nobody was caught in {scenario:?}"
    );
    report
}

fn caught(seed: u64, validators: usize) -> Scenario {
    Scenario {
        validators,
        delay_max_ms: 40,
        equivocator: Some(validators - 1),
        ..Scenario::alone(seed, SHORT_MS)
    }
}

#[test]
fn the_network_goes_on_without_the_guilty_one() {
    for (seed, validators) in [(1, 4), (2, 7)] {
        let report = held(&caught(seed, validators));
        assert!(report.settled > 0 && report.locked_units > 0 && report.unlocked_units > 0);
    }
}

#[test]
fn who_is_caught_on_alpha_loses_its_place_on_delta_as_well() {
    let scenario = Scenario {
        on_alpha_only: true,
        busy_ms: 60_000,
        ..caught(3, 4)
    };
    held(&scenario);
}

#[test]
fn a_machine_that_was_away_or_cut_off_comes_back_over_the_change() {
    let outage = |absence| {
        vec![Outage {
            machine: 1,
            from_ms: 2_000,
            to_ms: 30_000,
            absence,
        }]
    };
    let cut = Cut {
        from_ms: 2_000,
        to_ms: 30_000,
        shape: Shape::Split(BTreeSet::from([1])),
        holds: false,
    };
    for validators in [4, 7] {
        for outages in [outage(Absence::Killed), outage(Absence::Paused), vec![]] {
            let cuts = match outages.is_empty() {
                true => vec![cut.clone()],
                false => vec![],
            };
            held(&Scenario {
                outages,
                cuts,
                ..caught(4, validators)
            });
        }
    }
}

/// All durable operations of a machine around the change, each with another kind of death.
#[test]
fn a_machine_may_die_at_every_durable_operation_around_the_change() {
    let whole = held(&caught(5, 4));
    let kinds: Vec<(Moment, Death)> = [Moment::Before, Moment::After]
        .into_iter()
        .flat_map(|moment| [Death::Worker, Death::Node, Death::Power].map(|death| (moment, death)))
        .collect();
    let mut deaths = 0;
    for op in 0..whole.ops {
        let (moment, death) = kinds[(op as usize) % kinds.len()];
        let crash = Crash { op, moment, death };
        deaths += held(&Scenario {
            crashes: Crashes::Once(crash),
            ..caught(5, 4)
        })
        .deaths;
    }
    println!("{} operations, {deaths} deaths", whole.ops);
    assert!(deaths > whole.ops / 2);
}
