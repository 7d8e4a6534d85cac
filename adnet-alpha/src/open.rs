//! The state at genesis, and the state that a restart finds.

use std::collections::BTreeMap;

use adnet_common::application::OpenError;
use adnet_common::codec::DecodeError;
use adnet_common::genesis::Genesis;
use adnet_common::hash::Hash;
use adnet_common::store::{Family, ReadStore, scan_all};
use adnet_common::supply::AlphaSupply;

use crate::state::{
    self, ACCOUNT_PREFIX, Account, Committed, MINT_PREFIX, NodeCache, StateKey, decode_leaf,
    leaf_range,
};

/// The leaves of height 0.
///
/// # Panics
/// If the genesis is not valid.
pub fn genesis_leaves(genesis: &Genesis) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let sums = genesis
        .supply()
        .expect("a valid genesis has a supply that fits");
    let supply = AlphaSupply {
        issued_units: sums.issued_units,
        public_units: sums.public_units,
        locked_total_units: sums.locked_units,
        ..AlphaSupply::default()
    };
    assert!(supply.holds(), "genesis: issued = public + locked");
    let mut leaves = BTreeMap::from([(StateKey::Supply.encode(), supply.encode())]);
    for entry in &genesis.alpha.accounts {
        let account = Account {
            balance_units: entry.balance_units,
            nonce: 0,
        };
        let key = StateKey::Account(entry.address.0).encode();
        let twice = leaves.insert(key, account.encode());
        assert!(twice.is_none(), "a valid genesis names each account once");
    }
    leaves
}

/// Reads the committed state and checks it: the tree's root at `height` is `state_root`, the supply
/// leaf is in that tree, the supply equation holds, and the accounts add up to its public part.
pub fn committed_state(
    store: &dyn ReadStore,
    nodes: &NodeCache,
    height: u64,
    state_root: Hash,
) -> Result<Committed, OpenError> {
    let found = state::root_at(store, nodes, height)?;
    if found != Some(state_root) {
        let found = found.map_or("none".to_owned(), |root| root.to_string());
        let message = format!("the root at height {height} is {found}, not {state_root}");
        return Err(OpenError::Corrupt(message));
    }
    let supply = proved_supply(store, nodes, height, state_root)?;
    let mut committed = Committed {
        height,
        root: state_root,
        supply,
        ..Committed::default()
    };
    let mut public_units: u64 = 0;
    each_leaf(store, ACCOUNT_PREFIX, |owner: [u8; 32], value| {
        let account = Account::decode(value).map_err(|e| corrupt("an account", &e))?;
        let sum = public_units.checked_add(account.balance_units);
        public_units = sum.ok_or_else(|| {
            OpenError::Corrupt("the balances add up to more than 64 bits".to_owned())
        })?;
        committed.accounts.insert(owner, account);
        Ok(())
    })?;
    each_leaf(store, MINT_PREFIX, |order: [u8; 8], _| {
        committed.executed_orders.insert(u64::from_be_bytes(order));
        Ok(())
    })?;
    if public_units != supply.public_units {
        let message = format!(
            "the accounts hold {public_units} units, not {}",
            supply.public_units
        );
        return Err(OpenError::Corrupt(message));
    }
    Ok(committed)
}

fn proved_supply(
    store: &dyn ReadStore,
    nodes: &NodeCache,
    height: u64,
    state_root: Hash,
) -> Result<AlphaSupply, OpenError> {
    let key = StateKey::Supply.encode();
    let leaf = state::leaf_proof(store, nodes, height, &key)?;
    let missing = || OpenError::Corrupt("the supply leaf is missing".to_owned());
    let leaf = leaf.ok_or_else(missing)?;
    let value = leaf.value.ok_or_else(missing)?;
    adnet_common::state_proof::alpha::verify(&state_root, &key, Some(&value), &leaf.proof)
        .map_err(|e| OpenError::Corrupt(format!("the supply leaf: {e}")))?;
    let supply = AlphaSupply::decode(&value).map_err(|e| corrupt("the supply leaf", &e))?;
    if !supply.holds() {
        return Err(OpenError::Corrupt(format!(
            "the supply equation fails: {supply:?}"
        )));
    }
    Ok(supply)
}

/// Calls `each` with the identifier and the value of every leaf of one kind.
fn each_leaf<const N: usize>(
    store: &dyn ReadStore,
    prefix: &[u8],
    mut each: impl FnMut([u8; N], &[u8]) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    let (from, to) = leaf_range(prefix);
    let skipped = from.len();
    scan_all(store, Family::AlphaState, from, to, |key, bytes| {
        let wrong = |_| OpenError::Corrupt("a leaf's key has the wrong length".to_owned());
        let identifier = key[skipped..].try_into().map_err(wrong)?;
        each(
            identifier,
            decode_leaf(&bytes).map_err(|e| corrupt("a leaf", &e))?,
        )
    })
}

fn corrupt(what: &str, error: &DecodeError) -> OpenError {
    OpenError::Corrupt(format!("{what}: {error}"))
}
