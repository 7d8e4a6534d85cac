//! What a node says of gossiped messages, and what it tells again.

use adnet_alpha::AlphaApp;
use adnet_common::application::Application;
use adnet_common::attestation::FinalityProof;
use adnet_common::block::MAX_TX_BYTES;
use adnet_common::node::{Class, Fault, Input, Output, Topic, Verdict};
use adnet_delta::DeltaApp;
use adnet_tests::hostile::{History, Listener, history};

const PEER: [u8; 32] = [1; 32];
const GARBAGE: Verdict = Verdict::Reject(Fault::Garbage);
const BAD_TRANSACTION: Verdict = Verdict::Reject(Fault::BadTransaction);
const BAD_BLOCK: Verdict = Verdict::Reject(Fault::BadBlock);

/// The verdict, which must be the last output, and what came before it.
fn judged<A: Application>(
    node: &mut Listener<A>,
    topic: Topic,
    bytes: &[u8],
) -> (Verdict, Vec<Output<A>>) {
    let id = [bytes.len() as u8; 20];
    let mut outputs = node.hear(Input::Gossip {
        peer: PEER,
        topic,
        id,
        bytes: bytes.to_vec(),
    });
    match outputs.pop() {
        Some(Output::Verdict {
            peer,
            topic: of,
            id: named,
            verdict,
        }) => {
            assert_eq!((peer, of, named), (PEER, topic, id));
            (verdict, outputs)
        }
        _ => panic!("the verdict is the last word"),
    }
}

fn verdict<A: Application>(node: &mut Listener<A>, topic: Topic, bytes: &[u8]) -> Verdict {
    judged(node, topic, bytes).0
}

/// A few transactions of the history of this chain, in the order in which they were sent.
fn transactions_are_judged<A: Application>(txs: &[Vec<u8>], of_other_chain: &[Vec<u8>]) {
    let mut node = Listener::<A>::new();
    let (first, topic) = (&txs[0], Topic::Transaction);
    let (said, before) = judged(&mut node, topic, first);
    assert_eq!(said, Verdict::Accept);
    // The router passes it on; the node does not publish it once more.
    assert!(before.is_empty());
    assert_eq!(verdict(&mut node, topic, first), Verdict::Ignore);
    for bad in [vec![], vec![0xff; 100], of_other_chain[0].clone()] {
        assert_eq!(verdict(&mut node, topic, &bad), BAD_TRANSACTION);
    }
    let mut forged = first.clone();
    let last = forged.len() - 1;
    forged[last] ^= 1; // in its signature
    assert_eq!(verdict(&mut node, topic, &forged), BAD_TRANSACTION);
    assert_eq!(
        verdict(&mut node, topic, &vec![0; MAX_TX_BYTES + 1]),
        GARBAGE
    );
}

#[test]
fn only_valid_transactions_that_are_new_here_go_on() {
    let History {
        alpha_txs,
        delta_txs,
        ..
    } = history();
    transactions_are_judged::<AlphaApp>(alpha_txs, delta_txs);
    transactions_are_judged::<DeltaApp>(delta_txs, alpha_txs);
}

/// A follower at genesis that hears of later blocks.
#[test]
fn announcements_go_on_once_per_height_and_only_with_a_certificate() {
    let mut announced = history().of_topic(Topic::Block);
    let height = |bytes: &[u8]| FinalityProof::decode(bytes).expect("published").header;
    announced.retain(|bytes| height(bytes).chain == AlphaApp::CHAIN);
    let [first, second, third, ..] = &announced[..] else {
        panic!("the history has several heights");
    };
    let mut node = Listener::<AlphaApp>::new();
    let topic = Topic::Block;

    let (said, before) = judged(&mut node, topic, second);
    assert_eq!(said, Verdict::Accept);
    let asks = |output: &Output<AlphaApp>| matches!(output, Output::Send { peer, class: Class::SyncRequest, .. } if *peer == PEER);
    assert!(before.iter().any(asks), "it asks for what it misses");
    for old in [first, second] {
        assert_eq!(verdict(&mut node, topic, old), Verdict::Ignore);
    }

    let mut forged = FinalityProof::decode(third).expect("published");
    forged.header.time_ms += 1;
    assert_eq!(verdict(&mut node, topic, &forged.encode()), BAD_BLOCK);
    let mut unsigned = FinalityProof::decode(third).expect("published");
    unsigned.certificate.clear();
    assert_eq!(verdict(&mut node, topic, &unsigned.encode()), BAD_BLOCK);
    assert_eq!(verdict(&mut node, topic, &third[1..]), GARBAGE);
    let mut other_chain = Listener::<DeltaApp>::new();
    assert_eq!(verdict(&mut other_chain, topic, third), BAD_BLOCK);
    // None of this has kept the genuine one away.
    assert_eq!(verdict(&mut node, topic, third), Verdict::Accept);
}

/// Gossip may lose a message. What waits for long is told again, what is new is not.
#[test]
fn a_transaction_that_waits_for_long_is_told_again() {
    let mut node = Listener::<AlphaApp>::new();
    let tx = &history().alpha_txs[0];
    let topic = Topic::Transaction;
    assert_eq!(verdict(&mut node, topic, tx), Verdict::Accept);
    let told = |outputs: Vec<Output<AlphaApp>>| {
        let of = |output: &Output<AlphaApp>| matches!(output, Output::Publish { bytes, .. } if bytes == tx);
        outputs.iter().filter(|output| of(output)).count()
    };
    let mut tellings = Vec::new();
    for second in 0..300 {
        node.now_ms += 1_000;
        if told(node.hear(Input::Tick)) > 0 {
            tellings.push(second);
        }
    }
    assert!((2..=3).contains(&tellings.len()), "{tellings:?}");
    assert!(tellings[0] >= 89, "{tellings:?}");
}
