//! What happens around the signer: failures, observers, and entries without a signature.

use super::bench::{A, Bench, domain, has, test_key, vote_request};
use crate::consensus::{
    Action, Engine, Event, HaltReason, PENDING_BYTES_MAX, SignError, Step, Timeouts,
};

fn halt(actions: &[Action]) -> &HaltReason {
    match actions.last() {
        Some(Action::Halt(reason)) => reason,
        _ => panic!("not halted: {actions:?}"),
    }
}

#[test]
fn a_failing_signer_halts_the_engine_and_nothing_leaves() {
    let refused = SignError::Refused {
        why: "test".to_owned(),
    };
    let unavailable = SignError::Unavailable {
        why: "test".to_owned(),
    };
    for error in [refused, unavailable] {
        let mut b = Bench::proposing(4, 0, true);
        b.start(1);
        b.holder.failure = Some(error.clone());
        let out = b.try_step(Event::Propose {
            height: 1,
            round: 0,
            hash: A,
        });
        assert_eq!(out.len(), 1, "{out:?}");
        assert!(matches!(halt(&out), HaltReason::Sign { error: e, .. } if *e == error));
        assert!(b.try_step(Event::EndHeight).is_empty());
        let start = Event::StartHeight {
            height: 2,
            validators: b.set.clone(),
            wal: vec![],
        };
        assert!(b.try_step(start).is_empty(), "halted for good");
    }
}

#[test]
fn a_signature_of_another_key_halts_the_engine() {
    let mut b = Bench::proposing(4, 0, true);
    b.start(1);
    b.holder.key = test_key(200);
    let out = b.try_step(Event::Propose {
        height: 1,
        round: 0,
        hash: A,
    });
    assert_eq!(halt(&out), &HaltReason::ForeignSignature);
    assert!(!has(&out, |a| matches!(a, Action::Publish(_))));
}

#[test]
fn what_was_signed_before_the_failure_still_leaves() {
    let mut b = Bench::proposing(4, 0, false);
    b.start(1);
    b.step(Event::Message(b.proposal(0, A)));
    b.step(b.judged(0, A));
    let others = b.others();
    b.step(Event::Message(b.vote(others[0], Step::Prevote, 0, Some(A))));
    b.holder.failure = Some(SignError::Unavailable {
        why: "test".to_owned(),
    });
    let out = b.try_step(Event::Message(b.vote(others[1], Step::Prevote, 0, Some(A))));
    assert!(!has(&out, |a| matches!(a, Action::Publish(_))));
    halt(&out);
    // The worker restarts, and the signer is back: the same state, and the vote is made.
    b.holder.failure = None;
    b.restart();
    for by in &others[..2] {
        b.step(Event::Message(b.vote(*by, Step::Prevote, 0, Some(A))));
    }
    assert_eq!(
        b.holder.fresh.last(),
        Some(&vote_request(Step::Precommit, 1, 0, Some(A)))
    );
}

#[test]
fn heights_open_upwards_and_logs_fit_their_height() {
    let mut b = Bench::proposing(4, 0, true);
    b.start(1);
    b.step(Event::Propose {
        height: 1,
        round: 0,
        hash: A,
    });
    let good = b.holder.wal.clone();
    assert!(!good.is_empty());
    let (validators, height) = (b.set.clone(), 1);
    let again = Event::StartHeight {
        height,
        validators: validators.clone(),
        wal: vec![],
    };
    assert_eq!(
        halt(&b.try_step(again)),
        &HaltReason::HeightOrder { asked: 1, open: 1 }
    );

    let mut damaged = [(); 4].map(|_| good.clone());
    damaged[0][0].height = 2;
    damaged[1][0].index = 1;
    damaged[2][0].bytes.push(0);
    damaged[3][0].bytes.clear();
    for wal in damaged {
        b.engine = Engine::new(Some(b.keys[b.me].public), domain(), Timeouts::default());
        let event = Event::StartHeight {
            height,
            validators: validators.clone(),
            wal,
        };
        let out = b.try_step(event);
        let reason = halt(&out);
        let is_named = matches!(
            reason,
            HaltReason::WalOrder { .. } | HaltReason::CorruptWal { .. }
        );
        assert!(is_named, "{reason}");
    }
}

/// An observer never signs, so its log would grow in memory; and it decides like the others.
#[test]
fn an_observer_follows_without_a_key_and_hands_out_its_log_in_pieces() {
    let mut b = Bench::new(128, 0);
    b.engine = Engine::new(None, domain(), Timeouts::default());
    b.holder.failure = Some(SignError::Unavailable {
        why: "no key".to_owned(),
    });
    b.start(1);
    let mut pieces = 0;
    for round in 0..4 {
        for step in [Step::Prevote, Step::Precommit] {
            for by in 0..80 {
                let out = b.step(Event::Message(b.vote(by, step, round, None)));
                for action in &out {
                    if let Action::Persist(entries) = action {
                        let size: usize = entries.iter().map(|e| e.bytes.len()).sum();
                        assert!(size <= PENDING_BYTES_MAX);
                        pieces += 1;
                    }
                }
            }
        }
    }
    assert!(pieces >= 1);
    let durable = b.holder.wal.len();
    assert!(durable > 400);
    // The pieces are a log like any other.
    let wal = b.holder.wal.clone();
    b.engine = Engine::new(None, domain(), Timeouts::default());
    b.step(Event::StartHeight {
        height: 1,
        validators: b.set.clone(),
        wal,
    });
    assert_eq!(b.holder.wal.len(), durable, "nothing is logged twice");
    let request = vote_request(Step::Precommit, 1, 0, Some(A));
    let mut certificate = b.certificate(0, A);
    certificate.signatures.iter_mut().for_each(|s| {
        let key = b
            .keys
            .iter()
            .find(|k| k.public == s.validator)
            .expect("a member");
        s.signature = key.sign(&request);
    });
    let out = b.sync(certificate);
    assert!(has(&out, |a| matches!(a, Action::CheckSynced { .. })));
}
