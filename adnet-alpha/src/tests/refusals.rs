//! Every refusal by its code.

use std::sync::Arc;

use adnet_common::application::Application;
use adnet_common::block::MAX_TX_BYTES;
use adnet_common::genesis::dev_governor_seed;
use adnet_common::hash::Hash;
use adnet_common::keys::{AlphaAddress, EvmAddress};

use super::harness::{Chain, FEE, address, key, unlock};
use crate::app::AlphaApp;
use crate::tx::{
    Approval, FeeSchedule, Function, Terms, Transaction, Witness, approve, assemble_mint,
    sign_lock, sign_transfer,
};

/// The code with which semantic verification refuses bytes.
fn verify_code(chain: &Chain, raw: &[u8]) -> &'static str {
    let refused = AlphaApp::verify(&AlphaApp::rules(&chain.genesis), raw);
    refused.expect_err("verification refuses it").code
}

fn code_of(chain: &Chain, tx: &Transaction) -> &'static str {
    verify_code(chain, &tx.encode())
}

fn resigned(chain: &Chain, change: impl FnOnce(&mut Terms)) -> Transaction {
    let mut terms = chain.terms();
    change(&mut terms);
    let nonce = chain.account(0).nonce;
    sign_transfer(&key(0), &terms, nonce, address(1), 5).expect("the sender's key")
}

#[test]
fn bytes_that_are_no_transaction() {
    let chain = Chain::new();
    let good = chain.transfer(0, 1, 5).encode();
    assert_eq!(verify_code(&chain, &[]), "INVALID_REQUEST");
    assert_eq!(
        verify_code(&chain, &good[..good.len() - 1]),
        "INVALID_REQUEST"
    );
    assert_eq!(
        verify_code(&chain, &[&good[..], &[0]].concat()),
        "INVALID_REQUEST"
    );
    assert_eq!(
        verify_code(&chain, &vec![0; MAX_TX_BYTES + 1]),
        "INVALID_REQUEST"
    );
    let mut later = good.clone();
    later[1] = 2;
    assert_eq!(verify_code(&chain, &later), "INVALID_REQUEST");
}

#[test]
fn functions_that_are_not_there() {
    let chain = Chain::new();
    let mut raw = chain.transfer(0, 1, 5).encode();
    // Version, genesis hash and chain stand before the function's tag.
    let tag_at = 2 + 32 + 1;
    let mut code = |tag: u8| {
        raw[tag_at] = tag;
        verify_code(&chain, &raw)
    };
    for shielded in 16..=21 {
        // The public part of a transfer is no bundle.
        assert_eq!(code(shielded), "INVALID_REQUEST");
    }
    assert_eq!(code(64), "DEPLOYMENT_DISABLED");
    assert_eq!(code(65), "DEPLOYMENT_DISABLED");
    assert_eq!(code(5), "SYSTEM_ONLY");
    assert_eq!(code(0), "INVALID_REQUEST");
    assert_eq!(code(255), "INVALID_REQUEST");
}

#[test]
fn another_network_or_chain() {
    let chain = Chain::new();
    let foreign = resigned(&chain, |terms| terms.genesis = Hash([1; 32]));
    assert_eq!(code_of(&chain, &foreign), "WRONG_NETWORK");
    let mut raw = chain.transfer(0, 1, 5).encode();
    raw[34] = 2;
    assert_eq!(verify_code(&chain, &raw), "WRONG_NETWORK");
}

#[test]
fn signatures() {
    let chain = Chain::new();
    let good = chain.transfer(0, 1, 5);
    let mut amount = good.clone();
    let Function::TransferPublic(transfer) = &mut amount.payload.function else {
        unreachable!("a transfer is a transfer")
    };
    transfer.amount_units += 1;
    let mut fee = good.clone();
    fee.payload.fee_units += 1;
    let mut expiry = good.clone();
    expiry.payload.expiry_height += 1;
    let mut zero = good.clone();
    zero.witness = Witness::Account([0; 64]);
    for forged in [amount, fee, expiry, zero] {
        assert_eq!(code_of(&chain, &forged), "INVALID_SIGNATURE");
    }
    // A signature of the same payload by somebody else.
    let mut stolen = chain.transfer(1, 2, 5);
    stolen.witness = good.witness;
    assert_eq!(code_of(&chain, &stolen), "INVALID_SIGNATURE");
}

