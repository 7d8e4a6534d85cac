//! A state that is taken apart and put together again, and what is made of pieces on their way.

use adnet_common::application::Application;
use adnet_common::hash::Hash;
use adnet_common::memory_store::MemoryStore;
use adnet_common::restore::{PIECE_LEAVES_MAX, Restore};

use super::harness::Chain;
use crate::app::AlphaApp;
use crate::state::{AlphaRestore, KEPT_VERSIONS, NodeCache, piece};

/// A chain with so many accounts beside those of the genesis, and some of everything else.
fn chain(accounts: usize) -> Chain {
    let mut chain = Chain::new();
    let mut to = 10;
    while to < 10 + accounts {
        // A block for each transfer would take long; each sender sends one in a block.
        chain.must_block(&[
            chain.transfer(0, to, 1_000),
            chain.transfer(1, to + 1, 1_000),
        ]);
        to += 2;
    }
    let (lock, burn) = (chain.lock(0, 77), chain.burn(1, 5));
    let mint = chain.mint(9, 3, 1_000_000, 2);
    chain.must_block(&[lock, burn, mint]);
    chain
}

fn piece_at(chain: &Chain, height: u64, place: &[u8]) -> Option<Vec<u8>> {
    piece(&chain.store, &NodeCache::default(), height, place).expect("memory does not fail")
}

fn next_place(restore: &AlphaRestore) -> Option<Vec<u8>> {
    restore.wanted().next().map(<[u8]>::to_vec)
}

fn restore(chain: &Chain, height: u64) -> MemoryStore {
    let root = chain.roots[height as usize];
    let mut restore = AlphaRestore::new(height, root);
    let mut store = MemoryStore::new();
    while let Some(place) = next_place(&restore) {
        let piece = piece_at(chain, height, &place).expect("what is asked for is there");
        store.apply(&restore.take(&place, &piece).expect("a good piece"));
    }
    store.apply(&restore.finish());
    store
}

#[test]
fn a_restored_state_is_the_same_and_goes_on_to_the_same_roots() {
    let mut chain = chain(600);
    let height = chain.height();
    let store = restore(&chain, height);
    let root = chain.roots[height as usize];
    let opened = AlphaApp::open(&chain.genesis, &store, height, root).expect("it opens");
    assert_eq!(opened.committed(), chain.app.committed());
    let mut other = Chain::new();
    other.store = store;
    other.app = opened;
    other.roots = chain.roots.clone();
    // Long enough that everything that was restored has been pruned once.
    for round in 0..KEPT_VERSIONS + 20 {
        let tx = chain.transfer(0, 10 + round as usize % 50, 3);
        chain.must_block(std::slice::from_ref(&tx));
        other.must_block(&[tx]);
        assert_eq!(chain.roots.last(), other.roots.last());
    }
    other.reopen();
}

/// Pieces are those of the height that is asked for, while later blocks change what they hold.
#[test]
fn an_earlier_height_comes_back_as_it_was() {
    let mut chain = chain(300);
    let height = chain.height();
    let before = chain.app.committed().clone();
    for round in 0..KEPT_VERSIONS - 1 {
        // Accounts that are there, and new ones, each of which then changes again.
        let txs = [
            chain.transfer(0, 10 + round as usize, 3),
            chain.transfer(1, 2_000 + round as usize / 2, 3),
        ];
        chain.must_block(&txs);
    }
    let root = chain.roots[height as usize];
    let store = restore(&chain, height);
    let opened = AlphaApp::open(&chain.genesis, &store, height, root).expect("it opens");
    assert_eq!(*opened.committed(), before);
    chain.must_block(&[]);
    assert_eq!(
        piece_at(&chain, height, &[]),
        None,
        "it is not kept any more"
    );
}

#[test]
fn a_bent_piece_is_refused() {
    let chain = chain(PIECE_LEAVES_MAX);
    let height = chain.height();
    let mut restore = AlphaRestore::new(height, chain.roots[height as usize]);
    let mut earlier: Option<Vec<u8>> = None;
    while let Some(place) = next_place(&restore) {
        let good = piece_at(&chain, height, &place).expect("there");
        let wanted: Vec<Vec<u8>> = restore.wanted().map(<[u8]>::to_vec).collect();
        let mut bent: Vec<Vec<u8>> = earlier.take().into_iter().collect();
        for at in (0..good.len()).step_by(1 + good.len() / 60) {
            let mut flipped = good.clone();
            flipped[at] ^= 1 << (at % 8);
            bent.push(flipped);
            bent.push(good[..at].to_vec());
        }
        bent.push([&good[..], &[0]].concat());
        for bad in bent {
            assert!(restore.take(&place, &bad).is_err(), "{place:?}");
        }
        assert!(restore.wanted().eq(wanted.iter().map(Vec::as_slice)));
        restore.take(&place, &good).expect("the good one");
        assert!(restore.take(&place, &good).is_err(), "it comes once");
        earlier = Some(good);
    }
    let other = AlphaRestore::new(height, Hash::ZERO);
    let root = piece_at(&chain, height, &[]).expect("there");
    let mut other = other;
    assert!(other.take(&[], &root).is_err(), "of another root");
}

#[test]
fn places_that_are_none_have_no_piece() {
    let chain = chain(50);
    let height = chain.height();
    let places: [&[u8]; 4] = [&[16], &[0; 65], &[255; 3], &[1; 64]];
    for place in places {
        assert_eq!(piece_at(&chain, height, place), None, "{place:?}");
    }
    assert_eq!(piece_at(&chain, height + 1, &[]), None);
    assert_eq!(piece_at(&chain, u64::MAX, &[]), None);
}
