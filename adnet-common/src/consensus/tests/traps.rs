//! Directed tests of single engines, one for each trap of the core.

use super::bench::{A, B, Bench, C, has, proposals, vote_request, votes};
use crate::consensus::{Action, Event, Origin, Step};
use crate::hash::Hash;

#[test]
fn a_third_value_of_our_own_survives_a_replay() {
    let mut b = Bench::proposing(4, 0, true);
    assert!(has(&b.start(1), |a| matches!(
        a,
        Action::BuildBlock { round: 0, .. }
    )));
    let mut out = vec![];
    for hash in [A, B, C] {
        out.extend(b.step(Event::Propose {
            height: 1,
            round: 0,
            hash,
        }));
    }
    assert_eq!(proposals(&out).len(), 1);
    assert_eq!(proposals(&out)[0].value, Some(A.0));
    let out = b.step(Event::Message(b.vote(
        b.others()[0],
        Step::Prevote,
        0,
        None,
    )));
    assert!(matches!(out[..], [Action::Relay(_)]), "nothing but that");

    let out = b.restart();
    assert!(!has(&out, |a| matches!(a, Action::BuildBlock { .. })));
    assert_eq!(votes(&out), [vote_request(Step::Prevote, 1, 0, Some(A))]);
    let out = b.step(Event::Propose {
        height: 1,
        round: 0,
        hash: Hash([0xd; 32]),
    });
    assert!(proposals(&out).is_empty() && votes(&out).is_empty());
}

#[test]
fn bodies_that_nobody_asked_for_cannot_crowd_out_the_real_one() {
    let mut b = Bench::proposing(4, 0, false);
    b.start(1);
    for junk in [A, B, Hash([0xe; 32])] {
        assert!(b.step(b.judged(0, junk)).is_empty());
        let event = Event::Block {
            block: b.block(0, junk),
            valid: true,
            origin: Origin::Sync,
        };
        assert!(b.step(event).is_empty());
    }
    let out = b.step(Event::Message(b.proposal(0, C)));
    assert!(has(
        &out,
        |a| matches!(a, Action::NeedBlock { block, .. } if *block == b.block(0, C))
    ));
    assert!(votes(&out).is_empty(), "no vote before the body is judged");
    let out = b.step(b.judged(0, C));
    assert_eq!(votes(&out), [vote_request(Step::Prevote, 1, 0, Some(C))]);
    assert!(b.step(b.judged(0, C)).is_empty(), "answered once");
}

#[test]
fn an_invalid_block_gets_a_vote_for_nil() {
    let mut b = Bench::proposing(4, 0, false);
    b.start(1);
    b.step(Event::Message(b.proposal(0, C)));
    let block = b.block(0, C);
    let out = b.step(Event::Block {
        block,
        valid: false,
        origin: Origin::Consensus,
    });
    assert_eq!(votes(&out), [vote_request(Step::Prevote, 1, 0, None)]);
}

/// A good certificate with a bad body moves the core to a later round, where it votes. Without
/// the certificate in the log a replay stays behind, and the core would vote there once more.
#[test]
fn a_certificate_without_a_body_is_not_forgotten() {
    let mut b = Bench::proposing(4, 1, false);
    b.start(1);
    let out = b.sync(b.certificate(1, A));
    assert!(has(
        &out,
        |a| matches!(a, Action::CheckSynced { peer, .. } if *peer == [9; 32])
    ));
    assert_eq!(b.engine.position(), Some((1, 1)));
    let nil = vote_request(Step::Prevote, 1, 1, None);
    assert!(votes(&b.elapse()).contains(&nil));

    b.restart();
    assert_eq!(b.engine.position(), Some((1, 1)));
    let mut out = vec![];
    for by in &b.others()[..2] {
        out.extend(b.step(Event::Message(b.vote(*by, Step::Prevote, 1, Some(A)))));
    }
    out.extend(b.step(Event::Message(b.proposal(1, A))));
    out.extend(b.step(b.judged(1, A)));
    assert!(
        !votes(&out)
            .iter()
            .any(|v| v.step == Step::Prevote && v.value.is_some())
    );
    assert!(has(
        &out,
        |a| matches!(a, Action::Commit { certificate, .. } if certificate.value == A)
    ));
}

