//! What one chain says to the other: outgoing messages, attestations of them, finality proofs.
//!
//! A message is born in a block of its chain. The header's `outbox_root` is the Merkle root over
//! the block's messages, so a header with a commit certificate and a path prove that the message
//! was sent. Sequence numbers count the messages of one direction from 1 without gaps.

use crate::chain_id::ChainId;
use crate::codec::{DecodeError, Reader, Writer};
use crate::consensus::EncodedSet;
use crate::hash::Hash;
use crate::header::Header;
use crate::keys::PublicKey;
use crate::merkle;

/// Version of [`Attestation`] and [`FinalityProof`] on the wire.
pub const VERSION: u16 = 2;
/// Messages of one block at most.
pub const MAX_OUTBOX: usize = 4096;
/// Messages that a block's transactions may send: the last place is for a change of the validators.
pub const MAX_TX_OUTBOX: usize = MAX_OUTBOX - 1;
/// Validators that one message tombstones at most: one per message and piece of evidence that a
/// block may hold, which `block` asserts.
pub const MAX_TOMBSTONED: usize = 4160;
/// A commit certificate of 256 validators takes about 25 kB.
pub const MAX_CERTIFICATE_BYTES: usize = 64 * 1024;

/// What a message asks of the other chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Alpha → Delta: AX went into the lock pool; mint as much sAX to this Delta account.
    Lock {
        recipient: [u8; 20],
        amount_units: u64,
    },
    /// Delta → Alpha: sAX was burned; release as much AX to this public account.
    Unlock {
        recipient: [u8; 32],
        amount_units: u64,
    },
    /// Delta → Alpha: these are the validators from the next height on, and those are tombstoned now.
    /// `set` is the one that the header of the message's block names as the next.
    ValidatorSet {
        set: EncodedSet,
        tombstoned: Vec<PublicKey>,
    },
    /// Alpha → Delta: a block has proved that this validator signed twice.
    Misbehaviour { validator: PublicKey },
    /// Alpha → Delta: these are Alpha's validators from the next height on, as Delta has told it.
    Adopted { set: EncodedSet },
}

impl Payload {
    /// The chain that may send this kind.
    pub fn from(&self) -> ChainId {
        match self {
            Payload::Lock { .. } | Payload::Misbehaviour { .. } | Payload::Adopted { .. } => {
                ChainId::Alpha
            }
            Payload::Unlock { .. } | Payload::ValidatorSet { .. } => ChainId::Delta,
        }
    }

    pub fn kind_name(&self) -> &'static str {
        match self {
            Payload::Lock { .. } => "lock",
            Payload::Unlock { .. } => "unlock",
            Payload::ValidatorSet { .. } => "validator_set",
            Payload::Misbehaviour { .. } => "misbehaviour",
            Payload::Adopted { .. } => "validators_adopted",
        }
    }

    /// What crosses between the chains, if it is money at all.
    pub fn amount_units(&self) -> Option<u64> {
        match self {
            Payload::Lock { amount_units, .. } | Payload::Unlock { amount_units, .. } => {
                Some(*amount_units)
            }
            Payload::ValidatorSet { .. }
            | Payload::Misbehaviour { .. }
            | Payload::Adopted { .. } => None,
        }
    }

    /// The set that decides the sender's heights after the message's.
    pub fn next_set(&self) -> Option<&EncodedSet> {
        match self {
            Payload::ValidatorSet { set, .. } | Payload::Adopted { set } => Some(set),
            Payload::Lock { .. } | Payload::Unlock { .. } | Payload::Misbehaviour { .. } => None,
        }
    }

    fn encode(&self, w: &mut Writer) {
        match self {
            Payload::Lock {
                recipient,
                amount_units,
            } => w.u8(1).raw(recipient).u64(*amount_units),
            Payload::Unlock {
                recipient,
                amount_units,
            } => w.u8(2).raw(recipient).u64(*amount_units),
            Payload::ValidatorSet { set, tombstoned } => {
                set.encode_into(w.u8(3));
                w.list(tombstoned, |w, key| {
                    w.raw(&key.0);
                })
            }
            Payload::Misbehaviour { validator } => w.u8(4).raw(&validator.0),
            Payload::Adopted { set } => {
                set.encode_into(w.u8(5));
                w
            }
        };
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match r.u8("attestation kind")? {
            1 => Ok(Payload::Lock {
                recipient: r.array("lock recipient")?,
                amount_units: r.u64("lock amount")?,
            }),
            2 => Ok(Payload::Unlock {
                recipient: r.array("unlock recipient")?,
                amount_units: r.u64("unlock amount")?,
            }),
            3 => Ok(Payload::ValidatorSet {
                set: EncodedSet::decode_from(r)?,
                tombstoned: r.list("tombstoned validators", MAX_TOMBSTONED, |r| {
                    r.array("tombstoned validator").map(PublicKey)
                })?,
            }),
            4 => Ok(Payload::Misbehaviour {
                validator: PublicKey(r.array("misbehaving validator")?),
            }),
            5 => Ok(Payload::Adopted {
                set: EncodedSet::decode_from(r)?,
            }),
            _ => Err(r.invalid(
                "attestation kind",
                "not lock (1), unlock (2), validator_set (3), misbehaviour (4), validators_adopted (5)",
            )),
        }
    }
}

