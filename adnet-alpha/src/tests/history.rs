//! The tree over time: proofs and their forgery, pruning, restarts.

use adnet_common::application::{Application, OpenError};
use adnet_common::hash::Hash;
use adnet_common::memory_store::MemoryStore;
use adnet_common::state_proof::alpha::verify;
use adnet_common::store::{Family, Write};

use super::harness::{Chain, address, unlock};
use crate::app::AlphaApp;
use crate::state::{Account, KEPT_VERSIONS, StateKey};

fn account_key(index: usize) -> StateKey {
    StateKey::Account(address(index).0)
}

/// Entries of each kind in the state family: nodes, leaves, old values, stale lists.
fn census(store: &MemoryStore) -> [usize; 4] {
    let kinds = *b"ncop";
    kinds.map(|kind| {
        store
            .family(Family::AlphaState)
            .filter(|(key, _)| key[0] == kind)
            .count()
    })
}

#[test]
fn every_flipped_bit_of_a_proof_breaks_it() {
    let mut chain = Chain::new();
    for to in 3..40 {
        chain.must_block(&[chain.transfer(0, to, 100)]);
    }
    let (height, root) = (chain.height(), chain.roots[chain.height() as usize]);
    for key in [
        account_key(7),
        account_key(200),
        StateKey::Supply,
        StateKey::Lock(1),
    ] {
        let leaf = chain.leaf(height, &key).expect("kept");
        let (key, value) = (key.encode(), leaf.value.as_deref());
        for at in 0..leaf.proof.len() {
            let mut forged = leaf.proof.clone();
            forged[at] ^= 1 << (at % 8);
            assert!(verify(&root, &key, value, &forged).is_err(), "byte {at}");
        }
        for len in 0..leaf.proof.len() {
            assert!(verify(&root, &key, value, &leaf.proof[..len]).is_err());
        }
        let other: Option<&[u8]> = if value.is_some() {
            None
        } else {
            Some(&[0; 16])
        };
        assert!(
            verify(&root, &key, other, &leaf.proof).is_err(),
            "presence is not absence"
        );
        assert!(
            verify(&root, b"account/", value, &leaf.proof).is_err(),
            "another key"
        );
        assert!(
            verify(&chain.roots[3], &key, value, &leaf.proof).is_err(),
            "another height"
        );
    }
    // A wrong value with a right proof.
    let leaf = chain.leaf(height, &account_key(7)).expect("kept");
    let richer = Account {
        balance_units: 101,
        nonce: 0,
    };
    assert_eq!(
        leaf.value.as_deref().map(Account::decode),
        Some(Ok(chain.account(7)))
    );
    let key = account_key(7).encode();
    assert!(verify(&root, &key, Some(&richer.encode()), &leaf.proof).is_err());
}

#[test]
fn pruning_keeps_the_window_and_nothing_else() {
    let mut chain = Chain::new();
    let mut balances = vec![chain.balance(5)];
    let total = 2 * KEPT_VERSIONS + 40;
    for height in 1..=total {
        if height % 3 == 0 {
            let to = 5 + (height % 7) as usize;
            chain.must_block(&[
                chain.transfer(0, 5, 10),
                chain.lock(1, 1 + height),
                chain.transfer(2, to, 1),
            ]);
        } else {
            chain.must_block(&[]);
        }
        balances.push(chain.balance(5));
    }
    let oldest = total + 1 - KEPT_VERSIONS;
    for height in 0..=total {
        let leaf = chain.leaf(height, &account_key(5));
        if height < oldest {
            assert_eq!(leaf, None, "height {height} is pruned");
            continue;
        }
        let value = leaf
            .expect("height is in the window")
            .value
            .expect("the account exists");
        let account = Account::decode(&value).expect("a value decodes");
        assert_eq!(
            account.balance_units, balances[height as usize],
            "height {height}"
        );
        let future = StateKey::Lock(chain.supply().last_sent + 1);
        assert_eq!(chain.leaf(height, &future).expect("kept").value, None);
    }
    chain.reopen();
    // Once a window of empty blocks has passed, one tree and the window's roots are left.
    for _ in 0..KEPT_VERSIONS {
        chain.must_block(&[]);
    }
    let [nodes, leaves, old_values, stale] = census(&chain.store);
    assert_eq!(old_values, 0);
    assert_eq!(stale as u64, KEPT_VERSIONS - 1);
    assert!(
        nodes as u64 >= KEPT_VERSIONS + leaves as u64,
        "{nodes} nodes, {leaves} leaves"
    );
    assert!(
        nodes < 2 * leaves + KEPT_VERSIONS as usize,
        "{nodes} nodes, {leaves} leaves"
    );
    chain.reopen();
}

