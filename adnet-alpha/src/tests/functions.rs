//! What each function does when it succeeds.

use adnet_common::application::Application;
use adnet_common::attestation::Payload;
use adnet_common::genesis::UNITS_PER_AX;
use adnet_common::state_proof;

use super::harness::{Chain, EVM, FEE, REASON, address, unlock};
use crate::receipt::Receipt;
use crate::state::{BurnRecord, LockRecord, MintRecord, StateKey, UnlockRecord};

const START: u64 = 1_000_000 * UNITS_PER_AX;

#[test]
fn a_transfer_moves_the_amount_and_pays_the_fee() {
    let mut chain = Chain::new();
    let tx = chain.transfer(0, 5, 700);
    chain.must_block(std::slice::from_ref(&tx));
    assert_eq!(chain.balance(0), START - 700 - FEE);
    assert_eq!(chain.balance(5), 700);
    assert_eq!(chain.account(0).nonce, 1);
    assert_eq!(chain.supply().fees_units, FEE);
    let receipt = Receipt::read(&chain.store, &tx.id())
        .expect("memory")
        .expect("it is final");
    assert_eq!(
        (receipt.height, receipt.index, receipt.fee_units),
        (1, 0, FEE)
    );
    // To oneself: only the fee goes.
    chain.must_block(&[chain.transfer(0, 0, 10_000)]);
    assert_eq!(chain.balance(0), START - 700 - 2 * FEE);
    // The whole balance.
    let all = chain.balance(1) - FEE;
    chain.must_block(&[chain.transfer(1, 0, all)]);
    assert_eq!(chain.balance(1), 0);
    chain.reopen();
}

#[test]
fn governors_mint_and_the_fee_comes_out_of_the_amount() {
    let mut chain = Chain::new();
    let before = chain.supply();
    let tx = chain.mint(77, 4, 5_000, 2);
    chain.must_block(std::slice::from_ref(&tx));
    assert_eq!(chain.balance(4), 5_000 - FEE);
    assert_eq!(chain.supply().issued_units, before.issued_units + 5_000);
    assert_eq!(chain.supply().fees_units, FEE);
    let record = MintRecord {
        height: 1,
        tx: tx.id(),
        recipient: Some(address(4).0),
        amount_units: 5_000,
        reason_hash: REASON,
    };
    let leaf = chain.leaf(1, &StateKey::Mint(77)).expect("kept");
    assert_eq!(leaf.value, Some(record.encode()));
    // Order numbers need not be used in order, and all three governors may sign.
    chain.must_block(&[chain.mint(3, 4, 2_000, 3)]);
}

#[test]
fn a_burn_leaves_a_record_that_can_be_proved() {
    let mut chain = Chain::new();
    let tx = chain.burn(2, 12_345);
    assert_eq!(
        chain.leaf(0, &StateKey::Burn(tx.id())).expect("kept").value,
        None
    );
    chain.must_block(std::slice::from_ref(&tx));
    assert_eq!(chain.supply().burned_units, 12_345);
    assert_eq!(chain.balance(2), START - 12_345 - FEE);
    let record = BurnRecord {
        height: 1,
        sender: Some(address(2).0),
        amount_units: 12_345,
    };
    let leaf = chain.leaf(1, &StateKey::Burn(tx.id())).expect("kept");
    assert_eq!(leaf.value, Some(record.encode()));
}

#[test]
fn locks_become_messages_without_gaps() {
    let mut chain = Chain::new();
    let locked = chain.supply().locked_units().expect("positive");
    chain.must_block(&[
        chain.lock(0, 50),
        chain.transfer(2, 0, 1),
        chain.lock(1, 60),
    ]);
    chain.must_block(&[]);
    let tx = chain.lock(0, 70);
    chain.must_block(std::slice::from_ref(&tx));
    let sent = chain.outbox.iter().map(|m| (m.sequence, m.payload.clone()));
    let lock = |amount_units| Payload::Lock {
        recipient: EVM.0,
        amount_units,
    };
    assert_eq!(
        sent.collect::<Vec<_>>(),
        [(1, lock(50)), (2, lock(60)), (3, lock(70))]
    );
    assert_eq!(chain.supply().locked_units(), Some(locked + 180));
    assert_eq!(chain.supply().last_sent, 3);
    let record = LockRecord {
        height: 3,
        tx: tx.id(),
        sender: Some(address(0).0),
        recipient: EVM.0,
        amount_units: 70,
    };
    let leaf = chain.leaf(3, &StateKey::Lock(3)).expect("kept");
    assert_eq!(leaf.value, Some(record.encode()));
}

