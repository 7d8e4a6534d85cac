//! The double-sign guard of whoever holds a validator key: pure, without a key and without a disk.
//!
//! Invariant: if each mark is durable before its signature leaves, no two different messages of
//! one (height, round, step) are ever signed, nor is anything below what was signed last. The
//! guard knows one chain; a holder keeps one set of marks per chain.
//!
//! Whoever uses it: `check`; for [`Verdict::Fresh`] sign [`super::Domain::sign_bytes`], make the
//! mark with [`Guard::mark`], store it (with the WAL entries of the request) in one synced batch,
//! add it to the marks, and only then hand out the signature.

use super::domain::{Domain, SIGN_BYTES_MAX};
use super::sign::{SignRequest, Step};
use crate::codec::{DecodeError, Reader, Writer};
use std::collections::BTreeMap;

/// What one validator may sign once, in the order in which it may sign.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SignSlot {
    pub height: u64,
    pub round: u32,
    pub step: Step,
}

impl SignSlot {
    /// Big-endian, so that the bytes sort as the slots do: fit for a database key.
    pub fn encode(&self) -> [u8; 13] {
        let mut bytes = [0; 13];
        bytes[..8].copy_from_slice(&self.height.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.round.to_be_bytes());
        bytes[12] = self.step.as_byte();
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let (height, round) = (r.u64("mark height")?, r.u32("mark round")?);
        let step = Step::from_byte(r.u8("mark step")?);
        let step = step.ok_or_else(|| r.invalid("mark step", "unknown step"))?;
        r.end()?;
        Ok(Self {
            height,
            round,
            step,
        })
    }
}

impl From<&SignRequest> for SignSlot {
    fn from(request: &SignRequest) -> Self {
        let SignRequest {
            height,
            round,
            step,
            ..
        } = *request;
        Self {
            height,
            round,
            step,
        }
    }
}

/// What was signed in a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignMark {
    /// The sign bytes. Empty in a barrier.
    pub bytes: Vec<u8>,
    pub signature: [u8; 64],
}

impl SignMark {
    /// A mark above everything up to and with `height`, for a key whose past marks are not known
    /// (a restored backup): nothing at or below that height is signed any more.
    pub fn barrier(height: u64) -> (SignSlot, SignMark) {
        let slot = SignSlot {
            height,
            round: u32::MAX,
            step: Step::Precommit,
        };
        (
            slot,
            SignMark {
                bytes: Vec::new(),
                signature: [0; 64],
            },
        )
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(4 + self.bytes.len() + 64);
        w.bytes(&self.bytes).raw(&self.signature);
        w.finish()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let mark = Self {
            bytes: r.bytes("marked bytes", SIGN_BYTES_MAX)?.to_vec(),
            signature: r.array("marked signature")?,
        };
        r.end()?;
        Ok(mark)
    }
}

/// All marks of the current height, and at least the highest one of all.
pub type SignMarks = BTreeMap<SignSlot, SignMark>;

/// What the guard says of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Above everything signed so far: sign it, and mark it first.
    Fresh,
    /// Signed before, with the same bytes: this is the signature.
    Known([u8; 64]),
    /// Must not be signed.
    Refused { why: RefusedWhy },
}

/// Why a request is refused.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedWhy {
    #[error("the fields of the message do not fit together")]
    Malformed,
    #[error("another message was signed for {0:?}")]
    Conflict(SignSlot),
    #[error("it is not above the last signed message, {0:?}")]
    NotAbove(SignSlot),
}

/// The rule, for one chain.
#[derive(Copy, Clone, Debug)]
pub struct Guard {
    domain: Domain,
}

impl Guard {
    pub fn new(domain: Domain) -> Self {
        Self { domain }
    }

    /// Judges a request by the marks of this chain.
    pub fn check(&self, marks: &SignMarks, request: &SignRequest) -> Verdict {
        if !request.is_well_formed() {
            return Verdict::Refused {
                why: RefusedWhy::Malformed,
            };
        }
        let slot = SignSlot::from(request);
        if let Some(mark) = marks.get(&slot) {
            return if mark.bytes == self.domain.sign_bytes(request) {
                Verdict::Known(mark.signature)
            } else {
                Verdict::Refused {
                    why: RefusedWhy::Conflict(slot),
                }
            };
        }
        match marks.last_key_value() {
            Some((highest, _)) if slot < *highest => Verdict::Refused {
                why: RefusedWhy::NotAbove(*highest),
            },
            _ => Verdict::Fresh,
        }
    }

    /// The mark of a signature made for a fresh request.
    pub fn mark(&self, request: &SignRequest, signature: [u8; 64]) -> (SignSlot, SignMark) {
        let bytes = self.domain.sign_bytes(request);
        (SignSlot::from(request), SignMark { bytes, signature })
    }

    /// Forgets the marks below `height`, but never the highest of all. Returns what was forgotten,
    /// so that it can be deleted from the disk.
    pub fn prune(marks: &mut SignMarks, height: u64) -> Vec<SignSlot> {
        let Some(highest) = marks.last_key_value().map(|(slot, _)| *slot) else {
            return Vec::new();
        };
        let is_old = |slot: &SignSlot| slot.height < height && *slot != highest;
        let old: Vec<_> = marks.keys().copied().filter(is_old).collect();
        marks.retain(|slot, _| !is_old(slot));
        old
    }
}
