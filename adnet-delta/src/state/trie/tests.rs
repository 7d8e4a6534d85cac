//! The trie against alloy's own builder, over random insertions and deletions.

use super::*;
use alloy_primitives::U256;
use alloy_trie::HashBuilder;
use alloy_trie::proof::verify_proof;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn reference(leaves: &BTreeMap<B256, U256>) -> B256 {
    let mut builder = HashBuilder::default();
    for (key, value) in leaves {
        builder.add_leaf(Nibbles::unpack(key), &alloy_rlp::encode(value));
    }
    builder.root()
}

/// Keys that share prefixes of every length, so that nodes split and collapse all the time.
fn key() -> impl Strategy<Value = B256> {
    let near = (any::<[u8; 3]>(), 0..32usize).prop_map(|(bytes, at)| {
        let mut key = B256::ZERO;
        key[at] = bytes[0] & 0x13;
        key[31] = bytes[1] & 0x31;
        key[0] |= bytes[2] & 0x10;
        key
    });
    prop_oneof![near, any::<[u8; 32]>().prop_map(B256::new)]
}

/// A value of zero removes the key.
fn changes() -> impl Strategy<Value = Vec<(B256, u64)>> {
    let value = prop_oneof![Just(0u64), 1..100u64, any::<u64>()];
    prop::collection::vec((key(), value), 1..120)
}

fn apply(trie: &mut Trie<U256>, leaves: &mut BTreeMap<B256, U256>, key: B256, value: u64) {
    if value == 0 {
        trie.remove(&key);
        leaves.remove(&key);
    } else {
        trie.insert(&key, U256::from(value));
        leaves.insert(key, U256::from(value));
    }
}

#[test]
fn the_empty_trie_has_the_known_root_and_no_proof() {
    let mut trie = Trie::<U256>::default();
    assert_eq!(trie.root(), EMPTY_ROOT_HASH);
    assert!(trie.proof(&B256::ZERO).is_empty());
    trie.insert(&B256::ZERO, U256::from(1));
    trie.remove(&B256::ZERO);
    assert!(trie.is_empty());
    assert_eq!(trie.root(), EMPTY_ROOT_HASH);
}

#[test]
#[should_panic(expected = "each once")]
fn a_trie_of_leaves_that_are_not_in_order_is_refused() {
    let leaf = (B256::ZERO, U256::from(1));
    Trie::of_sorted(vec![leaf, leaf]);
}

proptest! {
    #[test]
    fn roots_and_values_are_those_of_the_reference(changes in changes(), every in 1..7usize) {
        let (mut trie, mut leaves) = (Trie::default(), BTreeMap::new());
        for (step, (key, value)) in changes.into_iter().enumerate() {
            apply(&mut trie, &mut leaves, key, value);
            // Roots now and then, so that cached and changed nodes meet in every way.
            if step % every == 0 {
                prop_assert_eq!(trie.root(), reference(&leaves));
            }
        }
        prop_assert_eq!(trie.root(), reference(&leaves));
        prop_assert_eq!(trie.root_on_all_cores(), reference(&leaves));
        let sorted: Vec<(B256, U256)> = leaves.iter().map(|(key, value)| (*key, *value)).collect();
        for built in [Trie::of_sorted(sorted.clone()), Trie::of_many_sorted(sorted.clone())] {
            prop_assert_eq!(built.root_on_all_cores(), reference(&leaves));
            for (key, value) in &leaves {
                prop_assert_eq!(built.get(key), Some(value));
                prop_assert_eq!(built.proof(key), trie.proof(key));
            }
        }
        let mut count = 0;
        trie.for_each(|_| count += 1);
        prop_assert_eq!(count, leaves.len());
        for (key, value) in &leaves {
            prop_assert_eq!(trie.get(key), Some(value));
        }
        for key in leaves.keys().copied().collect::<Vec<_>>() {
            trie.remove(&key);
        }
        prop_assert_eq!(trie.root(), EMPTY_ROOT_HASH);
    }

    #[test]
    fn a_version_stays_as_it_is_whatever_happens_to_its_clone(
        first in changes(),
        second in changes(),
    ) {
        let (mut trie, mut leaves) = (Trie::default(), BTreeMap::new());
        first.into_iter().for_each(|(key, value)| apply(&mut trie, &mut leaves, key, value));
        let (kept, kept_leaves) = (trie.clone(), leaves.clone());
        second.into_iter().for_each(|(key, value)| apply(&mut trie, &mut leaves, key, value));
        prop_assert_eq!(trie.root(), reference(&leaves));
        prop_assert_eq!(kept.root(), reference(&kept_leaves));
        for (key, value) in &kept_leaves {
            prop_assert_eq!(kept.get(key), Some(value));
        }
    }

    #[test]
    fn proofs_verify_for_what_is_there_and_what_is_not(changes in changes(), absent in key()) {
        let (mut trie, mut leaves) = (Trie::default(), BTreeMap::new());
        changes.into_iter().for_each(|(key, value)| apply(&mut trie, &mut leaves, key, value));
        let keys: Vec<B256> = leaves.keys().copied().chain([absent]).collect();
        for key in keys {
            let value = trie.get(&key).map(alloy_rlp::encode);
            let proof = trie.proof(&key);
            let verified = verify_proof(trie.root(), Nibbles::unpack(key), value, &proof);
            prop_assert!(verified.is_ok(), "{:?}", verified);
        }
    }
}
