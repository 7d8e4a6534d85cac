//! The wallet's state as a file: JSON, with the tree in hexadecimal.
//!
//! It holds no spending key, but all that the viewing key sees. What is read is checked as far as it
//! can be without the chain: a wallet that was damaged on disk is refused by name.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::history::HistoryEntry;
use super::keys::ViewingKeys;
use super::note::OwnNote;
use super::pending::Pending;
use super::state::{BlockRef, Network, Wallet};
use super::tree::CommitmentTree;
use super::tree_codec::TreeCodecError;

/// Version of the file's format.
pub const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    network: Network,
    viewing: ViewingKeys,
    birthday: BlockRef,
    recent: VecDeque<BlockRef>,
    notes: Vec<OwnNote>,
    history: Vec<HistoryEntry>,
    pending: Vec<Pending>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    settled: Vec<Pending>,
    tree: String,
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// Why a file is no wallet.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("the wallet's state is of version {0}, this release knows version {VERSION}")]
    Version(u32),
    #[error("the wallet's state is damaged: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the wallet's state is damaged: {0}")]
    Damaged(&'static str),
    #[error("the wallet's state is damaged: {0}")]
    Tree(#[from] TreeCodecError),
}

impl Wallet {
    pub fn to_json(&self) -> String {
        let file = File {
            version: VERSION,
            network: self.network.clone(),
            viewing: self.viewing.clone(),
            birthday: self.birthday,
            recent: self.recent.clone(),
            notes: self.notes.values().cloned().collect(),
            history: self.history.clone(),
            pending: self.pending.clone(),
            settled: self.settled.clone(),
            tree: hex::encode(self.tree.encode()),
        };
        serde_json::to_string_pretty(&file).expect("texts, numbers and lists are JSON")
    }

    pub fn from_json(json: &[u8]) -> Result<Self, FileError> {
        let Versioned { version } = serde_json::from_slice(json)?;
        if version != VERSION {
            return Err(FileError::Version(version));
        }
        let file: File = serde_json::from_slice(json)?;
        let tree = hex::decode(&file.tree);
        let tree = tree.map_err(|_| FileError::Damaged("the tree is not hexadecimal"))?;
        let tree = CommitmentTree::decode(&tree)?;
        let tip = file.recent.back().map(|block| block.height);
        if tip != Some(tree.height()) {
            return Err(FileError::Damaged(
                "tree and blocks end at different heights",
            ));
        }
        let blocks = file.recent.iter().zip(file.recent.iter().skip(1));
        if blocks
            .into_iter()
            .any(|(a, b)| a.height.checked_add(1) != Some(b.height))
        {
            return Err(FileError::Damaged(
                "its last blocks do not follow each other",
            ));
        }
        if file.notes.iter().any(|note| note.position >= tree.size()) {
            return Err(FileError::Damaged("a note has no place in the tree"));
        }
        if file
            .notes
            .windows(2)
            .any(|pair| pair[0].position >= pair[1].position)
        {
            return Err(FileError::Damaged("its notes are not in order"));
        }
        if file.notes.iter().any(|note| note.orchard().is_none()) {
            return Err(FileError::Damaged("a note is none"));
        }
        if (file.pending.iter().chain(&file.settled)).any(|pending| pending.transaction().is_none())
        {
            return Err(FileError::Damaged("a pending transaction does not decode"));
        }
        Ok(Self {
            network: file.network,
            viewing: file.viewing,
            birthday: file.birthday,
            recent: file.recent,
            notes: file
                .notes
                .into_iter()
                .map(|note| (note.position, note))
                .collect(),
            history: file.history,
            pending: file.pending,
            settled: file.settled,
            tree,
        })
    }
}
