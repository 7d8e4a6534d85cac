//! What peers say in the classes for sync: statuses, requests for ranges and bodies, ranges, and what
//! need not be passed on to them.
//!
//! Decoding is bounded and total. A height in a status is a claim and nothing more.

use crate::block::MAX_BODY_BYTES;
use crate::codec::{DecodeError, Reader, Writer};
use crate::consensus::VALIDATORS_MAX;
use crate::hash::Hash;

/// Blocks of one range at most.
pub const RANGE_BLOCKS_MAX: u64 = 32;
/// A block with its certificate.
const BLOCK_BYTES_MAX: usize = MAX_BODY_BYTES + (128 << 10);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// "My chain is this high."
    Status(u64),
    /// "Send me so many decided blocks from this height on."
    Request { from: u64, count: u64 },
    /// Encoded committed blocks from this height on: all that were asked for, or fewer, or none.
    Response { from: u64, blocks: Vec<Vec<u8>> },
    /// "Send me the body of this block, which is proposed."
    WantBody { height: u64, hash: Hash },
    /// "Others pass on to me what these validators say."
    Prune { authors: Vec<[u8; 32]> },
}

impl Message {
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        match self {
            Message::Status(height) => w.u8(1).u64(*height),
            Message::Request { from, count } => w.u8(2).u64(*from).u64(*count),
            Message::Response { from, blocks } => w.u8(3).u64(*from).list(blocks, |w, b| {
                w.bytes(b);
            }),
            Message::WantBody { height, hash } => w.u8(4).u64(*height).hash(hash),
            Message::Prune { authors } => w.u8(5).list(authors, |w, author| {
                w.raw(author);
            }),
        };
        w.finish()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let message = match r.u8("sync message kind")? {
            1 => Message::Status(r.u64("height")?),
            2 => Message::Request {
                from: r.u64("first height")?,
                count: r.u64("number of blocks")?,
            },
            3 => Message::Response {
                from: r.u64("first height")?,
                blocks: r.list("blocks", RANGE_BLOCKS_MAX as usize, |r| {
                    Ok(r.bytes("block", BLOCK_BYTES_MAX)?.to_vec())
                })?,
            },
            4 => Message::WantBody {
                height: r.u64("height")?,
                hash: r.hash("block")?,
            },
            5 => Message::Prune {
                authors: r.list("authors", VALIDATORS_MAX, |r| r.array("author"))?,
            },
            _ => return Err(r.invalid("sync message kind", "unknown")),
        };
        r.end()?;
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_come_back_as_they_were() {
        let blocks = vec![vec![1, 2, 3], vec![]];
        for message in [
            Message::Status(7),
            Message::Request { from: 3, count: 32 },
            Message::Response { from: 3, blocks },
            Message::WantBody {
                height: 8,
                hash: Hash([9; 32]),
            },
            Message::Prune {
                authors: vec![[1; 32], [2; 32]],
            },
        ] {
            assert_eq!(Message::decode(&message.encode()), Ok(message));
        }
    }

    #[test]
    fn a_range_of_too_many_blocks_does_not_decode() {
        let blocks = vec![vec![]; RANGE_BLOCKS_MAX as usize + 1];
        let bytes = Message::Response { from: 1, blocks }.encode();
        assert!(Message::decode(&bytes).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_an_error(bytes: Vec<u8>) {
            if let Ok(message) = Message::decode(&bytes) {
                prop_assert_eq!(message.encode(), bytes);
            }
        }
    }
}
