//! What the state and the plain rules say of shielded transactions: no proof is needed for that, so
//! the bundles here are well-formed noise, and blocks take them as if their proofs were good.

use std::sync::Arc;

use adnet_common::application::{Application, InvalidBlock, VerifiedTx};

use super::super::harness::{Chain, address};
use super::prover::pool_fee_units;
use crate::app::AlphaApp;
use crate::pool::Bundle;
use crate::pool::bundle::{empty_anchor, flag_byte};
use crate::pool::tree::ANCHOR_WINDOW_BLOCKS;
use crate::refusal::Refusal;
use crate::tx::{
    BurnPrivate, Function, LockPrivate, Transaction, TransferPrivate, Unshield, Witness,
};

/// A bundle of two actions with nullifiers and commitments of this number.
pub fn noise(number: u64, may_spend: bool, value_balance: i64, anchor: [u8; 32]) -> Bundle {
    let mut bundle = Bundle::blank(2);
    for (index, action) in bundle.actions.iter_mut().enumerate() {
        action.nullifier[..8].copy_from_slice(&number.to_le_bytes());
        action.nullifier[8] = index as u8;
        action.cmx = action.nullifier;
    }
    bundle.flags = flag_byte(may_spend);
    bundle.value_balance = value_balance;
    bundle.anchor = anchor;
    bundle
}

/// A transaction that pays the exact fee and whose bundle is `bundle` of that fee.
pub fn of_pool(chain: &Chain, function: impl Fn(u64) -> Function) -> Transaction {
    let fee_units = super::prover::fee_units(chain, &function(0));
    let mut terms = chain.terms();
    terms.fee_units = fee_units;
    let function = function(fee_units);
    let witness = Witness::blank(&function, 0);
    let payload = terms.payload(function);
    Transaction { payload, witness }
}

/// Verified but for the bundle's points and proof.
pub fn verified(chain: &Chain, tx: &Transaction) -> Result<Arc<VerifiedTx<Transaction>>, Refusal> {
    let rules = AlphaApp::rules(&chain.genesis);
    rules.check_but_bundle(&tx.encode()).map(Arc::new)
}

/// Executes and commits a block of such transactions.
pub fn block(chain: &mut Chain, txs: &[Transaction]) -> Result<(), InvalidBlock> {
    let verified = txs
        .iter()
        .map(|tx| verified(chain, tx).expect("semantically valid"));
    let verified: Vec<_> = verified.collect();
    let context = chain.context();
    let executed = chain.app.execute(&chain.store, &context, &verified, &[]);
    chain.commit(executed.expect("memory does not fail")?);
    Ok(())
}

fn block_code(chain: &mut Chain, txs: &[Transaction]) -> &'static str {
    block(chain, txs).map_or_else(|invalid| invalid.code, |()| "OK")
}

fn code(chain: &Chain, tx: &Transaction) -> &'static str {
    verified(chain, tx).map_or_else(|refusal| refusal.code(), |_| "OK")
}

/// A mint to notes puts AX into the pool without a signature of an account.
fn fund(chain: &mut Chain, order_nonce: u64, amount_units: u64) {
    let tx = super::model::mint(chain, order_nonce, amount_units, 1_000_000 + order_nonce);
    block(chain, &[tx]).expect("a mint is valid");
}

fn spend(chain: &Chain, number: u64, anchor: [u8; 32]) -> Transaction {
    of_pool(chain, |fee| {
        let bundle = noise(number, true, fee as i64, anchor);
        Function::TransferPrivate(TransferPrivate { bundle })
    })
}

fn latest(chain: &Chain) -> [u8; 32] {
    *chain.app.committed().anchors.latest()
}

