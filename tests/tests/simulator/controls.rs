//! Negative controls: what breaks a rule is seen, so that a run in which nothing is seen means
//! something.

use super::dying;
use adnet_tests::sim::{Crash, Death, Family, Honesty, Moment, Scenario, Shape, Wires, run};

/// The violations of a disk that lies, over deaths all along a run.
fn caught(honesty: Honesty, death: Death) -> Vec<String> {
    let moment = Moment::After;
    let crash = |op| Crash { op, moment, death };
    let runs = (10..90).map(|op| run(&dying(crash(op), honesty)));
    runs.filter_map(|run| run.err().map(|violation| violation.what))
        .collect()
}

#[test]
fn the_oracle_catches_a_validator_that_forgets_what_it_signed() {
    let caught = caught(Honesty::ForgetsConsensus, Death::Node);
    assert!(
        caught.iter().any(|what| what.contains("signed twice")),
        "{caught:?}"
    );
}

#[test]
fn the_oracle_catches_a_disk_that_acknowledges_without_storing() {
    let caught = caught(Honesty::IgnoresSync, Death::Power);
    assert!(
        caught
            .iter()
            .any(|what| what.contains("came back at height")),
        "{caught:?}"
    );
}

fn violation(scenario: &Scenario) -> String {
    let report = run(scenario);
    report.map_or_else(|violation| violation.what, |_| "nothing".to_owned())
}

/// One block, and a cut that lasts for several.
fn cut(family: Family, wires: Wires) -> Scenario {
    let mut scenario = family.of(1);
    (scenario.cuts[0].from_ms, scenario.cuts[0].to_ms) = (10_000, 40_000);
    scenario.cuts[0].holds = false;
    Scenario {
        wires,
        busy_ms: 70_000,
        ..scenario
    }
}

#[test]
fn the_oracle_catches_a_minority_that_decides() {
    for family in [Family::Halved, Family::Isolated] {
        let what = violation(&cut(family, Wires::Leak));
        assert!(what.contains("cut off from a quorum"), "{family}: {what}");
    }
}

#[test]
fn the_oracle_catches_a_network_that_does_not_go_on() {
    let what = violation(&cut(Family::Halved, Wires::StayCut));
    assert!(what.starts_with("no block of delta within"), "{what}");
}

#[test]
fn the_oracle_catches_a_machine_that_does_not_catch_up() {
    let what = violation(&cut(Family::Isolated, Wires::StayCut));
    assert!(what.contains("do not have block"), "{what}");
}

/// Two of four validators that are two each: more than a network bears. With three of the power on
/// either side of a cut, both sides decide.
#[test]
fn the_oracle_catches_a_fork() {
    let mut scenario = cut(Family::Halved, Wires::AsTold);
    scenario.twins = 2;
    // Machines 4 and 5 have the keys of 3 and 2.
    scenario.cuts[0].shape = Shape::Split([0, 2, 3].into());
    let what = violation(&scenario);
    assert!(what.starts_with("two blocks of delta at height"), "{what}");
}
