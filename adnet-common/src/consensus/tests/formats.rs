//! Wire and log formats: what is written is read, and no bytes make a decoder panic.

use super::bench::{A, B, Bench, domain, signed, test_key, vote_request};
use crate::consensus::context::Height;
use crate::consensus::message::Inner;
use crate::consensus::{
    CertificateError, CommitCertificate, Equivocation, EvidenceError, MESSAGE_BYTES_MAX, Message,
    MessageError, SignRequest, Step, VALIDATORS_MAX, ValidatorSet, ValidatorSetError,
    verify_certificate, wal,
};
use crate::keys::PublicKey;
use arc_malachitebft_core_types::{
    NilOrVal, PolkaCertificate, PolkaSignature, Round, RoundCertificate, RoundCertificateType,
    RoundSignature, VoteType,
};
use arc_malachitebft_signing_ed25519::Signature;
use proptest::prelude::*;

/// A polka certificate of the first `signers` validators.
fn polka(b: &Bench, signers: usize) -> Message {
    let request = vote_request(Step::Prevote, 1, 2, Some(A));
    let signature = |k: &super::bench::TestKey| {
        PolkaSignature::new(k.public, Signature::from_bytes(k.sign(&request)))
    };
    Message(Inner::Polka(PolkaCertificate {
        height: Height(1),
        round: Round::new(2),
        value_id: A,
        polka_signatures: b.keys[..signers].iter().map(signature).collect(),
    }))
}

/// A round certificate of votes of one kind for nil.
fn round(b: &Bench, signers: usize, kind: VoteType, cert_type: RoundCertificateType) -> Message {
    let step = if kind == VoteType::Prevote {
        Step::Prevote
    } else {
        Step::Precommit
    };
    let request = vote_request(step, 1, 2, None);
    let signature = |k: &super::bench::TestKey| {
        let signature = Signature::from_bytes(k.sign(&request));
        RoundSignature::new(kind, NilOrVal::Nil, k.public, signature)
    };
    Message(Inner::Round(RoundCertificate {
        height: Height(1),
        round: Round::new(2),
        cert_type,
        round_signatures: b.keys[..signers].iter().map(signature).collect(),
    }))
}

fn samples() -> Vec<Message> {
    let b = Bench::new(4, 0);
    vec![
        b.vote(1, Step::Prevote, 0, Some(A)),
        b.vote(2, Step::Precommit, 7, None),
        b.proposal(0, A),
        polka(&b, 3),
        round(&b, 3, VoteType::Precommit, RoundCertificateType::Precommit),
        round(&b, 2, VoteType::Prevote, RoundCertificateType::Skip),
    ]
}

