//! The types that the consensus core works on.
//!
//! The decided value is a block hash; bodies travel outside of consensus. A validator's address
//! is its public key, so that a signature names its author. Vote extensions are not used.

use super::sign::{SignRequest, Step};
use super::validators::{Validator, ValidatorSet};
use crate::hash::Hash;
use crate::keys::PublicKey;
use arc_malachitebft_core_types as core;
use arc_malachitebft_core_types::{
    Context, LinearTimeouts, NilOrVal, Round, SignedExtension, VoteType,
};
use arc_malachitebft_signing_ed25519::Ed25519;
use std::fmt;

/// A block height as the core wants it. The first decided height is 1.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Height(pub u64);

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl core::Height for Height {
    const ZERO: Self = Height(0);
    const INITIAL: Self = Height(1);

    fn increment_by(&self, n: u64) -> Self {
        Height(self.0.saturating_add(n))
    }

    fn decrement_by(&self, n: u64) -> Option<Self> {
        self.0.checked_sub(n).map(Height)
    }

    fn as_u64(&self) -> u64 {
        self.0
    }
}

impl core::Address for PublicKey {}

impl core::Value for Hash {
    type Id = Hash;

    fn id(&self) -> Hash {
        *self
    }
}

/// A proposal names a block hash; the host sends the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    pub height: Height,
    pub round: Round,
    pub value: Hash,
    pub pol_round: Round,
    pub proposer: PublicKey,
}

impl Proposal {
    /// What is signed for it. Its round is always defined: decoding and the core see to that.
    pub fn request(&self) -> SignRequest {
        SignRequest {
            height: self.height.0,
            round: defined(self.round),
            step: Step::Proposal,
            value: Some(self.value.0),
            pol_round: self.pol_round.as_u32(),
        }
    }
}

impl core::Proposal<Ctx> for Proposal {
    fn height(&self) -> Height {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &Hash {
        &self.value
    }

    fn take_value(self) -> Hash {
        self.value
    }

    fn pol_round(&self) -> Round {
        self.pol_round
    }

    fn validator_address(&self) -> &PublicKey {
        &self.proposer
    }
}

/// A prevote or precommit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    pub kind: VoteType,
    pub height: Height,
    pub round: Round,
    pub value: NilOrVal<Hash>,
    pub voter: PublicKey,
}

impl Vote {
    /// What is signed for it.
    pub fn request(&self) -> SignRequest {
        SignRequest {
            height: self.height.0,
            round: defined(self.round),
            step: match self.kind {
                VoteType::Prevote => Step::Prevote,
                VoteType::Precommit => Step::Precommit,
            },
            value: match self.value {
                NilOrVal::Nil => None,
                NilOrVal::Val(hash) => Some(hash.0),
            },
            pol_round: None,
        }
    }
}

/// The number of a round that messages carry.
pub fn defined(round: Round) -> u32 {
    round
        .as_u32()
        .expect("decoding admits defined rounds only, and the core votes in no other")
}

impl core::Vote<Ctx> for Vote {
    fn height(&self) -> Height {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &NilOrVal<Hash> {
        &self.value
    }

    fn take_value(self) -> NilOrVal<Hash> {
        self.value
    }

    fn vote_type(&self) -> VoteType {
        self.kind
    }

    fn validator_address(&self) -> &PublicKey {
        &self.voter
    }

    fn extension(&self) -> Option<&SignedExtension<Ctx>> {
        None
    }

    fn take_extension(&mut self) -> Option<SignedExtension<Ctx>> {
        None
    }

    fn extend(self, _: SignedExtension<Ctx>) -> Self {
        unreachable!("vote extensions are disabled at every height")
    }
}

/// Body parts are the host's business; the core never sees one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoPart {}

impl core::ProposalPart<Ctx> for NoPart {
    fn is_first(&self) -> bool {
        match *self {}
    }

    fn is_last(&self) -> bool {
        match *self {}
    }
}

/// The types and rules that adnet gives to the core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ctx;

impl Context for Ctx {
    type Address = PublicKey;
    type Height = Height;
    type ProposalPart = NoPart;
    type Proposal = Proposal;
    type Validator = Validator;
    type ValidatorSet = ValidatorSet;
    type Timeouts = LinearTimeouts;
    type Value = Hash;
    type Vote = Vote;
    type Extension = ();
    type SigningScheme = Ed25519;

    fn select_proposer<'a>(&self, set: &'a ValidatorSet, h: Height, r: Round) -> &'a Validator {
        set.proposer(h.0, defined(r))
    }

    fn new_proposal(
        &self,
        height: Height,
        round: Round,
        value: Hash,
        pol_round: Round,
        proposer: PublicKey,
    ) -> Proposal {
        Proposal {
            height,
            round,
            value,
            pol_round,
            proposer,
        }
    }

    fn new_prevote(&self, h: Height, r: Round, v: NilOrVal<Hash>, by: PublicKey) -> Vote {
        Vote {
            kind: VoteType::Prevote,
            height: h,
            round: r,
            value: v,
            voter: by,
        }
    }

    fn new_precommit(&self, h: Height, r: Round, v: NilOrVal<Hash>, by: PublicKey) -> Vote {
        Vote {
            kind: VoteType::Precommit,
            height: h,
            round: r,
            value: v,
            voter: by,
        }
    }
}
