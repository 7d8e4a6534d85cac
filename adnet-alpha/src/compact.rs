//! Blocks as light wallets read them: what a scan needs of each transaction and nothing else.
//!
//! Of an action that is its nullifier and what trial decryption takes: 148 bytes instead of 820 and
//! a share of the proof. What a transaction says in public is here too ([`PublicPart`]), so that a
//! wallet finds its public history in the same blocks and asks the node about no account of its
//! own. Memos are in the whole transaction only, which a wallet fetches by its id.
//!
//! The wire form is the canonical codec: big-endian, lengths as u32. A stream of blocks has the
//! length of each in front of it; [`BlockStream`] takes such a stream apart as it arrives.
//!
//! ```text
//! block   height u64 · hash 32 · parent 32 · time_ms u64 · commitments_before u64 ·
//!         number of transactions, then each · number of unlocks, then each
//! tx      id 32 · fee u64 · function tag u8 · public part (length, bytes) ·
//!         number of actions, then each: nullifier 32 · cmx 32 · epk 32 · enc 52
//! unlock  recipient 32 · amount u64
//! ```

mod public_part;
mod stream;
#[cfg(test)]
mod tests;

pub use public_part::{PUBLIC_PART_BYTES_MAX, PublicPart};
pub use stream::{BlockStream, StreamError};

use adnet_common::attestation::Payload;
use adnet_common::block::{MAX_BODY_BYTES, MAX_INBOX, MAX_TXS};
use adnet_common::codec::{DecodeError, DecodeReason, Reader, Writer};
use adnet_common::hash::Hash;
use adnet_common::ledger::CommittedBlock;

use crate::pool::{ACTIONS_MAX, ActionBytes};
use crate::tx::Transaction;

/// No compact block is longer: each part of it is shorter than what it stands for in the block.
pub const COMPACT_BLOCK_BYTES_MAX: usize = MAX_BODY_BYTES;
/// Bytes of an action.
pub const COMPACT_ACTION_BYTES: usize = 3 * 32 + COMPACT_NOTE_BYTES;
/// The part of a note's ciphertext that says what the note is, without the memo.
pub const COMPACT_NOTE_BYTES: usize = 52;

/// What a wallet needs of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompactBlock {
    pub height: u64,
    pub hash: Hash,
    pub parent: Hash,
    /// Milliseconds since the UNIX epoch.
    pub time_ms: u64,
    /// Note commitments of all blocks before this one: the position of this block's first.
    pub commitments_before: u64,
    /// In the order of execution.
    pub txs: Vec<CompactTx>,
    /// AX that Delta released in this block, before its transactions.
    pub unlocks: Vec<Unlock>,
}

/// What a wallet needs of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompactTx {
    pub id: Hash,
    pub fee_units: u64,
    pub public: PublicPart,
    /// Of its bundle; a public transaction has none.
    pub actions: Vec<CompactAction>,
}

/// What a wallet needs of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompactAction {
    /// Of the note that is spent.
    pub nullifier: [u8; 32],
    /// Commitment to the note that is made.
    pub cmx: [u8; 32],
    /// Ephemeral key of the ciphertext.
    pub epk: [u8; 32],
    /// The beginning of the ciphertext: the note without its memo.
    pub enc: [u8; COMPACT_NOTE_BYTES],
}

/// AX that left the lock pool for a public account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlock {
    pub recipient: [u8; 32],
    pub amount_units: u64,
}

impl CompactBlock {
    /// The compact form of a committed block; `commitments_before` is from the index.
    pub fn of(committed: &CommittedBlock, commitments_before: u64) -> Self {
        let block = &committed.block;
        let txs = block.body.txs.iter().map(|raw| {
            let tx =
                Transaction::decode(raw).expect("a committed block holds transactions that decode");
            CompactTx::of(&tx)
        });
        let unlock = |payload: &Payload| match payload {
            Payload::Unlock {
                recipient,
                amount_units,
            } => Some(Unlock {
                recipient: *recipient,
                amount_units: *amount_units,
            }),
            _ => None,
        };
        let consumed = block.body.inbox.attestations.iter();
        Self {
            height: block.header.height,
            hash: block.hash(),
            parent: block.header.parent,
            time_ms: block.header.time_ms,
            commitments_before,
            txs: txs.collect(),
            unlocks: consumed
                .filter_map(|a| unlock(&a.message.payload))
                .collect(),
        }
    }