#[test]
fn a_synced_block_is_decided_and_a_damaged_certificate_is_not() {
    let mut b = Bench::proposing(4, 0, false);
    b.start(1);
    let good = b.certificate(0, A);
    let mut bad = [(); 6].map(|_| good.clone());
    bad[0].signatures.truncate(2);
    bad[1].signatures[2] = bad[1].signatures[0];
    bad[2].signatures[0].signature = bad[2].signatures[1].signature;
    bad[3].value = B;
    bad[4].round = 1;
    bad[5].signatures.clear();
    for certificate in bad {
        let out = b.sync(certificate);
        assert!(
            matches!(out[..], [Action::RejectSynced(peer)] if peer == [9; 32]),
            "{out:?}"
        );
    }
    let mut other_height = good.clone();
    other_height.height = 2;
    assert!(b.sync(other_height).is_empty());

    let out = b.sync(good);
    let check = out.iter().find_map(|a| match a {
        Action::CheckSynced { block, body, .. } => Some((*block, body.clone())),
        _ => None,
    });
    let (block, body) = check.expect("the body is to be checked");
    assert_eq!((block, &body[..]), (b.block(0, A), &b"a body"[..]));
    let out = b.step(Event::Block {
        block,
        valid: true,
        origin: Origin::Sync,
    });
    assert!(has(&out, |a| matches!(a, Action::Commit { .. })));
    assert!(matches!(out.last(), Some(Action::Finalized { .. })));
    assert!(b.step(Event::EndHeight).is_empty(), "finalized already");
    assert!(b.sync(b.certificate(0, A)).is_empty());
}

#[test]
fn a_lone_validator_decides_heights_and_ignores_late_and_double_events() {
    let mut b = Bench::new(1, 0);
    let mut old = Vec::new();
    for height in 1..=5 {
        b.start(height);
        for id in std::mem::take(&mut old) {
            assert!(
                b.step(Event::Timer(id)).is_empty(),
                "a timer of the last height"
            );
        }
        assert!(b.step(Event::EndHeight).is_empty(), "not decided yet");
        let hash = Hash([height as u8; 32]);
        let out = b.step(Event::Propose {
            height,
            round: 0,
            hash,
        });
        let is_ours = |a: &Action| matches!(a, Action::Commit { certificate, .. } if certificate.value == hash);
        assert!(has(&out, is_ours), "{out:?}");
        assert!(b.engine.is_decided());
        assert!(
            b.step(Event::Propose {
                height,
                round: 0,
                hash: A
            })
            .is_empty()
        );
        old = std::mem::take(&mut b.timers);
        let end = b.step(Event::EndHeight);
        assert!(matches!(end[..], [Action::Finalized { .. }]), "{end:?}");
        assert!(b.step(Event::EndHeight).is_empty());
        b.holder.wal.clear();
    }
}

#[test]
fn two_conflicting_votes_become_evidence_that_stands_for_itself() {
    let mut b = Bench::proposing(4, 0, false);
    b.start(1);
    let liar = b.others()[0];
    for value in [Some(A), None, Some(B)] {
        b.step(Event::Message(b.vote(liar, Step::Prevote, 0, value)));
    }
    b.step(Event::Message(b.proposal(0, C)));
    b.step(b.judged(0, C));
    let mut out = vec![];
    for step in [Step::Prevote, Step::Precommit] {
        for by in &b.others()[1..] {
            out.extend(b.step(Event::Message(b.vote(*by, step, 0, Some(C)))));
        }
    }
    let at_commit = out.iter().find_map(|a| match a {
        Action::Commit { evidence, .. } => Some(evidence.clone()),
        _ => None,
    });
    let at_commit = at_commit.unwrap_or_else(|| panic!("{out:?}"));
    assert_eq!(at_commit.len(), 2, "{at_commit:?}");
    // A late precommit still counts, the liar's own one does, and so does what it denies then.
    for value in [Some(C), None] {
        b.step(Event::Message(b.vote(liar, Step::Precommit, 0, value)));
    }
    let out = b.step(Event::EndHeight);
    let [
        Action::Finalized {
            certificate,
            evidence,
        },
    ] = &out[..]
    else {
        panic!("{out:?}");
    };
    assert_eq!(certificate.signatures.len(), 4);
    assert_eq!(evidence.len(), 1, "{evidence:?}");
    for pair in at_commit.iter().chain(evidence) {
        assert_eq!(pair.validator, b.keys[liar].public);
        assert_eq!(pair.verify(&super::bench::domain()), Ok(()));
    }
}

#[test]
fn messages_far_ahead_are_dropped_and_those_of_the_next_height_wait() {
    let mut b = Bench::proposing(4, 0, false);
    b.start(1);
    for height in [2, 5, 6, u64::MAX] {
        let nil = b.vote_at(height, b.others()[0], Step::Prevote, 0, None);
        assert!(b.step(Event::Message(nil)).is_empty());
    }
}
