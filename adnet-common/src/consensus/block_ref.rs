//! How consensus names a block that it may not have seen.

use crate::hash::Hash;
use crate::keys::PublicKey;

/// A block that a proposal or a commit certificate names.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockRef {
    pub height: u64,
    pub round: u32,
    /// The proposer of that round.
    pub proposer: PublicKey,
    pub hash: Hash,
}