/// A message that a block sends to the other chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundMessage {
    /// Counts the messages of this direction since genesis, from 1.
    pub sequence: u64,
    pub payload: Payload,
}

impl OutboundMessage {
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(64);
        self.encode_into(&mut w);
        w.finish()
    }

    pub fn encode_into(&self, w: &mut Writer) {
        w.u64(self.sequence);
        self.payload.encode(w);
    }

    pub fn decode_from(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            sequence: r.u64("sequence")?,
            payload: Payload::decode(r)?,
        })
    }

    fn leaf(&self) -> Hash {
        merkle::leaf(&self.encode())
    }
}

/// The root that a header commits to.
pub fn outbox_root(outbox: &[OutboundMessage]) -> Hash {
    merkle::root(&leaves(outbox))
}

fn leaves(outbox: &[OutboundMessage]) -> Vec<Hash> {
    outbox.iter().map(OutboundMessage::leaf).collect()
}

/// A message with the path that proves it against the outbox root of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation {
    pub from: ChainId,
    /// Height of the block that sent it.
    pub height: u64,
    /// Its place in the block's outbox, and how many messages the outbox has.
    pub index: u32,
    pub count: u32,
    pub message: OutboundMessage,
    pub path: Vec<Hash>,
}

impl Attestation {
    /// The attestations of all messages of one block.
    pub fn of_block(from: ChainId, height: u64, outbox: &[OutboundMessage]) -> Vec<Attestation> {
        let leaves = leaves(outbox);
        let count = u32::try_from(outbox.len()).expect("MAX_OUTBOX fits u32");
        let place = |(index, message): (usize, &OutboundMessage)| Attestation {
            from,
            height,
            index: index as u32,
            count,
            message: message.clone(),
            path: merkle::path(&leaves, index),
        };
        outbox.iter().enumerate().map(place).collect()
    }

    /// Names this message for ever: the same on every node.
    pub fn id(&self) -> Hash {
        let mut w = Writer::new();
        w.u8(self.from.as_byte()).u64(self.height).u32(self.index);
        self.message.encode_into(&mut w);
        Hash::of("adnet/attestation/v1", &[w.as_slice()])
    }

    /// Whether the path leads to `outbox_root`.
    pub fn is_in(&self, outbox_root: &Hash) -> bool {
        let climbed = merkle::climb(self.message.leaf(), self.index, self.count, &self.path);
        climbed.as_ref() == Some(outbox_root)
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(128);
        self.encode_into(&mut w);
        w.finish()
    }

    pub fn encode_into(&self, w: &mut Writer) {
        w.u16(VERSION).u8(self.from.as_byte()).u64(self.height);
        w.u32(self.index).u32(self.count);
        self.message.encode_into(w);
        w.list(&self.path, |w, hash| {
            w.hash(hash);
        });
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let value = Self::decode_from(&mut r)?;
        r.end()?;
        Ok(value)
    }

    pub fn decode_from(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if r.u16("attestation version")? != VERSION {
            return Err(r.invalid("attestation version", "this node knows version 2"));
        }
        let from = ChainId::from_byte(r.u8("attestation chain")?);
        let from = from.ok_or_else(|| r.invalid("attestation chain", "unknown chain"))?;
        let value = Self {
            from,
            height: r.u64("attestation height")?,
            index: r.u32("attestation index")?,
            count: r.u32("attestation count")?,
            message: OutboundMessage::decode_from(r)?,
            path: r.list("attestation path", merkle::MAX_PATH, |r| {
                r.hash("path step")
            })?,
        };
        if value.message.payload.from() != value.from {
            return Err(r.invalid("attestation kind", "the other chain sends this kind"));
        }
        Ok(value)
    }
}

/// A decided header with the commit certificate that decided it.
///
/// The certificate stays in its encoded form here; whoever trusts it verifies it first
/// (`light_client`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalityProof {
    pub header: Header,
    pub certificate: Vec<u8>,
    /// The validators of the next height, where they are others than those who decided this block.
    pub next_set: Option<EncodedSet>,
}

impl FinalityProof {
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(512);
        self.encode_into(&mut w);
        w.finish()
    }

    pub fn encode_into(&self, w: &mut Writer) {
        w.u16(VERSION);
        self.header.encode_into(w);
        w.bytes(&self.certificate);
        match &self.next_set {
            None => {
                w.u8(0);
            }
            Some(set) => set.encode_into(w.u8(1)),
        }
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let value = Self::decode_from(&mut r)?;
        r.end()?;
        Ok(value)
    }

    pub fn decode_from(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if r.u16("finality proof version")? != VERSION {
            return Err(r.invalid("finality proof version", "this node knows version 2"));
        }
        Ok(Self {
            header: Header::decode_from(r)?,
            certificate: r.bytes("certificate", MAX_CERTIFICATE_BYTES)?.to_vec(),
            next_set: match r.u8("next set")? {
                0 => None,
                1 => Some(EncodedSet::decode_from(r)?),
                _ => return Err(r.invalid("next set", "neither absent (0) nor present (1)")),
            },
        })
    }
}

#[cfg(test)]
mod tests;
