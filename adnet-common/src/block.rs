//! Blocks: a header that commits to everything, and a body of transactions and attestations.
//!
//! The header is made after execution: it holds the state root that the body leads to. A block's
//! hash is its header's hash, and that hash is the value that consensus decides.

use crate::attestation::{Attestation, FinalityProof};
use crate::chain_id::ChainId;
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::Hash;
use crate::merkle;

/// Version of the block format.
pub const VERSION: u16 = 1;
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

/// What a block says of itself and of the state after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub chain: ChainId,
    /// Hash of the network's genesis: headers of another network are not ours.
    pub genesis: Hash,
    /// 0 is the genesis block, 1 the first decided one.
    pub height: u64,
    /// When this height was due, in milliseconds since the UNIX epoch (not when it was built).
    pub time_ms: u64,
    pub parent: Hash,
    /// Public key of the validator that built the block; zero in the genesis block.
    pub proposer: [u8; 32],
    pub body_root: Hash,
    /// Root of the state after the body was executed.
    pub state_root: Hash,
    /// Root over the messages that this block sends to the other chain.
    pub outbox_root: Hash,
    /// Hash of the validator set that decides the NEXT height.
    pub next_validators: Hash,
}

impl Header {
    pub fn hash(&self) -> Hash {
        Hash::of("adnet/header/v1", &[&self.encode()])
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(256);
        self.encode_into(&mut w);
        w.finish()
    }

    pub fn encode_into(&self, w: &mut Writer) {
        w.u16(VERSION).u8(self.chain.as_byte()).hash(&self.genesis);
        w.u64(self.height).u64(self.time_ms).hash(&self.parent);
        w.raw(&self.proposer).hash(&self.body_root);
        w.hash(&self.state_root).hash(&self.outbox_root);
        w.hash(&self.next_validators);
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let header = Self::decode_from(&mut r)?;
        r.end()?;
        Ok(header)
    }

    pub fn decode_from(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if r.u16("header version")? != VERSION {
            return Err(r.invalid("header version", "this node knows version 1"));
        }
        let chain = ChainId::from_byte(r.u8("header chain")?);
        Ok(Self {
            chain: chain.ok_or_else(|| r.invalid("header chain", "unknown chain"))?,
            genesis: r.hash("genesis hash")?,
            height: r.u64("height")?,
            time_ms: r.u64("block time")?,
            parent: r.hash("parent")?,
            proposer: r.array("proposer")?,
            body_root: r.hash("body root")?,
            state_root: r.hash("state root")?,
            outbox_root: r.hash("outbox root")?,
            next_validators: r.hash("next validators")?,
        })
    }
}

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
