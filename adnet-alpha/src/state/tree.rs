//! The Jellyfish Merkle tree over the leaves, versioned by height, on top of the store.
//!
//! Every height makes a version, an empty block too: the tree builds version v from the root of
//! v − 1 and would silently start from an empty tree if that were missing, so it is checked. What a
//! version replaces is listed under that version and deleted [`KEPT_VERSIONS`] later, in the very
//! batch of the block that makes it superfluous.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use adnet_common::hash::Hash;
use adnet_common::state_proof::alpha::{encode, key_hash};
use adnet_common::store::{Family, ReadStore, Scan, StoreError, Write, scan_all};
use jmt::proof::SparseMerkleProof;
use jmt::storage::{LeafNode, Node, NodeKey, TreeReader};
use jmt::{KeyHash, OwnedValue, Sha256Jmt, Version};
use sha2::Sha256;

use super::node_cache::NodeCache;
use super::store_keys;

/// Versions whose proofs can be made: the committed one and those before it.
pub const KEPT_VERSIONS: u64 = 128;
/// Keys asked for in one read.
pub(super) const READ_KEYS_MAX: usize = 512;

pub(super) const FAMILY: Family = Family::AlphaState;

/// What a version changes.
pub struct TreeUpdate {
    pub root: Hash,
    pub writes: Vec<Write>,
    /// New nodes, for the cache once they are committed.
    pub nodes: BTreeMap<NodeKey, Node>,
}

/// Node reads of one operation.
pub(super) struct Reader<'a> {
    store: &'a dyn ReadStore,
    cache: &'a NodeCache,
    /// In a proof the tree panics on a node that cannot be read. So there a leaf that nobody has
    /// stands in, the reason is kept here, and the proof is thrown away.
    failed: Option<RefCell<Option<ReadFailure>>>,
}

#[derive(Debug, thiserror::Error)]
enum ReadFailure {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a tree node is not in the store")]
    Missing,
}

impl<'a> Reader<'a> {
    pub fn new(store: &'a dyn ReadStore, cache: &'a NodeCache) -> Self {
        Self {
            store,
            cache,
            failed: None,
        }
    }

    pub fn read(&self, key: &NodeKey) -> Result<Option<Node>, StoreError> {
        if let Some(node) = self.cache.get(key) {
            return Ok(Some(node));
        }
        let Some(bytes) = self.store.get(FAMILY, &store_keys::node(key))? else {
            return Ok(None);
        };
        let node: Node = borsh::from_slice(&bytes)
            .map_err(|e| StoreError::Failed(format!("a tree node of Alpha is corrupt: {e}")))?;
        self.cache.insert(key.clone(), node.clone());
        Ok(Some(node))
    }
}

impl TreeReader for Reader<'_> {
    fn get_node_option(&self, key: &NodeKey) -> anyhow::Result<Option<Node>> {
        let Some(failed) = &self.failed else {
            return Ok(self.read(key)?);
        };
        let failure = match self.read(key) {
            Ok(Some(node)) => return Ok(Some(node)),
            Ok(None) => ReadFailure::Missing,
            Err(error) => ReadFailure::Store(error),
        };
        failed.borrow_mut().get_or_insert(failure);
        let nobody = KeyHash([0xff; 32]);
        let value = jmt::ValueHash::with::<Sha256>([]);
        Ok(Some(Node::Leaf(LeafNode::new(nobody, value))))
    }

    /// Values are read beside the tree, where the state key is known; a proof needs the hash only.
    fn get_value_option(&self, _: Version, _: KeyHash) -> anyhow::Result<Option<OwnedValue>> {
        Ok(Some(OwnedValue::new()))
    }

    fn get_rightmost_leaf(&self) -> anyhow::Result<Option<(NodeKey, LeafNode)>> {
        anyhow::bail!("the tree is never restored from a stream of leaves")
    }
}

pub(super) fn root_key(version: u64) -> NodeKey {
    NodeKey::new(version, std::iter::empty().collect())
}

/// The tree's root at `version`, if that version is kept.
pub fn root_at(
    store: &dyn ReadStore,
    cache: &NodeCache,
    version: u64,
) -> Result<Option<Hash>, StoreError> {
    let reader = Reader::new(store, cache);
    let root = Sha256Jmt::new(&reader).get_root_hash_option(version);
    Ok(root.map_err(store_error)?.map(|root| Hash(root.0)))
}

/// Makes version `version` with `changes` (state key → value) out of the one before, which is the
/// latest that `store` has.
///
/// # Panics
/// If the version before is not in the store: the tree would forget everything.
pub fn update(
    store: &dyn ReadStore,
    cache: &NodeCache,
    version: u64,
    changes: &BTreeMap<Vec<u8>, Vec<u8>>,
) -> Result<TreeUpdate, StoreError> {
    let reader = Reader::new(store, cache);
    let parent = version.checked_sub(1).map(root_key);
    if let Some(parent) = &parent {
        assert!(
            reader.read(parent)?.is_some(),
            "the tree has every version before {version}"
        );
    }
    let hashed = changes
        .iter()
        .map(|(key, value)| (key_hash(key), Some(value.clone())));
    let (root, batch) = Sha256Jmt::new(&reader)
        .put_value_set(hashed, version)
        .map_err(store_error)?;

    let nodes = batch.node_batch.nodes().clone();
    let mut writes = Vec::with_capacity(nodes.len() + 2 * changes.len());
    for (key, node) in &nodes {
        let bytes = borsh::to_vec(node).expect("encoding into memory does not fail");
        writes.push(Write::put(FAMILY, store_keys::node(key), bytes));
    }
    let stale_nodes = batch
        .stale_node_index_batch
        .iter()
        .map(|index| &index.node_key);
    // A version without changes copies its root without listing the old one.
    let stale_nodes: BTreeSet<&NodeKey> = stale_nodes.chain(parent.as_ref()).collect();
    let mut stale: Vec<Vec<u8>> = stale_nodes.into_iter().map(store_keys::node).collect();
    write_leaves(store, version, changes, &mut writes, &mut stale)?;
    for (part, keys) in stale.chunks(store_keys::STALE_PART_KEYS).enumerate() {
        let key = store_keys::stale_part(version, part as u32);
        writes.push(Write::put(FAMILY, key, store_keys::encode_stale(keys)));
    }
    prune(store, version, &mut writes)?;
    Ok(TreeUpdate {
        root: Hash(root.0),
        writes,
        nodes,
    })
}

