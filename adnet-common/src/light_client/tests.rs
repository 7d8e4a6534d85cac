//! Chains of headers whose validators change: what follows, what is forged, what is late.

use super::*;
use crate::attestation::{OutboundMessage, Payload, outbox_root};
use crate::consensus::tests::bench::{TestKey, domain, test_key};
use crate::consensus::{CommitSignature, EncodedSet, SignRequest, Step};

fn set(members: &[u8]) -> ValidatorSet {
    let list = members.iter().map(|i| (test_key(*i).public, 1));
    ValidatorSet::new(list).expect("distinct keys with power")
}

/// A decided block of Delta that `signers` have signed, with `next` deciding the next height.
fn proof(height: u64, signers: &[u8], now: &[u8], next: &[u8]) -> FinalityProof {
    let mut outbox = vec![OutboundMessage {
        sequence: height,
        payload: Payload::Unlock {
            recipient: [3; 32],
            amount_units: 1,
        },
    }];
    outbox.extend((now != next).then(|| announcement(height, next)));
    let header = Header {
        chain: ChainId::Delta,
        genesis: domain().genesis,
        height,
        time_ms: height,
        parent: Hash::ZERO,
        proposer: [0; 32],
        body_root: Hash::ZERO,
        state_root: Hash::ZERO,
        outbox_root: outbox_root(&outbox),
        next_validators: set(next).validators_hash(),
    };
    let next_set = (now != next).then(|| EncodedSet::of(&set(next)));
    certified(header, signers, next_set)
}

fn announcement(height: u64, next: &[u8]) -> OutboundMessage {
    OutboundMessage {
        sequence: height + 1,
        payload: Payload::ValidatorSet {
            set: EncodedSet::of(&set(next)),
            tombstoned: vec![],
        },
    }
}

fn certified(header: Header, signers: &[u8], next_set: Option<EncodedSet>) -> FinalityProof {
    let request = SignRequest {
        height: header.height,
        round: 0,
        step: Step::Precommit,
        value: Some(header.hash().0),
        pol_round: None,
    };
    let signature = |key: TestKey| CommitSignature {
        validator: key.public,
        signature: key.sign(&request),
    };
    let mut signatures: Vec<_> = signers.iter().map(|i| signature(test_key(*i))).collect();
    signatures.sort();
    let certificate = CommitCertificate {
        height: header.height,
        round: 0,
        value: header.hash(),
        signatures,
    };
    FinalityProof {
        header,
        certificate: certificate.encode(),
        next_set,
    }
}

fn client(from: u64, members: &[u8]) -> LightClient {
    let Domain {
        network_id,
        genesis,
        chain,
    } = domain();
    LightClient::new(
        chain,
        network_id,
        genesis,
        &SetFrom::new(from, set(members)),
    )
}

const OLD: &[u8] = &[1, 2, 3, 4];
const NEW: &[u8] = &[5, 6, 7];

#[test]
fn a_change_is_followed_and_the_old_validators_are_believed_no_more() {
    let light = client(1, OLD);
    light
        .learn(&proof(8, &[1, 2, 3], OLD, OLD))
        .expect("a quorum of the old set");
    light
        .learn(&proof(9, &[2, 3, 4], OLD, NEW))
        .expect("it announces the new set");
    light
        .learn(&proof(10, NEW, NEW, NEW))
        .expect("a quorum of the new set");
    let usurped = proof(11, OLD, OLD, OLD);
    assert!(matches!(
        light.learn(&usurped),
        Err(LightClientError::UnknownValidators)
    ));
    // Not even for what leads back to a set that is known.
    let header = Header {
        next_validators: set(NEW).validators_hash(),
        ..usurped.header
    };
    let usurped = certified(header, OLD, None);
    assert!(matches!(
        light.learn(&usurped),
        Err(LightClientError::BadCertificate(_))
    ));
    // What was before the change verifies as before, in any order.
    light
        .learn(&proof(7, &[1, 2, 3], OLD, OLD))
        .expect("a quorum of the set of height 7");
    assert_eq!(light.best_height(), 10);
}

#[test]
fn a_set_must_come_with_the_proof_that_announces_it_and_be_that_one() {
    let light = client(1, OLD);
    let honest = proof(9, &[1, 2, 3], OLD, NEW);
    let without = FinalityProof {
        next_set: None,
        ..honest.clone()
    };
    let other = FinalityProof {
        next_set: Some(EncodedSet::of(&set(&[5, 6, 8]))),
        ..honest.clone()
    };
    let needless = FinalityProof {
        next_set: Some(EncodedSet::of(&set(OLD))),
        ..proof(9, &[1, 2, 3], OLD, OLD)
    };
    assert_eq!(
        light.learn(&without),
        Err(LightClientError::UnknownValidators)
    );
    assert_eq!(
        light.learn(&other),
        Err(LightClientError::WrongValidators(9))
    );
    assert_eq!(
        light.learn(&needless),
        Err(LightClientError::WrongValidators(9))
    );
    let early = proof(10, NEW, NEW, NEW);
    assert_eq!(
        light.learn(&early),
        Err(LightClientError::UnknownValidators)
    );
    light.learn(&honest).expect("set and hash agree");
    light.learn(&early).expect("its validators are known now");
}

