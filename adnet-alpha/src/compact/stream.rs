//! A stream of compact blocks, taken apart as its bytes arrive.

use adnet_common::codec::DecodeError;

use super::{COMPACT_BLOCK_BYTES_MAX, CompactBlock};

const LENGTH_BYTES: usize = 4;

/// Collects bytes of a stream and gives the blocks that are complete. It holds one block and what
/// came with it, whatever lengths the stream claims.
#[derive(Debug, Default)]
pub struct BlockStream {
    bytes: Vec<u8>,
}

/// The stream is not what it should be; what follows in it is lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    #[error("the stream has a block of {0} bytes, at most {COMPACT_BLOCK_BYTES_MAX} are possible")]
    TooLong(usize),
    #[error("a compact block does not decode: {0}")]
    Malformed(#[from] DecodeError),
    #[error("the stream ended within a block")]
    Truncated,
}

impl BlockStream {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes that arrived. Take the complete blocks out before more is added.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next complete block, if there is one.
    pub fn next_block(&mut self) -> Result<Option<CompactBlock>, StreamError> {
        let Some(length) = self.bytes.first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        if length > COMPACT_BLOCK_BYTES_MAX {
            return Err(StreamError::TooLong(length));
        }
        let Some(block) = self.bytes.get(LENGTH_BYTES..LENGTH_BYTES + length) else {
            return Ok(None);
        };
        let block = CompactBlock::decode(block)?;
        self.bytes.drain(..LENGTH_BYTES + length);
        Ok(Some(block))
    }

    /// To be asked when the stream has ended: whether it ended between two blocks.
    pub fn end(&self) -> Result<(), StreamError> {
        match self.bytes.is_empty() {
            true => Ok(()),
            false => Err(StreamError::Truncated),
        }
    }
}
