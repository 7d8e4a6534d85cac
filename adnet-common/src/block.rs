//! Blocks: a header that commits to everything, and a body of transactions and attestations.
//!
//! The header is made after execution: it holds the state root that the body leads to. A block's
//! hash is its header's hash, and that hash is the value that consensus decides.

use crate::attestation::{Attestation, FinalityProof, MAX_TOMBSTONED};
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::Hash;
use crate::merkle;

pub use crate::header::Header;

/// A body is at most this long, whatever a genesis says (8 MiB).
pub const MAX_BODY_BYTES: usize = 8 << 20;
/// Transactions of one block at most.
pub const MAX_TXS: usize = 100_000;
/// A transaction is at most this long (256 KiB).
pub const MAX_TX_BYTES: usize = 256 << 10;
/// Attestations of one block at most; the genesis bounds it further.
pub const MAX_INBOX: usize = 4096;
/// Evidence entries of one block at most.
pub const MAX_EVIDENCE: usize = 64;
const MAX_EVIDENCE_BYTES: usize = 1024;

const _: () = assert!(MAX_INBOX + MAX_EVIDENCE <= MAX_TOMBSTONED);

/// Attestations that a block takes in, with the proofs that they are final on their chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inbox {
    /// One per height that an attestation names, in order of height.
    pub proofs: Vec<FinalityProof>,
    /// In order of sequence, without gaps.
    pub attestations: Vec<Attestation>,
}

/// What a block does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    /// Signed transactions in the order of execution.
    pub txs: Vec<Vec<u8>>,
    pub inbox: Inbox,
    /// Encoded evidence of equivocation.
    pub evidence: Vec<Vec<u8>>,
}

impl Body {
    /// The root that the header commits to: one leaf per part, each part with its kind in front.
    pub fn root(&self) -> Hash {
        let tagged = |tag: u8, bytes: &[u8]| merkle::leaf(&[&[tag], bytes].concat());
        let txs = self.txs.iter().map(|tx| tagged(1, tx));
        let proofs = self.inbox.proofs.iter().map(|p| tagged(2, &p.encode()));
        let attestations = self.inbox.attestations.iter();
        let attestations = attestations.map(|a| tagged(3, &a.encode()));
        let evidence = self.evidence.iter().map(|e| tagged(4, e));
        let leaves: Vec<Hash> = txs
            .chain(proofs)
            .chain(attestations)
            .chain(evidence)
            .collect();
        merkle::root(&leaves)
    }

    fn encode_into(&self, w: &mut Writer) {
        w.list(&self.txs, |w, tx| {
            w.bytes(tx);
        });
        w.list(&self.inbox.proofs, |w, p| p.encode_into(w));
        w.list(&self.inbox.attestations, |w, a| a.encode_into(w));
        w.list(&self.evidence, |w, e| {
            w.bytes(e);
        });
    }

    fn decode_from(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            txs: r.list("transactions", MAX_TXS, |r| {
                Ok(r.bytes("transaction", MAX_TX_BYTES)?.to_vec())
            })?,
            inbox: Inbox {
                proofs: r.list("inbox proofs", MAX_INBOX, FinalityProof::decode_from)?,
                attestations: r.list("inbox", MAX_INBOX, Attestation::decode_from)?,
            },
            evidence: r.list("evidence", MAX_EVIDENCE, |r| {
                Ok(r.bytes("evidence entry", MAX_EVIDENCE_BYTES)?.to_vec())
            })?,
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    pub header: Header,
    pub body: Body,
}

impl Block {
    pub fn hash(&self) -> Hash {
        self.header.hash()
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(1024);
        self.header.encode_into(&mut w);
        self.body.encode_into(&mut w);
        w.finish()
    }

    /// Decodes a block and checks that the body is the one that the header names.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        if bytes.len() > MAX_BODY_BYTES {
            return Err(r.invalid("block", "longer than 8 MiB"));
        }
        let header = Header::decode_from(&mut r)?;
        let body = Body::decode_from(&mut r)?;
        if body.root() != header.body_root {
            return Err(r.invalid("body", "its root is not the one in the header"));
        }
        r.end()?;
        Ok(Self { header, body })
    }
}
