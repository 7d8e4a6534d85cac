//! Whether the notes that were read are those of the chain.
//!
//! Compact blocks say nothing that binds them to their headers, so a commitment that was changed on the
//! way is found out by the root of the tree alone. The chain would refuse each payment of a wallet with
//! another root, and say only that it does not know it.

use adnet_common::hash::Hash;

use super::state::Wallet;
use super::tree::TreeError;
use crate::pool::tree::NoteTree;

/// Why the notes that were read cannot be those of the chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    #[error(
        "the notes up to block {height} lead to the root {ours}, the chain's root there is {theirs}: \
         this wallet was given wrong blocks"
    )]
    WrongNotes {
        height: u64,
        ours: Hash,
        theirs: Hash,
    },
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl Wallet {
    /// Compares what was read with the chain's tree after the wallet's last block.
    pub fn check_notes(&self, tree: &NoteTree) -> Result<(), CheckError> {
        let height = self.tip().height;
        let ours = Hash(self.tree.root_at(height)?.to_bytes());
        let theirs = Hash(tree.root());
        match ours == theirs {
            true => Ok(()),
            false => Err(CheckError::WrongNotes {
                height,
                ours,
                theirs,
            }),
        }
    }
}
