//! The sans-io consensus engine of one chain: events in, ordered actions out.
//!
//! The rules are Tendermint's (Buchman, Kwon, Milosevic, arXiv 1807.04938), run by the Malachite
//! core as a library; one value (a block hash) is decided per height and there are no forks.
//! Nothing in this module reads a clock, draws a random number, waits, or touches a file or a
//! socket. Times are milliseconds since the UNIX epoch and come in with each step. (The core notes
//! an `Instant` when a height starts; with the finalization window out of reach it decides nothing.)
//!
//! # The contract of a host
//!
//! * Carry out the actions of a step strictly in order; feed answers back as later steps.
//! * Bodies: [`Action::NeedBlock`] names a body that a verified proposal asks for. Store the body
//!   durably, judge it, answer [`Event::Block`]. Feed no others (they could crowd out the real
//!   one: the core keeps two values per round), and the engine drops those it did not ask for.
//! * Build at most one block per (height, round), also across restarts: answer
//!   [`Action::BuildBlock`] with the stored block of that round if there is one. What was proposed
//!   before a crash the engine proposes again by itself, with an [`Action::Restream`].
//! * Start and restart are the same: a fresh engine, then one [`Event::StartHeight`] for the
//!   height after the last committed one, with the WAL entries stored for that height. A log of
//!   another height is dropped before.
//! * [`Action::Commit`] is one atomic, durable write of block and certificate, and the end of that
//!   height's log. Then wait until the next height is due, and give [`Event::EndHeight`]; after
//!   [`Action::Finalized`] start the next height.
//! * After [`Action::Halt`] or a panic the engine is of no more use: start the worker anew.
//!
//! # Durability: why nothing is ever signed twice
//!
//! Everything a node has promised is in its signatures. [`Signer::sign`] gets all log entries that
//! are not durable yet, and stores them together with the sign mark (message bytes and signature)
//! in one synced batch before it returns. Therefore:
//!
//! 1. The durable log is always a prefix of the true one, and for each mark it holds every input
//!    that led to the signature, so a replay of it derives the same message again.
//! 2. The signature that the replay asks for is returned from the mark, so our own message need
//!    not be in the log before it is published; it is logged all the same, with the next batch.
//! 3. Entries after the last signature are inputs of others. Losing them loses no promise.
//!    Whatever else we publish (certificates, restreamed proposals) consists of signatures that
//!    stand for themselves. So no publication waits for a write of its own.
//! 4. `Commit` supersedes the log of its height, so entries still pending there are dropped; the
//!    next height begins with an empty log.
//!
//! One synced write covers all entries of a step up to a signature. [`Action::Persist`] exists
//! only to bound memory and the size of a signing request: a node that signs nothing for long
//! (an observer, or a validator in a partition) hands its entries out in pieces.
//!
//! [`Guard`] is the second line: it refuses what is not above the highest mark, whatever the
//! engine asks for, and any refusal halts the engine.

mod block_ref;
mod certificate;
mod codec;
mod context;
mod domain;
mod effects;
mod encoded_set;
mod engine;
mod event;
mod evidence;
mod guard;
mod message;
mod proposer;
mod sign;
mod timeouts;
mod validators;
mod wal;

#[cfg(test)]
pub(crate) mod tests;

pub use block_ref::BlockRef;
pub use certificate::{CertificateError, CommitCertificate, CommitSignature, verify_certificate};
pub use domain::{Domain, SIGN_BYTES_MAX};
pub use encoded_set::EncodedSet;
pub use engine::Engine;
pub use event::{Action, Event, HaltReason, Origin, PeerId, TimeMs, TimerId};
pub use evidence::{Equivocation, EquivocationSlot, EvidenceError, Statement};
pub use guard::{Guard, RefusedWhy, SignMark, SignMarks, SignSlot, Verdict};
pub use message::{MESSAGE_BYTES_MAX, Message, MessageError, MessageKind};
pub use sign::{PENDING_BYTES_MAX, SignError, SignRequest, Signer, Step, WalEntry};
pub use timeouts::Timeouts;
pub use validators::{VALIDATORS_MAX, Validator, ValidatorSet, ValidatorSetError};
