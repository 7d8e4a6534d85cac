//! The bytes of messages and proofs: fixed, canonical and bounded.

use super::*;
use crate::consensus::ValidatorSet;
use crate::consensus::tests::bench::test_key;

fn set() -> ValidatorSet {
    ValidatorSet::new([(test_key(1).public, 0x0102)]).expect("one key with power")
}

/// Count, key, power.
fn set_bytes() -> Vec<u8> {
    [
        &[0, 0, 0, 1][..],
        &test_key(1).public.0,
        &[0, 0, 0, 0, 0, 0, 1, 2],
    ]
    .concat()
}

fn message(payload: Payload) -> OutboundMessage {
    OutboundMessage {
        sequence: 7,
        payload,
    }
}

#[test]
fn messages_about_validators_have_these_bytes() {
    let seven = [0, 0, 0, 0, 0, 0, 0, 7];
    let len = [0, 0, 0, 44];
    let encoded = set_bytes();
    assert_eq!(encoded.len(), 44);
    let cases: [(Payload, Vec<u8>); 3] = [
        (
            Payload::ValidatorSet {
                set: EncodedSet::of(&set()),
                tombstoned: vec![PublicKey([9; 32])],
            },
            [&seven[..], &[3], &len, &encoded, &[0, 0, 0, 1], &[9; 32]].concat(),
        ),
        (
            Payload::Misbehaviour {
                validator: PublicKey([9; 32]),
            },
            [&seven[..], &[4], &[9; 32]].concat(),
        ),
        (
            Payload::Adopted {
                set: EncodedSet::of(&set()),
            },
            [&seven[..], &[5], &len, &encoded].concat(),
        ),
    ];
    for (payload, bytes) in cases {
        let from = payload.from();
        let message = message(payload);
        assert_eq!(message.encode(), bytes);
        let attestation = Attestation::of_block(from, 5, &[message]).remove(0);
        let bytes = attestation.encode();
        assert_eq!(Attestation::decode(&bytes).as_ref(), Ok(&attestation));
        for cut in 0..bytes.len() {
            assert!(Attestation::decode(&bytes[..cut]).is_err());
        }
        let other = Attestation {
            from: from.sibling(),
            ..attestation
        };
        let refused = Attestation::decode(&other.encode()).expect_err("the other chain's kind");
        assert!(
            refused
                .to_string()
                .contains("the other chain sends this kind")
        );
    }
}

#[test]
fn unknown_kinds_and_too_long_lists_are_refused_by_name() {
    let with = |rest: &[u8]| {
        let bytes = [&7u64.to_be_bytes()[..], rest].concat();
        let refused = OutboundMessage::decode_from(&mut Reader::new(&bytes));
        refused.expect_err("it is no message").to_string()
    };
    for kind in [0, 6, 255] {
        assert!(with(&[kind]).contains("attestation kind"));
    }
    let too_long = u32::try_from(EncodedSet::BYTES_MAX + 1).expect("small");
    assert!(with(&[&[5][..], &too_long.to_be_bytes()].concat()).contains("over the bound"));
    let too_many = u32::try_from(MAX_TOMBSTONED + 1).expect("small");
    let decree = [&[3, 0, 0, 0, 0][..], &too_many.to_be_bytes()].concat();
    assert!(with(&decree).contains("over the bound"));
}

#[test]
fn a_finality_proof_says_whether_a_set_comes_with_it() {
    let header = Header {
        chain: ChainId::Alpha,
        genesis: Hash([1; 32]),
        height: 3,
        time_ms: 4,
        parent: Hash([2; 32]),
        proposer: [3; 32],
        body_root: Hash([4; 32]),
        state_root: Hash([5; 32]),
        outbox_root: Hash([6; 32]),
        next_validators: set().validators_hash(),
    };
    let without = FinalityProof {
        header,
        certificate: vec![8; 5],
        next_set: None,
    };
    let with = FinalityProof {
        next_set: Some(EncodedSet::of(&set())),
        ..without.clone()
    };
    let common = [
        &[0, 2][..],
        &without.header.encode(),
        &[0, 0, 0, 5, 8, 8, 8, 8, 8],
    ]
    .concat();
    let bytes = [&common[..], &[1, 0, 0, 0, 44], &set_bytes()].concat();
    assert_eq!(without.encode(), [&common[..], &[0]].concat());
    assert_eq!(with.encode(), bytes);
    for proof in [&without, &with] {
        assert_eq!(FinalityProof::decode(&proof.encode()).as_ref(), Ok(proof));
    }
    assert!(FinalityProof::decode(&[&common[..], &[2]].concat()).is_err());
    assert!(FinalityProof::decode(&common).is_err());
    assert_eq!(EncodedSet::of(&set()).hash(), set().validators_hash());
}
