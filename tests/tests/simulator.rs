//! The chain core with both applications in the simulator: deaths at every durable operation,
//! troubled networks, cadence, determinism, and controls that the oracle sees what it should.

use adnet_common::chain_id::ChainId;
use adnet_tests::sim::{Crash, Crashes, Death, Honesty, Moment, Report, Scenario, run};

/// Two blocks of Alpha, a dozen of Delta, with locks and unlocks between them.
const SHORT_MS: u64 = 36_000;

fn held(scenario: &Scenario) -> Report {
    run(scenario).unwrap_or_else(|violation| panic!("{violation}, in {scenario:?}"))
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
fn four_validators_hold_with_losses_and_deaths() {
    let (mut deaths, mut locked, mut unlocked) = (0, 0, 0);
    for seed in 0..30 {
        let report = held(&Scenario::troubled(seed));
        deaths += report.deaths;
        locked += report.locked_units;
        unlocked += report.unlocked_units;
    }
    assert!(deaths > 20, "{deaths} deaths");
    assert!(locked > 0 && unlocked > 0);
}

#[test]
fn a_validator_that_signs_twice_forks_nothing_and_is_proved_guilty_on_chain() {
    let scenario = Scenario {
        crashes: Crashes::Never,
        equivocator: Some(2),
        ..Scenario::troubled(2)
    };
    let report = held(&scenario);
    assert!(report.equivocations > 0, "blocks hold the evidence");
    assert!(report.settled > 0);
    // The same network without it accuses nobody.
    let honest = Scenario {
        equivocator: None,
        ..scenario
    };
    assert_eq!(held(&honest).equivocations, 0);
}

#[test]
fn a_seed_is_a_whole_run() {
    let digest = |seed| held(&Scenario::troubled(seed)).digest;
    let first = digest(3);
    assert_eq!(first, digest(3));
    assert_ne!(first, digest(4));
}

#[test]
fn a_thousand_blocks_keep_the_cadence_within_one_percent() {
    let scenario = Scenario {
        has_clients: false,
        timer_late_max_ms: 50,
        ..Scenario::alone(1, 1_002 * 15_000)
    };
    let report = held(&scenario);
    for (chain, interval_ms) in [(ChainId::Alpha, 15_000), (ChainId::Delta, 3_000)] {
        let blocks: Vec<u64> = report
            .decided
            .range((chain, 1)..=(chain, u64::MAX))
            .map(|(_, decided)| decided.first_ms)
            .collect();
        assert!(blocks.len() > 1_000, "{} blocks of {chain}", blocks.len());
        let taken_ms = blocks[blocks.len() - 1] - blocks[0];
        let planned_ms = (blocks.len() as u64 - 1) * interval_ms;
        let error_ms = taken_ms.abs_diff(planned_ms);
        assert!(
            error_ms * 100 < planned_ms,
            "{chain}: {error_ms} of {planned_ms} ms"
        );
        let worst = blocks
            .windows(2)
            .map(|w| (w[1] - w[0]).abs_diff(interval_ms))
            .max();
        println!(
            "{chain}: {} blocks, {error_ms} ms off over {planned_ms} ms, one interval at most {worst:?} ms",
            blocks.len()
        );
    }
}

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
