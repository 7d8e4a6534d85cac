//! What has nothing to do with the pool does not wait for the key that proofs are verified with. It is
//! alone in this file because the key belongs to the whole process.

use adnet_alpha::AlphaApp;
use adnet_alpha::pool::verifying_key::is_key_ready;
use adnet_alpha::tx::{
    Approval, Function, MintOrder, Terms, Transaction, approve, assemble_mint, sign_burn,
    sign_lock, sign_transfer,
};
use adnet_common::application::{Application, Until};
use adnet_common::genesis::{Genesis, dev_alpha_seed, dev_governor_seed};
use adnet_common::hash::Hash;
use adnet_common::keys::{AlphaAddress, EvmAddress};
use adnet_tests::{shielded, sim};

/// Of the network that the prepared shielded transactions are for.
const VALIDATORS: usize = 4;
const EXPIRY_HEIGHT: u64 = 40;
const TO: AlphaAddress = AlphaAddress([7; 32]);

fn mint(genesis: &Genesis) -> Transaction {
    let function = Function::Mint(MintOrder {
        order_nonce: 3,
        recipient: TO.0,
        amount_units: 5_000_000,
        reason_hash: Hash::ZERO,
    });
    let governors = genesis.alpha.governors.threshold as usize;
    let terms = Terms::cheapest(genesis, EXPIRY_HEIGHT, &function, governors);
    let payload = terms.payload(function);
    let approval = |index| approve(&dev_governor_seed(index), &payload).expect("an ed25519 seed");
    let approvals: Vec<Approval> = (0..governors).map(approval).collect();
    assemble_mint(payload, approvals)
}

/// One of each function that only moves public AX.
fn public(genesis: &Genesis) -> Vec<Vec<u8>> {
    let key = dev_alpha_seed(0);
    let terms = Terms {
        genesis: genesis.hash(),
        fee_units: 100_000,
        expiry_height: EXPIRY_HEIGHT,
    };
    let signed = [
        mint(genesis),
        sign_transfer(&key, &terms, 0, TO, 5).expect("the account's own key"),
        sign_lock(&key, &terms, 1, EvmAddress([9; 20]), 5).expect("the account's own key"),
        sign_burn(&key, &terms, 2, 5).expect("the account's own key"),
    ];
    signed.iter().map(Transaction::encode).collect()
}

#[test]
fn public_transactions_are_verified_before_the_verifying_key_is_built() {
    let genesis = sim::genesis(VALIDATORS);
    let rules = AlphaApp::rules(&genesis);
    let raws = public(&genesis);
    for raw in &raws {
        AlphaApp::verify(&rules, raw).expect("a sound transaction");
    }
    let all: Vec<&[u8]> = raws.iter().map(Vec::as_slice).collect();
    for until in [Until::End, Until::FirstInvalid] {
        let verdicts = AlphaApp::verify_all(&rules, &all, until);
        assert_eq!(verdicts.iter().filter(|v| v.is_ok()).count(), all.len());
    }
    // What is not valid for another reason than its proof does not wait either.
    let bad = AlphaApp::verify_all(&rules, &[b"garbage", &raws[0][1..]], Until::End);
    assert!(bad.iter().all(Result::is_err));
    assert!(!is_key_ready(), "somebody has built the key for this");

    // Whoever verifies a proof does build it.
    let proved = shielded::transactions().swap_remove(0);
    AlphaApp::verify(&rules, &proved).expect("a sound transaction");
    assert!(is_key_ready());
}
