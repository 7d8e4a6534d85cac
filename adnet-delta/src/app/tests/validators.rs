//! Validators on Delta: what evidence and Alpha's messages do, where it lies, who hears of it.

use super::*;
use crate::validators::{VALIDATORS_ADDRESS, read};
use adnet_common::consensus::{EncodedSet, ValidatorSet};
use adnet_common::genesis::GenesisValidator;
use adnet_common::validators::SetFrom;
use std::collections::BTreeMap;

fn key(index: u8) -> PublicKey {
    let seed = SecretKey::from_bytes(KeyKind::Validator, &[index + 1; 32]);
    let public = seed.expect("any seed").ed25519_public();
    public.expect("an ed25519 seed")
}

fn set(members: &[u8]) -> ValidatorSet {
    ValidatorSet::new(members.iter().map(|i| (key(*i), 1))).expect("distinct keys")
}

fn chain(members: &[u8]) -> Chain {
    let mut genesis = dev_genesis();
    let validator = |index: &u8| GenesisValidator {
        name: format!("validator-{index}"),
        public_key: key(*index),
        power: 1,
    };
    genesis.validators = members.iter().map(validator).collect();
    Chain::new(genesis)
}

/// The next message of Alpha.
fn message(chain: &mut Chain, payload: Payload) -> Attestation {
    let mut lock = chain.lock(Address::ZERO, 1);
    lock.message.payload = payload;
    lock
}

fn decreed(made: &Made) -> Vec<(Vec<PublicKey>, Vec<PublicKey>)> {
    let of = |m: &OutboundMessage| match &m.payload {
        Payload::ValidatorSet { set, tombstoned } => {
            let set = set.open().expect("a sound set");
            let members = set.members().iter().map(|v| v.key()).collect();
            Some((members, tombstoned.clone()))
        }
        _ => None,
    };
    made.outbox.iter().filter_map(of).collect()
}

fn sorted(keys: &[u8]) -> Vec<PublicKey> {
    let mut keys: Vec<_> = keys.iter().map(|i| key(*i)).collect();
    keys.sort();
    keys
}

#[test]
fn evidence_tombstones_and_the_same_evidence_changes_nothing() {
    let mut chain = chain(&[0, 1, 2, 3]);
    chain.equivocators = vec![key(2)];
    let transfer = chain.transfer(0, 0, address(1), wei(5));
    let made = chain.block(&[transfer], &[]);
    assert_eq!(decreed(&made), [(sorted(&[0, 1, 3]), vec![key(2)])]);
    let validators = Arc::clone(chain.app.validators());
    assert_eq!(validators.own, SetFrom::new(2, set(&[0, 1, 3])));
    assert_eq!(validators.tombstones, BTreeMap::from([(key(2), 1)]));
    assert_eq!(chain.app.view().supply().last_sent, 1);

    let made = chain.block(&[], &[]);
    assert!(made.outbox.is_empty());
    let told = message(&mut chain, Payload::Misbehaviour { validator: key(2) });
    let made = chain.block(&[], &[told]);
    assert!(made.outbox.is_empty(), "Alpha's word for it is no news");
    assert_eq!(chain.app.last_consumed(), 1);
    assert_eq!(*chain.app.validators(), validators);
}

#[test]
fn a_report_of_alpha_tombstones_and_alphas_answer_is_followed() {
    let mut chain = chain(&[0, 1, 2, 3]);
    let report = message(&mut chain, Payload::Misbehaviour { validator: key(0) });
    let made = chain.block(&[], &[report]);
    assert_eq!(decreed(&made), [(sorted(&[1, 2, 3]), vec![key(0)])]);
    assert_eq!(
        chain.app.validators().sibling,
        SetFrom::new(1, set(&[0, 1, 2, 3]))
    );
    let adopted = message(
        &mut chain,
        Payload::Adopted {
            set: EncodedSet::of(&set(&[1, 2, 3])),
        },
    );
    let height = adopted.height;
    let made = chain.block(&[], &[adopted]);
    assert!(made.outbox.is_empty());
    let sibling = SetFrom::new(height + 1, set(&[1, 2, 3]));
    assert_eq!(chain.app.validators().sibling, sibling);
}

#[test]
fn the_decree_follows_the_unlocks_of_its_block() {
    let mut chain = chain(&[0, 1]);
    chain.equivocators = vec![key(1)];
    let envelope = chain.envelope(0, tx::UNLOCK_GAS_LIMIT);
    let signed = tx::sign_unlock(&secret(0), envelope, &[1; 32], 5).expect("signed");
    let unlock = chain.verified(&signed);
    let made = chain.block(&[unlock], &[]);
    let kinds: Vec<_> = made
        .outbox
        .iter()
        .map(|m| (m.sequence, m.payload.kind_name()))
        .collect();
    assert_eq!(kinds, [(1, "unlock"), (2, "validator_set")]);
}

#[test]
fn the_last_validator_stays() {
    let mut chain = chain(&[0, 1]);
    chain.equivocators = vec![key(0), key(1)];
    chain.equivocators.sort();
    let last = chain.equivocators[1];
    let made = chain.block(&[], &[]);
    assert_eq!(decreed(&made), [(vec![last], sorted(&[0, 1]))]);
    let own = Arc::clone(&chain.app.validators().own.set);
    assert_eq!((own.members().len(), own.members()[0].key()), (1, last));
    chain.equivocators = vec![last];
    assert!(chain.block(&[], &[]).outbox.is_empty());
}

#[test]
fn every_slot_of_the_validators_is_proved_against_the_root() {
    let mut chain = chain(&[0, 1, 2]);
    chain.equivocators = vec![key(1)];
    chain.block(&[], &[]);
    let view = chain.app.view();
    assert_eq!(read(&view.state).as_ref(), Ok(&**chain.app.validators()));
    // The first slot is the hash by which headers name the set, and one slot proves it.
    let state_key = [VALIDATORS_ADDRESS.as_slice(), &[0; 32]].concat();
    let proved = chain.app.prove(&chain.store, &state_key).expect("memory");
    let hash = chain.app.validators().own.set.validators_hash();
    assert_eq!(proved.value.as_deref(), Some(&hash.0[..]));
    let value = proved.value.as_deref();
    let verify = adnet_common::state_proof::verify;
    verify(
        ChainId::Delta,
        &chain.root,
        &state_key,
        value,
        &proved.proof,
    )
    .expect("it verifies");
    // A set that has become smaller leaves nothing behind.
    let beyond = U256::from(2 + 2 * 2);
    assert_eq!(view.state.storage(&VALIDATORS_ADDRESS, &beyond), U256::ZERO);
}

#[test]
fn messages_that_are_not_for_delta_or_no_set_are_refused_by_name() {
    let mut chain = chain(&[0, 1]);
    let decree = Payload::ValidatorSet {
        set: EncodedSet::of(&set(&[0])),
        tombstoned: vec![],
    };
    let mut r = adnet_common::codec::Reader::new(&[0, 0, 0, 1, 9]);
    let garbage = EncodedSet::decode_from(&mut r).expect("bytes with a length");
    let base = chain.lock(Address::ZERO, 1);
    for (payload, code) in [
        (decree, "WRONG_ATTESTATION_KIND"),
        (Payload::Adopted { set: garbage }, "BAD_VALIDATOR_SET"),
    ] {
        let mut wrong = base.clone();
        wrong.message.payload = payload;
        let context = chain.context();
        let executed = chain.app.execute(&chain.store, &context, &[], &[wrong]);
        let refused = executed.expect("no store error").err();
        assert_eq!(refused.expect("it is invalid").code, code);
    }
}
