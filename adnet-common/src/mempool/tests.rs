//! The mempool against its rules, and against a plain model for bounds and order.

use super::*;
use proptest::prelude::*;

const LIMITS: MempoolLimits = MempoolLimits {
    max_txs: 8,
    max_bytes: 1_000,
    max_per_sender: 4,
    ttl_ms: 1_000,
};

fn tx(sender: u8, nonce: u64, priority: u128, len: usize) -> Arc<VerifiedTx<()>> {
    let raw = vec![sender; len];
    let parts: [&[u8]; 3] = [&nonce.to_be_bytes(), &priority.to_be_bytes(), &raw];
    Arc::new(VerifiedTx {
        id: Hash::of("test", &parts),
        raw,
        sender: [sender; 32],
        nonce,
        priority,
        last_valid_height: u64::MAX,
        claims: Vec::new(),
        inner: (),
    })
}

fn claiming(sender: u8, nonce: u64, priority: u128, claims: &[u8]) -> Arc<VerifiedTx<()>> {
    let tx = Arc::into_inner(tx(sender, nonce, priority, 10)).expect("it is new");
    let claims = claims.iter().map(|claim| [*claim; 32]).collect();
    Arc::new(VerifiedTx { claims, ..tx })
}

fn at(account_nonce: u64) -> Admission {
    Admission { account_nonce }
}

fn nonces(pool: &Mempool<()>) -> Vec<(u8, u64)> {
    let candidates = pool.candidates(100, 1_000);
    candidates
        .iter()
        .map(|tx| (tx.sender[0], tx.nonce))
        .collect()
}

#[test]
fn senders_go_by_fee_and_each_by_nonce() {
    let mut pool = Mempool::new(LIMITS);
    for tx in [
        tx(1, 1, 90, 10),
        tx(1, 0, 5, 10),
        tx(2, 7, 10, 10),
        tx(3, 3, 99, 10),
    ] {
        let account = if tx.sender[0] == 2 { 7 } else { 0 };
        pool.insert(0, tx, at(account)).unwrap();
    }
    // Sender 3 has a gap and waits; 1's second pays most but comes after its first.
    assert_eq!(nonces(&pool), [(2, 7), (1, 0), (1, 1)]);
    assert_eq!(pool.next_nonce(&[1; 32]), Some(2));
    assert_eq!(pool.next_nonce(&[3; 32]), Some(0));
}

#[test]
fn a_replacement_pays_ten_percent_more() {
    let mut pool = Mempool::new(LIMITS);
    let first = tx(1, 0, 100, 10);
    pool.insert(0, first.clone(), at(0)).unwrap();
    assert_eq!(pool.insert(0, first.clone(), at(0)), Ok(Accepted::Known));
    let error = pool.insert(0, tx(1, 0, 109, 10), at(0)).unwrap_err();
    assert_eq!(error.code, "REPLACEMENT_UNDERPRICED");
    let accepted = pool.insert(0, tx(1, 0, 110, 10), at(0));
    assert_eq!(accepted, Ok(Accepted::Replaced(first.id)));
    assert_eq!(pool.len(), 1);
}

#[test]
fn a_replacement_keeps_the_byte_bound() {
    let mut pool = Mempool::new(LIMITS);
    pool.insert(0, tx(1, 0, 10, 400), at(0)).unwrap();
    pool.insert(0, tx(2, 0, 10, 400), at(0)).unwrap();
    let error = pool.insert(0, tx(1, 0, 20, 700), at(0)).unwrap_err();
    assert_eq!(error.code, "MEMPOOL_FULL");
    assert_eq!((pool.len(), pool.bytes()), (2, 800));
}

#[test]
fn when_full_the_cheapest_last_one_goes() {
    let mut pool = Mempool::new(LIMITS);
    for sender in 0..4 {
        for nonce in 0..2 {
            let priority = 10 + u128::from(sender) + u128::from(1 - nonce);
            pool.insert(0, tx(sender, nonce, priority, 10), at(0))
                .unwrap();
        }
    }
    let error = pool.insert(0, tx(9, 0, 10, 10), at(0)).unwrap_err();
    assert_eq!(error.code, "MEMPOOL_FULL");
    pool.insert(0, tx(9, 0, 50, 10), at(0)).unwrap();
    assert_eq!(pool.len(), 8);
    assert!(!nonces(&pool).contains(&(0, 1)));
    let many = (0..5).map(|n| pool.insert(0, tx(8, n, 99, 1), at(0)));
    assert_eq!(
        many.last().unwrap().unwrap_err().code,
        "TOO_MANY_FROM_SENDER"
    );
}