#[test]
fn messages_round_trip_and_verify() {
    let b = Bench::new(4, 0);
    for message in samples() {
        let bytes = message.encode();
        assert!(bytes.len() <= MESSAGE_BYTES_MAX);
        assert_eq!(Message::decode(&bytes), Ok(message.clone()));
        assert_eq!(message.verify(&domain(), &b.set), Ok(()));
        for cut in 0..bytes.len() {
            assert!(Message::decode(&bytes[..cut]).is_err());
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(Message::decode(&longer).is_err());
    }
}

#[test]
fn what_does_not_verify_is_named() {
    let b = Bench::new(4, 0);
    let stranger = signed(&test_key(99), &vote_request(Step::Prevote, 1, 0, None));
    let error = stranger.verify(&domain(), &b.set);
    assert_eq!(
        error,
        Err(MessageError::UnknownValidator(test_key(99).public))
    );
    let other = (b.proposer(0) + 1) % 4;
    let usurper = signed(&b.keys[other], &vote_request(Step::Proposal, 1, 0, Some(A)));
    let error = usurper.verify(&domain(), &b.set);
    assert_eq!(error, Err(MessageError::NotProposer(b.keys[other].public)));
    let weak = polka(&b, 2).verify(&domain(), &b.set);
    let not_enough = CertificateError::NotEnoughPower {
        signed: 2,
        total: 4,
    };
    assert_eq!(weak, Err(MessageError::Certificate(not_enough)));
    let mixed = round(&b, 3, VoteType::Prevote, RoundCertificateType::Precommit);
    let wrong = CertificateError::WrongStep(b.keys[0].public);
    assert_eq!(
        mixed.verify(&domain(), &b.set),
        Err(MessageError::Certificate(wrong))
    );
    let sibling = crate::consensus::Domain {
        chain: domain().chain.sibling(),
        ..domain()
    };
    assert!(
        samples()
            .iter()
            .all(|m| m.verify(&sibling, &b.set).is_err())
    );
}

#[test]
fn commit_certificates_round_trip_in_one_form_only() {
    let b = Bench::new(7, 0);
    let mut certificate = b.certificate(3, A);
    certificate.signatures.sort();
    let bytes = certificate.encode();
    assert_eq!(CommitCertificate::decode(&bytes), Ok(certificate.clone()));
    assert_eq!(verify_certificate(&domain(), &b.set, &certificate), Ok(()));
    let mut unsorted = certificate.clone();
    unsorted.signatures.swap(0, 1);
    assert!(CommitCertificate::decode(&unsorted.encode()).is_err());
    let mut twice = certificate.clone();
    twice.signatures[1] = twice.signatures[0];
    assert!(CommitCertificate::decode(&twice.encode()).is_err());
    let duplicate = CertificateError::Duplicate(twice.signatures[0].validator);
    assert_eq!(
        verify_certificate(&domain(), &b.set, &twice),
        Err(duplicate)
    );
    twice.value = B;
    twice.signatures = certificate.signatures.clone();
    let first = CertificateError::BadSignature(certificate.signatures[0].validator);
    assert_eq!(verify_certificate(&domain(), &b.set, &twice), Err(first));
    // Exactly two thirds are not more than two thirds.
    let six = ValidatorSet::new(b.keys[..6].iter().map(|k| (k.public, 1))).expect("sound");
    let mut exact = certificate;
    exact.signatures.retain(|s| six.contains(&s.validator));
    exact.signatures.truncate(4);
    let not_enough = CertificateError::NotEnoughPower {
        signed: 4,
        total: 6,
    };
    assert_eq!(verify_certificate(&domain(), &six, &exact), Err(not_enough));
}

#[test]
fn only_sound_validator_sets_are_built() {
    let keys: Vec<_> = (0..=255).map(|i| test_key(i).public).collect();
    let of = |list: &[(PublicKey, u64)]| ValidatorSet::new(list.iter().copied());
    assert_eq!(of(&[]), Err(ValidatorSetError::Empty));
    assert_eq!(
        of(&[(keys[0], 0)]),
        Err(ValidatorSetError::NoPower(keys[0]))
    );
    assert_eq!(
        of(&[(keys[0], 1), (keys[0], 2)]),
        Err(ValidatorSetError::Duplicate(keys[0]))
    );
    let overweight = [(keys[0], u64::MAX / 3), (keys[1], 1)];
    assert_eq!(of(&overweight), Err(ValidatorSetError::PowerOverflow));
    assert_eq!(
        of(&[(keys[0], u64::MAX), (keys[1], 1)]),
        Err(ValidatorSetError::PowerOverflow)
    );
    assert!(of(&[(keys[0], u64::MAX / 3)]).is_ok());
    let mut off_curve = PublicKey([1; 32]);
    off_curve.0[31] = 0;
    assert_eq!(
        of(&[(off_curve, 1)]),
        Err(ValidatorSetError::BadKey(off_curve))
    );

    let full = ValidatorSet::new(keys.iter().map(|k| (*k, 5))).expect("256 members");
    assert_eq!(full.members().len(), VALIDATORS_MAX);
    let many = keys.iter().map(|k| (*k, 5)).chain([(off_curve, 5)]);
    assert_eq!(
        ValidatorSet::new(many),
        Err(ValidatorSetError::TooMany(257))
    );
    assert_eq!(ValidatorSet::decode(&full.encode()), Ok(full.clone()));
    let other = ValidatorSet::new(keys.iter().map(|k| (*k, 6))).expect("256 members");
    assert_ne!(full.validators_hash(), other.validators_hash());
    let reversed = ValidatorSet::new(keys.iter().rev().map(|k| (*k, 5))).expect("256 members");
    assert_eq!(full.validators_hash(), reversed.validators_hash());
}

#[test]
fn evidence_round_trips_and_needs_two_signatures_of_one_slot() {
    let key = test_key(3);
    let a = vote_request(Step::Prevote, 5, 1, Some(A));
    let b = vote_request(Step::Prevote, 5, 1, None);
    let pair = Equivocation::of(key.public, (&a, key.sign(&a)), (&b, key.sign(&b)));
    let pair = pair.expect("they conflict");
    let turned = Equivocation::of(key.public, (&b, key.sign(&b)), (&a, key.sign(&a)));
    assert_eq!(turned.as_ref(), Some(&pair), "one form");
    assert_eq!(pair.verify(&domain()), Ok(()));
    let bytes = pair.encode();
    assert!(bytes.len() <= Equivocation::BYTES_MAX);
    assert_eq!(Equivocation::decode(&bytes), Ok(pair.clone()));

    assert_eq!(
        Equivocation::of(key.public, (&a, [0; 64]), (&a, [1; 64])),
        None
    );
    let later = SignRequest { round: 2, ..b };
    assert_eq!(
        Equivocation::of(key.public, (&a, [0; 64]), (&later, [1; 64])),
        None
    );
    let mut same = pair.clone();
    same.second = same.first;
    assert_eq!(same.verify(&domain()), Err(EvidenceError::NotConflicting));
    let mut framed = pair.clone();
    framed.validator = test_key(4).public;
    assert_eq!(framed.verify(&domain()), Err(EvidenceError::BadSignature));
    let mut forged = pair;
    forged.second.signature = forged.first.signature;
    assert_eq!(forged.verify(&domain()), Err(EvidenceError::BadSignature));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn no_bytes_make_a_decoder_panic(kind in 0u8..8, mut bytes: Vec<u8>) {
        bytes.insert(0, kind);
        let _ = Message::decode(&bytes);
        let _ = wal::decode(&bytes);
        let _ = CommitCertificate::decode(&bytes);
        let _ = Equivocation::decode(&bytes);
        let _ = ValidatorSet::decode(&bytes);
    }

    /// A damaged message either does not decode, or is another message that encodes to just
    /// these bytes: there is one encoding for each message.
    #[test]
    fn damaged_messages_decode_canonically(which in 0usize..6, at: prop::sample::Index, to: u8) {
        let mut bytes = samples()[which].encode();
        let at = at.index(bytes.len());
        bytes[at] = to;
        if let Ok(message) = Message::decode(&bytes) {
            let _ = (message.round(), message.height(), message.author(), message.proposed());
            prop_assert_eq!(message.encode(), bytes.clone());
        }
        if let Ok(input) = wal::decode(&bytes) {
            prop_assert_eq!(wal::encode(&input), Some(bytes));
        }
    }
}