#[test]
fn an_attested_unlock_releases_and_can_be_spent_in_the_same_block() {
    let mut chain = Chain::new();
    let locked = chain.supply().locked_units().expect("positive");
    let unlocks = [unlock(1, 6, 3_000), unlock(2, 7, 40)];
    let spend = chain.transfer(6, 0, 500);
    chain.block(&[spend], &unlocks).expect("valid");
    assert_eq!(chain.balance(6), 3_000 - 500 - FEE);
    assert_eq!(chain.balance(7), 40);
    assert_eq!(chain.app.last_consumed(), 2);
    assert_eq!(chain.supply().locked_units(), Some(locked - 3_040));
    let record = UnlockRecord {
        height: 1,
        attestation: unlocks[0].id(),
        recipient: address(6).0,
        amount_units: 3_000,
    };
    let leaf = chain.leaf(1, &StateKey::Unlock(1)).expect("kept");
    assert_eq!(leaf.value, Some(record.encode()));
    chain.reopen();
}

#[test]
fn unlocks_out_of_order_or_above_the_pool_make_a_block_invalid() {
    let mut chain = Chain::new();
    let locked = chain.supply().locked_units().expect("positive");
    let mut code = |attestations: &[_]| {
        let refused = chain.block(&[], attestations).expect_err("invalid");
        assert_eq!(chain.height(), 0);
        refused.code
    };
    assert_eq!(code(&[unlock(2, 6, 1)]), "ATTESTATION_OUT_OF_ORDER");
    assert_eq!(code(&[unlock(0, 6, 1)]), "ATTESTATION_OUT_OF_ORDER");
    assert_eq!(
        code(&[unlock(1, 6, 1), unlock(1, 6, 1)]),
        "ATTESTATION_OUT_OF_ORDER"
    );
    assert_eq!(
        code(&[unlock(1, 6, 1), unlock(3, 6, 1)]),
        "ATTESTATION_OUT_OF_ORDER"
    );
    assert_eq!(code(&[unlock(1, 6, locked + 1)]), "LOCK_POOL_EXCEEDED");
    assert_eq!(
        code(&[unlock(1, 6, locked), unlock(2, 6, 1)]),
        "LOCK_POOL_EXCEEDED"
    );
    assert_eq!(code(&[unlock(1, 6, u64::MAX)]), "LOCK_POOL_EXCEEDED");
    // A proposer takes what is in order and leaves the rest.
    let context = chain.context();
    let offered = [unlock(1, 6, 1), unlock(2, 6, 2), unlock(4, 6, 4)];
    let proposed = chain
        .app
        .propose(&chain.store, &context, &[], &offered)
        .expect("memory");
    assert_eq!(proposed.attestations, 2);
    chain
        .block(&[], &[unlock(1, 6, locked)])
        .expect("the whole pool may leave");
    assert_eq!(chain.supply().locked_units(), Some(0));
}

#[test]
fn an_alpha_attestation_is_not_for_alpha() {
    let mut chain = Chain::new();
    let mut wrong = unlock(1, 6, 1);
    wrong.message.payload = Payload::Lock {
        recipient: EVM.0,
        amount_units: 1,
    };
    let refused = chain.block(&[], &[wrong]).expect_err("invalid");
    assert_eq!(refused.code, "WRONG_ATTESTATION_KIND");
}

#[test]
fn the_supply_leaf_is_what_the_other_chain_gets() {
    let mut chain = Chain::new();
    chain.must_block(&[chain.lock(0, 50)]);
    let key = StateKey::Supply.encode();
    let proof = chain.app.prove(&chain.store, &key).expect("memory");
    assert_eq!(
        (proof.height, proof.value),
        (1, Some(chain.supply().encode()))
    );
    let root = chain.roots[1];
    let value = chain.supply().encode();
    state_proof::alpha::verify(&root, &key, Some(&value), &proof.proof).expect("verifies");
    // Of a key that is not there, the proof is one of absence.
    let absent = chain.app.prove(&chain.store, b"nobody").expect("memory");
    assert_eq!(absent.value, None);
    state_proof::alpha::verify(&root, b"nobody", None, &absent.proof).expect("verifies");
}
