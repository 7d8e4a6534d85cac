//! Byte formats of the core's types, shared by network messages and log entries.
//!
//! Rounds are written as u32, so an undefined round (the core would panic on one in a proposal or
//! certificate) has no encoding; only the proof-of-lock round of a proposal is optional.

use super::context::{Ctx, Height, Proposal, Vote, defined};
use super::validators::VALIDATORS_MAX;
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::Hash;
use crate::keys::PublicKey;
use arc_malachitebft_core_types::{
    NilOrVal, PolkaCertificate, PolkaSignature, Round, RoundCertificate, RoundCertificateType,
    RoundSignature, SignedMessage, SignedProposal, SignedVote, VoteType,
};
use arc_malachitebft_signing_ed25519::Signature;

pub fn write_optional_round(w: &mut Writer, round: Round) {
    match round.as_u32() {
        None => w.u8(0),
        Some(round) => w.u8(1).u32(round),
    };
}

pub fn read_optional_round(r: &mut Reader<'_>) -> Result<Round, DecodeError> {
    match r.u8("optional round")? {
        0 => Ok(Round::Nil),
        1 => r.u32("optional round").map(Round::new),
        _ => Err(r.invalid("optional round", "neither absent (0) nor present (1)")),
    }
}

pub fn read_round(r: &mut Reader<'_>) -> Result<Round, DecodeError> {
    r.u32("round").map(Round::new)
}

pub fn read_height(r: &mut Reader<'_>) -> Result<Height, DecodeError> {
    r.u64("height").map(Height)
}

pub fn read_key(r: &mut Reader<'_>) -> Result<PublicKey, DecodeError> {
    r.array("public key").map(PublicKey)
}

fn read_signature(r: &mut Reader<'_>) -> Result<Signature, DecodeError> {
    r.array("signature").map(Signature::from_bytes)
}

fn write_kind(w: &mut Writer, kind: VoteType) {
    w.u8(match kind {
        VoteType::Prevote => 0,
        VoteType::Precommit => 1,
    });
}

fn read_kind(r: &mut Reader<'_>) -> Result<VoteType, DecodeError> {
    match r.u8("vote kind")? {
        0 => Ok(VoteType::Prevote),
        1 => Ok(VoteType::Precommit),
        _ => Err(r.invalid("vote kind", "neither prevote (0) nor precommit (1)")),
    }
}

fn write_value(w: &mut Writer, value: &NilOrVal<Hash>) {
    match value {
        NilOrVal::Nil => w.u8(0),
        NilOrVal::Val(hash) => w.u8(1).hash(hash),
    };
}

fn read_value(r: &mut Reader<'_>) -> Result<NilOrVal<Hash>, DecodeError> {
    match r.u8("vote value")? {
        0 => Ok(NilOrVal::Nil),
        1 => r.hash("vote value").map(NilOrVal::Val),
        _ => Err(r.invalid("vote value", "neither nil (0) nor a hash (1)")),
    }
}

pub fn write_vote(w: &mut Writer, vote: &SignedVote<Ctx>) {
    let m = &vote.message;
    write_kind(w, m.kind);
    w.u64(m.height.0).u32(defined(m.round));
    write_value(w, &m.value);
    w.raw(&m.voter.0).raw(&vote.signature.to_bytes());
}

pub fn read_vote(r: &mut Reader<'_>) -> Result<SignedVote<Ctx>, DecodeError> {
    let vote = Vote {
        kind: read_kind(r)?,
        height: read_height(r)?,
        round: read_round(r)?,
        value: read_value(r)?,
        voter: read_key(r)?,
    };
    Ok(SignedMessage::new(vote, read_signature(r)?))
}

pub fn write_proposal(w: &mut Writer, proposal: &SignedProposal<Ctx>) {
    let m = &proposal.message;
    w.u64(m.height.0).u32(defined(m.round)).hash(&m.value);
    write_optional_round(w, m.pol_round);
    w.raw(&m.proposer.0).raw(&proposal.signature.to_bytes());
}

pub fn read_proposal(r: &mut Reader<'_>) -> Result<SignedProposal<Ctx>, DecodeError> {
    let proposal = Proposal {
        height: read_height(r)?,
        round: read_round(r)?,
        value: r.hash("proposed value")?,
        pol_round: read_optional_round(r)?,
        proposer: read_key(r)?,
    };
    Ok(SignedMessage::new(proposal, read_signature(r)?))
}

pub fn write_polka(w: &mut Writer, c: &PolkaCertificate<Ctx>) {
    w.u64(c.height.0).u32(defined(c.round)).hash(&c.value_id);
    w.list(&c.polka_signatures, |w, s| {
        w.raw(&s.address.0).raw(&s.signature.to_bytes());
    });
}

pub fn read_polka(r: &mut Reader<'_>) -> Result<PolkaCertificate<Ctx>, DecodeError> {
    Ok(PolkaCertificate {
        height: read_height(r)?,
        round: read_round(r)?,
        value_id: r.hash("polka value")?,
        polka_signatures: r.list("polka signatures", VALIDATORS_MAX, |r| {
            Ok(PolkaSignature::new(read_key(r)?, read_signature(r)?))
        })?,
    })
}

pub fn write_round_certificate(w: &mut Writer, c: &RoundCertificate<Ctx>) {
    w.u64(c.height.0).u32(defined(c.round));
    w.u8(match c.cert_type {
        RoundCertificateType::Skip => 0,
        RoundCertificateType::Precommit => 1,
    });
    w.list(&c.round_signatures, |w, s| {
        write_kind(w, s.vote_type);
        write_value(w, &s.value_id);
        w.raw(&s.address.0).raw(&s.signature.to_bytes());
    });
}

pub fn read_round_certificate(r: &mut Reader<'_>) -> Result<RoundCertificate<Ctx>, DecodeError> {
    Ok(RoundCertificate {
        height: read_height(r)?,
        round: read_round(r)?,
        cert_type: match r.u8("certificate type")? {
            0 => RoundCertificateType::Skip,
            1 => RoundCertificateType::Precommit,
            _ => return Err(r.invalid("certificate type", "neither skip (0) nor precommit (1)")),
        },
        round_signatures: r.list("round signatures", VALIDATORS_MAX, |r| {
            let (kind, value) = (read_kind(r)?, read_value(r)?);
            let (key, signature) = (read_key(r)?, read_signature(r)?);
            Ok(RoundSignature::new(kind, value, key, signature))
        })?,
    })
}
