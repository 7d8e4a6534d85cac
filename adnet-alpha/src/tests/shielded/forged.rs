//! Forgeries of real transactions: every byte that matters, and bad ones among good ones.

use adnet_common::application::{Application, Until};

use super::super::harness::Chain;
use super::prover::Owner;
use crate::app::AlphaApp;
use crate::pool::{Bundle, BundleProof};
use crate::tx::{Function, Transaction, Witness};

fn bundle(tx: &mut Transaction) -> &mut Bundle {
    match &mut tx.payload.function {
        Function::Shield(f) => &mut f.bundle,
        _ => unreachable!("these tests forge shielding"),
    }
}

fn proof(tx: &mut Transaction) -> &mut BundleProof {
    match &mut tx.witness {
        Witness::AccountAndBundle(_, proof) => proof,
        _ => unreachable!("these tests forge shielding"),
    }
}

/// Signs the payload anew with the account's key, so that only the bundle's own rules are left to
/// refuse it.
fn resigned(tx: Transaction) -> Transaction {
    let proof = tx.witness.proof().expect("shielded").clone();
    let key = super::super::harness::key(0);
    crate::tx::sign_shield(&key, tx.payload, proof).expect("the sender's key")
}

fn code(chain: &Chain, tx: &Transaction) -> &'static str {
    chain.verify(tx).map_or_else(|error| error.code, |_| "OK")
}

#[test]
fn every_forged_variant_is_refused_by_name_and_spoils_no_batch() {
    let chain = Chain::new();
    let owner = Owner::new(3);
    let good = owner.shield(&chain, 0, 70_000);
    assert_eq!(code(&chain, &good), "OK");

    type Forge = fn(&mut Transaction);
    let forgeries: [(&str, Forge, &[&str]); 16] = [
        (
            "cv_net",
            |tx| bundle(tx).actions[0].cv_net[0] ^= 1,
            &["BAD_BUNDLE", "BAD_PROOF"],
        ),
        (
            "nullifier",
            |tx| bundle(tx).actions[0].nullifier[0] ^= 1,
            &["BAD_PROOF"],
        ),
        (
            "nullifier out of the field",
            |tx| bundle(tx).actions[0].nullifier = [0xff; 32],
            &["BAD_BUNDLE"],
        ),
        (
            "rk",
            |tx| bundle(tx).actions[1].rk[0] ^= 1,
            &["BAD_BUNDLE", "BAD_PROOF"],
        ),
        // The identity: no signature of it means anything (it once made verifiers panic).
        (
            "rk identity",
            |tx| bundle(tx).actions[1].rk = [0; 32],
            &["BAD_BUNDLE"],
        ),
        (
            "cmx",
            |tx| bundle(tx).actions[0].cmx[0] ^= 1,
            &["BAD_PROOF"],
        ),
        (
            "epk",
            |tx| bundle(tx).actions[0].epk[0] ^= 1,
            &["BAD_BUNDLE", "BAD_PROOF"],
        ),
        (
            "enc_ciphertext",
            |tx| bundle(tx).actions[0].enc_ciphertext[300] ^= 1,
            &["BAD_PROOF"],
        ),
        (
            "out_ciphertext",
            |tx| bundle(tx).actions[1].out_ciphertext[5] ^= 1,
            &["BAD_PROOF"],
        ),
        ("flags", |tx| bundle(tx).flags ^= 1, &["WRONG_FLAGS"]),
        (
            "value balance",
            |tx| bundle(tx).value_balance -= 1,
            &["BAD_PROOF"],
        ),
        (
            "anchor",
            |tx| bundle(tx).anchor[0] ^= 1,
            &["ANCHOR_UNKNOWN"],
        ),
        ("fee", |tx| tx.payload.fee_units += 1, &["BAD_PROOF"]),
        ("proof", |tx| proof(tx).proof[4_000] ^= 1, &["BAD_PROOF"]),
        (
            "spend signature",
            |tx| proof(tx).spend_signatures[0][3] ^= 1,
            &["BAD_PROOF"],
        ),
        (
            "binding signature",
            |tx| proof(tx).binding_signature[40] ^= 1,
            &["BAD_PROOF"],
        ),
    ];
    let mut batch = vec![good.clone()];
    for (what, forge, expected) in &forgeries {
        let mut tx = good.clone();
        forge(&mut tx);
        assert_eq!(tx.id() == good.id(), tx.payload == good.payload);
        // With the account's old signature that is what refuses a changed payload, if nothing does
        // before it.
        if tx.payload != good.payload {
            let found = code(&chain, &tx);
            assert!(
                found == "INVALID_SIGNATURE" || expected.contains(&found),
                "{what}: {found}"
            );
        }
        let tx = resigned(tx);
        let found = code(&chain, &tx);
        assert!(expected.contains(&found), "{what}: {found}");
        batch.push(tx);
        batch.push(good.clone());
    }
    let rules = AlphaApp::rules(&chain.genesis);
    let raws: Vec<Vec<u8>> = batch.iter().map(Transaction::encode).collect();
    let raws: Vec<&[u8]> = raws.iter().map(Vec::as_slice).collect();
    let verdicts = AlphaApp::verify_all(&rules, &raws, Until::End);
    for (index, (tx, verdict)) in batch.iter().zip(verdicts).enumerate() {
        assert_eq!(verdict.is_ok(), *tx == good, "place {index} of the batch");
    }
}

#[test]
fn a_proof_for_another_network_is_worth_nothing_here() {
    let chain = Chain::new();
    let tx = Owner::new(3).shield(&chain, 0, 70_000);
    let mut other = Chain::new();
    other.genesis.network_id += 1;
    assert_eq!(code(&other, &tx), "WRONG_NETWORK");
    let mut moved = tx;
    moved.payload.genesis = other.genesis.hash();
    assert_eq!(code(&other, &resigned(moved)), "BAD_PROOF");
}