#[test]
fn a_block_takes_out_the_included_the_old_and_the_invalid() {
    let mut pool = Mempool::new(LIMITS);
    let (a, b, c) = (tx(1, 0, 1, 10), tx(2, 0, 1, 10), tx(3, 0, 1, 10));
    pool.insert(0, a.clone(), at(0)).unwrap();
    pool.insert(500, b, at(0)).unwrap();
    pool.insert(500, c, at(0)).unwrap();
    pool.insert(500, tx(1, 1, 1, 10), at(0)).unwrap();
    pool.on_block(1_200, &[a.id], &[], |tx| match tx.sender[0] {
        2 => Err(TxError::new("GONE", "")),
        _ => Ok(at(tx.nonce)),
    });
    let mut left = nonces(&pool);
    left.sort();
    assert_eq!(left, [(1, 1), (3, 0)]);
    pool.on_block(1_600, &[], &[], |tx| Ok(at(tx.nonce)));
    assert!(pool.is_empty());
    assert_eq!(pool.bytes(), 0);
}

#[test]
fn the_first_keeps_its_claims_until_it_leaves() {
    let mut pool = Mempool::new(LIMITS);
    let first = claiming(1, 0, 10, &[1, 2]);
    pool.insert(0, first.clone(), at(0)).unwrap();
    assert_eq!(pool.insert(0, first.clone(), at(0)), Ok(Accepted::Known));
    // However much it pays, another one with a claim of it has to wait.
    let second = claiming(2, 0, 1_000, &[2, 3]);
    let error = pool.insert(0, second.clone(), at(0)).unwrap_err();
    assert_eq!(error.code, "CLAIMED");
    // Neither does a replacement get the claim of a third one.
    pool.insert(0, claiming(3, 0, 10, &[9]), at(0)).unwrap();
    let error = pool
        .insert(0, claiming(1, 0, 1_000, &[1, 9]), at(0))
        .unwrap_err();
    assert_eq!(error.code, "CLAIMED");
    assert!(pool.get(&first.id).is_some());
    // One with the same sender and nonce takes its place, and what it does not claim is free.
    let better = claiming(1, 0, 20, &[1]);
    let replaced = pool.insert(0, better, at(0));
    assert_eq!(replaced, Ok(Accepted::Replaced(first.id)));
    pool.insert(0, second, at(0)).unwrap();
    assert_eq!(pool.claims.len(), 4);
    let ids: Vec<Hash> = pool.by_id.keys().copied().collect();
    pool.reject(&ids);
    assert!(pool.claims.is_empty());
}

#[test]
fn a_block_takes_out_what_claims_the_same() {
    let mut pool = Mempool::new(LIMITS);
    pool.insert(0, claiming(1, 0, 10, &[1, 2]), at(0)).unwrap();
    pool.insert(0, claiming(2, 0, 10, &[3]), at(0)).unwrap();
    pool.insert(0, claiming(3, 0, 10, &[4, 5]), at(0)).unwrap();
    pool.on_block(1, &[], &[[2; 32], [5; 32], [4; 32], [8; 32]], |_| Ok(at(0)));
    assert_eq!(nonces(&pool), [(2, 0)]);
    assert_eq!(pool.claims.len(), 1);
}

proptest! {
    #[test]
    fn bounds_hold_and_candidates_are_executable(
        txs in prop::collection::vec((0u8..5, 0u64..6, 0u128..50, 1usize..300), 1..60)
    ) {
        let mut pool = Mempool::new(LIMITS);
        for (sender, nonce, priority, len) in txs {
            let _ = pool.insert(0, tx(sender, nonce, priority, len), at(0));
            prop_assert!(pool.len() <= LIMITS.max_txs && pool.bytes() <= LIMITS.max_bytes);
            let total: usize = pool.senders.values().map(|q| q.txs.len()).sum();
            prop_assert_eq!(total, pool.len());
            let mut next = BTreeMap::new();
            for (sender, nonce) in nonces(&pool) {
                let expected = next.entry(sender).or_insert(0);
                prop_assert_eq!(nonce, *expected);
                *expected += 1;
            }
        }
    }
}
