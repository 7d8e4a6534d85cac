//! Sets that change between heights: who votes when, and what is kept of it.

use super::bare::{GENESIS_MS, Machine, Plan, genesis, set};
use super::host::TestHost;
use crate::chain_id::ChainId;
use crate::consensus::tests::bench::test_key;
use crate::consensus::{CommitCertificate, Event, ValidatorSet, verify_certificate};
use crate::ledger::{self, CommittedBlock};
use crate::light_client::LightClient;
use crate::validators::SetFrom;

/// Key 0 is joined by key 1 from height 3 on, gone at 5 and 6, and there again from 7 on.
struct Rotating;

impl Plan for Rotating {
    fn after(height: u64) -> Option<ValidatorSet> {
        match height {
            2 => Some(set(&[(0, 10), (1, 1)])),
            4 => Some(set(&[(1, 1)])),
            6 => Some(set(&[(0, 3)])),
            _ => None,
        }
    }
}

fn stored(host: &TestHost, height: u64) -> CommittedBlock {
    let block = ledger::block_at(host, ChainId::Delta, height);
    block.expect("memory").expect("the block is decided")
}

/// A chain of eight heights, made by two machines one after the other.
fn rotated() -> (Machine<Rotating>, Machine<Rotating>) {
    let genesis = genesis(&[(0, 1)]);
    let mut first = Machine::<Rotating>::open(&genesis, TestHost::new(&genesis, 0), GENESIS_MS);
    first.run_to(8).expect("it goes on");
    assert_eq!(
        first.node.tip().height,
        4,
        "it does not decide where it has no vote"
    );
    let is_quiet = first.host.signed.iter().all(|request| request.height <= 4);
    assert!(is_quiet, "it does not sign where it is no validator");

    // The other one knows the chain so far, and comes into the set.
    let mut host = TestHost::new(&genesis, 1);
    host.store = first.host.store.clone();
    let mut second = Machine::<Rotating>::open(&genesis, host, first.now_ms);
    second.run_to(8).expect("it goes on");
    assert_eq!(second.node.tip().height, 6);
    let heights: Vec<u64> = second.host.signed.iter().map(|r| r.height).collect();
    assert!(heights.iter().all(|height| [5, 6].contains(height)));
    (first, second)
}

fn fetch(to: &mut Machine<Rotating>, from: &TestHost, height: u64) {
    let CommittedBlock { block, certificate } = stored(from, height);
    let event = Event::Synced {
        peer: [9; 32],
        certificate: CommitCertificate::decode(&certificate).expect("a decided block"),
        body: block.encode(),
    };
    while to.node.open != Some(height) {
        to.tick().expect("it goes on");
    }
    let Machine { node, host, now_ms } = to;
    let fed = node.drive(*now_ms, event, host, &mut Vec::new());
    fed.expect("a decided block is valid");
    assert_eq!(node.tip().height, height);
}

#[test]
fn a_validator_goes_and_comes_with_its_set() {
    let (mut first, second) = rotated();
    for height in [5, 6] {
        fetch(&mut first, &second.host, height);
    }
    first.run_to(9).expect("it goes on");
    assert_eq!(first.node.tip().height, 9, "it votes again");
    let again = first.host.signed.iter().filter(|r| r.height > 4);
    assert!(again.into_iter().all(|request| request.height >= 7));
}

#[test]
fn a_node_that_was_away_fetches_a_range_over_all_changes() {
    let (_, second) = rotated();
    let genesis = genesis(&[(0, 1)]);
    let host = TestHost::new(&genesis, 5); // A key that is in no set.
    let mut late = Machine::<Rotating>::open(&genesis, host, GENESIS_MS);
    for height in 1..=6 {
        fetch(&mut late, &second.host, height);
    }
    assert!(late.host.signed.is_empty());
}

#[test]
fn certificates_and_proofs_verify_with_the_set_of_their_height_only() {
    let (first, second) = rotated();
    let (host, domain) = (&second.host, second.host.domain);
    let expected = [1u64, 1, 2, 2, 1, 1].map(|n| n as usize);
    for (height, members) in (1u64..).zip(expected) {
        let set = ledger::validators_at(host, ChainId::Delta, height);
        let set = set.expect("memory").expect("every height has its set");
        assert_eq!(set.members().len(), members, "height {height}");
        let block = stored(host, height);
        let certificate = CommitCertificate::decode(&block.certificate).expect("decided");
        assert_eq!(verify_certificate(&domain, &set, &certificate), Ok(()));
    }
    let set_of = |height| {
        let set = ledger::validators_at(host, ChainId::Delta, height);
        set.expect("memory").expect("every height has its set")
    };
    let wrong = CommitCertificate::decode(&stored(host, 5).certificate).expect("decided");
    assert!(verify_certificate(&domain, &set_of(1), &wrong).is_err());
    assert!(set_of(7).contains(&test_key(0).public));

    // The light client of the other chain comes along by the proofs of the changes alone.
    let from = SetFrom::new(1, set_of(1));
    let light = LightClient::new(ChainId::Delta, domain.network_id, domain.genesis, &from);
    for height in [2, 4, 5, 6] {
        let proof = ledger::finality_proof(host, ChainId::Delta, height);
        let proof = proof.expect("memory").expect("a decided block");
        assert_eq!(proof.next_set.is_some(), [2, 4, 6].contains(&height));
        light.learn(&proof).expect("each leads to the next");
    }
    assert_eq!(
        ledger::finality_proof(host, ChainId::Delta, 0),
        Ok(None),
        "nobody has signed the genesis block"
    );
    drop(first);
}

#[test]
fn a_restart_at_any_height_votes_with_the_set_in_force() {
    let genesis = genesis(&[(0, 1)]);
    for stop in 1..=4 {
        let host = TestHost::new(&genesis, 0);
        let mut machine = Machine::<Rotating>::open(&genesis, host, GENESIS_MS);
        machine.run_to(stop).expect("it goes on");
        let Machine { host, now_ms, .. } = machine;
        let mut machine = Machine::<Rotating>::open(&genesis, host, now_ms);
        machine.run_to(8).expect("it goes on");
        assert_eq!(machine.node.tip().height, 4, "stopped at {stop}");
    }
}
