//! A state that comes from peers, in pieces that are held against a trusted root one by one.
//!
//! A chain cuts its state at the nodes of its tree: a piece is either all leaves below a node, or, where
//! they are many, that node, which says what is below it. So each piece proves itself by the hash that
//! the node above it (in the end the header) gives it, whoever sends it and in whatever order.

use crate::hash::Hash;
use crate::store::Write;

/// A place in a state is at most this long.
pub const PLACE_BYTES_MAX: usize = 128;
/// A piece is at most this long.
pub const PIECE_BYTES_MAX: usize = 1 << 20;
/// Leaves of one piece at most.
pub const PIECE_LEAVES_MAX: usize = 1024;

/// A piece that is not what the tree has at its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a piece of the state is wrong: {0}")]
pub struct BadPiece(pub String);

impl BadPiece {
    pub fn new(why: impl ToString) -> Self {
        Self(why.to_string())
    }
}

/// The state of one chain at one height, as far as it has come.
///
/// Invariant: what it has given out to be written is proved by the root. When nothing is wanted any more,
/// all that was given out, with [`Restore::finish`], is the whole state.
pub trait Restore: Sized + Send + 'static {
    fn new(height: u64, state_root: Hash) -> Self;

    /// Places whose pieces are missing and could be asked for now, in the order in which they are best
    /// asked for. None when the state is complete.
    fn wanted(&self) -> impl Iterator<Item = &[u8]>;

    /// Takes the piece of a place that is wanted. Returns what is to be stored.
    ///
    /// # Errors
    /// Bytes that are not what the root says of this place; nothing has changed then.
    fn take(&mut self, place: &[u8], piece: &[u8]) -> Result<Vec<Write>, BadPiece>;

    /// What is left to be stored.
    ///
    /// # Panics
    /// If something is still wanted.
    fn finish(self) -> Vec<Write>;
}
