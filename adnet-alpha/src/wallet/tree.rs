//! The wallet's tree of note commitments: the paths of its own notes, and as little else as they
//! need.
//!
//! It begins with the frontier at the wallet's birthday and takes every commitment from there on.
//! Commitments of others leave nothing behind but the hashes beside our paths. A checkpoint per
//! block lets a path be computed as of any of the last [`CHECKPOINTS_MAX`] blocks, and the tree go
//! back to it.

use std::convert::Infallible;

use incrementalmerkletree::frontier::Frontier;
use incrementalmerkletree::{Marking, Position, Retention};
use orchard::tree::{Anchor, MerkleHashOrchard, MerklePath};
use shardtree::ShardTree;
use shardtree::error::ShardTreeError;
use shardtree::store::ShardStore;
use shardtree::store::memory::MemoryShardStore;

use crate::pool::tree::{ANCHOR_WINDOW_BLOCKS, DEPTH, SUBTREE_LEVEL};

/// Levels of a subtree that is kept in one piece.
pub const SHARD_HEIGHT: u8 = SUBTREE_LEVEL;
/// Blocks that the tree can go back: as many as the chain accepts anchors of.
pub const CHECKPOINTS_MAX: usize = ANCHOR_WINDOW_BLOCKS as usize;

pub type TreeFrontier = Frontier<MerkleHashOrchard, DEPTH>;
pub(super) type Store = MemoryShardStore<MerkleHashOrchard, u64>;
type Shards = ShardTree<Store, DEPTH, SHARD_HEIGHT>;

/// Why the tree cannot do something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    #[error("there is no checkpoint of height {0}")]
    NoCheckpoint(u64),
    #[error("height {given} does not follow {last}, the tree's last")]
    Order { last: u64, given: u64 },
    #[error("the tree of note commitments is damaged: {0}")]
    Damaged(String),
}

/// A commitment that is appended, and whether its note is ours.
pub type Leaf = (MerkleHashOrchard, bool);

/// See the file's header.
pub struct CommitmentTree {
    shards: Shards,
    size: u64,
    height: u64,
}

impl CommitmentTree {
    /// A tree as it is after block `height`.
    pub fn begin(height: u64, frontier: TreeFrontier) -> Result<Self, TreeError> {
        let size = frontier.tree_size();
        let mut shards = ShardTree::new(Store::empty(), CHECKPOINTS_MAX);
        let retention = Retention::Checkpoint {
            id: height,
            marking: Marking::None,
        };
        shards
            .insert_frontier(frontier, retention)
            .map_err(damaged)?;
        Ok(Self {
            shards,
            size,
            height,
        })
    }

    pub(super) fn from_store(store: Store, size: u64, height: u64) -> Self {
        let shards = ShardTree::new(store, CHECKPOINTS_MAX);
        Self {
            shards,
            size,
            height,
        }
    }

    pub(super) fn store(&self) -> &Store {
        self.shards.store()
    }

    /// Commitments before the next one.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The block after which the tree is so.
    pub fn height(&self) -> u64 {
        self.height
    }

    /// The lowest height with a checkpoint.
    pub fn oldest(&self) -> u64 {
        let oldest = never(self.shards.store().min_checkpoint_id());
        oldest.expect("a tree begins with a checkpoint, and the newest is never dropped")
    }

    /// Takes the commitments of the next block.
    pub fn append(&mut self, height: u64, leaves: &[Leaf]) -> Result<(), TreeError> {
        if height != self.height + 1 {
            let last = self.height;
            return Err(TreeError::Order {
                last,
                given: height,
            });
        }
        let last = leaves.len().saturating_sub(1);
        let leaves_kept = leaves.iter().enumerate().map(|(at, (leaf, ours))| {
            let retention = match (at == last, ours) {
                (true, ours) => Retention::Checkpoint {
                    id: height,
                    marking: if *ours {
                        Marking::Marked
                    } else {
                        Marking::None
                    },
                },
                (false, true) => Retention::Marked,
                (false, false) => Retention::Ephemeral,
            };
            (*leaf, retention)
        });
        if leaves.is_empty() {
            self.shards.checkpoint(height).map_err(damaged)?;
        } else {
            let start = Position::from(self.size);
            (self.shards.batch_insert(start, leaves_kept)).map_err(damaged)?;
        }
        self.size += leaves.len() as u64;
        self.height = height;
        Ok(())
    }

    /// The root after block `height`: an anchor.
    pub fn root_at(&self, height: u64) -> Result<Anchor, TreeError> {
        let root = self.shards.root_at_checkpoint_id(&height);
        let root = root
            .map_err(damaged)?
            .ok_or(TreeError::NoCheckpoint(height))?;
        Ok(root.into())
    }

    /// The path of one of our notes as of block `height`.
    pub fn witness(&self, position: u64, height: u64) -> Result<MerklePath, TreeError> {
        let path = (self.shards).witness_at_checkpoint_id(position.into(), &height);
        let path = path
            .map_err(damaged)?
            .ok_or(TreeError::NoCheckpoint(height))?;
        Ok(path.into())
    }

    /// The note at `position` was spent in block `height`: its path goes when nobody can go back to
    /// before that block.
    pub fn forget(&mut self, position: u64, height: u64) -> Result<(), TreeError> {
        let removed = self.shards.remove_mark(position.into(), Some(&height));
        removed.map(|_| ()).map_err(damaged)
    }

    /// Goes back to how it was after block `height`.
    pub fn truncate(&mut self, height: u64) -> Result<(), TreeError> {
        let checkpoint = never(self.shards.store().get_checkpoint(&height));
        let checkpoint = checkpoint.ok_or(TreeError::NoCheckpoint(height))?;
        (self.shards.truncate_to_checkpoint(&height)).map_err(damaged)?;
        self.size = checkpoint.position().map_or(0, |last| u64::from(last) + 1);
        self.height = height;
        Ok(())
    }
}

fn damaged(error: ShardTreeError<Infallible>) -> TreeError {
    TreeError::Damaged(error.to_string())
}

pub(super) fn never<T>(result: Result<T, Infallible>) -> T {
    result.unwrap_or_else(|never| match never {})
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
