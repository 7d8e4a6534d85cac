//! Cuts and absences: no fork, nothing decided by a minority, and progress in time after them. The
//! oracle watches all of it; here is that there was something to watch.

use super::all_held;
use adnet_common::chain_id::ChainId;
use adnet_tests::sim::{Cut, Family, Recovery, Report, Scenario};

/// Blocks that were decided while a cut lasted, but for the moments at its beginning in which what
/// was on the way arrived.
fn decided_in(cut: &Cut, report: &Report, chain: ChainId) -> usize {
    let of_chain = report.decided.range((chain, 0)..=(chain, u64::MAX));
    let meanwhile = cut.from_ms + 1_000..cut.to_ms;
    of_chain
        .filter(|(_, decided)| meanwhile.contains(&decided.first_ms))
        .count()
}

/// Every trouble that ended was followed by blocks, within the bounds.
fn recovered(family: Family, runs: &[(Scenario, Report)], at_least: usize) {
    let all = runs.iter().flat_map(|(_, report)| &report.recoveries);
    for (chain, bound_ms) in [(ChainId::Alpha, 20_000), (ChainId::Delta, 10_000)] {
        let of_chain: Vec<&Recovery> = all.clone().filter(|r| r.chain == chain).collect();
        assert!(of_chain.len() >= at_least, "{chain}: {}", of_chain.len());
        let mut decided: Vec<u64> = of_chain.iter().map(|r| r.decided_ms).collect();
        let mut level: Vec<u64> = of_chain.iter().map(|r| r.level_ms).collect();
        decided.sort_unstable();
        level.sort_unstable();
        let (worst, worst_level) = (decided[decided.len() - 1], level[level.len() - 1]);
        println!(
            "{family}, {chain}: {} times, a block after {} ms, at worst {worst}; level at worst after \
             {worst_level} ms",
            decided.len(),
            decided[decided.len() / 2],
        );
        assert!(worst.max(worst_level) <= bound_ms);
    }
}

#[test]
fn two_of_four_decide_nothing_and_all_go_on_when_they_are_one_again() {
    let runs = all_held(Family::Halved, 0..100);
    for (scenario, report) in &runs {
        let cut = &scenario.cuts[0];
        for chain in ChainId::ALL {
            let seed = scenario.seed;
            assert_eq!(decided_in(cut, report, chain), 0, "{chain}, seed {seed}");
        }
    }
    recovered(Family::Halved, &runs, 100);
}

#[test]
fn three_of_four_go_on_without_the_one_that_is_alone_and_it_catches_up() {
    let runs = all_held(Family::Isolated, 0..100);
    for (scenario, report) in &runs {
        let cut = &scenario.cuts[0];
        // A round that the lonely one should have led takes longer.
        let expected = (cut.to_ms - cut.from_ms).saturating_sub(4_000) / 3_000;
        let decided = decided_in(cut, report, ChainId::Delta) as u64;
        let seed = scenario.seed;
        assert!(
            decided + 1 >= expected,
            "{decided} of {expected}, seed {seed}"
        );
    }
    recovered(Family::Isolated, &runs, 100);
}

#[test]
fn one_cut_after_the_other_stops_a_network_only_while_it_lasts() {
    let runs = all_held(Family::Torn, 0..24);
    recovered(Family::Torn, &runs, 24);
}

#[test]
fn as_many_as_a_network_bears_may_be_killed_or_sleep() {
    let runs = all_held(Family::Decimated, 0..24);
    let deaths: u64 = runs.iter().map(|(_, report)| report.deaths).sum();
    assert!(deaths > 10, "{deaths} deaths");
    recovered(Family::Decimated, &runs, 24);
}

#[test]
fn a_validator_that_is_two_and_cuts_between_them_fork_nothing_and_it_is_proved() {
    let runs = all_held(Family::Twinned, 0..24);
    let proved = |(_, report): &&(Scenario, Report)| report.equivocations > 0;
    let proved = runs.iter().filter(proved).count();
    assert!(proved > 12, "blocks of {proved} runs hold the evidence");
    recovered(Family::Twinned, &runs, 24);
}

#[test]
fn a_machine_that_comes_late_begins_with_a_snapshot_and_is_like_the_others() {
    let runs = all_held(Family::Joined, 0..60);
    let snapshots: u64 = runs.iter().map(|(_, report)| report.snapshots).sum();
    let deaths: u64 = runs.iter().map(|(_, report)| report.deaths).sum();
    println!("joined: {snapshots} of 120 chains began with a snapshot, {deaths} deaths");
    assert!(snapshots > 80, "{snapshots} of 120");
}