    /// Note commitments that the block adds: one per action.
    pub fn commitments(&self) -> u64 {
        self.txs.iter().map(|tx| tx.actions.len() as u64).sum()
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(256);
        w.u64(self.height).hash(&self.hash).hash(&self.parent);
        w.u64(self.time_ms).u64(self.commitments_before);
        w.list(&self.txs, |w, tx| tx.encode_into(w));
        w.list(&self.unlocks, |w, unlock| {
            w.raw(&unlock.recipient).u64(unlock.amount_units);
        });
        w.finish()
    }

    /// The encoded block with its length in front, as it stands in a stream.
    pub fn encode_framed(&self) -> Vec<u8> {
        let block = self.encode();
        let mut w = Writer::with_capacity(block.len() + 4);
        w.bytes(&block);
        w.finish()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        if bytes.len() > COMPACT_BLOCK_BYTES_MAX {
            let (len, max) = (bytes.len() as u64, COMPACT_BLOCK_BYTES_MAX as u64);
            return Err(r.error("compact block", DecodeReason::TooLong { len, max }));
        }
        let block = Self {
            height: r.u64("height")?,
            hash: r.hash("block hash")?,
            parent: r.hash("parent")?,
            time_ms: r.u64("block time")?,
            commitments_before: r.u64("commitments before")?,
            txs: r.list("transactions", MAX_TXS, CompactTx::decode_from)?,
            unlocks: r.list("unlocks", MAX_INBOX, |r| {
                Ok(Unlock {
                    recipient: r.array("recipient")?,
                    amount_units: r.u64("amount")?,
                })
            })?,
        };
        r.end()?;
        Ok(block)
    }
}

impl CompactAction {
    fn of(action: &ActionBytes) -> Self {
        let note = action.enc_ciphertext.first_chunk();
        Self {
            nullifier: action.nullifier,
            cmx: action.cmx,
            epk: action.epk,
            enc: *note.expect("a ciphertext has 580 bytes"),
        }
    }
}

impl CompactTx {
    pub fn of(tx: &Transaction) -> Self {
        let (function, fee_units) = (&tx.payload.function, tx.payload.fee_units);
        let actions = function.bundle().map(|bundle| &bundle.actions);
        let actions = actions.into_iter().flatten();
        Self {
            id: tx.id(),
            fee_units,
            public: PublicPart::of(function, fee_units),
            actions: actions.map(CompactAction::of).collect(),
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(192 + self.actions.len() * COMPACT_ACTION_BYTES);
        self.encode_into(&mut w);
        w.finish()
    }

    /// One transaction alone, as the stream of the mempool has it.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let tx = Self::decode_from(&mut r)?;
        r.end()?;
        Ok(tx)
    }

    fn encode_into(&self, w: &mut Writer) {
        w.hash(&self.id).u64(self.fee_units);
        w.u8(self.public.tag()).bytes(&self.public.encode());
        w.list(&self.actions, |w, action| {
            w.raw(&action.nullifier).raw(&action.cmx);
            w.raw(&action.epk).raw(&action.enc);
        });
    }

    fn decode_from(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (id, fee_units) = (r.hash("transaction id")?, r.u64("fee")?);
        let tag = r.u8("function")?;
        let public = r.bytes("public part", PUBLIC_PART_BYTES_MAX)?;
        Ok(Self {
            id,
            fee_units,
            public: PublicPart::decode(tag, public)?,
            actions: r.list("actions", ACTIONS_MAX, |r| {
                Ok(CompactAction {
                    nullifier: r.array("nullifier")?,
                    cmx: r.array("note commitment")?,
                    epk: r.array("ephemeral key")?,
                    enc: r.array("note ciphertext")?,
                })
            })?,
        })
    }
}
