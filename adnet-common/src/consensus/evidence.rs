//! Evidence of equivocation: two different messages that one validator signed for one slot.
//!
//! It stands for itself: whoever knows the domain can verify it. Whether the validator was a
//! member at that height, and what it costs, is the chain's business.

use super::context::Ctx;
use super::domain::Domain;
use super::sign::{SignRequest, Step};
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::Hash;
use crate::keys::PublicKey;
use arc_malachitebft_core_consensus::MisbehaviorEvidence;

/// One of the two messages.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Statement {
    /// The block hash; `None` is a vote for nil.
    pub value: Option<Hash>,
    /// Proposals only.
    pub pol_round: Option<u32>,
    pub signature: [u8; 64],
}

/// Two conflicting messages. Invariant of a genuine one: `first` is the smaller by value and
/// proof-of-lock round, so that a pair has one form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Equivocation {
    pub validator: PublicKey,
    pub height: u64,
    pub round: u32,
    pub step: Step,
    pub first: Statement,
    pub second: Statement,
}

/// What a piece of evidence is about: there is one proof of it at most.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EquivocationSlot {
    pub height: u64,
    pub round: u32,
    pub step: Step,
    pub validator: PublicKey,
}

impl EquivocationSlot {
    /// As a part of keys; sorts as slots do.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(8 + 4 + 1 + 32);
        w.u64(self.height).u32(self.round).u8(self.step.as_byte());
        w.raw(&self.validator.0);
        w.finish()
    }
}

/// Why a pair proves nothing.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    #[error("the two messages are the same or not in order")]
    NotConflicting,
    #[error("a signature is not good")]
    BadSignature,
}

impl Equivocation {
    /// Encoded evidence is at most this long.
    pub const BYTES_MAX: usize = 32 + 8 + 4 + 1 + 2 * (33 + 5 + 64);

    pub fn slot(&self) -> EquivocationSlot {
        EquivocationSlot {
            height: self.height,
            round: self.round,
            step: self.step,
            validator: self.validator,
        }
    }

    /// Verifies that the validator's key has signed both messages in `domain`.
    pub fn verify(&self, domain: &Domain) -> Result<(), EvidenceError> {
        let content = |s: &Statement| (s.value, s.pol_round);
        if content(&self.first) >= content(&self.second) {
            return Err(EvidenceError::NotConflicting);
        }
        let is_signed =
            |s: &Statement| domain.verify(&self.validator, &self.request(s), &s.signature);
        if is_signed(&self.first) && is_signed(&self.second) {
            Ok(())
        } else {
            Err(EvidenceError::BadSignature)
        }
    }

    fn request(&self, statement: &Statement) -> SignRequest {
        SignRequest {
            height: self.height,
            round: self.round,
            step: self.step,
            value: statement.value.map(|hash| hash.0),
            pol_round: statement.pol_round,
        }
    }

    /// Pairs up two signed messages, if they conflict in one slot.
    pub fn of(
        validator: PublicKey,
        a: (&SignRequest, [u8; 64]),
        b: (&SignRequest, [u8; 64]),
    ) -> Option<Self> {
        let slot = |r: &SignRequest| (r.height, r.round, r.step);
        if slot(a.0) != slot(b.0) || a.0 == b.0 {
            return None;
        }
        let statement = |(r, signature): (&SignRequest, [u8; 64])| Statement {
            value: r.value.map(Hash),
            pol_round: r.pol_round,
            signature,
        };
        let (a_said, b_said) = (statement(a), statement(b));
        let (height, round, step) = slot(a.0);
        let (first, second) = (a_said.min(b_said), a_said.max(b_said));
        Some(Self {
            validator,
            height,
            round,
            step,
            first,
            second,
        })
    }

    /// What the core has found in a height: at most three pairs of votes and three of proposals
    /// per validator.
    pub(super) fn collect(found: &MisbehaviorEvidence<Ctx>) -> Vec<Self> {
        let votes = found.votes.iter().flat_map(|(key, pairs)| {
            pairs.iter().filter_map(|(a, b)| {
                let (x, y) = (a.message.request(), b.message.request());
                let signatures = (a.signature.to_bytes(), b.signature.to_bytes());
                Self::of(*key, (&x, signatures.0), (&y, signatures.1))
            })
        });
        let proposals = found.proposals.iter().flat_map(|(key, pairs)| {
            pairs.iter().filter_map(|(a, b)| {
                let (x, y) = (a.message.request(), b.message.request());
                let signatures = (a.signature.to_bytes(), b.signature.to_bytes());
                Self::of(*key, (&x, signatures.0), (&y, signatures.1))
            })
        });
        votes.chain(proposals).collect()
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(Self::BYTES_MAX);
        w.raw(&self.validator.0).u64(self.height).u32(self.round);
        w.u8(self.step.as_byte());
        for statement in [&self.first, &self.second] {
            match &statement.value {
                None => w.u8(0),
                Some(hash) => w.u8(1).hash(hash),
            };
            match statement.pol_round {
                None => w.u8(0),
                Some(round) => w.u8(1).u32(round),
            };
            w.raw(&statement.signature);
        }
        w.finish()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let validator = PublicKey(r.array("evidence validator")?);
        let (height, round) = (r.u64("evidence height")?, r.u32("evidence round")?);
        let step = Step::from_byte(r.u8("evidence step")?);
        let step = step.ok_or_else(|| r.invalid("evidence step", "unknown step"))?;
        let (first, second) = (
            Statement::decode_from(&mut r)?,
            Statement::decode_from(&mut r)?,
        );
        r.end()?;
        Ok(Self {
            validator,
            height,
            round,
            step,
            first,
            second,
        })
    }
}

impl Statement {
    fn decode_from(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let value = match r.u8("evidence value")? {
            0 => None,
            1 => Some(r.hash("evidence value")?),
            _ => return Err(r.invalid("evidence value", "neither nil (0) nor a hash (1)")),
        };
        let pol_round = match r.u8("evidence round")? {
            0 => None,
            1 => Some(r.u32("evidence round")?),
            _ => return Err(r.invalid("evidence round", "neither absent (0) nor present (1)")),
        };
        let signature = r.array("evidence signature")?;
        Ok(Self {
            value,
            pol_round,
            signature,
        })
    }
}
