//! The wallet's tree as bytes.
//!
//! ```text
//! tree        version u8 = 1 · height u64 · size u64 · shards (list) · cap · checkpoints (list) ·
//!             root after `height` 32
//! shard       index u32 · node
//! checkpoint  height u64 · size u64 · positions whose mark was removed (list of u64)
//! node        0 nothing · 1 leaf: hash 32, flags u8 · 2 parent: left, right ·
//!             3 parent with its hash 32: left, right
//! ```
//!
//! The root at the end is computed anew when a tree is read: one that was damaged on disk is refused
//! then, and not when a payment fails.

use std::collections::BTreeSet;
use std::sync::Arc;

use adnet_common::codec::{DecodeError, Reader, Writer};
use incrementalmerkletree::{Address, Level, Position};
use orchard::tree::MerkleHashOrchard;
use shardtree::store::{Checkpoint, ShardStore, TreeState};
use shardtree::{LocatedPrunableTree, LocatedTree, Node, PrunableTree, RetentionFlags, Tree};

use super::tree::{CHECKPOINTS_MAX, CommitmentTree, SHARD_HEIGHT, Store, TreeError, never};
use crate::pool::tree::DEPTH;

const VERSION: u8 = 1;
const SHARDS_MAX: usize = 1 << (DEPTH - SHARD_HEIGHT);
const SIZE_MAX: u64 = 1 << DEPTH;

const NIL: u8 = 0;
const LEAF: u8 = 1;
const PARENT: u8 = 2;
const HASHED_PARENT: u8 = 3;

