//! Searches in blocks that are written as a chain writes them.

use super::index::{MAX_MARKS, marks_of, marks_write};
use super::*;
use crate::history::{FAMILY, receipt_key};
use adnet_common::memory_store::MemoryStore;
use adnet_common::store::Write;
use alloy_primitives::{Bloom, Bytes, LogData, keccak256};

fn log(address: u8, topics: &[u64]) -> Log {
    let topics = topics.iter().map(|n| keccak256(n.to_be_bytes())).collect();
    Log {
        address: Address::repeat_byte(address),
        data: LogData::new_unchecked(topics, Bytes::new()),
    }
}

fn topic(n: u64) -> Vec<B256> {
    vec![keccak256(n.to_be_bytes())]
}

/// A block with these logs, one per transaction.
fn block(store: &mut MemoryStore, height: u64, logs: Vec<Log>) {
    let receipts: Vec<Receipt> = (0..)
        .zip(logs)
        .map(|(first_log, log)| Receipt {
            tx_type: 2,
            from: Address::ZERO,
            to: None,
            success: true,
            gas_used: 1,
            cumulative_gas_used: 1,
            effective_gas_price_wei: 1,
            contract: None,
            first_log,
            logs: vec![log],
        })
        .collect();
    let mut bloom = Bloom::ZERO;
    receipts.iter().for_each(|r| bloom |= r.bloom());
    store.apply(&writes(height, &bloom, &receipts));
    for (index, receipt) in (0..).zip(&receipts) {
        let key = receipt_key(height, index);
        store.apply(&[Write::put(FAMILY, key, receipt.encode())]);
    }
}

const BOUNDS: SearchBounds = SearchBounds {
    results: 10,
    bytes: 1 << 20,
    receipts: 10_000,
    read_bytes: 1 << 20,
};

#[test]
fn a_search_finds_what_a_walk_over_all_receipts_finds() {
    let mut store = MemoryStore::new();
    block(&mut store, 1, vec![log(1, &[1, 2]), log(2, &[1])]);
    block(&mut store, 2, Vec::new());
    block(
        &mut store,
        3,
        (0..3000).map(|n| log(3, &[1, 100 + n])).collect(),
    );
    block(&mut store, 4, vec![log(1, &[]), log(1, &[7, 2])]);
    let heights = |query: &LogQuery, from, to| {
        let (found, end) = search(&store, query, from, to, BOUNDS).expect("it reads");
        assert_eq!(end, Searched::Through);
        found
            .iter()
            .map(|f| (f.height, f.tx_index, f.log_index))
            .collect::<Vec<_>>()
    };
    let of = |addresses: &[u8], topics: Vec<Vec<B256>>| LogQuery {
        addresses: addresses.iter().map(|b| Address::repeat_byte(*b)).collect(),
        topics,
    };
    let by_address = of(&[1], vec![]);
    assert_eq!(
        heights(&by_address, 1, 4),
        [(1, 0, 0), (4, 0, 0), (4, 1, 1)]
    );
    assert_eq!(heights(&by_address, 2, 3), []);
    let second = of(&[], vec![vec![], topic(2)]);
    assert_eq!(heights(&second, 0, 9), [(1, 0, 0), (4, 1, 1)]);
    let one_of_thousands = of(&[3], vec![topic(1), topic(1234)]);
    assert_eq!(heights(&one_of_thousands, 1, 4), [(3, 1134, 1134)]);
    let both = of(&[1, 2], vec![[topic(1), topic(7)].concat()]);
    assert_eq!(heights(&both, 1, 4), [(1, 0, 0), (1, 1, 1), (4, 1, 1)]);
    assert_eq!(heights(&of(&[9], vec![]), 1, 4), []);
}

