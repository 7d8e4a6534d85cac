//! The mempool against its rules. (`model` compares it with a plain one.)

mod model;

use super::*;
use crate::application::Bid;
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
        bid: Bid::flat(priority),
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
    let mut pool = Mempool::new(LIMITS, 0);
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
    let mut pool = Mempool::new(LIMITS, 0);
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
    let mut pool = Mempool::new(LIMITS, 0);
    pool.insert(0, tx(1, 0, 10, 400), at(0)).unwrap();
    pool.insert(0, tx(2, 0, 10, 400), at(0)).unwrap();
    let error = pool.insert(0, tx(1, 0, 20, 700), at(0)).unwrap_err();
    assert_eq!(error.code, "MEMPOOL_FULL");
    assert_eq!((pool.len(), pool.bytes()), (2, 800));
}

#[test]
fn when_full_the_cheapest_last_one_goes() {
    let mut pool = Mempool::new(LIMITS, 0);
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
    let mut pool = Mempool::new(LIMITS, 0);
    let (a, b, c) = (tx(1, 0, 1, 10), tx(2, 0, 1, 10), tx(3, 0, 1, 10));
    pool.insert(0, a.clone(), at(0)).unwrap();
    pool.insert(500, b, at(0)).unwrap();
    pool.insert(500, c, at(0)).unwrap();
    pool.insert(500, tx(1, 1, 1, 10), at(0)).unwrap();
    pool.on_block(1_200, 0, &[a.id], &[], |tx| match tx.sender[0] {
        2 => Err(TxError::new("GONE", "")),
        _ => Ok(at(tx.nonce)),
    });
    let mut left = nonces(&pool);
    left.sort();
    assert_eq!(left, [(1, 1), (3, 0)]);
    pool.on_block(1_600, 0, &[], &[], |tx| Ok(at(tx.nonce)));
    assert!(pool.is_empty());
    assert_eq!(pool.bytes(), 0);
}

#[test]
fn the_first_keeps_its_claims_until_it_leaves() {
    let mut pool = Mempool::new(LIMITS, 0);
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
    let mut pool = Mempool::new(LIMITS, 0);
    pool.insert(0, claiming(1, 0, 10, &[1, 2]), at(0)).unwrap();
    pool.insert(0, claiming(2, 0, 10, &[3]), at(0)).unwrap();
    pool.insert(0, claiming(3, 0, 10, &[4, 5]), at(0)).unwrap();
    pool.on_block(1, 0, &[], &[[2; 32], [5; 32], [4; 32], [8; 32]], |_| {
        Ok(at(0))
    });
    assert_eq!(nonces(&pool), [(2, 0)]);
    assert_eq!(pool.claims.len(), 1);
}

fn bidding(sender: u8, nonce: u64, cap: u128, tip: u128) -> Arc<VerifiedTx<()>> {
    let tx = Arc::into_inner(tx(sender, nonce, cap * 1_000 + tip, 10)).expect("it is new");
    let bid = Bid { cap, tip };
    Arc::new(VerifiedTx { bid, ..tx })
}

#[test]
fn a_replacement_pays_more_in_all_and_as_a_tip() {
    let mut pool = Mempool::new(LIMITS, 0);
    pool.insert(0, bidding(1, 0, 100, 10), at(0)).unwrap();
    for (cap, tip) in [(110, 10), (100, 11), (109, 11), (500, 10)] {
        let error = pool.insert(0, bidding(1, 0, cap, tip), at(0)).unwrap_err();
        assert_eq!(error.code, "REPLACEMENT_UNDERPRICED");
        let words = "replacement transaction underpriced";
        assert!(error.message.starts_with(words), "{error}");
    }
    pool.insert(0, bidding(1, 0, 110, 11), at(0)).unwrap();
    // Nor for nothing.
    pool.insert(0, bidding(2, 0, 5, 0), at(0)).unwrap();
    assert!(pool.insert(0, bidding(2, 0, 5, 0), at(0)) == Ok(Accepted::Known));
    assert!(pool.insert(0, bidding(2, 0, 6, 0), at(0)).is_err());
    assert_eq!(pool.len(), 2);
}

