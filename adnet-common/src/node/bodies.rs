//! Blocks that are not decided yet: kept durably, executed at most once each.

use crate::application::{Application, Executed};
use crate::block::Block;
use crate::hash::Hash;
use std::collections::BTreeMap;

/// Undecided blocks kept at most, and how far ahead of the tip they may be.
pub(super) const MAX_BODIES: usize = 64;
pub(super) const MAX_AHEAD: u64 = 4;

/// What we know of a block.
pub(super) enum Verdict<P> {
    Unknown,
    Valid(Box<Sound<P>>),
    Invalid,
}

/// What a valid block leads to.
pub(super) struct Sound<P> {
    pub executed: Executed<P>,
    /// Its transactions by their ids.
    pub ids: Vec<Hash>,
}

pub(super) struct Candidate<A: Application> {
    pub block: Block,
    pub verdict: Verdict<A::Pending>,
}

pub(super) struct Bodies<A: Application> {
    pub known: BTreeMap<Hash, Candidate<A>>,
    /// The block that we built in each round of the open height.
    pub built: BTreeMap<u32, Hash>,
}

impl<A: Application> Default for Bodies<A> {
    fn default() -> Self {
        Self {
            known: BTreeMap::new(),
            built: BTreeMap::new(),
        }
    }
}

impl<A: Application> Bodies<A> {
    pub fn add(&mut self, block: Block) {
        let verdict = Verdict::Unknown;
        let hash = block.hash();
        self.known
            .entry(hash)
            .or_insert(Candidate { block, verdict });
    }

    /// Whether a block of `height` from a peer may be kept, with the tip at `tip`.
    pub fn has_room(&self, height: u64, tip: u64) -> bool {
        height > tip && height <= tip + MAX_AHEAD && self.known.len() < MAX_BODIES
    }

    /// Forgets the candidates up to a committed height.
    pub fn end_height(&mut self, height: u64) {
        self.known.retain(|_, c| c.block.header.height > height);
        self.built.clear();
    }
}
