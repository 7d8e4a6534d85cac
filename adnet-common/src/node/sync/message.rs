//! What peers say in the classes for sync: statuses, requests for ranges and bodies, ranges, what need
//! not be passed on to them, and all that a node needs that begins with a snapshot.
//!
//! Decoding is bounded and total. A height in a status is a claim and nothing more.

use super::snapshot::{LINKS_MAX, Link, PIECES_MAX, PROOFS_MAX};
use crate::attestation::FinalityProof;
use crate::block::{Header, MAX_BODY_BYTES};
use crate::codec::{DecodeError, Reader, Writer};
use crate::consensus::{EncodedSet, VALIDATORS_MAX};
use crate::hash::Hash;
use crate::restore::{PIECE_BYTES_MAX, PLACE_BYTES_MAX};

/// Blocks of one range at most.
pub const RANGE_BLOCKS_MAX: u64 = 32;
/// A block with its certificate.
const BLOCK_BYTES_MAX: usize = MAX_BODY_BYTES + (128 << 10);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// "My chain is this high."
    Status(u64),
    /// "Send me so many decided blocks from this height on."
    Request {
        from: u64,
        count: u64,
    },
    /// Encoded committed blocks from this height on: all that were asked for, or fewer, or none.
    Response {
        from: u64,
        blocks: Vec<Vec<u8>>,
    },
    /// "Send me the body of this block, which is proposed."
    WantBody {
        height: u64,
        hash: Hash,
    },
    /// "Others pass on to me what these validators say."
    Prune {
        authors: Vec<[u8; 32]>,
    },
    /// "I trust the block of this height: prove me your newest snapshot."
    WantProofs(u64),
    /// The trusted block with the set after it, blocks that change the set, the one of the snapshot; or
    /// as many as fit; or none, and the height 0, where there is no snapshot.
    Proofs {
        from: u64,
        snapshot: u64,
        proofs: Vec<FinalityProof>,
    },
    /// "Send me so many headers from this height down."
    WantHistory {
        top: u64,
        count: u64,
    },
    History {
        top: u64,
        links: Vec<Link>,
    },
    /// "Send me these pieces of the state at this height."
    WantPieces {
        height: u64,
        places: Vec<Vec<u8>>,
    },
    /// Pieces with their places: in the order of the request, as many as fit; or none, where the
    /// snapshot is not here.
    Pieces {
        height: u64,
        pieces: Vec<(Vec<u8>, Vec<u8>)>,
    },
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
            Message::WantProofs(from) => w.u8(6).u64(*from),
            Message::Proofs {
                from,
                snapshot,
                proofs,
            } => {
                w.u8(7).u64(*from).u64(*snapshot);
                w.list(proofs, |w, proof| proof.encode_into(w))
            }
            Message::WantHistory { top, count } => w.u8(8).u64(*top).u64(*count),
            Message::History { top, links } => w.u8(9).u64(*top).list(links, |w, link| {
                link.header.encode_into(w);
                w.u8(u8::from(link.next_set.is_some()));
                if let Some(set) = &link.next_set {
                    set.encode_into(w);
                }
            }),
            Message::WantPieces { height, places } => {
                w.u8(10).u64(*height).list(places, |w, place| {
                    w.bytes(place);
                })
            }
            Message::Pieces { height, pieces } => {
                w.u8(11).u64(*height).list(pieces, |w, (place, piece)| {
                    w.bytes(place).bytes(piece);
                })
            }
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
            6 => Message::WantProofs(r.u64("trusted height")?),
            7 => Message::Proofs {
                from: r.u64("trusted height")?,
                snapshot: r.u64("height of the snapshot")?,
                proofs: r.list("proofs", PROOFS_MAX, FinalityProof::decode_from)?,
            },
            8 => Message::WantHistory {
                top: r.u64("highest height")?,
                count: r.u64("number of headers")?,
            },
            9 => Message::History {
                top: r.u64("highest height")?,
                links: r.list("headers", LINKS_MAX, link)?,
            },
            10 => Message::WantPieces {
                height: r.u64("height of the snapshot")?,
                places: r.list("places", PIECES_MAX, place)?,
            },
            11 => Message::Pieces {
                height: r.u64("height of the snapshot")?,
                pieces: r.list("pieces", PIECES_MAX, |r| {
                    Ok((place(r)?, r.bytes("piece", PIECE_BYTES_MAX)?.to_vec()))
                })?,
            },
            _ => return Err(r.invalid("sync message kind", "unknown")),
        };
        r.end()?;
        Ok(message)
    }
}

fn place(r: &mut Reader<'_>) -> Result<Vec<u8>, DecodeError> {
    Ok(r.bytes("place", PLACE_BYTES_MAX)?.to_vec())
}

fn link(r: &mut Reader<'_>) -> Result<Link, DecodeError> {
    let header = Header::decode_from(r)?;
    let next_set = match r.u8("whether there is a set")? {
        0 => None,
        1 => Some(EncodedSet::decode_from(r)?),
        _ => return Err(r.invalid("whether there is a set", "neither yes nor no")),
    };
    Ok(Link { header, next_set })
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
