//! The state at genesis, and the state that a restart finds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use adnet_common::application::OpenError;
use adnet_common::codec::DecodeError;
use adnet_common::genesis::Genesis;
use adnet_common::hash::Hash;
use adnet_common::keys::PublicKey;
use adnet_common::store::{Family, ReadStore, scan_all};
use adnet_common::supply::AlphaSupply;
use adnet_common::validators::{SetFrom, Validators};

use crate::pool::tree::{Anchors, NoteTree};
use crate::state::{
    self, ACCOUNT_PREFIX, Account, Committed, MINT_PREFIX, MISBEHAVIOUR_PREFIX, NodeCache,
    StateKey, TOMBSTONE_PREFIX, decode_leaf, leaf_range,
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
    let validators = genesis.validator_set();
    let validators = Validators::genesis(validators.expect("a valid genesis has validators"));
    let notes = NoteTree::default();
    let mut leaves = BTreeMap::from([
        (StateKey::Supply.encode(), supply.encode()),
        (StateKey::Validators.encode(), validators.own.encode()),
        (
            StateKey::SiblingValidators.encode(),
            validators.sibling.encode(),
        ),
        (StateKey::NoteCommitments.encode(), notes.encode()),
        (
            StateKey::Anchors.encode(),
            Anchors::genesis(notes.root()).encode(),
        ),
    ]);
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

/// Reads the committed state and checks it: the tree's root at `height` is `state_root`, the leaves of
/// supply, validators and note commitments are in that tree, the supply equation holds, and the accounts add up to its public part.
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
    let at = Tree {
        store,
        nodes,
        height,
        state_root,
    };
    let supply = at.supply()?;
    let mut validators = Validators {
        own: at.set(&StateKey::Validators)?,
        sibling: at.set(&StateKey::SiblingValidators)?,
        tombstones: BTreeMap::new(),
    };
    each_leaf(store, TOMBSTONE_PREFIX, |key: [u8; 32], value| {
        let height = value.try_into().map(u64::from_be_bytes);
        let height =
            height.map_err(|_| OpenError::Corrupt("a tombstone has no height".to_owned()))?;
        validators.tombstones.insert(PublicKey(key), height);
        Ok(())
    })?;
    let mut committed = Committed {
        height,
        root: state_root,
        supply,
        validators: Arc::new(validators),
        accounts: BTreeMap::new(),
        executed_orders: BTreeSet::new(),
        reported: BTreeSet::new(),
        notes: at.notes()?,
        anchors: at.anchors()?,
    };
    if committed.anchors.latest() != &committed.notes.root() {
        let message = "the last anchor is not the root of the note commitments";
        return Err(OpenError::Corrupt(message.to_owned()));
    }
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
    each_leaf(store, MISBEHAVIOUR_PREFIX, |key: [u8; 32], _| {
        committed.reported.insert(PublicKey(key));
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

/// The state tree at the height that is opened.
struct Tree<'a> {
    store: &'a dyn ReadStore,
    nodes: &'a NodeCache,
    height: u64,
    state_root: Hash,
}

impl Tree<'_> {
    /// A leaf that is there since genesis, proved under the root.
    fn leaf(&self, key: &StateKey) -> Result<Vec<u8>, OpenError> {
        let missing = || OpenError::Corrupt(format!("the leaf {key:?} is missing"));
        let encoded = key.encode();
        let leaf = state::leaf_proof(self.store, self.nodes, self.height, &encoded)?;
        let leaf = leaf.ok_or_else(missing)?;
        let value = leaf.value.ok_or_else(missing)?;
        adnet_common::state_proof::alpha::verify(
            &self.state_root,
            &encoded,
            Some(&value),
            &leaf.proof,
        )
        .map_err(|e| OpenError::Corrupt(format!("the leaf {key:?}: {e}")))?;
        Ok(value)
    }

    fn supply(&self) -> Result<AlphaSupply, OpenError> {
        let value = self.leaf(&StateKey::Supply)?;
        let supply = AlphaSupply::decode(&value).map_err(|e| corrupt("the supply leaf", &e))?;
        if !supply.holds() {
            return Err(OpenError::Corrupt(format!(
                "the supply equation fails: {supply:?}"
            )));
        }
        Ok(supply)
    }

    fn notes(&self) -> Result<NoteTree, OpenError> {
        let value = self.leaf(&StateKey::NoteCommitments)?;
        NoteTree::decode(&value).map_err(|e| corrupt("the leaf of the note commitments", &e))
    }

    fn anchors(&self) -> Result<Anchors, OpenError> {
        let value = self.leaf(&StateKey::Anchors)?;
        Anchors::decode(&value).map_err(|e| corrupt("the leaf of the anchors", &e))
    }

    fn set(&self, key: &StateKey) -> Result<SetFrom, OpenError> {
        let value = self.leaf(key)?;
        SetFrom::decode(&value).map_err(|e| corrupt("a leaf of the validators", &e))
    }
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
