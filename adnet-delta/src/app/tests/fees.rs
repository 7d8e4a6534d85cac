//! Fees, order and refusals of transactions.

use super::*;
use crate::attest::FEE_POOL_ADDRESS;
use adnet_common::mempool::{Mempool, MempoolLimits};

#[test]
fn base_fee_and_tip_go_to_the_fee_pool() {
    let mut chain = Chain::new(dev_genesis());
    let base_fee = chain.app.view().next_base_fee_wei();
    let to = Address::repeat_byte(9);
    let transfer = chain.transfer(0, 0, to, wei(2));
    let made = chain.block(&[transfer], &[]);
    let price = u128::from(base_fee) + 1_000;
    assert_eq!(made.receipts[0].effective_gas_price_wei, price);
    let fee = U256::from(price) * U256::from(21_000);
    assert_eq!(chain.balance(FEE_POOL_ADDRESS), fee);
    assert_eq!(chain.balance(to), wei(2));
    assert_eq!(
        chain.balance(address(0)),
        wei(10_000_000_000) - wei(2) - fee
    );
    let next = chain.app.view().next_base_fee_wei();
    assert_eq!(chain.app.price(), u128::from(next));
    assert_eq!(next, chain.app.rules.next_base_fee_wei(base_fee, 21_000));
    assert!(next < base_fee, "a block that is nearly empty lowers it");
}

#[test]
fn the_best_tip_goes_first_and_nonces_stay_in_order() {
    let mut chain = Chain::new(dev_genesis());
    let signed = |from: usize, nonce: u64, tip: u128| {
        let mut envelope = chain.envelope(nonce, 21_000);
        envelope.fees.max_priority_fee_per_gas_wei = tip;
        let signed = tx::sign_transfer(&secret(from), envelope, Address::ZERO, U256::from(1));
        chain.verified(&signed.expect("signed"))
    };
    // A gap of nonces, and each sender's own order against its tips.
    let txs = [
        signed(0, 0, 5),
        signed(0, 1, 900),
        signed(1, 0, 50),
        signed(2, 1, 999),
    ];
    let made = chain.block(&txs, &[]);
    assert_eq!(made.included, [2, 0, 1], "the one behind a gap waits");
    assert!(made.rejected.is_empty());
}

#[test]
fn what_can_never_run_is_rejected_and_what_does_not_fit_waits() {
    let mut genesis = dev_genesis();
    genesis.delta.block_gas_limit = 50_000;
    genesis.delta.tx_gas_limit = 50_000;
    let mut chain = Chain::new(genesis);
    let transfer = chain.transfer(0, 0, Address::ZERO, U256::from(1));
    chain.block(std::slice::from_ref(&transfer), &[]);
    let txs = [
        transfer.clone(),
        chain.transfer(1, 0, Address::ZERO, U256::from(1)),
        chain.transfer(2, 0, Address::ZERO, U256::from(1)),
        chain.transfer(0, 1, Address::ZERO, U256::from(1)),
    ];
    let made = chain.block(&txs, &[]);
    assert_eq!(made.included.len(), 2, "50,000 gas hold two transfers");
    assert_eq!(made.rejected.len(), 1);
    assert_eq!(
        (made.rejected[0].0, made.rejected[0].1.code),
        (0, "NONCE_TOO_LOW")
    );

    // Somebody else's block that holds what does not belong is invalid as a whole.
    let gap = chain.transfer(0, 9, Address::ZERO, U256::from(1));
    let poor = chain.transfer(1, 1, Address::ZERO, wei(20_000_000_000));
    for bad in [transfer, gap, poor] {
        let executed = chain
            .app
            .execute(&chain.store, &chain.context(), &[bad], &[]);
        let invalid = executed
            .expect("no store error")
            .err()
            .expect("it is invalid");
        assert_eq!(invalid.code, "INVALID_TRANSACTION");
    }
    let full: Vec<Verified> = (0..3)
        .map(|nonce| chain.transfer(2, 1 + nonce, Address::ZERO, U256::from(1)))
        .collect();
    let executed = chain
        .app
        .execute(&chain.store, &chain.context(), &full, &[]);
    assert!(
        executed.expect("no store error").is_err(),
        "over the block's gas limit"
    );
}

#[test]
fn admission_names_what_the_state_does_not_allow() {
    let mut chain = Chain::new(dev_genesis());
    let first = chain.transfer(0, 0, Address::ZERO, U256::from(1));
    assert_eq!(chain.app.check(&first).expect("fine").account_nonce, 0);
    chain.block(std::slice::from_ref(&first), &[]);
    let error = chain.app.check(&first).expect_err("its nonce is used");
    assert_eq!(error.code, "NONCE_TOO_LOW");
    assert!(error.message.starts_with("nonce too low"), "{error}");
    let later = chain.transfer(0, 7, Address::ZERO, U256::from(1));
    assert_eq!(
        chain.app.check(&later).expect("it may wait").account_nonce,
        1
    );
    let poor = chain.transfer(0, 1, Address::ZERO, wei(20_000_000_000));
    let error = chain.app.check(&poor).expect_err("it cannot pay");
    assert_eq!(error.code, "INSUFFICIENT_BALANCE");
    assert!(
        error
            .message
            .starts_with("insufficient funds for gas * price + value"),
        "{error}"
    );
}

#[test]
fn what_bids_less_than_the_base_fee_waits_in_the_mempool_until_it_falls() {
    let mut chain = Chain::new(dev_genesis());
    let limits = MempoolLimits {
        max_txs: 10,
        max_bytes: 10_000,
        max_per_sender: 10,
        ttl_ms: 1_000,
    };
    let mut pool = Mempool::new(limits, chain.app.price());
    let mut envelope = chain.envelope(0, 21_000);
    envelope.fees.max_fee_per_gas_wei = 980_000_000;
    let signed = tx::sign_transfer(&secret(0), envelope, Address::ZERO, U256::from(1));
    let tx = chain.verified(&signed.expect("signed"));
    let admission = chain.app.check(&tx).expect("it may wait");
    pool.insert(0, tx, admission).expect("there is room");
    assert_eq!((pool.len(), pool.pending_len()), (1, 0));
    assert!(pool.candidates(10, 10_000).is_empty());
    // An empty block takes a 32nd off: 968,750,000 wei.
    chain.block(&[], &[]);
    assert_eq!(chain.app.price(), 968_750_000);
    let app = &chain.app;
    pool.on_block(0, app.price(), &[], &[], |tx| app.check(tx));
    let candidates = pool.candidates(10, 10_000);
    assert_eq!(chain.block(&candidates, &[]).included, [0]);
}