#[test]
fn a_witness_of_the_wrong_kind() {
    let chain = Chain::new();
    let transfer = chain.transfer(0, 1, 5);
    let mint = chain.mint(1, 1, 5_000, 2);
    let swapped = Transaction {
        payload: mint.payload.clone(),
        witness: transfer.witness.clone(),
    };
    assert_eq!(code_of(&chain, &swapped), "INVALID_REQUEST");
    let swapped = Transaction {
        payload: transfer.payload,
        witness: mint.witness,
    };
    assert_eq!(code_of(&chain, &swapped), "INVALID_REQUEST");
}

#[test]
fn amounts_and_fees() {
    let chain = Chain::new();
    assert_eq!(code_of(&chain, &chain.transfer(0, 1, 0)), "AMOUNT_ZERO");
    assert_eq!(code_of(&chain, &chain.mint(1, 1, 0, 2)), "AMOUNT_ZERO");
    assert_eq!(
        code_of(&chain, &chain.transfer(0, 1, u64::MAX - FEE + 1)),
        "AMOUNT_TOO_LARGE"
    );
    assert_eq!(
        code_of(&chain, &chain.mint(1, 1, FEE - 1, 2)),
        "AMOUNT_BELOW_FEE"
    );
    let good = chain.transfer(0, 1, 5);
    let fees = FeeSchedule::of(&chain.genesis.alpha);
    let least = fees.least_units(good.encode().len(), 0);
    assert_eq!(least, fees.of_function(&good.payload.function, 0));
    let exact = resigned(&chain, |terms| terms.fee_units = least);
    chain.verify(&exact).expect("the least fee is enough");
    let short = resigned(&chain, |terms| terms.fee_units = least - 1);
    assert_eq!(code_of(&chain, &short), "FEE_TOO_LOW");
    let nobody = sign_lock(&key(0), &chain.terms(), 0, EvmAddress([0; 20]), 5);
    assert_eq!(
        code_of(&chain, &nobody.expect("the sender's key")),
        "INVALID_RECIPIENT"
    );
}

#[test]
fn governors() {
    let mut chain = Chain::new();
    assert_eq!(
        code_of(&chain, &chain.mint(1, 0, 5_000, 0)),
        "GOVERNOR_THRESHOLD_NOT_MET"
    );
    assert_eq!(
        code_of(&chain, &chain.mint(1, 0, 5_000, 1)),
        "GOVERNOR_THRESHOLD_NOT_MET"
    );
    let good = chain.mint(1, 0, 5_000, 2);
    let Witness::Governors(approvals) = &good.witness else {
        unreachable!("a mint is signed by governors")
    };
    // One governor twice is one governor: the format does not even take it.
    let twice = vec![approvals[0].clone(), approvals[0].clone()];
    let doubled = Transaction {
        payload: good.payload.clone(),
        witness: Witness::Governors(twice.clone()),
    };
    assert_eq!(code_of(&chain, &doubled), "INVALID_REQUEST");
    let merged = assemble_mint(good.payload.clone(), twice);
    assert_eq!(code_of(&chain, &merged), "GOVERNOR_THRESHOLD_NOT_MET");
    // An account's holder is no governor.
    let outsider = approve(&key(0), &good.payload).expect("an ed25519 seed");
    let with_outsider = assemble_mint(good.payload.clone(), vec![approvals[0].clone(), outsider]);
    assert_eq!(code_of(&chain, &with_outsider), "INVALID_SIGNATURE");
    // A governor's signature over another order.
    let other = chain.mint(2, 0, 5_000, 2);
    let stray = approve(&dev_governor_seed(1), &other.payload).expect("an ed25519 seed");
    let first = approve(&dev_governor_seed(0), &good.payload).expect("an ed25519 seed");
    let mixed = assemble_mint(good.payload.clone(), vec![first, stray]);
    assert_eq!(code_of(&chain, &mixed), "INVALID_SIGNATURE");
    let broken = |mut a: Approval| {
        a.signature[5] ^= 1;
        a
    };
    let all_broken = approvals.iter().cloned().map(broken).collect();
    let broken = assemble_mint(good.payload.clone(), all_broken);
    assert_eq!(code_of(&chain, &broken), "INVALID_SIGNATURE");

    chain.must_block(&[good]);
    let again = chain.mint(1, 4, 7_000, 3);
    assert_eq!(chain.block_code(again), "MINT_ALREADY_USED");
    chain.reopen();
    let again = chain.mint(1, 4, 7_000, 2);
    assert_eq!(chain.block_code(again), "MINT_ALREADY_USED");
    let twice_in_one = [chain.mint(8, 4, 7_000, 2), chain.mint(8, 5, 9_000, 2)];
    let refused = chain
        .block(&twice_in_one, &[])
        .expect_err("one number, one mint");
    assert_eq!(refused.code, "MINT_ALREADY_USED");
}

