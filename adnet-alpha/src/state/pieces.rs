//! Pieces of the state for peers that restore it: what they look like, and cutting them off.
//!
//! A place is the nibbles of a path in the tree, a byte each. See [`adnet_common::restore`].

use adnet_common::codec::{DecodeError, Reader as Bytes, Writer};
use adnet_common::restore::{PIECE_BYTES_MAX, PIECE_LEAVES_MAX};
use adnet_common::store::{MAX_SCAN_ENTRIES, ReadStore, Scan, StoreError};
use jmt::storage::{NibblePath, Node, NodeKey};

use super::leaves::KEY_BYTES_MAX;
use super::node_cache::NodeCache;
use super::store_keys::{self, HASH_NIBBLES};
use super::tree::{FAMILY, READ_KEYS_MAX, Reader, corrupt, root_key, value_at};

/// Leaves of one piece that have changed since its version: each is a read of its own.
const CHANGED_MAX: usize = 256;
/// The longest value is a set of validators.
const VALUE_BYTES_MAX: usize = 64 << 10;

/// A state key with its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// A child of an inner node. A leaf that is alone in its part of the node stands for all of that part
/// in the node's hash, wherever in it: so a leaf comes with what says where it belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Child {
    Inner([u8; 32]),
    Leaf(Pair),
}

/// What is at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// An inner node with too many leaves below it to send them all: its children by nibble.
    Node(Vec<(u8, Child)>),
    /// All leaves below the place, state keys and values, in the order of the keys' hashes.
    Leaves(Vec<Pair>),
}

impl Piece {
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        match self {
            Piece::Node(children) => w.u8(1).list(children, |w, (nibble, child)| {
                w.u8(*nibble);
                match child {
                    Child::Inner(hash) => w.u8(0).raw(hash),
                    Child::Leaf((key, value)) => w.u8(1).bytes(key).bytes(value),
                };
            }),
            Piece::Leaves(leaves) => w.u8(2).list(leaves, |w, (key, value)| {
                w.bytes(key).bytes(value);
            }),
        };
        w.finish()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Bytes::new(bytes);
        if bytes.len() > PIECE_BYTES_MAX {
            return Err(r.invalid("piece", "longer than 1 MiB"));
        }
        let piece = match r.u8("kind of piece")? {
            1 => Piece::Node(r.list("children", 16, child)?),
            2 => Piece::Leaves(r.list("leaves", PIECE_LEAVES_MAX, pair)?),
            _ => return Err(r.invalid("kind of piece", "unknown")),
        };
        r.end()?;
        Ok(piece)
    }
}

fn pair(r: &mut Bytes<'_>) -> Result<Pair, DecodeError> {
    let key = r.bytes("state key", KEY_BYTES_MAX)?.to_vec();
    Ok((key, r.bytes("value", VALUE_BYTES_MAX)?.to_vec()))
}

fn child(r: &mut Bytes<'_>) -> Result<(u8, Child), DecodeError> {
    let nibble = r.u8("nibble")?;
    let child = match r.u8("kind of child")? {
        0 => Child::Inner(r.array("hash")?),
        1 => Child::Leaf(pair(r)?),
        _ => return Err(r.invalid("kind of child", "neither a leaf nor an inner node")),
    };
    Ok((nibble, child))
}

/// The path in the tree that a place names, if it names one.
pub fn path_of(place: &[u8]) -> Option<NibblePath> {
    let is_path = place.len() <= HASH_NIBBLES && place.iter().all(|nibble| *nibble <= 0xf);
    is_path.then(|| place.iter().map(|nibble| (*nibble).into()).collect())
}

/// Cuts off the piece at `place` of the tree at `version`; `None` if nothing begins there, the place is
/// none, or the version is not kept (any more).
pub fn piece(
    store: &dyn ReadStore,
    cache: &NodeCache,
    version: u64,
    place: &[u8],
) -> Result<Option<Vec<u8>>, StoreError> {
    if path_of(place).is_none() {
        return Ok(None);
    }
    let reader = Reader::new(store, cache);
    let mut node = reader.read(&root_key(version))?;
    for depth in 0..place.len() {
        let Some(since) = node.and_then(|node| child_version(&node, place[depth])) else {
            return Ok(None);
        };
        let path = path_of(&place[..=depth]).expect("the whole place is a path");
        node = reader.read(&NodeKey::new(since, path))?;
    }
    let count = match &node {
        None | Some(Node::Null) => return Ok(None),
        Some(Node::Leaf(_)) => 1,
        Some(Node::Internal(inner)) => inner.leaf_count(),
    };
    if count <= PIECE_LEAVES_MAX
        && let Some(leaves) = leaves_below(store, version, place)?
    {
        let piece = Piece::Leaves(leaves).encode();
        if piece.len() <= PIECE_BYTES_MAX {
            return Ok(Some(piece));
        }
    }
    let Some(Node::Internal(inner)) = &node else {
        return Ok(None);
    };
    let mut children = Vec::with_capacity(16);
    for (nibble, child) in inner.children_sorted() {
        let nibble: u8 = nibble.into();
        let below = [place, &[nibble]].concat();
        let child = match child.is_leaf() {
            false => Child::Inner(child.hash),
            true => {
                let path = path_of(&below).expect("a child of a place is one");
                let leaf = reader.read(&NodeKey::new(child.version, path))?;
                let Some(Node::Leaf(leaf)) = leaf else {
                    return Ok(None);
                };
                let key = store.get(FAMILY, &store_keys::preimage(&leaf.key_hash()))?;
                let key = key.unwrap_or_default();
                let value = value_at(store, version, &key)?;
                Child::Leaf((key, value.unwrap_or_default()))
            }
        };
        children.push((nibble, child));
    }
    Ok(Some(Piece::Node(children).encode()))
}

/// The version that made a child of an inner node.
fn child_version(node: &Node, nibble: u8) -> Option<u64> {
    let Node::Internal(inner) = node else {
        return None;
    };
    let mut children = inner.children_sorted();
    let child = children.find(|(at, _)| at.as_usize() == usize::from(nibble));
    child.map(|(_, child)| child.version)
}

/// The leaves at `version` whose keys' hashes begin with `nibbles`; `None` if so many have come or
/// changed since that they take too long to tell apart.
fn leaves_below(
    store: &dyn ReadStore,
    version: u64,
    nibbles: &[u8],
) -> Result<Option<Vec<Pair>>, StoreError> {
    let (from, to) = store_keys::preimage_range(nibbles);
    let page = store.scan(&Scan {
        family: FAMILY,
        from,
        to,
        limit: MAX_SCAN_ENTRIES,
        reverse: false,
    })?;
    if page.next.is_some() {
        return Ok(None);
    }
    let keys: Vec<Vec<u8>> = page.entries.into_iter().map(|(_, key)| key).collect();
    let mut leaves = Vec::with_capacity(keys.len());
    let mut changed = 0;
    for some in keys.chunks(READ_KEYS_MAX) {
        let rows: Vec<Vec<u8>> = some.iter().map(|key| store_keys::leaf(key)).collect();
        for (key, row) in some.iter().zip(store.multi_get(FAMILY, &rows)?) {
            let row = row.unwrap_or_default();
            let (since, value) = store_keys::split_leaf_value(&row).map_err(corrupt)?;
            let value = match since <= version {
                true => Some(value.to_vec()),
                false => {
                    changed += 1;
                    if changed > CHANGED_MAX {
                        return Ok(None);
                    }
                    value_at(store, version, key)?
                }
            };
            leaves.extend(value.map(|value| (key.clone(), value)));
        }
    }
    Ok(Some(leaves))
}
