//! Everything a wallet knows: its notes, its history, what is pending, and how far it has read the
//! chain.

use std::collections::{BTreeMap, VecDeque};

use adnet_common::hash::Hash;
use serde::{Deserialize, Serialize};

use super::history::{HistoryEntry, Status};
use super::keys::ViewingKeys;
use super::note::OwnNote;
use super::pending::Pending;
use super::tree::{CHECKPOINTS_MAX, CommitmentTree, TreeError};
use crate::pool::tree::NoteTree;

/// Blocks between the newest block and the one whose root a payment names. Notes can be spent from
/// this age on. A root that is a few blocks old tells less about when its wallet was last in use.
pub const ANCHOR_DEPTH_BLOCKS: u64 = 3;

/// The network that a wallet belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    pub name: String,
    /// Hash of the genesis.
    pub genesis: Hash,
}

/// A block by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockRef {
    pub height: u64,
    pub hash: Hash,
}

/// Where a wallet begins to read: after this block nothing that concerns it has happened yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Birthday {
    pub block: BlockRef,
    /// The tree of note commitments after it.
    pub tree: NoteTree,
}

/// The state of a wallet. Whoever has the file sees all that its viewing key sees; only
/// [`super::keys::SpendingKeys`] spend.
pub struct Wallet {
    pub(super) network: Network,
    pub(super) viewing: ViewingKeys,
    pub(super) birthday: BlockRef,
    /// The last blocks that were read, oldest first; the birthday's block stands for those before.
    pub(super) recent: VecDeque<BlockRef>,
    /// By position.
    pub(super) notes: BTreeMap<u64, OwnNote>,
    /// Of final transactions, in the order of the chain.
    pub(super) history: Vec<HistoryEntry>,
    pub(super) pending: Vec<Pending>,
    /// Final ones whose blocks the wallet could still go back from.
    pub(super) settled: Vec<Pending>,
    pub(super) tree: CommitmentTree,
}

/// Why a wallet cannot go back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RewindError {
    #[error(
        "the wallet can go back to height {oldest}, not to {given}: it must be read anew from its birthday"
    )]
    TooFar { oldest: u64, given: u64 },
    #[error("the wallet has read up to height {tip}, it cannot go back to {given}")]
    Ahead { tip: u64, given: u64 },
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// The wallet is of another network than the node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the wallet belongs to the network `{}` (genesis {}), the node to genesis {node}",
    .wallet.name, .wallet.genesis
)]
pub struct OtherNetwork {
    pub wallet: Network,
    pub node: Hash,
}

impl Wallet {
    /// A wallet that knows nothing yet but where to begin.
    pub fn new(
        network: Network,
        viewing: ViewingKeys,
        birthday: Birthday,
    ) -> Result<Self, TreeError> {
        let Birthday { block, tree } = birthday;
        Ok(Self {
            network,
            viewing,
            birthday: block,
            recent: VecDeque::from([block]),
            notes: BTreeMap::new(),
            history: Vec::new(),
            pending: Vec::new(),
            settled: Vec::new(),
            tree: CommitmentTree::begin(block.height, tree.frontier().clone())?,
        })
    }

    pub fn network(&self) -> &Network {
        &self.network
    }

    pub fn viewing(&self) -> &ViewingKeys {
        &self.viewing
    }

    pub fn birthday(&self) -> BlockRef {
        self.birthday
    }

    /// The last block that was read.
    pub fn tip(&self) -> BlockRef {
        *self
            .recent
            .back()
            .expect("it begins with the birthday's block")
    }

    /// The block to ask for next.
    pub fn next_height(&self) -> u64 {
        self.tip().height + 1
    }

    /// The last blocks that were read, newest first. Where a node has another block at one of these
    /// heights, it has another chain from there on.
    pub fn recent_blocks(&self) -> impl Iterator<Item = BlockRef> + '_ {
        self.recent.iter().rev().copied()
    }

    pub fn check_network(&self, genesis: &Hash) -> Result<(), OtherNetwork> {
        match *genesis == self.network.genesis {
            true => Ok(()),
            false => Err(OtherNetwork {
                wallet: self.network.clone(),
                node: *genesis,
            }),
        }
    }

    /// Spent ones too, in the order of the chain.
    pub fn notes(&self) -> impl Iterator<Item = &OwnNote> {
        self.notes.values()
    }

    pub fn pending(&self) -> &[Pending] {
        &self.pending
    }

    /// Final transactions in the order of the chain, then what is pending or has expired.
    pub fn history(&self) -> Vec<HistoryEntry> {
        let waiting = self.pending.iter().map(|pending| HistoryEntry {
            status: self.status(pending),
            ..pending.entry.clone()
        });
        self.history.iter().cloned().chain(waiting).collect()
    }

    /// Transactions that are wanted as a whole: their memos and recipients are not in compact
    /// blocks. See [`Wallet::enrich`].
    pub fn wanted(&self) -> Vec<Hash> {
        let incomplete = self.history.iter().filter(|entry| !entry.is_complete);
        incomplete.map(|entry| entry.id).collect()
    }

    /// What is to become of a pending transaction.
    pub fn status(&self, pending: &Pending) -> Status {
        let is_spendable = |position: &u64| {
            let note = self.notes.get(position);
            note.is_some_and(|note| note.spent.is_none())
        };
        let in_time = self.tip().height < pending.expiry_height;
        match in_time && pending.spends.iter().all(is_spendable) {
            true => Status::Pending,
            false => Status::Expired,
        }
    }

    /// The height whose root payments name now.
    pub fn anchor_height(&self) -> u64 {
        let back = self.tip().height.saturating_sub(ANCHOR_DEPTH_BLOCKS);
        back.max(self.tree.oldest())
    }

    /// Goes back to how things were after block `height`, one of the last blocks. What was final in a
    /// later one is pending again: it was sent, and may be in the blocks that come instead.
    ///
    /// The chain has no forks; this is for networks that were reset, and for nodes that lied.
    pub fn rewind(&mut self, height: u64) -> Result<(), RewindError> {
        let (tip, oldest) = (self.tip().height, self.tree.oldest());
        if height > tip {
            return Err(RewindError::Ahead { tip, given: height });
        }
        if height < oldest {
            return Err(RewindError::TooFar {
                oldest,
                given: height,
            });
        }
        self.tree.truncate(height)?;
        self.recent.retain(|block| block.height <= height);
        let size = self.tree.size();
        self.notes.retain(|position, _| *position < size);
        for note in self.notes.values_mut() {
            match note.spent {
                Some(spent) if spent.height > height => note.spent = None,
                // Going back to a block forgets that its spends let go of their paths.
                Some(spent) if spent.height == height => self.tree.forget(note.position, height)?,
                _ => {}
            }
        }
        self.history.retain(|entry| entry.height <= Some(height));
        self.unsettle(height);
        Ok(())
    }

    /// Forgets all that was read, and begins again.
    pub fn restart(&mut self, birthday: Birthday) -> Result<(), TreeError> {
        self.unsettle(0);
        let pending = std::mem::take(&mut self.pending);
        let again = Self::new(self.network.clone(), self.viewing.clone(), birthday)?;
        *self = Self { pending, ..again };
        Ok(())
    }

    pub(super) fn remember(&mut self, block: BlockRef) {
        self.recent.push_back(block);
        while self.recent.len() > CHECKPOINTS_MAX {
            self.recent.pop_front();
        }
        let oldest = self.recent.front().map(|block| block.height);
        self.settled.retain(|pending| pending.entry.height > oldest);
    }
}