#[test]
fn a_nullifier_is_spent_once_in_a_bundle_a_block_and_the_chain() {
    let mut chain = Chain::new();
    fund(&mut chain, 1, 10_000_000);
    let anchor = latest(&chain);
    let mut twice = spend(&chain, 5, anchor);
    let Function::TransferPrivate(f) = &mut twice.payload.function else {
        unreachable!("it is a private transfer")
    };
    f.bundle.actions[1].nullifier = f.bundle.actions[0].nullifier;
    assert_eq!(code(&chain, &twice), "DUPLICATE_NULLIFIER");

    let one = spend(&chain, 5, anchor);
    let mut other = spend(&chain, 6, anchor);
    let Function::TransferPrivate(f) = &mut other.payload.function else {
        unreachable!("it is a private transfer")
    };
    f.bundle.actions[1].nullifier = {
        let Function::TransferPrivate(f) = &one.payload.function else {
            unreachable!("it is a private transfer")
        };
        f.bundle.actions[0].nullifier
    };
    assert_eq!(
        block_code(&mut chain, &[one.clone(), other.clone()]),
        "NULLIFIER_SPENT"
    );
    block(&mut chain, std::slice::from_ref(&one)).expect("valid alone");
    assert_eq!(block_code(&mut chain, &[other.clone()]), "NULLIFIER_SPENT");
    chain.reopen();
    assert_eq!(block_code(&mut chain, &[other.clone()]), "NULLIFIER_SPENT");
    // What waits in the mempool is asked the same.
    let waiting = verified(&chain, &other).expect("semantically valid");
    chain
        .app
        .check(&waiting)
        .expect("all but its claims is fine");
    let claims = chain.app.check_claims(&chain.store, &waiting);
    assert_eq!(
        claims.expect("memory").expect_err("spent").code,
        "NULLIFIER_SPENT"
    );
    // A proposer leaves it out for ever.
    let context = chain.context();
    let proposed = chain.app.propose(&chain.store, &context, &[waiting], &[]);
    let proposed = proposed.expect("memory");
    assert_eq!((proposed.included.len(), proposed.rejected.len()), (0, 1));
}

#[test]
fn anchors_unknown_stale_of_the_same_block_and_of_the_future() {
    let mut chain = Chain::new();
    let unknown = spend(&chain, 1, [7; 32]);
    assert_eq!(block_code(&mut chain, &[unknown]), "ANCHOR_UNKNOWN");
    fund(&mut chain, 1, 100_000_000);
    let first = latest(&chain);
    assert_eq!(chain.height(), 1);

    // The root after this block is known to nobody in it.
    let before = chain.app.committed().clone();
    let next = spend(&chain, 2, first);
    block(&mut chain, std::slice::from_ref(&next)).expect("valid");
    let of_same_block = latest(&chain);
    assert!(!before.anchors.allows(&of_same_block, 2));
    assert_ne!(first, of_same_block);

    // `first` was the final root of height 1 alone.
    while chain.height() < 1 + ANCHOR_WINDOW_BLOCKS - 1 {
        chain.must_block(&[]);
    }
    let last_chance = spend(&chain, 3, first);
    let waiting = verified(&chain, &last_chance).expect("semantically valid");
    chain.app.check(&waiting).expect("a hundred blocks old");
    chain.must_block(&[]);
    assert_eq!(
        chain.app.check(&waiting).expect_err("older").code,
        "ANCHOR_UNKNOWN"
    );
    let mut again = spend(&chain, 3, first);
    assert_eq!(block_code(&mut chain, &[again.clone()]), "ANCHOR_UNKNOWN");
    // The latest root stays good, however old.
    again = spend(&chain, 3, of_same_block);
    assert_eq!(block_code(&mut chain, &[again]), "OK");
}

#[test]
fn value_balances_at_their_extremes() {
    let chain = Chain::new();
    let anchor = latest(&chain);
    let of = |value_balance| {
        of_pool(&chain, |_| {
            let bundle = noise(1, true, value_balance, anchor);
            Function::BurnPrivate(BurnPrivate { bundle })
        })
    };
    let fee = pool_fee_units(&chain) as i64;
    for value_balance in [i64::MIN, i64::MIN + 1, -1, 0, fee - 1] {
        assert_eq!(code(&chain, &of(value_balance)), "WRONG_VALUE_BALANCE");
    }
    assert_eq!(code(&chain, &of(fee)), "AMOUNT_ZERO");
    assert_eq!(code(&chain, &of(fee + 1)), "OK");
    // More than there is: the pool holds nothing yet.
    let mut chain = chain;
    let most = of_pool(&chain, |_| {
        let bundle = noise(1, true, i64::MAX, anchor);
        Function::BurnPrivate(BurnPrivate { bundle })
    });
    assert_eq!(code(&chain, &most), "OK");
    assert_eq!(block_code(&mut chain, &[most]), "POOL_EXCEEDED");
}

