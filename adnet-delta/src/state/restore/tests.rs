//! A state that is taken apart and put together again, and what is made of pieces on their way.

use super::*;
use crate::state::{Account, Code, WorldState, piece};
use adnet_common::memory_store::MemoryStore;
use adnet_common::restore::PIECE_LEAVES_MAX;
use adnet_common::store::Family;
use alloy_primitives::{Address, Bytes};
use proptest::prelude::*;
use revm::bytecode::Bytecode;

/// A state with its rows.
struct Source {
    state: WorldState,
    store: MemoryStore,
}

impl Source {
    fn root(&self) -> Hash {
        Hash(self.state.root().0)
    }

    fn piece(&self, place: &[u8]) -> Vec<u8> {
        let piece = piece(&self.state, &self.store, place).expect("memory does not fail");
        piece.expect("what is asked for is there")
    }
}

fn address(index: u64) -> Address {
    Address::left_padding_from(&index.to_be_bytes())
}

/// `plain` accounts, and contracts with so many slots each. Contracts with the same number of slots
/// have the same code.
fn source(plain: u64, slots: &[u64]) -> Source {
    let (mut state, mut writes) = (WorldState::default(), Vec::new());
    for index in 1..=plain {
        let balance = U256::from(index) << (index % 200);
        let account = Account::new(index % 3, balance, None, Trie::default());
        state.set_account(&address(index), account, &mut writes);
    }
    for (index, count) in (plain + 1..).zip(slots) {
        let bytecode = Bytecode::new_legacy(Bytes::from(vec![0xfe; 1 + *count as usize % 50]));
        let code = Code::new(bytecode.hash_slow(), bytecode).expect("not empty");
        writes.push(leaves::put_code(&code.hash(), &code.bytes()));
        let account = Account::new(1, U256::ZERO, Some(code), Trie::default());
        state.set_account(&address(index), account, &mut writes);
        for slot in 0..*count {
            let value = U256::from(slot + 1) << (8 * (slot % 31));
            state.set_slot(&address(index), U256::from(slot), value, &mut writes);
        }
    }
    let mut store = MemoryStore::new();
    store.apply(&writes);
    Source { state, store }
}

fn next_place(restore: &DeltaRestore) -> Option<Vec<u8>> {
    restore.wanted().next().map(<[u8]>::to_vec)
}

/// Puts the state together from its pieces. Returns how many it took.
fn restore(source: &Source) -> (MemoryStore, usize) {
    let mut restore = DeltaRestore::new(7, source.root());
    let (mut store, mut pieces) = (MemoryStore::new(), 0);
    while let Some(place) = next_place(&restore) {
        let piece = source.piece(&place);
        store.apply(&restore.take(&place, &piece).expect("a good piece"));
        pieces += 1;
    }
    store.apply(&restore.finish());
    (store, pieces)
}

fn rows(store: &MemoryStore) -> Vec<(&Vec<u8>, &Vec<u8>)> {
    store.family(Family::DeltaState).collect()
}

#[test]
fn a_state_of_many_pieces_comes_back_row_by_row() {
    let source = source(5_000, &[0, 1, 3, 3, 4_000, 2_000]);
    let (store, pieces) = restore(&source);
    assert!(pieces > 20, "{pieces} pieces");
    assert_eq!(rows(&store), rows(&source.store));
    let loaded = leaves::load(&store).expect("the rows are sound");
    assert_eq!(loaded.root(), source.state.root());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_state_comes_back(plain in 0..1_500u64, slots in prop::collection::vec(0..1_300u64, 1..4)) {
        let source = source(plain, &slots);
        let (store, _) = restore(&source);
        prop_assert_eq!(rows(&store), rows(&source.store));
    }
}

/// Every piece of a state, bent in some way or put elsewhere, is refused and changes nothing.
#[test]
fn a_bent_piece_is_refused() {
    let source = source(1_200, &[2, 1_100]);
    let mut restore = DeltaRestore::new(7, source.root());
    let mut earlier: Option<Vec<u8>> = None;
    while let Some(place) = next_place(&restore) {
        let good = source.piece(&place);
        let wanted: Vec<Vec<u8>> = restore.wanted().map(<[u8]>::to_vec).collect();
        let mut bent: Vec<Vec<u8>> = Vec::new();
        for at in (0..good.len()).step_by(1 + good.len() / 40) {
            let mut flipped = good.clone();
            flipped[at] ^= 1 << (at % 8);
            bent.push(flipped);
            bent.push(good[..at].to_vec());
        }
        bent.push([&good[..], &[0]].concat());
        bent.extend(earlier.take());
        let decoded = Piece::decode(&good).expect("a good piece");
        if let Piece::Accounts(mut accounts) = decoded.clone() {
            accounts.pop();
            bent.push(Piece::Accounts(accounts.clone()).encode());
            accounts.reverse();
            bent.push(Piece::Accounts(accounts).encode());
        }
        if let Piece::Slots(mut slots) = decoded {
            slots[0].1 += U256::from(1);
            bent.push(Piece::Slots(slots.clone()).encode());
            slots[0].1 = U256::ZERO;
            bent.push(Piece::Slots(slots.clone()).encode());
            slots.remove(0);
            bent.push(Piece::Slots(slots).encode());
        }
        for bad in bent {
            assert!(restore.take(&place, &bad).is_err(), "{place:?}");
        }
        assert!(restore.wanted().eq(wanted.iter().map(Vec::as_slice)));
        restore.take(&place, &good).expect("the good one");
        assert!(restore.take(&place, &good).is_err(), "it comes once");
        earlier = Some(good);
    }
}

#[test]
fn places_that_are_none_have_no_piece() {
    let source = source(PIECE_LEAVES_MAX as u64 + 500, &[3]);
    let account = keccak256(address(1));
    let places: [&[u8]; 9] = [
        &[],
        &[0],
        &[9, 1, 2],
        &[1, 2, 3],
        &[3, 16],
        &[3; 66],
        &[3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
        &[&[2][..], &[7; 32]].concat(),
        &[&[2][..], account.as_slice()].concat(),
    ];
    for place in places {
        let piece = piece(&source.state, &source.store, place).expect("memory");
        assert_eq!(piece, None, "{place:?}");
    }
}
