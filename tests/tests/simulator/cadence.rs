//! A thousand blocks at the real intervals, on a network with delays and clocks that differ.

use super::held;
use adnet_common::chain_id::ChainId;
use adnet_tests::sim::Scenario;

const BLOCKS: u64 = 1_000;

fn keeps_its_cadence(validators: usize, chain: ChainId) {
    let interval_ms = match chain {
        ChainId::Alpha => 15_000,
        ChainId::Delta => 3_000,
    };
    let scenario = Scenario {
        validators,
        only: Some(chain),
        has_clients: false,
        delay_max_ms: 60,
        slow_links_percent: 20,
        slow_link_ms: 100,
        skew_max_ms: if validators > 1 { 100 } else { 0 },
        timer_late_max_ms: 50,
        ..Scenario::alone(1, (BLOCKS + 2) * interval_ms)
    };
    let report = held(&scenario);
    let blocks: Vec<u64> = report
        .decided
        .range((chain, 1)..=(chain, u64::MAX))
        .map(|(_, decided)| decided.first_ms)
        .collect();
    assert!(
        blocks.len() as u64 > BLOCKS,
        "{} blocks of {chain}",
        blocks.len()
    );
    let taken_ms = blocks[blocks.len() - 1] - blocks[0];
    let planned_ms = (blocks.len() as u64 - 1) * interval_ms;
    let error_ms = taken_ms.abs_diff(planned_ms);
    assert!(
        error_ms * 100 < planned_ms,
        "{chain}: {error_ms} of {planned_ms} ms"
    );
    // Nor does the sum of all errors grow: the last block is where the schedule has it.
    assert!(error_ms < interval_ms, "{chain}: {error_ms} ms off");
    let worst = blocks
        .windows(2)
        .map(|w| (w[1] - w[0]).abs_diff(interval_ms))
        .max();
    println!(
        "{chain} with {validators}: {} blocks, {error_ms} ms off over {planned_ms} ms, one interval \
         at most {worst:?} ms",
        blocks.len()
    );
}

#[test]
fn one_validator_keeps_both_cadences_over_a_thousand_blocks() {
    ChainId::ALL
        .into_iter()
        .for_each(|chain| keeps_its_cadence(1, chain));
}

#[test]
fn four_validators_keep_alpha_s_cadence_over_a_thousand_blocks() {
    keeps_its_cadence(4, ChainId::Alpha);
}

#[test]
fn four_validators_keep_delta_s_cadence_over_a_thousand_blocks() {
    keeps_its_cadence(4, ChainId::Delta);
}

#[test]
fn seven_validators_keep_alpha_s_cadence_over_a_thousand_blocks() {
    keeps_its_cadence(7, ChainId::Alpha);
}

#[test]
fn seven_validators_keep_delta_s_cadence_over_a_thousand_blocks() {
    keeps_its_cadence(7, ChainId::Delta);
}
