//! Validators on Alpha: what it reports, what it adopts, and what it says of that.

use std::collections::BTreeMap;

use adnet_common::application::Application;
use adnet_common::attestation::{Attestation, OutboundMessage, Payload};
use adnet_common::chain_id::ChainId;
use adnet_common::consensus::{EncodedSet, ValidatorSet};
use adnet_common::keys::PublicKey;
use adnet_common::validators::SetFrom;

use super::harness::{Chain, EVM, address, unlock};
use crate::state::StateKey;

fn key(index: usize) -> PublicKey {
    PublicKey(address(index).0)
}

fn set(members: &[usize]) -> ValidatorSet {
    ValidatorSet::new(members.iter().map(|i| (key(*i), 2))).expect("distinct keys")
}

/// Delta's message `sequence` in its block of height `5 + sequence`.
fn decree(sequence: u64, members: &[usize], tombstoned: &[usize]) -> Attestation {
    let message = OutboundMessage {
        sequence,
        payload: Payload::ValidatorSet {
            set: EncodedSet::of(&set(members)),
            tombstoned: tombstoned.iter().map(|i| key(*i)).collect(),
        },
    };
    Attestation::of_block(ChainId::Delta, 5 + sequence, &[message]).remove(0)
}

#[test]
fn an_equivocator_is_reported_once_and_before_everything_else() {
    let mut chain = Chain::new();
    chain.equivocators = vec![key(9)];
    chain.must_block(&[chain.lock(0, 50)]);
    let payloads: Vec<_> = chain.outbox.iter().map(|m| &m.payload).collect();
    let lock = Payload::Lock {
        recipient: EVM.0,
        amount_units: 50,
    };
    let report = Payload::Misbehaviour { validator: key(9) };
    assert_eq!(payloads, [&report, &lock]);
    let sequences: Vec<u64> = chain.outbox.iter().map(|m| m.sequence).collect();
    assert_eq!(sequences, [1, 2]);
    assert!(
        chain
            .leaf(1, &StateKey::Misbehaviour(key(9)))
            .is_some_and(|l| l.value.is_some())
    );
    // Alpha itself removes nobody: that is for Delta to say.
    assert_eq!(
        chain.app.validators().own,
        SetFrom::new(1, set_of_genesis(&chain))
    );
    chain.outbox.clear();
    chain.reopen();
    chain.must_block(&[]);
    assert!(
        chain.outbox.is_empty(),
        "the same evidence says nothing new"
    );
}

fn set_of_genesis(chain: &Chain) -> ValidatorSet {
    chain.genesis.validator_set().expect("a sound genesis")
}

#[test]
fn a_decreed_set_is_adopted_announced_and_survives_a_restart() {
    let mut chain = Chain::new();
    let messages = [unlock(1, 6, 3), decree(2, &[3, 4, 5], &[9])];
    let lock = chain.lock(0, 50);
    // What locks need is there from the genesis; the unlock comes out of it.
    chain.must_block(&[chain.lock(1, 50)]);
    chain.outbox.clear();
    chain.block(&[lock], &messages).expect("valid");
    let validators = chain.app.validators();
    assert_eq!(validators.own, SetFrom::new(3, set(&[3, 4, 5])));
    assert_eq!(validators.sibling, SetFrom::new(8, set(&[3, 4, 5])));
    assert_eq!(validators.tombstones, BTreeMap::from([(key(9), 2)]));
    let last = chain.outbox.last().expect("it says so");
    assert_eq!(chain.outbox.len(), 2);
    assert_eq!(
        last.payload,
        Payload::Adopted {
            set: EncodedSet::of(&set(&[3, 4, 5])),
        }
    );
    assert_eq!(chain.supply().last_consumed, 2);
    // Provable under the root, and the same after a restart.
    for key in [
        StateKey::Validators,
        StateKey::SiblingValidators,
        StateKey::Tombstone(key(9)),
    ] {
        let leaf = chain.leaf(2, &key).expect("the version is kept");
        assert!(leaf.value.is_some(), "{key:?}");
    }
    let value = chain
        .leaf(2, &StateKey::Validators)
        .and_then(|leaf| leaf.value);
    let proved = SetFrom::decode(&value.expect("it is there"));
    assert_eq!(proved.as_ref(), Ok(&chain.app.validators().own));
    chain.reopen();

    // The same decree again changes nothing but how far Alpha has heard.
    chain.outbox.clear();
    chain
        .block(&[], &[decree(3, &[3, 4, 5], &[9])])
        .expect("valid");
    assert!(chain.outbox.is_empty());
    assert_eq!(chain.app.validators().own.height, 3);
    assert_eq!(chain.app.validators().sibling.height, 9);
    // Evidence against somebody who is tombstoned is no news for Delta.
    chain.equivocators = vec![key(9)];
    chain.must_block(&[]);
    assert!(chain.outbox.is_empty());
}

#[test]
fn several_decrees_in_one_block_are_announced_as_what_they_lead_to() {
    let mut chain = Chain::new();
    let messages = [decree(1, &[3], &[]), decree(2, &[4, 5], &[])];
    chain.block(&[], &messages).expect("valid");
    let adopted = Payload::Adopted {
        set: EncodedSet::of(&set(&[4, 5])),
    };
    let payloads: Vec<_> = chain.outbox.iter().map(|m| &m.payload).collect();
    assert_eq!(payloads, [&adopted]);
    assert_eq!(chain.app.validators().sibling.height, 8);
}

#[test]
fn messages_that_are_not_for_alpha_or_no_set_are_refused_by_name() {
    let mut chain = Chain::new();
    let with = |payload| {
        let mut wrong = unlock(1, 6, 1);
        wrong.message.payload = payload;
        wrong
    };
    let adopted = with(Payload::Adopted {
        set: EncodedSet::of(&set(&[3])),
    });
    let report = with(Payload::Misbehaviour { validator: key(9) });
    for wrong in [adopted, report] {
        let refused = chain.block(&[], &[wrong]).expect_err("invalid");
        assert_eq!(refused.code, "WRONG_ATTESTATION_KIND");
    }
    let bytes = [0, 0, 0, 1, 7];
    let mut r = adnet_common::codec::Reader::new(&bytes);
    let garbage = with(Payload::ValidatorSet {
        set: EncodedSet::decode_from(&mut r).expect("bytes with a length"),
        tombstoned: vec![],
    });
    let refused = chain.block(&[], &[garbage]).expect_err("invalid");
    assert_eq!(refused.code, "BAD_VALIDATOR_SET");
    assert_eq!(chain.supply().last_consumed, 0);
}
