//! Blocks that peers have sent and that wait for those below them, unverified.
//!
//! Bounded in blocks and bytes: the lowest are kept, because they are needed first.

use crate::consensus::ValidatorSet;
use crate::ledger::CommittedBlock;
use crate::node::event::Peer;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How far ahead of the tip blocks are asked for, and kept.
pub(super) const WINDOW_BLOCKS: u64 = 256;
pub(super) const FETCHED_BYTES_MAX: usize = 32 << 20;

/// A block as a peer has sent it.
pub(super) struct Fetched {
    pub peer: Peer,
    pub block: CommittedBlock,
    /// Encoded length.
    pub bytes: usize,
    /// Whether this set has decided it, once that was asked.
    pub decided_by: Option<(Arc<ValidatorSet>, bool)>,
}

#[derive(Default)]
pub(super) struct FetchedBlocks {
    by_height: BTreeMap<u64, Fetched>,
    bytes: usize,
}

impl FetchedBlocks {
    /// Keeps the first that comes for a height.
    pub fn insert(&mut self, height: u64, fetched: Fetched) {
        if self.by_height.contains_key(&height) {
            return;
        }
        self.bytes += fetched.bytes;
        self.by_height.insert(height, fetched);
        while self.bytes > FETCHED_BYTES_MAX && self.by_height.len() > 1 {
            let (_, highest) = self.by_height.pop_last().expect("more than one");
            self.bytes -= highest.bytes;
        }
    }

    pub fn has(&self, height: u64) -> bool {
        self.by_height.contains_key(&height)
    }

    pub fn get_mut(&mut self, height: u64) -> Option<&mut Fetched> {
        self.by_height.get_mut(&height)
    }

    pub fn get(&self, height: u64) -> Option<&Fetched> {
        self.by_height.get(&height)
    }

    pub fn heights(&self) -> impl Iterator<Item = u64> + '_ {
        self.by_height.keys().copied()
    }

    pub fn is_full(&self) -> bool {
        self.bytes >= FETCHED_BYTES_MAX / 2
    }

    /// Takes the block of `height`, and forgets those below it.
    pub fn take(&mut self, height: u64) -> Option<Fetched> {
        while let Some(lowest) = self.by_height.first_entry()
            && *lowest.key() <= height
        {
            let (at, fetched) = lowest.remove_entry();
            self.bytes -= fetched.bytes;
            if at == height {
                return Some(fetched);
            }
        }
        None
    }

    /// Forgets what this peer has sent.
    pub fn forget(&mut self, peer: &Peer) {
        let bytes = &mut self.bytes;
        self.by_height.retain(|_, fetched| {
            let stays = fetched.peer != *peer;
            if !stays {
                *bytes -= fetched.bytes;
            }
            stays
        });
    }
}
