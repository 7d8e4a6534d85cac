//! The thread, with a chain whose verification waits for the test.

use super::*;
use crate::mempool::MempoolLimits;
use crate::node::Urgency;
use crate::node::tests::bare::{Bare, BareRules, NoPlan, bad_tx, good_tx};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

type App = Bare<NoPlan>;

const PATIENCE: Duration = Duration::from_secs(20);

fn start(rules: &BareRules) -> (Verifier<App>, Receiver<Answer<()>>) {
    let limits = MempoolLimits {
        max_txs: 10,
        max_bytes: 1_000,
        max_per_sender: 1,
        ttl_ms: 1,
    };
    let verified = Arc::new(Verified::new(Hash([1; 32]), &limits));
    let (answers, received) = channel();
    let wake = Box::new(|| {});
    let figures = VerifierFigures::new().expect("sound names");
    let chain = Chain { answers, wake };
    let verifier = Verifier::start(rules.clone(), verified, chain, figures);
    (verifier.expect("a thread"), received)
}

/// Waits until `is_so`.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "not in time: {what}");
        thread::yield_now();
    }
}

fn job(id: u64, urgency: Urgency, txs: Vec<Vec<u8>>) -> VerifyJob {
    VerifyJob { id, urgency, txs }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_meanwhile_is_one_batch_and_a_block_goes_first() {
    let rules = BareRules::default();
    let (verifier, answers) = start(&rules);
    let verifier = Arc::new(verifier);
    let gate = rules.close();
    let client = |nonce: u8| {
        let verifier = Arc::clone(&verifier);
        tokio::spawn(async move { verifier.verify(good_tx(1, nonce, &[])).await })
    };
    let first = client(0);
    until("the first is being verified", || rules.batches() == [1]);
    // Two clients at once, one of them with the same bytes as the chain and as a third.
    let others = [client(1), client(2), client(2)];
    verifier.add(job(7, Urgency::Gossip, vec![good_tx(1, 2, &[])]));
    until("all wait", || verifier.waiting() == 3);
    let block = vec![good_tx(9, 0, &[]), bad_tx(), good_tx(9, 1, &[])];
    verifier.add(job(8, Urgency::Consensus, block));
    until("the block waits", || verifier.waiting() == 6);
    drop(gate);
    for client in [first].into_iter().chain(others) {
        let checked = client.await.expect("no panic");
        assert!(checked.is_some_and(|checked| checked.is_ok()));
    }
    let block = answers.recv_timeout(PATIENCE).expect("an answer");
    assert_eq!((block.job, block.checked.len()), (8, 2));
    assert!(block.checked[0].is_ok() && block.checked[1].is_err());
    let gossiped = answers.recv_timeout(PATIENCE).expect("an answer");
    assert_eq!((gossiped.job, gossiped.checked.len()), (7, 1));
    assert_eq!(rules.batches(), [1, 3, 2]);
}

#[tokio::test]
async fn what_is_known_is_not_verified_again() {
    let rules = BareRules::default();
    let (verifier, answers) = start(&rules);
    let raw = good_tx(1, 0, &[]);
    let checked = verifier.verify(raw.clone()).await.expect("there is room");
    let verified = &verifier.shared.verified;
    verified.add(verified.key(&raw), &checked.expect("a good one"));
    assert!(
        verifier
            .verify(raw.clone())
            .await
            .is_some_and(|c| c.is_ok())
    );
    verifier.add(job(1, Urgency::Sync, vec![raw]));
    let answer = answers.recv_timeout(PATIENCE).expect("an answer");
    assert!(answer.checked[0].is_ok());
    assert_eq!(rules.batches(), [1]);
}

#[tokio::test]
async fn when_the_node_stops_clients_are_told_and_the_thread_ends() {
    let rules = BareRules::default();
    let (verifier, answers) = start(&rules);
    drop(verifier);
    assert!(
        answers.recv_timeout(PATIENCE).is_err(),
        "nobody is left to answer"
    );
}