/// Why bytes are no tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeCodecError {
    #[error("the tree of note commitments does not decode: {0}")]
    Malformed(#[from] DecodeError),
    #[error("the tree of note commitments is not the one that was written: its root differs")]
    Root,
    #[error(transparent)]
    Damaged(#[from] TreeError),
}

impl CommitmentTree {
    pub fn encode(&self) -> Vec<u8> {
        let store = self.store();
        let mut w = Writer::new();
        w.u8(VERSION).u64(self.height()).u64(self.size());
        let shards: Vec<LocatedPrunableTree<MerkleHashOrchard>> = never(store.get_shard_roots())
            .into_iter()
            .filter_map(|root| never(store.get_shard(root)))
            .filter(|shard| !shard.root().is_empty())
            .collect();
        w.list(&shards, |w, shard| {
            let index = shard.root_addr().index();
            w.u32(u32::try_from(index).expect("there are 2^16 shards"));
            encode_node(w, shard.root());
        });
        encode_node(&mut w, &never(store.get_cap()));
        let mut checkpoints = Vec::new();
        never(store.for_each_checkpoint(usize::MAX, |height, checkpoint| {
            checkpoints.push((*height, checkpoint.clone()));
            Ok(())
        }));
        w.list(&checkpoints, |w, (height, checkpoint)| {
            let size = checkpoint.position().map_or(0, |last| u64::from(last) + 1);
            w.u64(*height).u64(size);
            let removed: Vec<u64> = (checkpoint.marks_removed().iter())
                .map(|position| (*position).into())
                .collect();
            w.list(&removed, |w, position| {
                w.u64(*position);
            });
        });
        let root = self.root_at(self.height());
        w.raw(&root.expect("the newest checkpoint has a root").to_bytes());
        w.finish()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, TreeCodecError> {
        let mut r = Reader::new(bytes);
        if r.u8("tree version")? != VERSION {
            return Err(r
                .invalid("tree version", "this release knows version 1")
                .into());
        }
        let (height, size) = (r.u64("height")?, r.u64("size")?);
        if size > SIZE_MAX {
            return Err(r.invalid("size", "the tree holds 2^32 commitments").into());
        }
        let mut store = Store::empty();
        let mut next = 0;
        for _ in 0..r.len("shards", SHARDS_MAX)? {
            let index = u64::from(r.u32("shard index")?);
            if index < next || index >= SHARDS_MAX as u64 {
                return Err(r
                    .invalid("shard index", "it does not rise within bounds")
                    .into());
            }
            next = index + 1;
            let root = Address::from_parts(Level::from(SHARD_HEIGHT), index);
            let node = decode_node(&mut r, SHARD_HEIGHT)?;
            let shard = LocatedTree::from_parts(root, node);
            let shard = shard.map_err(|_| r.invalid("shard", "it is deeper than a shard"))?;
            never(store.put_shard(shard));
        }
        never(store.put_cap(decode_node(&mut r, DEPTH - SHARD_HEIGHT)?));
        let newest = decode_checkpoints(&mut r, &mut store)?;
        if newest != Some((height, size)) {
            return Err(r
                .invalid("checkpoints", "the newest is not the tree's")
                .into());
        }
        let root: [u8; 32] = r.array("root")?;
        r.end()?;
        let tree = Self::from_store(store, size, height);
        if tree.root_at(height)?.to_bytes() != root {
            return Err(TreeCodecError::Root);
        }
        Ok(tree)
    }
}

/// The newest checkpoint's height and size.
fn decode_checkpoints(
    r: &mut Reader<'_>,
    store: &mut Store,
) -> Result<Option<(u64, u64)>, DecodeError> {
    let mut newest: Option<(u64, u64)> = None;
    for _ in 0..r.len("checkpoints", CHECKPOINTS_MAX)? {
        let (height, size) = (r.u64("checkpoint's height")?, r.u64("checkpoint's size")?);
        let rises = newest.is_none_or(|(last, last_size)| height > last && size >= last_size);
        if !rises || size > SIZE_MAX {
            return Err(r.invalid("checkpoint", "it does not rise within bounds"));
        }
        newest = Some((height, size));
        let removed = r.list("removed marks", usize::MAX, |r| r.u64("position"))?;
        if removed.iter().any(|position| *position >= SIZE_MAX) {
            return Err(r.invalid("removed marks", "the tree has no such position"));
        }
        let removed: BTreeSet<Position> = removed.into_iter().map(Position::from).collect();
        let state = match size {
            0 => TreeState::Empty,
            size => TreeState::AtPosition((size - 1).into()),
        };
        never(store.add_checkpoint(height, Checkpoint::from_parts(state, removed)));
    }
    Ok(newest)
}

fn encode_node(w: &mut Writer, tree: &PrunableTree<MerkleHashOrchard>) {
    match &**tree {
        Node::Nil => w.u8(NIL),
        Node::Leaf { value } => w.u8(LEAF).raw(&value.0.to_bytes()).u8(value.1.bits()),
        Node::Parent { ann, left, right } => {
            match ann {
                None => w.u8(PARENT),
                Some(hash) => w.u8(HASHED_PARENT).raw(&hash.to_bytes()),
            };
            encode_node(w, left);
            encode_node(w, right);
            w
        }
    };
}

fn decode_node(
    r: &mut Reader<'_>,
    levels: u8,
) -> Result<PrunableTree<MerkleHashOrchard>, DecodeError> {
    let kind = r.u8("node")?;
    match kind {
        NIL => Ok(Tree::empty()),
        LEAF => {
            let hash = decode_hash(r)?;
            let flags = RetentionFlags::from_bits(r.u8("flags")?);
            let flags = flags.ok_or_else(|| r.invalid("flags", "they are unknown"))?;
            Ok(Tree::leaf((hash, flags)))
        }
        PARENT | HASHED_PARENT => {
            let levels = levels.checked_sub(1);
            let levels = levels.ok_or_else(|| r.invalid("node", "the tree is too deep"))?;
            let hash = match kind {
                PARENT => None,
                _ => Some(Arc::new(decode_hash(r)?)),
            };
            let left = decode_node(r, levels)?;
            Ok(Tree::parent(hash, left, decode_node(r, levels)?))
        }
        _ => Err(r.invalid("node", "its kind is unknown")),
    }
}

fn decode_hash(r: &mut Reader<'_>) -> Result<MerkleHashOrchard, DecodeError> {
    let bytes = r.array("hash")?;
    let hash = Option::from(MerkleHashOrchard::from_bytes(&bytes));
    hash.ok_or_else(|| r.invalid("hash", "it is no field element"))
}