/// Writes the changed leaves, and keeps what they replace for proofs of earlier versions.
fn write_leaves(
    store: &dyn ReadStore,
    version: u64,
    changes: &BTreeMap<Vec<u8>, Vec<u8>>,
    writes: &mut Vec<Write>,
    stale: &mut Vec<Vec<u8>>,
) -> Result<(), StoreError> {
    let keys: Vec<Vec<u8>> = changes.keys().map(|key| store_keys::leaf(key)).collect();
    let mut replaced = Vec::with_capacity(keys.len());
    for some in keys.chunks(READ_KEYS_MAX) {
        replaced.extend(store.multi_get(FAMILY, some)?);
    }
    for ((state_key, value), replaced) in changes.iter().zip(replaced) {
        if let Some(bytes) = replaced {
            let key = store_keys::old_value(state_key, version);
            stale.push(key.clone());
            writes.push(Write::put(FAMILY, key, bytes));
        } else {
            let key = store_keys::preimage(&key_hash(state_key));
            writes.push(Write::put(FAMILY, key, state_key.clone()));
        }
        let value = store_keys::leaf_value(version, value);
        writes.push(Write::put(FAMILY, store_keys::leaf(state_key), value));
    }
    Ok(())
}

/// Deletes what only versions below the window need, now that `version` moves it on.
fn prune(store: &dyn ReadStore, version: u64, writes: &mut Vec<Write>) -> Result<(), StoreError> {
    // What became stale at `outgoing` serves the versions below it, and the oldest that is kept
    // from now on is `outgoing` itself.
    let Some(outgoing) = (version + 1).checked_sub(KEPT_VERSIONS) else {
        return Ok(());
    };
    let (from, to) = (
        store_keys::stale_part(outgoing, 0),
        store_keys::stale_part(outgoing + 1, 0),
    );
    let delete = |key| Write::Delete {
        family: FAMILY,
        key,
    };
    scan_all::<StoreError>(store, FAMILY, from, to, |part_key, part| {
        let keys = store_keys::decode_stale(&part).map_err(corrupt)?;
        writes.extend(keys.into_iter().map(delete));
        writes.push(delete(part_key));
        Ok(())
    })
}

/// A leaf's value (or its absence) at a version, with the proof of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    pub value: Option<Vec<u8>>,
    pub proof: Vec<u8>,
}

/// The leaf of `state_key` at `version`; `None` if that version is not kept (any more).
///
/// Works while later versions are being committed: nodes and old values of the window stay.
pub fn leaf_proof(
    store: &dyn ReadStore,
    cache: &NodeCache,
    version: u64,
    state_key: &[u8],
) -> Result<Option<Leaf>, StoreError> {
    let reader = Reader {
        store,
        cache,
        failed: Some(RefCell::new(None)),
    };
    let hash = key_hash(state_key);
    let proved = Sha256Jmt::new(&reader).get_with_proof(hash, version);
    match reader.failed.expect("set above").into_inner() {
        Some(ReadFailure::Missing) => return Ok(None),
        Some(ReadFailure::Store(error)) => return Err(error),
        None => {}
    }
    let (found, proof): (_, SparseMerkleProof<Sha256>) = proved.map_err(store_error)?;
    let value = match found {
        Some(_) => match value_at(store, version, state_key)? {
            Some(value) => Some(value),
            None => return Ok(None),
        },
        None => None,
    };
    let proof = encode(&proof);
    Ok(Some(Leaf { value, proof }))
}

/// The value that a leaf had at `version`; `None` if it was not there yet.
pub(super) fn value_at(
    store: &dyn ReadStore,
    version: u64,
    state_key: &[u8],
) -> Result<Option<Vec<u8>>, StoreError> {
    // Current first: if a block replaces it after this read, the version below says so.
    if let Some(bytes) = store.get(FAMILY, &store_keys::leaf(state_key))? {
        let (since, value) = store_keys::split_leaf_value(&bytes).map_err(corrupt)?;
        if since <= version {
            return Ok(Some(value.to_vec()));
        }
    }
    let (from, to) = store_keys::old_values_after(state_key, version);
    let page = store.scan(&Scan {
        family: FAMILY,
        from,
        to,
        limit: 1,
        reverse: false,
    })?;
    let Some((_, row)) = page.entries.into_iter().next() else {
        return Ok(None);
    };
    let (since, value) = store_keys::split_leaf_value(&row).map_err(corrupt)?;
    Ok((since <= version).then(|| value.to_vec()))
}

pub(super) fn corrupt(error: adnet_common::codec::DecodeError) -> StoreError {
    StoreError::Failed(format!("the state of Alpha is corrupt: {error}"))
}

/// The tree reports in one opaque type; what the store said is inside, all else is corruption.
fn store_error(error: anyhow::Error) -> StoreError {
    error.downcast().unwrap_or_else(|other: anyhow::Error| {
        StoreError::Failed(format!("the state tree of Alpha is corrupt: {other:#}"))
    })
}