#[test]
fn balances_nonces_and_replay() {
    let mut chain = Chain::new();
    assert_eq!(
        chain.block_code(chain.transfer(5, 0, 1)),
        "INSUFFICIENT_BALANCE"
    );
    let all = chain.balance(0);
    assert_eq!(
        chain.block_code(chain.transfer(0, 1, all - FEE + 1)),
        "INSUFFICIENT_BALANCE"
    );
    assert_eq!(chain.block_code(chain.burn(0, all)), "INSUFFICIENT_BALANCE");
    assert_eq!(chain.block_code(chain.lock(0, all)), "INSUFFICIENT_BALANCE");
    let tx = chain.transfer(0, 1, 5);
    let twice = chain
        .block(&[tx.clone(), tx.clone()], &[])
        .expect_err("one nonce, one use");
    assert_eq!(twice.code, "NONCE_TOO_LOW");
    chain.must_block(std::slice::from_ref(&tx));
    assert_eq!(chain.block_code(tx.clone()), "NONCE_TOO_LOW");
    chain.reopen();
    assert_eq!(chain.block_code(tx.clone()), "NONCE_TOO_LOW");
    let verified = chain.verify(&tx).expect("it is still well signed");
    assert_eq!(
        chain.app.check(&verified).expect_err("used").code,
        "NONCE_TOO_LOW"
    );
    // A nonce ahead may wait in the mempool, but a block cannot hold it.
    let ahead = sign_transfer(&key(0), &chain.terms(), 3, address(1), 5).expect("own key");
    let verified = chain.verify(&ahead).expect("well signed");
    assert_eq!(
        chain
            .app
            .check(&verified)
            .expect("it may wait")
            .account_nonce,
        1
    );
    assert_eq!(chain.block_code(ahead), "NONCE_TOO_HIGH");
}

#[test]
fn expiry() {
    let mut chain = Chain::new();
    for _ in 0..3 {
        chain.must_block(&[]);
    }
    let window = chain.genesis.alpha.expiry_window_blocks;
    let at = |chain: &Chain, height| resigned(chain, |terms| terms.expiry_height = height);
    assert_eq!(chain.block_code(at(&chain, 3)), "EXPIRED");
    assert_eq!(chain.block_code(at(&chain, 0)), "EXPIRED");
    assert_eq!(
        chain.block_code(at(&chain, 4 + window + 1)),
        "EXPIRY_TOO_FAR"
    );
    assert_eq!(chain.block_code(at(&chain, u64::MAX)), "EXPIRY_TOO_FAR");
    let last_moment = at(&chain, 4);
    chain.must_block(&[last_moment]);
    let furthest = at(&chain, 5 + window);
    chain.must_block(&[furthest]);
}