#[test]
fn a_set_whose_bytes_are_none_is_refused_though_its_hash_is_certified() {
    let light = client(1, OLD);
    let mut r = crate::codec::Reader::new(&[0, 0, 0, 2, 7, 7]);
    let garbage = EncodedSet::decode_from(&mut r).expect("bytes with a length");
    let header = Header {
        next_validators: garbage.hash(),
        ..proof(9, OLD, OLD, NEW).header
    };
    let proof = certified(header, OLD, Some(garbage));
    assert_eq!(
        light.learn(&proof),
        Err(LightClientError::WrongValidators(9))
    );
}

#[test]
fn a_restarted_client_begins_with_the_state_and_not_with_the_genesis() {
    // The committed state has consumed the change at height 9.
    let light = client(10, NEW);
    assert_eq!(
        light.learn(&proof(9, OLD, OLD, NEW)),
        Err(LightClientError::OldProof(9))
    );
    let forged = proof(12, OLD, OLD, OLD);
    assert!(light.learn(&forged).is_err());
    light.learn(&proof(12, NEW, NEW, NEW)).expect("the present");
}

#[test]
fn state_that_moves_on_forgets_the_sets_before_it() {
    let light = client(1, OLD);
    light.learn(&proof(9, OLD, OLD, NEW)).expect("a change");
    light.advance(&SetFrom::new(10, set(NEW)));
    assert_eq!(
        light.learn(&proof(8, OLD, OLD, OLD)),
        Err(LightClientError::OldProof(8))
    );
    light.learn(&proof(10, NEW, NEW, NEW)).expect("known");
}

#[test]
fn changes_that_nobody_consumes_are_followed_up_to_a_bound() {
    let light = client(1, &[1]);
    let sets: [&[u8]; 2] = [&[1], &[2]];
    let change = |height: u64| {
        let (now, next) = (sets[(height % 2) as usize ^ 1], sets[(height % 2) as usize]);
        proof(height, now, now, next)
    };
    let followed = (1u64..).take_while(|height| light.learn(&change(*height)).is_ok());
    assert_eq!(followed.count(), KNOWN_SETS_MAX - 1);
    let next = change(KNOWN_SETS_MAX as u64);
    assert_eq!(light.learn(&next), Err(LightClientError::TooManyChanges));
    light.advance(&SetFrom::new(200, set(sets[(199 % 2) as usize])));
    light.learn(&next).expect("there is room again");
}

/// A block of our chain judges by the state alone: two nodes, one of which has followed the other
/// chain far ahead, come to the same verdict.
#[test]
fn an_inbox_is_judged_by_the_state_whatever_a_node_has_heard() {
    let ahead = client(1, OLD);
    for p in [proof(9, OLD, OLD, NEW), proof(10, NEW, NEW, NEW)] {
        ahead.learn(&p).expect("the other chain's present");
    }
    let fresh = client(1, OLD);
    let state = SetFrom::new(1, set(OLD));
    let change = proof(9, &[1, 2, 3], OLD, NEW);
    let after = proof(11, NEW, NEW, NEW);
    let forged = proof(11, OLD, OLD, OLD);
    let half = FinalityProof {
        certificate: proof(9, &[1], OLD, NEW).certificate,
        ..change.clone()
    };
    let outbox = |height, next| {
        let unlock = OutboundMessage {
            sequence: height,
            payload: Payload::Unlock {
                recipient: [3; 32],
                amount_units: 1,
            },
        };
        let mut outbox = vec![unlock];
        outbox.extend((height == 9).then(|| announcement(height, next)));
        Attestation::of_block(ChainId::Delta, height, &outbox)
    };
    let messages = outbox(9, NEW);
    let cases: [(&[FinalityProof], &[Attestation], bool); 6] = [
        (std::slice::from_ref(&change), &messages, true),
        (&[change.clone(), after.clone()], &messages[..1], true),
        (std::slice::from_ref(&after), &[], false),
        (&[change.clone(), forged], &[], false),
        (std::slice::from_ref(&half), &[], false),
        (std::slice::from_ref(&after), &messages, false),
    ];
    for (place, (proofs, attestations, good)) in cases.into_iter().enumerate() {
        for client in [&ahead, &fresh] {
            let verdict = client.verify_inbox(&state, proofs, attestations);
            assert_eq!(verdict.is_ok(), good, "case {place}: {verdict:?}");
        }
    }
    let state = SetFrom::new(10, set(NEW));
    let late = ahead.verify_inbox(&state, &[change], &[]);
    assert_eq!(late, Err(LightClientError::OldProof(9)));
}

#[test]
fn a_message_that_tells_of_another_set_than_its_header_is_refused() {
    let light = client(1, OLD);
    let lie = announcement(9, &[5, 6, 8]);
    let outbox = [lie];
    let header = Header {
        outbox_root: outbox_root(&outbox),
        ..proof(9, OLD, OLD, NEW).header
    };
    let proof = certified(header, OLD, Some(EncodedSet::of(&set(NEW))));
    let messages = Attestation::of_block(ChainId::Delta, 9, &outbox);
    let state = SetFrom::new(1, set(OLD));
    let verdict = light.verify_inbox(&state, &[proof], &messages);
    assert_eq!(verdict, Err(LightClientError::WrongValidators(9)));
}
