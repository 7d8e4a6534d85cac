//! What a validator asks the holder of its key.
//!
//! The key lives outside of the process that runs consensus. The holder sees the fields of the
//! message, rebuilds the sign bytes itself and asks its [`super::Guard`] before it signs.

/// The kinds of consensus messages, in the order in which a validator may sign them in a round.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Step {
    Proposal = 0,
    Prevote = 1,
    Precommit = 2,
}

impl Step {
    pub const fn as_byte(self) -> u8 {
        self as u8
    }

    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Step::Proposal),
            1 => Some(Step::Prevote),
            2 => Some(Step::Precommit),
            _ => None,
        }
    }
}

/// The fields of a message to sign. Network, chain and genesis are added by the holder's
/// [`super::Domain`].
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct SignRequest {
    pub height: u64,
    pub round: u32,
    pub step: Step,
    /// The block hash; `None` is a vote for nil. Proposals always have one.
    pub value: Option<[u8; 32]>,
    /// Proposals only: the earlier round in which the value had a quorum of prevotes.
    pub pol_round: Option<u32>,
}

impl SignRequest {
    /// Whether the fields fit together. Nothing else is signed or verified.
    pub fn is_well_formed(&self) -> bool {
        match self.step {
            Step::Proposal => self.value.is_some() && self.pol_round.is_none_or(|p| p < self.round),
            Step::Prevote | Step::Precommit => self.pol_round.is_none(),
        }
    }
}

/// One entry of the write-ahead log of a height.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalEntry {
    pub height: u64,
    /// Counts the entries of the height from 0 without gaps.
    pub index: u64,
    pub bytes: Vec<u8>,
}

/// The bytes of all entries of one signing request or [`super::Action::Persist`] stay below this
/// (320 KiB): what a step may leave over, plus the messages that waited for the height to start,
/// plus one certificate.
pub const PENDING_BYTES_MAX: usize = 320 << 10;

/// The holder of the validator key.
pub trait Signer {
    /// Stores `wal` (entries not yet durable, in order, maybe none) together with the sign mark in
    /// one atomic, synced batch, and returns the signature. For a request whose bytes are marked
    /// already, the entries are stored and the stored signature is returned.
    ///
    /// # Errors
    ///
    /// After any error the engine halts. The entries may or may not have been stored.
    fn sign(&mut self, wal: &[WalEntry], request: &SignRequest) -> Result<[u8; 64], SignError>;
}

/// Why there is no signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The guard refused: signing might be an equivocation.
    #[error("the signer refused: {why}")]
    Refused { why: String },
    /// The holder of the key cannot be reached, has no key, or could not store the batch.
    #[error("the signer is not available: {why}")]
    Unavailable { why: String },
}
