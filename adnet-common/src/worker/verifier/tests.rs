//! The thread, with a chain whose verification waits for the test.

use super::*;
use crate::mempool::MempoolLimits;
use crate::node::Urgency;
use crate::node::tests::bare::{Bare, BareRules, NoPlan, bad_tx, good_tx};
use std::sync::mpsc::{Receiver, channel};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

type App = Bare<NoPlan>;

const PATIENCE: Duration = Duration::from_secs(20);

fn start(rules: &BareRules) -> (Verifier<App>, Receiver<Done<()>>) {
    let limits = MempoolLimits {
        max_txs: 10,
        max_bytes: 1_000,
        max_per_sender: 1,
        ttl_ms: 1,
    };
    let verified = Arc::new(Verified::new(Hash([1; 32]), &limits));
    let (done, received) = channel();
    let wake = Box::new(|| {});
    let figures = VerifierFigures::new().expect("sound names");
    let chain = Chain { done, wake };
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

/// The chain takes in what clients have sent; returns their names and the jobs that are answered.
fn take(done: &Receiver<Done<()>>) -> (Vec<Hash>, Vec<Answer<()>>) {
    let done = done.recv_timeout(PATIENCE).expect("something is done");
    let taken = done.submissions.into_iter().map(|submission| {
        let (id, is_new) = (submission.tx.id, true);
        let told = submission.client.reply.send(Ok(Admitted { id, is_new }));
        told.expect("the client waits");
        id
    });
    (taken.collect(), done.answers)
}

#[tokio::test]
async fn what_comes_meanwhile_is_one_batch_and_a_block_goes_first() {
    let rules = BareRules::default();
    let (verifier, done) = start(&rules);
    let verifier = Arc::new(verifier);
    let gate = rules.close();
    // Each client is in the queue when this returns: what comes later would be a batch of its own.
    let client = |raw: Vec<u8>| {
        let verifier = Arc::clone(&verifier);
        let mut asking = Box::pin(async move { verifier.submit(raw).await });
        let mut context = Context::from_waker(Waker::noop());
        assert!(asking.as_mut().poll(&mut context).is_pending());
        asking
    };
    let tx = |nonce: u8| good_tx(1, nonce, &[]);
    let first = client(tx(0));
    until("the first is being verified", || rules.batches() == [1]);
    // Clients at once, one of them with the same bytes as the chain and as another, one with bad ones.
    let others = [client(tx(1)), client(tx(2)), client(tx(2))];
    let bad = client([&bad_tx()[..], &[1]].concat());
    verifier.add(job(7, Urgency::Gossip, vec![tx(2)]));
    assert_eq!(verifier.waiting(), 4);
    let block = vec![good_tx(9, 0, &[]), bad_tx(), good_tx(9, 1, &[])];
    verifier.add(job(8, Urgency::Consensus, block));
    assert_eq!(verifier.waiting(), 7);
    drop(gate);
    assert_eq!(take(&done).0.len(), 1);
    let (taken, block) = take(&done);
    assert_eq!((taken.len(), block[0].job), (0, 8));
    assert_eq!(block[0].checked.len(), 2);
    assert!(block[0].checked[0].is_ok() && block[0].checked[1].is_err());
    let (taken, gossiped) = take(&done);
    assert_eq!((taken.len(), gossiped[0].job), (3, 7));
    assert_eq!(gossiped[0].checked.len(), 1);
    for client in [first].into_iter().chain(others) {
        let admitted = client.await.expect("a good one");
        assert!(admitted.is_new);
    }
    assert!(bad.await.is_err());
    assert_eq!(rules.batches(), [1, 3, 3]);
}

#[tokio::test]
async fn what_is_known_is_not_verified_again() {
    let rules = BareRules::default();
    let (verifier, done) = start(&rules);
    let raw = good_tx(1, 0, &[]);
    let tx = App::verify(&rules, &raw).expect("a good one");
    let verified = &verifier.shared.verified;
    verified.add(verified.key(&raw), &Arc::new(tx));
    let chain = thread::spawn(move || (take(&done), take(&done)));
    let admitted = verifier.submit(raw.clone()).await.expect("a good one");
    verifier.add(job(1, Urgency::Sync, vec![raw]));
    let ((taken, _), (_, answers)) = chain.join().expect("no panic");
    assert_eq!(taken, [admitted.id]);
    assert!(answers[0].checked[0].is_ok());
    assert_eq!(rules.batches(), Vec::<usize>::new());
}

#[tokio::test]
async fn when_the_node_stops_clients_are_told_and_the_thread_ends() {
    let rules = BareRules::default();
    let (verifier, done) = start(&rules);
    drop(verifier);
    assert!(
        done.recv_timeout(PATIENCE).is_err(),
        "nobody is left to answer"
    );
}