#[test]
fn the_pool_never_gives_more_than_it_has() {
    let mut chain = Chain::new();
    fund(&mut chain, 1, 1_000_000);
    let pool = chain.supply().pool_units as i64;
    let anchor = latest(&chain);
    let out = |chain: &Chain, number, units| {
        of_pool(chain, |_| {
            let bundle = noise(number, true, units, anchor);
            let recipient = address(7).0;
            Function::Unshield(Unshield { recipient, bundle })
        })
    };
    let too_much = out(&chain, 1, pool + 1);
    assert_eq!(block_code(&mut chain, &[too_much]), "POOL_EXCEEDED");
    // Each alone is covered, both together are not.
    let both = [out(&chain, 2, pool), out(&chain, 3, pool)];
    assert_eq!(block_code(&mut chain, &both), "POOL_EXCEEDED");
    block(&mut chain, &both[..1]).expect("all of it");
    assert_eq!(chain.supply().pool_units, 0);
    chain.reopen();
}

#[test]
fn what_leaves_the_pool_pays_exactly_the_fee_of_its_shape() {
    let chain = Chain::new();
    let anchor = latest(&chain);
    let with_fee = |more: i64| {
        let mut tx = of_pool(&chain, |fee| {
            let bundle = noise(1, true, fee as i64 + more, anchor);
            Function::TransferPrivate(TransferPrivate { bundle })
        });
        tx.payload.fee_units = (tx.payload.fee_units as i64 + more) as u64;
        tx
    };
    assert_eq!(code(&chain, &with_fee(0)), "OK");
    assert_eq!(code(&chain, &with_fee(1)), "FEE_NOT_STANDARD");
    assert_eq!(code(&chain, &with_fee(-1)), "FEE_TOO_LOW");
    let mut more_out = with_fee(0);
    let Function::TransferPrivate(f) = &mut more_out.payload.function else {
        unreachable!("it is a private transfer")
    };
    f.bundle.value_balance += 1;
    assert_eq!(code(&chain, &more_out), "WRONG_VALUE_BALANCE");
}

#[test]
fn expiry_and_other_limits_hold_for_notes_too() {
    let mut chain = Chain::new();
    fund(&mut chain, 1, 100_000_000);
    let anchor = latest(&chain);
    let window = chain.genesis.alpha.expiry_window_blocks;
    let expiring = |chain: &Chain, number, expiry_height| {
        let mut tx = spend(chain, number, anchor);
        tx.payload.expiry_height = expiry_height;
        tx
    };
    // Height 2 is next.
    let cases = [
        (1, "EXPIRED"),
        (2 + window + 1, "EXPIRY_TOO_FAR"),
        (2, "OK"),
        (3 + window, "OK"),
    ];
    for (number, (expiry_height, expected)) in cases.into_iter().enumerate() {
        let tx = expiring(&chain, number as u64, expiry_height);
        assert_eq!(block_code(&mut chain, &[tx]), expected, "{expiry_height}");
    }
    let nobody = of_pool(&chain, |fee| {
        let bundle = noise(9, true, fee as i64 + 5, anchor);
        let recipient = [0; 20];
        Function::LockPrivate(LockPrivate { recipient, bundle })
    });
    assert_eq!(code(&chain, &nobody), "INVALID_RECIPIENT");
    // Trailing bytes, and a bundle in a function that has none.
    let mut raw = spend(&chain, 10, anchor).encode();
    raw.push(0);
    assert_eq!(
        Transaction::decode(&raw)
            .expect_err("a byte too many")
            .code(),
        "INVALID_REQUEST"
    );
    // An output-only bundle names the empty tree, a spending one must not have made that up.
    let mint = super::model::mint(&chain, 2, 50_000, 11);
    assert_eq!(code(&chain, &mint), "OK");
    assert_ne!(anchor, empty_anchor().to_bytes());
}

#[test]
fn governors_below_their_threshold_and_used_orders_mint_no_notes() {
    let mut chain = Chain::new();
    fund(&mut chain, 1, 50_000);
    let again = super::model::mint(&chain, 1, 50_000, 12);
    assert_eq!(block_code(&mut chain, &[again]), "MINT_ALREADY_USED");
    // A public mint takes numbers from the same row.
    let public = chain.mint(1, 4, 5_000, 2);
    assert_eq!(chain.block_code(public), "MINT_ALREADY_USED");
    let mut few = super::model::mint(&chain, 2, 50_000, 13);
    let Witness::GovernorsAndBundle(approvals, _) = &mut few.witness else {
        unreachable!("governors sign a mint")
    };
    approvals.pop();
    // The fee of a mint may be more than the least, so a shorter witness does not matter for it.
    assert_eq!(code(&chain, &few), "GOVERNOR_THRESHOLD_NOT_MET");
}