#[test]
fn the_supply_never_overflows() {
    let mut chain = Chain::new();
    let room = u64::MAX - chain.supply().issued_units;
    assert_eq!(
        chain.block_code(chain.mint(1, 0, room + 1, 2)),
        "SUPPLY_OVERFLOW"
    );
    chain.must_block(&[chain.mint(1, 5, room, 2)]);
    assert_eq!(chain.supply().issued_units, u64::MAX);
    assert_eq!(
        chain.block_code(chain.mint(2, 0, FEE, 2)),
        "SUPPLY_OVERFLOW"
    );
    // All that was ever locked is a number that only grows, so it has an end of its own.
    let all = chain.balance(5) - FEE;
    chain.must_block(&[chain.lock(5, all)]);
    chain
        .block(&[], &[unlock(1, 5, all)])
        .expect("it comes back");
    assert_eq!(
        chain.block_code(chain.lock(5, all - FEE)),
        "SUPPLY_OVERFLOW"
    );
}

#[test]
fn a_proposer_leaves_out_what_fails_and_drops_what_can_never_succeed() {
    let mut chain = Chain::new();
    chain.must_block(&[chain.transfer(0, 1, 5), chain.mint(1, 1, 5_000, 2)]);
    let terms = chain.terms();
    let by = |from: usize, nonce: u64, amount: u64| {
        sign_transfer(&key(from), &terms, nonce, address(6), amount).expect("own key")
    };
    let candidates = [
        by(0, 1, 5),                // 0: good
        by(0, 0, 5),                // 1: used nonce
        by(0, 3, 5),                // 2: gap
        by(5, 0, 5),                // 3: no money
        chain.mint(1, 1, 5_000, 2), // 4: used order
        by(1, 0, 7),                // 5: good
        by(0, 2, 5),                // 6: good
    ];
    let candidates: Vec<Arc<_>> = candidates
        .iter()
        .map(|tx| chain.verify(tx).expect("well signed"))
        .collect();
    let context = chain.context();
    let proposed = chain
        .app
        .propose(&chain.store, &context, &candidates, &[])
        .expect("memory");
    assert_eq!(proposed.included, [0, 5, 6]);
    let rejected = proposed
        .rejected
        .iter()
        .map(|(index, error)| (*index, error.code));
    assert_eq!(
        rejected.collect::<Vec<_>>(),
        [(1, "NONCE_TOO_LOW"), (4, "MINT_ALREADY_USED")]
    );
    let included: Vec<_> = [0, 5, 6]
        .map(|i: usize| Arc::clone(&candidates[i]))
        .to_vec();
    let executed = chain.app.execute(&chain.store, &context, &included, &[]);
    let executed = executed.expect("memory").expect("valid");
    assert_eq!(executed.state_root, proposed.executed.state_root);
    chain.commit(executed);
}

#[test]
fn a_block_has_a_size() {
    let mut chain = Chain::new();
    chain.genesis.alpha.max_block_txs = 2;
    let root = chain.roots[0];
    chain.app = AlphaApp::open(&chain.genesis, &chain.store, 0, root).expect("opens");
    let recipient = |i| AlphaAddress([i; 32]);
    let terms = Terms {
        genesis: chain.genesis.hash(),
        ..chain.terms()
    };
    let sign = |nonce: u64| {
        let tx = sign_transfer(&key(0), &terms, nonce, recipient(nonce as u8), 1);
        chain.verify(&tx.expect("own key")).expect("well signed")
    };
    let three: Vec<_> = (0..3).map(sign).collect();
    let context = chain.context();
    let executed = chain
        .app
        .execute(&chain.store, &context, &three, &[])
        .expect("memory");
    assert_eq!(executed.err().expect("invalid").code, "BLOCK_TOO_LARGE");
    let proposed = chain
        .app
        .propose(&chain.store, &context, &three, &[])
        .expect("memory");
    assert_eq!(proposed.included, [0, 1]);
}