#[test]
fn what_bids_less_than_the_price_is_parked_with_all_behind_it() {
    let mut pool = Mempool::new(LIMITS, 50);
    for tx in [
        bidding(1, 0, 100, 10),
        bidding(1, 1, 40, 40),
        bidding(1, 2, 100, 99),
        bidding(2, 0, 60, 60),
    ] {
        pool.insert(0, tx, at(0)).unwrap();
    }
    // Of 60 the price leaves 10, as much as the other tips: the smaller id goes first.
    assert_eq!((pool.pending_len(), pool.queued_len()), (2, 2));
    assert_eq!(nonces(&pool).len(), 2);
    assert_eq!(pool.next_nonce(&[1; 32]), Some(3));
    let shown = |sender, txs, bytes| {
        let overview = pool.overview(&Shown { sender, txs, bytes });
        assert_eq!((overview.ready_total, overview.held_back_total), (2, 2));
        (overview.ready.len(), overview.held_back.len())
    };
    assert_eq!(shown(None, 10, usize::MAX), (2, 2));
    assert_eq!(shown(None, 1, usize::MAX), (1, 1));
    assert_eq!(shown(None, 10, 0), (0, 0));
    assert_eq!(shown(Some([1; 32]), 10, usize::MAX), (1, 2));
    assert_eq!(shown(Some([2; 32]), 10, usize::MAX), (1, 0));
    assert_eq!(shown(Some([3; 32]), 10, usize::MAX), (0, 0));
    // The price falls, and the whole row is ready.
    pool.on_block(1, 40, &[], &[], |_| Ok(at(0)));
    assert_eq!(nonces(&pool), [(2, 0), (1, 0), (1, 1), (1, 2)]);
    // It rises above everything: nothing is lost.
    pool.on_block(2, 1_000, &[], &[], |_| Ok(at(0)));
    assert_eq!((pool.pending_len(), pool.len()), (0, 4));
    assert!(nonces(&pool).is_empty());
}

#[test]
fn what_is_queued_goes_before_what_is_pending_and_takes_a_part_of_the_room() {
    let mut pool = Mempool::new(LIMITS, 0);
    // A quarter of 8 places. Among the queued the higher tip stays.
    for (sender, priority) in [(1, 500), (2, 600)] {
        pool.insert(0, tx(sender, 7, priority, 10), at(0)).unwrap();
    }
    let error = pool.insert(0, tx(3, 7, 400, 10), at(0)).unwrap_err();
    assert_eq!(error.code, "MEMPOOL_FULL");
    assert!(error.message.starts_with("txpool is full"), "{error}");
    pool.insert(0, tx(3, 7, 550, 10), at(0)).unwrap();
    assert_eq!(pool.next_nonce(&[1; 32]), None);
    // Pending ones need not pay as much.
    for sender in 10..18 {
        pool.insert(0, tx(sender, 0, 5, 10), at(0)).unwrap();
    }
    assert_eq!((pool.pending_len(), pool.queued_len()), (8, 0));
    assert!(
        pool.insert(0, tx(20, 7, 900, 10), at(0)).is_err(),
        "not for what is queued"
    );
    pool.insert(0, tx(20, 0, 6, 10), at(0)).unwrap();
}

#[test]
fn one_that_needs_the_room_of_many_takes_none_if_they_pay_more() {
    let mut pool = Mempool::new(LIMITS, 0);
    for (nonce, priority) in [(0, 90), (1, 10), (2, 20)] {
        pool.insert(0, tx(1, nonce, priority, 300), at(0)).unwrap();
    }
    // The last two of the row would have to go, and the first of them pays more.
    assert!(pool.insert(0, tx(2, 0, 21, 900), at(0)).is_err());
    assert_eq!((pool.len(), pool.bytes()), (3, 900));
    pool.insert(0, tx(2, 0, 21, 600), at(0)).unwrap();
    assert_eq!((pool.len(), pool.bytes()), (2, 900));
}

proptest! {
    #[test]
    fn bounds_hold_and_candidates_are_executable(
        txs in prop::collection::vec((0u8..5, 0u64..6, 0u128..50, 1usize..300), 1..60)
    ) {
        let mut pool = Mempool::new(LIMITS, 0);
        for (sender, nonce, priority, len) in txs {
            let _ = pool.insert(0, tx(sender, nonce, priority, len), at(0));
            prop_assert!(pool.len() <= LIMITS.max_txs && pool.bytes() <= LIMITS.max_bytes);
            let total: usize = pool.senders.values().map(Queue::len).sum();
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