#[test]
fn a_crowded_block_is_passed_over_by_its_marks() {
    let mut store = MemoryStore::new();
    block(&mut store, 5, (0..3000).map(|n| log(3, &[n])).collect());
    let marks = marks_of(&store, 5).expect("it reads").expect("crowded");
    assert!(marks.len() > 2990, "few collide: {}", marks.len());
    let query = LogQuery {
        addresses: Vec::new(),
        topics: vec![topic(1_000_000)],
    };
    let full = Bloom::repeat_byte(0xff);
    let asked = query.hashed();
    assert!(asked.may_be_in(&full), "the bloom alone says nothing");
    assert!(!asked.may_be_among(&marks));
    block(&mut store, 6, vec![log(1, &[1])]);
    assert_eq!(marks_of(&store, 6).expect("it reads"), None);
}

#[test]
fn marks_that_would_not_be_read_back_are_not_written() {
    let mut store = MemoryStore::new();
    let mut marks: Vec<u32> = (0..).take(MAX_MARKS).collect();
    store.apply(&[marks_write(1, &marks).expect("as many as may be")]);
    assert_eq!(marks_of(&store, 1).expect("it reads"), Some(marks.clone()));
    marks.push(u32::MAX);
    assert_eq!(marks_write(2, &marks), None);
}

#[test]
fn bounds_stop_a_search_and_tell_how_far_it_came() {
    let mut store = MemoryStore::new();
    for height in 1..=8 {
        block(&mut store, height, (0..4).map(|_| log(1, &[])).collect());
    }
    let all = LogQuery::default();
    let (found, end) = search(&store, &all, 1, 8, BOUNDS).expect("it reads");
    assert_eq!((found.len(), end), (8, Searched::Stopped { through: 2 }));
    let few = SearchBounds {
        results: 100,
        receipts: 10,
        ..BOUNDS
    };
    let (found, end) = search(&store, &all, 1, 8, few).expect("it reads");
    assert_eq!((found.len(), end), (12, Searched::Stopped { through: 3 }));
    let tiny = SearchBounds {
        results: 1,
        ..BOUNDS
    };
    let (found, _) = search(&store, &all, 3, 8, tiny).expect("it reads");
    assert_eq!(found.len(), 4, "the first block comes whole");
}

#[test]
fn what_is_read_in_vain_stops_a_search_too() {
    let mut store = MemoryStore::new();
    for height in 1..=8 {
        let mut long = log(1, &[1]);
        long.data.data = vec![0; 100].into();
        block(&mut store, height, vec![long]);
    }
    // The index has the topic, but not where it stands.
    let elsewhere = LogQuery {
        addresses: Vec::new(),
        topics: vec![Vec::new(), topic(1)],
    };
    let of = |read_bytes| {
        let bounds = SearchBounds {
            read_bytes,
            ..BOUNDS
        };
        let (found, end) = search(&store, &elsewhere, 1, 8, bounds).expect("it reads");
        assert!(found.is_empty());
        end
    };
    assert_eq!(of(800), Searched::Through);
    assert_eq!(of(299), Searched::Stopped { through: 3 });
}

#[test]
fn bytes_stop_a_search_even_in_the_first_block() {
    let mut store = MemoryStore::new();
    block(&mut store, 2, vec![log(1, &[1]), log(2, &[2])]);
    block(&mut store, 3, vec![log(1, &[1]), log(2, &[2])]);
    let each = json_bytes(&log(1, &[1]));
    let all = LogQuery::default();
    let of = |query: &LogQuery, bytes| {
        let bounds = SearchBounds { bytes, ..BOUNDS };
        let (found, end) = search(&store, query, 1, 3, bounds).expect("it reads");
        (found.len(), end)
    };
    assert_eq!(of(&all, 4 * each), (4, Searched::Through));
    let stopped = Searched::Stopped { through: 2 };
    assert_eq!(of(&all, 4 * each - 1), (2, stopped));
    let too_many = Searched::TooManyInBlock { height: 2 };
    assert_eq!(of(&all, 2 * each - 1), (0, too_many));
    let narrow = LogQuery {
        addresses: vec![Address::repeat_byte(1)],
        topics: Vec::new(),
    };
    assert_eq!(of(&narrow, 2 * each), (2, Searched::Through));
}
