//! Consensus messages as they travel between nodes: votes, proposals and liveness certificates.
//!
//! Decoding is bounded and total. A decoded message is unverified; the engine verifies what it
//! takes, and [`Message::verify`] is for whoever forwards messages before that.

use super::block_ref::BlockRef;
use super::certificate::{CertificateError, SignedFields, verify_votes};
use super::codec;
use super::context::{Ctx, defined};
use super::domain::Domain;
use super::sign::{SignRequest, Step};
use super::validators::{VALIDATORS_MAX, ValidatorSet};
use crate::codec::{DecodeError, Reader, Writer};
use crate::keys::PublicKey;
use arc_malachitebft_core_types::{
    PolkaCertificate, RoundCertificate, RoundCertificateType, SignedProposal, SignedVote, VoteType,
};

/// Encoded messages are at most this long (34 kB); votes and proposals take about 150 bytes.
pub const MESSAGE_BYTES_MAX: usize = 64 + VALIDATORS_MAX * (1 + 33 + 32 + 64);

/// What a message is, for statistics and priorities.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageKind {
    Proposal,
    Prevote,
    Precommit,
    /// A quorum of prevotes for a value.
    PolkaCertificate,
    /// The votes that justify entering a round.
    RoundCertificate,
}

/// A consensus message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message(pub(super) Inner);

/// The core's own types stay inside of this module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Inner {
    Vote(SignedVote<Ctx>),
    Proposal(SignedProposal<Ctx>),
    Polka(PolkaCertificate<Ctx>),
    Round(RoundCertificate<Ctx>),
}

/// Why a message is not to be forwarded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    #[error("{0} is not in the validator set")]
    UnknownValidator(PublicKey),
    #[error("{0} is not the proposer of the round")]
    NotProposer(PublicKey),
    #[error("the signature of {0} is not good")]
    BadSignature(PublicKey),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

impl Message {
    pub fn kind(&self) -> MessageKind {
        match &self.0 {
            Inner::Vote(v) => match v.message.kind {
                VoteType::Prevote => MessageKind::Prevote,
                VoteType::Precommit => MessageKind::Precommit,
            },
            Inner::Proposal(_) => MessageKind::Proposal,
            Inner::Polka(_) => MessageKind::PolkaCertificate,
            Inner::Round(_) => MessageKind::RoundCertificate,
        }
    }

    pub fn height(&self) -> u64 {
        match &self.0 {
            Inner::Vote(v) => v.message.height.0,
            Inner::Proposal(p) => p.message.height.0,
            Inner::Polka(c) => c.height.0,
            Inner::Round(c) => c.height.0,
        }
    }

    pub fn round(&self) -> u32 {
        defined(match &self.0 {
            Inner::Vote(v) => v.message.round,
            Inner::Proposal(p) => p.message.round,
            Inner::Polka(c) => c.round,
            Inner::Round(c) => c.round,
        })
    }

    /// The validator that claims to have signed it; certificates have many.
    pub fn author(&self) -> Option<PublicKey> {
        match &self.0 {
            Inner::Vote(v) => Some(v.message.voter),
            Inner::Proposal(p) => Some(p.message.proposer),
            Inner::Polka(_) | Inner::Round(_) => None,
        }
    }

    /// The block that a proposal names.
    pub fn proposed(&self) -> Option<BlockRef> {
        match &self.0 {
            Inner::Proposal(p) => Some(BlockRef {
                height: p.message.height.0,
                round: defined(p.message.round),
                proposer: p.message.proposer,
                hash: p.message.value,
            }),
            Inner::Vote(_) | Inner::Polka(_) | Inner::Round(_) => None,
        }
    }

    /// What was signed for a vote or proposal; `None` for certificates.
    pub fn request(&self) -> Option<SignRequest> {
        match &self.0 {
            Inner::Vote(v) => Some(v.message.request()),
            Inner::Proposal(p) => Some(p.message.request()),
            Inner::Polka(_) | Inner::Round(_) => None,
        }
    }

    /// Verifies every signature against the validator set of the message's height, and that a
    /// proposal comes from the proposer of its round.
    pub fn verify(&self, domain: &Domain, set: &ValidatorSet) -> Result<(), MessageError> {
        match &self.0 {
            Inner::Vote(v) => {
                let signature = v.signature.to_bytes();
                let request = v.message.request();
                verify_one(domain, set, v.message.voter, &request, &signature)
            }
            Inner::Proposal(p) => {
                let request = p.message.request();
                let proposer = p.message.proposer;
                if set.proposer(request.height, request.round).key() != proposer {
                    return Err(MessageError::NotProposer(proposer));
                }
                verify_one(domain, set, proposer, &request, &p.signature.to_bytes())
            }
            Inner::Polka(c) => Ok(verify_polka(domain, set, c)?),
            Inner::Round(c) => Ok(verify_round_certificate(domain, set, c)?),
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(192);
        match &self.0 {
            Inner::Vote(v) => codec::write_vote(w.u8(1), v),
            Inner::Proposal(p) => codec::write_proposal(w.u8(2), p),
            Inner::Polka(c) => codec::write_polka(w.u8(3), c),
            Inner::Round(c) => codec::write_round_certificate(w.u8(4), c),
        }
        w.finish()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let inner = match r.u8("message kind")? {
            1 => Inner::Vote(codec::read_vote(&mut r)?),
            2 => Inner::Proposal(codec::read_proposal(&mut r)?),
            3 => Inner::Polka(codec::read_polka(&mut r)?),
            4 => Inner::Round(codec::read_round_certificate(&mut r)?),
            _ => return Err(r.invalid("message kind", "unknown kind")),
        };
        r.end()?;
        Ok(Message(inner))
    }
}

fn verify_one(
    domain: &Domain,
    set: &ValidatorSet,
    author: PublicKey,
    request: &SignRequest,
    signature: &[u8; 64],
) -> Result<(), MessageError> {
    let member = set
        .get(&author)
        .ok_or(MessageError::UnknownValidator(author))?;
    if domain.verify_decoded(member.decoded(), request, signature) {
        Ok(())
    } else {
        Err(MessageError::BadSignature(author))
    }
}

pub(super) fn verify_polka(
    domain: &Domain,
    set: &ValidatorSet,
    c: &PolkaCertificate<Ctx>,
) -> Result<(), CertificateError> {
    let request = SignRequest {
        height: c.height.0,
        round: defined(c.round),
        step: Step::Prevote,
        value: Some(c.value_id.0),
        pol_round: None,
    };
    let votes = c.polka_signatures.iter().map(|s| SignedFields {
        key: s.address,
        request,
        signature: s.signature.to_bytes(),
    });
    verify_votes(domain, set, &votes.collect::<Vec<_>>(), |power| {
        set.is_quorum(power)
    })
}

pub(super) fn verify_round_certificate(
    domain: &Domain,
    set: &ValidatorSet,
    c: &RoundCertificate<Ctx>,
) -> Result<(), CertificateError> {
    let mut votes = Vec::with_capacity(c.round_signatures.len());
    for (vote, s) in c.votes(&Ctx).zip(&c.round_signatures) {
        let precommits = c.cert_type == RoundCertificateType::Precommit;
        if precommits && s.vote_type != VoteType::Precommit {
            return Err(CertificateError::WrongStep(s.address));
        }
        votes.push(SignedFields {
            key: s.address,
            request: vote.message.request(),
            signature: s.signature.to_bytes(),
        });
    }
    verify_votes(domain, set, &votes, |power| match c.cert_type {
        RoundCertificateType::Precommit => set.is_quorum(power),
        RoundCertificateType::Skip => set.has_honest_member(power),
    })
}
