//! Real shielded transactions in simulated networks.

use adnet_alpha::AlphaApp;
use adnet_alpha::tx::Transaction;
use adnet_common::application::{Application, Until};
use adnet_common::chain_id::ChainId;
use adnet_tests::shielded;
use adnet_tests::sim::{self, Scenario};

const VALIDATORS: usize = 4;

/// To be run by hand after a change of the genesis or of the transaction format:
/// `cargo test --release --workspace --test simulator -- --ignored prepares`
#[test]
#[ignore = "writes tests/fixtures/shielded.bin anew"]
fn prepares_the_transactions_anew() {
    let made = shielded::make(&sim::genesis(VALIDATORS));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/shielded.bin");
    std::fs::write(path, shielded::encode(&made)).expect("the checkout can be written");
}

#[test]
fn the_prepared_transactions_are_those_of_the_simulated_network() {
    let raws = shielded::transactions();
    let rules = AlphaApp::rules(&sim::genesis(VALIDATORS));
    let refs: Vec<&[u8]> = raws.iter().map(Vec::as_slice).collect();
    let verdicts = AlphaApp::verify_all(&rules, &refs, Until::End);
    assert_eq!(verdicts.len(), 6);
    for (raw, verdict) in raws.iter().zip(verdicts) {
        let name = Transaction::decode(raw).map(|tx| tx.payload.function.name());
        assert!(
            verdict.is_ok(),
            "{name:?}: {:?}; see `prepares_the_transactions_anew`",
            verdict.err()
        );
    }
}

#[test]
fn all_of_them_get_into_blocks_of_a_network_that_dies_all_the_time() {
    let scenario = Scenario {
        validators: VALIDATORS,
        has_notes: true,
        crashes: sim::Crashes::Often { within_ops: 300 },
        // A block of Alpha every 15 s, one transaction after the other.
        ..Scenario::alone(7, 240_000)
    };
    let report = sim::run(&scenario).expect("all rules hold");
    let blocks = report
        .decided
        .keys()
        .filter(|(chain, _)| *chain == ChainId::Alpha);
    assert!(blocks.count() >= 12);
    assert!(report.deaths > 0);
    assert_eq!(
        report.notes_settled, 6,
        "all prepared transactions are final"
    );
    let again = sim::run(&scenario).expect("all rules hold");
    assert_eq!(report.digest, again.digest);
}
