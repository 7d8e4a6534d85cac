//! Commit certificates: the proof that a quorum has decided a block, checkable without an engine.
//!
//! A light client of the other chain verifies them against the validator set of their height.
//! The encoded form is canonical: signatures are sorted by validator, and duplicates do not decode.

use super::context::{Ctx, Height, defined};
use super::domain::Domain;
use super::sign::{SignRequest, Step};
use super::validators::{VALIDATORS_MAX, ValidatorSet};
use crate::codec::{DecodeError, Reader, Writer};
use crate::hash::Hash;
use crate::keys::PublicKey;
use arc_malachitebft_core_types as core;
use arc_malachitebft_core_types::Round;
use arc_malachitebft_signing_ed25519::Signature;
use std::collections::BTreeSet;

/// One validator's precommit for the decided block.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommitSignature {
    pub validator: PublicKey,
    pub signature: [u8; 64],
}

/// Precommits of more than two thirds of the voting power for one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitCertificate {
    pub height: u64,
    /// The round in which the block was decided.
    pub round: u32,
    /// Hash of the decided block.
    pub value: Hash,
    /// At most [`VALIDATORS_MAX`], one per validator.
    pub signatures: Vec<CommitSignature>,
}

/// Why signatures do not prove what they should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    #[error("{signatures} signatures, but the set has {members} members")]
    TooManySignatures { signatures: usize, members: usize },
    #[error("two signatures of validator {0}")]
    Duplicate(PublicKey),
    #[error("{0} is not in the validator set")]
    UnknownValidator(PublicKey),
    #[error("a voting power of {signed} of {total} is not enough")]
    NotEnoughPower { signed: u64, total: u64 },
    #[error("the signature of validator {0} is not good")]
    BadSignature(PublicKey),
    #[error("the vote of validator {0} does not belong into this kind of certificate")]
    WrongStep(PublicKey),
}

/// Verifies that a quorum of `set` has committed to the certificate's value at its height.
///
/// The caller checks that height and value are the ones in question, and that `set` is the
/// validator set of that height.
pub fn verify_certificate(
    domain: &Domain,
    set: &ValidatorSet,
    certificate: &CommitCertificate,
) -> Result<(), CertificateError> {
    let request = certificate.request();
    let votes = certificate.signatures.iter();
    let votes = votes.map(|s| SignedFields {
        key: s.validator,
        request,
        signature: s.signature,
    });
    verify_votes(domain, set, &votes.collect::<Vec<_>>(), |power| {
        set.is_quorum(power)
    })
}

/// A signature of a certificate with the message that it was made for.
pub(super) struct SignedFields {
    pub key: PublicKey,
    pub request: SignRequest,
    pub signature: [u8; 64],
}

/// The cheap checks come first, so that junk costs no curve arithmetic.
pub(super) fn verify_votes(
    domain: &Domain,
    set: &ValidatorSet,
    votes: &[SignedFields],
    is_enough: impl Fn(u64) -> bool,
) -> Result<(), CertificateError> {
    let (signatures, members) = (votes.len(), set.members().len());
    if signatures > members {
        return Err(CertificateError::TooManySignatures {
            signatures,
            members,
        });
    }
    let mut seen = BTreeSet::new();
    let mut signed = 0u64;
    for vote in votes {
        if !seen.insert(vote.key) {
            return Err(CertificateError::Duplicate(vote.key));
        }
        let member = set
            .get(&vote.key)
            .ok_or(CertificateError::UnknownValidator(vote.key))?;
        let sum = signed.checked_add(member.power());
        signed = sum.expect("distinct members have at most the total power, which is checked");
    }
    if !is_enough(signed) {
        let total = set.total_power();
        return Err(CertificateError::NotEnoughPower { signed, total });
    }
    for vote in votes {
        let member = set.get(&vote.key).expect("looked up above");
        if !domain.verify_decoded(member.decoded(), &vote.request, &vote.signature) {
            return Err(CertificateError::BadSignature(vote.key));
        }
    }
    Ok(())
}

impl CommitCertificate {
    /// Encoded certificates are at most this long (25 kB).
    pub const BYTES_MAX: usize = 8 + 4 + 32 + 4 + VALIDATORS_MAX * 96;

    /// The precommit that each signature is for.
    pub fn request(&self) -> SignRequest {
        SignRequest {
            height: self.height,
            round: self.round,
            step: Step::Precommit,
            value: Some(self.value.0),
            pol_round: None,
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(48 + self.signatures.len() * 96);
        self.encode_into(&mut w);
        w.finish()
    }

    pub fn encode_into(&self, w: &mut Writer) {
        w.u64(self.height).u32(self.round).hash(&self.value);
        w.list(&self.signatures, |w, s| {
            w.raw(&s.validator.0).raw(&s.signature);
        });
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let certificate = Self::decode_from(&mut r)?;
        r.end()?;
        Ok(certificate)
    }

    pub fn decode_from(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let height = r.u64("certificate height")?;
        let round = r.u32("certificate round")?;
        let value = r.hash("certificate value")?;
        let signatures = r.list("commit signatures", VALIDATORS_MAX, |r| {
            let validator = PublicKey(r.array("certificate validator")?);
            let signature = r.array("commit signature")?;
            Ok(CommitSignature {
                validator,
                signature,
            })
        })?;
        if !signatures
            .windows(2)
            .all(|pair| pair[0].validator < pair[1].validator)
        {
            return Err(r.invalid("commit signatures", "not sorted by validator"));
        }
        Ok(Self {
            height,
            round,
            value,
            signatures,
        })
    }

    pub(super) fn from_core(c: &core::CommitCertificate<Ctx>) -> Self {
        let signatures = c.commit_signatures.iter().map(|s| CommitSignature {
            validator: s.address,
            signature: s.signature.to_bytes(),
        });
        let mut signatures: Vec<_> = signatures.collect();
        signatures.sort_unstable();
        Self {
            height: c.height.0,
            round: defined(c.round),
            value: c.value_id,
            signatures,
        }
    }

    pub(super) fn to_core(&self) -> core::CommitCertificate<Ctx> {
        let signatures = self.signatures.iter();
        core::CommitCertificate {
            height: Height(self.height),
            round: Round::new(self.round),
            value_id: self.value,
            commit_signatures: signatures
                .map(|s| {
                    core::CommitSignature::new(s.validator, Signature::from_bytes(s.signature))
                })
                .collect(),
        }
    }
}

impl From<CertificateError> for core::CertificateError<Ctx> {
    /// The core only asks whether there is an error, and logs it.
    fn from(error: CertificateError) -> Self {
        match error {
            CertificateError::Duplicate(key) => Self::DuplicateVote(key),
            CertificateError::UnknownValidator(key) => Self::UnknownValidator(key),
            CertificateError::WrongStep(key) => Self::InvalidVoteType(key),
            CertificateError::NotEnoughPower { signed, total } => Self::NotEnoughVotingPower {
                signed,
                total,
                expected: core::ThresholdParam::TWO_F_PLUS_ONE.min_expected(total),
            },
            other @ (CertificateError::BadSignature(_)
            | CertificateError::TooManySignatures { .. }) => {
                Self::VerificationError(Some(core::BoxError::new(Box::new(other))))
            }
        }
    }
}
