//! What a host tells the engine, and what the engine tells the host.

use super::block_ref::BlockRef;
use super::certificate::CommitCertificate;
use super::evidence::Equivocation;
use super::message::Message;
use super::sign::{SignError, WalEntry};
use super::validators::ValidatorSet;
use crate::codec::DecodeError;
use crate::hash::Hash;

/// Milliseconds since the UNIX epoch.
pub type TimeMs = u64;
/// Names one timer for ever. Events of replaced or cancelled timers are ignored.
pub type TimerId = u64;
/// The node key of a peer. The engine only hands it back.
pub type PeerId = [u8; 32];

/// How a block came to be looked at.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A proposal named it ([`Action::NeedBlock`]).
    Consensus,
    /// A commit certificate named it ([`Action::CheckSynced`]).
    Sync,
}

/// What the host tells the engine.
#[derive(Clone, Debug)]
pub enum Event {
    /// Open a height, above any opened before. `wal` holds all entries stored for it by an
    /// earlier run, in order. Nothing is processed before the first height is open.
    StartHeight {
        height: u64,
        validators: ValidatorSet,
        wal: Vec<WalEntry>,
    },
    /// A consensus message from a peer, of this height or a few later ones. It need not be
    /// verified. Messages of later heights wait in a bounded queue unverified, so hosts limit
    /// what one peer may send.
    Message(Message),
    /// The answer to [`Action::BuildBlock`]: a block that is stored durably.
    Propose { height: u64, round: u32, hash: Hash },
    /// The answer to [`Action::NeedBlock`] or [`Action::CheckSynced`]: the body is stored durably
    /// and was found valid or not. With [`Origin::Sync`] it is always valid: a quorum has
    /// committed to it, and a host that cannot execute it must stop instead.
    Block {
        block: BlockRef,
        valid: bool,
        origin: Origin,
    },
    /// The time of [`Action::SetTimer`] has come.
    Timer(TimerId),
    /// Close the decided height: ends the window in which late precommits and evidence are
    /// collected. Ignored where no decided height is open.
    EndHeight,
    /// A decided block with its certificate, fetched from a peer. Ignored unless the certificate
    /// is of the open height.
    Synced {
        peer: PeerId,
        certificate: CommitCertificate,
        body: Vec<u8>,
    },
}

/// What the engine tells the host. The order is part of the contract.
#[derive(Clone, Debug)]
pub enum Action {
    /// Store these log entries; synced or not, but before the next step.
    Persist(Vec<WalEntry>),
    /// Send to all other nodes.
    Publish(Message),
    /// A message of another validator was new, and its signatures are good: pass it on.
    Relay(Message),
    /// Deliver [`Event::Timer`] at this time. Timers of a height that has ended may be dropped.
    SetTimer { id: TimerId, at_ms: TimeMs },
    /// We propose: build a block until the deadline, store it durably, spread it, then answer
    /// [`Event::Propose`].
    BuildBlock {
        height: u64,
        round: u32,
        deadline_ms: TimeMs,
    },
    /// A genuine proposal of the open height names this block: obtain the body, store it durably,
    /// judge it, answer [`Event::Block`] with [`Origin::Consensus`]. May name the same hash again
    /// for another round.
    NeedBlock {
        block: BlockRef,
        /// Whether nobody has proposed it in an earlier round: a block that a quorum has prevoted
        /// may be proposed again, by another validator and at a later time than its own.
        is_new: bool,
    },
    /// An older value is proposed again: send its body to all once more, for this round.
    Restream(BlockRef),
    /// The certificate is good. Check that the body hashes to it, store the body durably, answer
    /// [`Event::Block`] with this `block` and [`Origin::Sync`]; or stop asking this peer.
    CheckSynced {
        peer: PeerId,
        block: BlockRef,
        certificate: CommitCertificate,
        body: Vec<u8>,
    },
    /// The peer has served a bad certificate: do not ask it again.
    RejectSynced(PeerId),
    /// Decided. Commit block and certificate durably and atomically; the height's log ends here. The
    /// evidence that was found until now exists nowhere else: it belongs into the same write.
    Commit {
        certificate: CommitCertificate,
        evidence: Vec<Equivocation>,
    },
    /// The height is over, and the next one may be opened. The certificate may have gained
    /// signatures since the commit. The evidence came after it and exists nowhere else: store it.
    Finalized {
        certificate: CommitCertificate,
        evidence: Vec<Equivocation>,
    },
    /// The engine stopped for good and answers no more events. Always the last action.
    Halt(HaltReason),
}

/// Why an engine stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HaltReason {
    #[error("no signature for {step}: {error}")]
    Sign {
        /// (height, round, step) in words.
        step: String,
        error: SignError,
    },
    #[error("the signer returned a signature that is not of this validator's key")]
    ForeignSignature,
    #[error("entry {index} of the consensus log is corrupt: {error}")]
    CorruptWal { index: u64, error: DecodeError },
    #[error("the consensus log of height {height} has a wrong entry at place {place}")]
    WalOrder { height: u64, place: u64 },
    #[error("height {asked} was opened after height {open}")]
    HeightOrder { asked: u64, open: u64 },
    #[error("the consensus core failed: {0}")]
    Core(String),
}
