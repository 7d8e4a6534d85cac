//! Why a transaction is refused: one closed list, each with its stable code.
//!
//! Structural and semantic refusals depend on the transaction and the genesis alone; contextual ones
//! on the state as well. Only the latter can change with time.

use adnet_common::application::TxError;
use adnet_common::codec::DecodeError;
use adnet_common::hash::Hash;

use crate::pool::BadBundle;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    // Structural.
    #[error("the transaction does not decode: {0}")]
    Malformed(#[from] DecodeError),
    #[error("transaction version {0} is unknown, this release knows version 1")]
    UnknownVersion(u16),
    #[error("function tag {0} is unknown")]
    UnknownFunction(u8),
    #[error("the bundle is none: {0}")]
    BadBundle(#[from] BadBundle),
    #[error("users cannot deploy or upgrade programs on Alpha")]
    DeploymentDisabled,
    #[error("{0} is done by the chain itself when an attestation of the other chain is in a block")]
    SystemOnly(&'static str),
    #[error("{function} carries {expected} in its witness and nothing else")]
    WrongWitness {
        function: &'static str,
        expected: &'static str,
    },

    // Semantic.
    #[error("the transaction was made for another network or chain")]
    WrongNetwork,
    #[error("the amount is zero")]
    AmountZero,
    #[error("a mint of {amount_units} units does not cover its fee of {fee_units}")]
    AmountBelowFee { amount_units: u64, fee_units: u64 },
    #[error("amount and fee together are more than any account can hold")]
    AmountTooLarge,
    #[error("the recipient is the zero address, which nobody owns")]
    RecipientZero,
    #[error("the fee is {given_units} units, this transaction costs at least {least_units}")]
    FeeTooLow { given_units: u64, least_units: u64 },
    #[error("{0}")]
    InvalidSignature(&'static str),
    #[error("{given} governors signed, a mint needs {needed}")]
    GovernorThreshold { given: usize, needed: usize },
    #[error(
        "the fee is {given_units} units: one that the pool pays is exactly {needed_units}, so \
             that it tells nothing about the wallet"
    )]
    FeeNotStandard { given_units: u64, needed_units: u64 },
    #[error("the bundle of {0} has other flags than this function needs")]
    WrongFlags(&'static str),
    #[error("a bundle that spends nothing names the root of the empty tree as its anchor")]
    AnchorNotEmpty,
    #[error("the bundle's value balance is {given}: {why}")]
    WrongValueBalance { given: i64, why: &'static str },
    #[error("the bundle spends nullifier {0} twice")]
    DuplicateNullifier(Hash),
    #[error("the bundle's proof or one of its signatures is not good")]
    BadProof,

    // Contextual.
    #[error("the account holds {held_units} units, the transaction needs {needed_units}")]
    InsufficientBalance { held_units: u64, needed_units: u64 },
    #[error("nonce {given} is used already, the account's next is {next}")]
    NonceTooLow { given: u64, next: u64 },
    #[error("nonce {given} is ahead of the account's next, {next}")]
    NonceTooHigh { given: u64, next: u64 },
    #[error("the transaction was valid up to height {last}, the next block is {next}")]
    Expired { last: u64, next: u64 },
    #[error("it expires at height {given}, at most {most} is accepted now")]
    ExpiryTooFar { given: u64, most: u64 },
    #[error("nullifier {0} is spent already")]
    NullifierSpent(Hash),
    #[error(
        "the anchor is not the final root of one of the last {window} blocks before height {height}"
    )]
    AnchorUnknown { height: u64, window: u64 },
    #[error("the pool holds {held_units} units, the transaction takes {needed_units} out")]
    PoolExceeded { held_units: u64, needed_units: u64 },
    #[error("mint order {0} is executed already")]
    MintAlreadyUsed(u64),
    #[error("the supply would not fit into 64 bits")]
    SupplyOverflow,
    #[error("the block sends as many messages to the other chain as it can")]
    OutboxFull,
}

impl Refusal {
    /// The code that clients see.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::Malformed(_)
            | Refusal::UnknownVersion(_)
            | Refusal::UnknownFunction(_)
            | Refusal::WrongWitness { .. } => "INVALID_REQUEST",
            Refusal::BadBundle(_) => "BAD_BUNDLE",
            Refusal::DeploymentDisabled => "DEPLOYMENT_DISABLED",
            Refusal::SystemOnly(_) => "SYSTEM_ONLY",
            Refusal::WrongNetwork => "WRONG_NETWORK",
            Refusal::AmountZero => "AMOUNT_ZERO",
            Refusal::AmountBelowFee { .. } => "AMOUNT_BELOW_FEE",
            Refusal::AmountTooLarge => "AMOUNT_TOO_LARGE",
            Refusal::RecipientZero => "INVALID_RECIPIENT",
            Refusal::FeeTooLow { .. } => "FEE_TOO_LOW",
            Refusal::InvalidSignature(_) => "INVALID_SIGNATURE",
            Refusal::GovernorThreshold { .. } => "GOVERNOR_THRESHOLD_NOT_MET",
            Refusal::InsufficientBalance { .. } => "INSUFFICIENT_BALANCE",
            Refusal::NonceTooLow { .. } => "NONCE_TOO_LOW",
            Refusal::NonceTooHigh { .. } => "NONCE_TOO_HIGH",
            Refusal::Expired { .. } => "EXPIRED",
            Refusal::ExpiryTooFar { .. } => "EXPIRY_TOO_FAR",
            Refusal::FeeNotStandard { .. } => "FEE_NOT_STANDARD",
            Refusal::WrongFlags(_) => "WRONG_FLAGS",
            Refusal::AnchorNotEmpty | Refusal::AnchorUnknown { .. } => "ANCHOR_UNKNOWN",
            Refusal::WrongValueBalance { .. } => "WRONG_VALUE_BALANCE",
            Refusal::DuplicateNullifier(_) => "DUPLICATE_NULLIFIER",
            Refusal::BadProof => "BAD_PROOF",
            Refusal::NullifierSpent(_) => "NULLIFIER_SPENT",
            Refusal::PoolExceeded { .. } => "POOL_EXCEEDED",
            Refusal::MintAlreadyUsed(_) => "MINT_ALREADY_USED",
            Refusal::SupplyOverflow => "SUPPLY_OVERFLOW",
            Refusal::OutboxFull => "OUTBOX_FULL",
        }
    }

    /// Whether no later state can accept the transaction, so that it leaves the mempool.
    pub fn is_final(&self) -> bool {
        !matches!(
            self,
            Refusal::InsufficientBalance { .. }
                | Refusal::NonceTooHigh { .. }
                | Refusal::ExpiryTooFar { .. }
                | Refusal::SupplyOverflow
                | Refusal::PoolExceeded { .. }
                | Refusal::OutboxFull
        )
    }
}

impl From<Refusal> for TxError {
    fn from(refusal: Refusal) -> Self {
        TxError::new(refusal.code(), refusal.to_string())
    }
}