#[test]
fn an_empty_block_costs_three_small_writes() {
    let mut chain = Chain::new();
    chain.must_block(&[]);
    let executed = chain.app.execute(&chain.store, &chain.context(), &[], &[]);
    let executed = executed.expect("memory").expect("valid");
    assert_eq!(executed.state_root, chain.roots[0], "nothing changed");
    assert_eq!(
        executed.writes.len(),
        3,
        "the root's new version, the old one's mark, and where its note commitments begin"
    );
    let bytes: usize = executed
        .writes
        .iter()
        .map(|write| match write {
            Write::Put { key, value, .. } => key.len() + value.len(),
            _ => 0,
        })
        .sum();
    assert!(bytes < 1024, "{bytes} bytes");
}

#[test]
fn a_restart_at_every_height_finds_the_same_state() {
    let mut chain = Chain::new();
    for height in 1..=20u64 {
        chain.reopen();
        match height % 4 {
            0 => chain.must_block(&[]),
            1 => chain.must_block(&[chain.transfer(0, 3, height), chain.burn(1, height)]),
            2 => chain.must_block(&[chain.mint(height, 4, 4_000, 2), chain.lock(2, height)]),
            _ => {
                let unlock = unlock(chain.supply().last_consumed + 1, 5, height);
                chain.block(&[], &[unlock]).expect("valid");
            }
        }
    }
    chain.reopen();
}

#[test]
fn a_state_that_does_not_lead_to_the_root_does_not_open() {
    let mut chain = Chain::new();
    chain.must_block(&[chain.transfer(0, 3, 7)]);
    let open = |store: &MemoryStore, height, root| {
        AlphaApp::open(&chain.genesis, store, height, root)
            .err()
            .map(|e| e.to_string())
    };
    let root = chain.roots[1];
    assert_eq!(open(&chain.store, 1, root), None);
    assert!(
        open(&chain.store, 1, chain.roots[0]).is_some(),
        "another root"
    );
    assert!(
        open(&chain.store, 2, root).is_some(),
        "a height that is not there"
    );
    assert!(
        open(&MemoryStore::new(), 1, root).is_some(),
        "an empty store"
    );
    // Balances that do not add up, tree nodes that are damaged, keys that are too long.
    let leaf = |key: &[u8]| [b"c", key].concat();
    let family = Family::AlphaState;
    let account = leaf(&account_key(3).encode());
    let damages = [
        Write::put(
            family,
            account.clone(),
            [&[0; 8][..], &[0; 7], &[9], &[0; 8]].concat(),
        ),
        Write::put(family, account, [0u8; 3]),
        Write::put(family, leaf(b"account/short"), [0u8; 24]),
        Write::put(family, leaf(b"mint/short"), [0u8; 24]),
        Write::put(
            family,
            [&b"n"[..], &1u64.to_be_bytes(), &[0]].concat(),
            [7u8; 9],
        ),
    ];
    for damage in damages {
        let mut store = chain.store.clone();
        store.apply(std::slice::from_ref(&damage));
        assert!(open(&store, 1, root).is_some(), "{damage:?}");
    }
    let refused = AlphaApp::open(&chain.genesis, &chain.store, 1, Hash::ZERO);
    assert!(matches!(refused, Err(OpenError::Corrupt(_))));
}

#[test]
#[should_panic(expected = "every version before")]
fn a_missing_version_is_a_broken_invariant() {
    let fresh = crate::state::NodeCache::default();
    let _ = crate::state::update(&MemoryStore::new(), &fresh, 1, &Default::default());
}
