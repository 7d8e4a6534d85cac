//! The tree of note commitments, as far as a node needs it: where it ends, and its recent roots.
//!
//! A node never proves that a note is in the tree; wallets do. So the rightmost path of the tree (its
//! frontier, about 1 kB) is all that is kept, as a leaf of the state, and with it the final roots of
//! the last blocks, which spends may name as their anchor.

use adnet_common::codec::{DecodeError, Reader, Writer};
use incrementalmerkletree::frontier::{Frontier, NonEmptyFrontier};
use incrementalmerkletree::{Level, Position};
use orchard::tree::MerkleHashOrchard;

use super::grow::grow;

/// Levels of the tree: room for 2^32 notes.
pub const DEPTH: u8 = 32;
/// Wallets take the tree in subtrees of 2^16 notes.
pub const SUBTREE_LEVEL: u8 = 16;
/// Blocks before the one that includes a spend, at most, whose final root it may name. With the
/// expiry window this bounds how long a wallet may take from building to inclusion.
pub const ANCHOR_WINDOW_BLOCKS: u64 = 100;

type NoteFrontier = Frontier<MerkleHashOrchard, DEPTH>;

/// Where the tree ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteTree {
    frontier: NoteFrontier,
}

impl Default for NoteTree {
    fn default() -> Self {
        Self {
            frontier: Frontier::empty(),
        }
    }
}

impl NoteTree {
    /// Notes in the tree.
    pub fn len(&self) -> u64 {
        self.frontier.tree_size()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn root(&self) -> [u8; 32] {
        self.frontier.root().to_bytes()
    }

    pub fn frontier(&self) -> &NoteFrontier {
        &self.frontier
    }

    /// Adds note commitments, which verification has found to be field elements. Returns number and root
    /// of each subtree that they fill, in order.
    ///
    /// # Panics
    /// If the tree is full: 2^32 notes would take centuries of full blocks.
    pub fn extend(&mut self, commitments: &[[u8; 32]]) -> Vec<(u64, [u8; 32])> {
        if commitments.is_empty() {
            return Vec::new();
        }
        let leaf = |commitment| {
            let leaf = Option::from(MerkleHashOrchard::from_bytes(commitment));
            leaf.expect("a verified bundle has canonical note commitments")
        };
        let leaves = commitments.iter().map(leaf).collect();
        let end = std::mem::replace(&mut self.frontier, Frontier::empty()).take();
        let (end, filled) = grow(end, leaves, Level::from(SUBTREE_LEVEL));
        self.frontier = Frontier::try_from(end).expect("the note tree has room");
        let filled = filled.into_iter();
        filled
            .map(|(number, root)| (number, root.to_bytes()))
            .collect()
    }

    /// Notes u64 · then, if there are any: last leaf 32 · number of ommers u8 · ommers 32 each, from
    /// the leaf up.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(64);
        w.u64(self.len());
        if let Some(end) = self.frontier.value() {
            let count = u8::try_from(end.ommers().len()).expect("one per level at most");
            w.raw(&end.leaf().to_bytes()).u8(count);
            for ommer in end.ommers() {
                w.raw(&ommer.to_bytes());
            }
        }
        w.finish()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let len = r.u64("notes in the tree")?;
        let Some(last) = len.checked_sub(1) else {
            r.end()?;
            return Ok(Self::default());
        };
        let leaf = node(&mut r)?;
        let count = r.u8("number of ommers")?;
        if count > DEPTH {
            return Err(r.invalid("number of ommers", "there is one per level at most"));
        }
        let mut ommers = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            ommers.push(node(&mut r)?);
        }
        let wrong = r.invalid("note tree", "its ommers are not those of its size");
        r.end()?;
        let end = NonEmptyFrontier::from_parts(Position::from(last), leaf, ommers);
        let end = end.map_err(|_| wrong.clone())?;
        let frontier = Frontier::try_from(end).map_err(|_| wrong)?;
        Ok(Self { frontier })
    }
}

fn node(r: &mut Reader<'_>) -> Result<MerkleHashOrchard, DecodeError> {
    let bytes = r.array("tree node")?;
    let node = Option::from(MerkleHashOrchard::from_bytes(&bytes));
    node.ok_or_else(|| r.invalid("tree node", "it is no field element"))
}

/// The final roots of the last blocks: each with the first height that ended with it, oldest first.
///
/// Invariant: heights rise strictly, neighbours differ, the last is the root of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchors {
    roots: Vec<(u64, [u8; 32])>,
}

impl Anchors {
    /// At genesis.
    pub fn genesis(root: [u8; 32]) -> Self {
        Self {
            roots: vec![(0, root)],
        }
    }

    /// The final root of the last block.
    pub fn latest(&self) -> &[u8; 32] {
        &self.roots.last().expect("there is one from genesis on").1
    }

    /// Each with the first height that ended with it, oldest first.
    pub fn roots(&self) -> &[(u64, [u8; 32])] {
        &self.roots
    }

    /// Whether a spend in the block of `height` may name this root.
    pub fn allows(&self, anchor: &[u8; 32], height: u64) -> bool {
        let oldest = height.saturating_sub(ANCHOR_WINDOW_BLOCKS);
        self.roots.iter().enumerate().any(|(index, (from, root))| {
            // It was the final root up to the block before the next one's first.
            let until = self
                .roots
                .get(index + 1)
                .map_or(u64::MAX, |next| next.0 - 1);
            root == anchor && *from < height && until >= oldest
        })
    }

    /// The block of `height` ends with `root`. Forgets what no later block may name.
    pub fn push(&mut self, height: u64, root: [u8; 32]) {
        if *self.latest() == root {
            return;
        }
        self.roots.push((height, root));
        let oldest = (height + 1).saturating_sub(ANCHOR_WINDOW_BLOCKS);
        // One that ended before the oldest block that counts is of no use.
        let ended = self.roots.windows(2).filter(|pair| pair[1].0 <= oldest);
        let forgotten = ended.count();
        self.roots.drain(..forgotten);
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.list(&self.roots, |w, (height, root)| {
            w.u64(*height).raw(root);
        });
        w.finish()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        // One per block of the window, and the one that was in force before it.
        let most = ANCHOR_WINDOW_BLOCKS as usize + 1;
        let roots = r.list("anchors", most, |r| {
            Ok((r.u64("height")?, r.array("root")?))
        })?;
        let rises = roots.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let wrong = r.invalid("anchors", "there is none, or their heights do not rise");
        r.end()?;
        match roots.is_empty() || !rises {
            true => Err(wrong),
            false => Ok(Self { roots }),
        }
    }
}
