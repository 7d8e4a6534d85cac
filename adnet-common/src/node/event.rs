//! What happens to a node, what it asks of the outside, and what can stop it.

use super::gossip::{GossipId, Topic, Verdict};
use super::verifying::{Checked, VerifyJob};
use crate::application::{Application, OpenError, StateProof};
use crate::attestation::{Attestation, FinalityProof};
use crate::consensus::{HaltReason, Signer};
use crate::consensus_keys::LoadWalError;
use crate::hash::Hash;
use crate::ledger::LedgerError;
use crate::store::{CommitBatch, ReadStore, RestoreBatch, StoreError, Write};
use crate::worker::{Request, Snapshot};
use std::sync::Arc;

/// The public node key of a peer.
pub type Peer = [u8; 32];

/// The priority class of a message between two peers; the number is its name on the rings and streams.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Class {
    /// Votes, proposals and certificates.
    Consensus = 1,
    /// A block body that is not decided yet.
    Body = 2,
    /// Status and requests for decided blocks.
    SyncRequest = 3,
    /// Decided blocks with their certificates.
    SyncResponse = 4,
}

impl Class {
    pub const ALL: [Class; 4] = [
        Class::Consensus,
        Class::Body,
        Class::SyncRequest,
        Class::SyncResponse,
    ];

    pub fn from_byte(byte: u8) -> Option<Self> {
        Class::ALL.into_iter().find(|class| *class as u8 == byte)
    }
}

/// What a peer did; the number is its name on the rings.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Offence {
    /// A block or certificate that is not what was asked for, or does not verify.
    BadBlock = 1,
    /// Bytes that do not decode.
    Garbage = 2,
    /// A request that was not answered in time.
    Silence = 3,
    /// More requests than its share.
    Flood = 4,
}

impl Offence {
    pub fn from_byte(byte: u8) -> Option<Self> {
        let all = [
            Offence::BadBlock,
            Offence::Garbage,
            Offence::Silence,
            Offence::Flood,
        ];
        all.into_iter().find(|offence| *offence as u8 == byte)
    }
}

/// What the two chains of a node say to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// A block of the sender became final.
    Finality(FinalityProof),
    /// A message of a block whose finality proof was sent before.
    Attestation(Attestation),
    /// "Prove this key of your committed state."
    Query {
        id: u64,
        key: Vec<u8>,
    },
    Reply {
        id: u64,
        proof: StateProof,
    },
    /// "Send me your messages from this sequence on": after an attach, a gap, or silence.
    Resume {
        next_sequence: u64,
    },
}

/// What happens to a node.
#[expect(
    clippy::large_enum_variant,
    reason = "made and taken apart at once, never kept in numbers"
)]
pub enum Input<A: Application> {
    /// Time has passed: fire what is due.
    Tick,
    Network {
        peer: Peer,
        class: Class,
        bytes: Vec<u8>,
    },
    /// A peer has passed this on. One verdict follows, as [`Output::Verdict`]: in the same step, or
    /// when a transaction that nobody knows here has been verified.
    Gossip {
        peer: Peer,
        topic: Topic,
        id: GossipId,
        bytes: Vec<u8>,
    },
    Sibling(Exchange),
    Request(Request<A>),
    /// The answer to [`Output::Verify`]: results in the order of the job, all of them or up to the
    /// first that is not valid. An answer for an earlier life of the node never comes to a later one.
    Verified {
        job: u64,
        checked: Vec<Checked<A::Tx>>,
    },
}

/// What a node asks of the outside. Durable effects went through the [`Host`] before.
#[expect(
    clippy::large_enum_variant,
    reason = "made and taken apart at once, never kept in numbers"
)]
pub enum Output<A: Application> {
    Broadcast {
        class: Class,
        bytes: Vec<u8>,
    },
    Send {
        peer: Peer,
        class: Class,
        bytes: Vec<u8>,
    },
    /// For everybody, from peer to peer.
    Publish {
        topic: Topic,
        bytes: Vec<u8>,
    },
    /// What becomes of a gossiped message that came from this peer.
    Verdict {
        peer: Peer,
        topic: Topic,
        id: GossipId,
        verdict: Verdict,
    },
    /// Transactions to be verified, on any thread. Each job is answered once, by
    /// [`Input::Verified`], whenever it is done; the node goes on meanwhile.
    Verify(VerifyJob),
    /// Nobody waits for the job with this number any more. An answer does no harm.
    Abandon(u64),
    /// To all linked peers but these.
    Relay {
        except: Vec<Peer>,
        class: Class,
        bytes: Vec<u8>,
    },
    /// This peer did what no honest node does, or does rarely.
    Distrust {
        peer: Peer,
        offence: Offence,
    },
    /// For the other chain. May be lost: the receiver asks again by [`Exchange::Resume`].
    Sibling(Exchange),
    /// Blocks are durable and applied, up to the one of the snapshot.
    Committed {
        snapshot: Arc<Snapshot<A>>,
        blocks: usize,
        /// In which round the last of them was decided; 0 where nothing went wrong.
        round: u32,
        transactions: usize,
        /// Proofs in them that a validator has signed twice.
        equivocations: usize,
    },
}

/// Durable storage, the validator key and the way to the other chain, used synchronously by the
/// chain's thread.
pub trait Host: ReadStore + Signer {
    /// Applies one block's batch atomically, synced. Repeating the last one is harmless.
    fn commit(&mut self, batch: CommitBatch) -> Result<(), StoreError>;

    /// As [`Host::commit`], but a loss of power may take the block, with all that was written after
    /// it: until the next synced write of any kind, or [`Host::sync`]. For blocks that can be fetched
    /// again, and of which nobody is told before. A host that syncs all the same does no harm.
    fn commit_deferred(&mut self, batch: CommitBatch) -> Result<(), StoreError> {
        self.commit(batch)
    }

    /// Makes durable what was deferred.
    fn sync(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Stores a part of a state that comes from peers. Allowed only for a chain that has no block but
    /// its genesis; from the first part to the last it has none at all.
    fn restore(&mut self, batch: RestoreBatch) -> Result<(), StoreError>;

    /// Tells the other chain at once that a block is final. May be lost, as all that is told to it:
    /// the other chain asks again by [`Exchange::Resume`].
    fn tell_final(&mut self, proof: &FinalityProof);

    /// Tells the other chain at once what the block says to it that [`Host::commit`] has just made
    /// durable.
    fn tell_messages(&mut self, messages: &[Attestation]);

    /// Appends to the chain's consensus family. Survives the death of the process at once, and a
    /// loss of power from the next synced batch on (signatures and commits are synced).
    fn append(&mut self, writes: Vec<Write>) -> Result<(), StoreError>;
}

/// Why a node cannot go on. The worker stops, and starts anew from what is durable.
#[derive(Debug, thiserror::Error)]
pub enum NodeFault {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Wal(#[from] LoadWalError),
    #[error("consensus stopped: {0}")]
    Halt(HaltReason),
    #[error("block {height} was decided by a quorum, but is not valid here: {why}")]
    DecidedInvalid { height: u64, why: String },
    #[error(
        "the block of height {height} that the configuration trusts, {hash}, is not the one of this \
         network: check trusted_block with an operator whom you trust"
    )]
    NotTrusted { height: u64, hash: Hash },
    #[error("the genesis cannot be used: {0}")]
    Genesis(String),
}
