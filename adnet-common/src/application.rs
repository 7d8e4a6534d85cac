//! What a chain is to the chain core: its rules, behind one trait.
//!
//! Validity has three layers. *Structural*: the bytes decode. *Semantic*: signatures and bounds
//! hold whatever the state (`verify`, on any thread, once per node). *Contextual*: the state
//! allows it (`check`, `propose`, `execute`, on the chain's own thread).
//!
//! Execution never changes the committed state: it returns a pending one, and only `apply`,
//! after the block is durable, makes it the committed state.

use crate::attestation::{Attestation, OutboundMessage};
use crate::chain_id::ChainId;
use crate::consensus::ValidatorSet;
use crate::genesis::Genesis;
use crate::hash::Hash;
use crate::keys::PublicKey;
use crate::restore::Restore;
use crate::store::{ReadStore, StoreError, Write};
use crate::validators::Validators;
use std::sync::Arc;

/// Snapshots of its state that a node keeps for peers.
pub const KEPT_SNAPSHOTS: usize = 2;

/// A semantically valid transaction, with what the mempool has to know of it.
#[derive(Debug)]
pub struct VerifiedTx<T> {
    pub id: Hash,
    /// The bytes as they were signed.
    pub raw: Vec<u8>,
    /// The account that pays and whose nonce it uses, padded with zeros on the left.
    pub sender: [u8; 32],
    pub nonce: u64,
    /// What orders transactions of different senders: the highest tip goes first.
    pub bid: Bid,
    /// The last height that may include it.
    pub last_valid_height: u64,
    /// What at most one transaction may use up, whoever sends it: the nullifiers of a shielded one.
    /// Two transactions that share a claim exclude each other.
    pub claims: Vec<[u8; 32]>,
    pub inner: T,
}

/// What a transaction offers for a place in a block, in a measure of the chain's own.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Bid {
    /// The most that it pays.
    pub cap: u128,
    /// The most of it that is on top of the block's price.
    pub tip: u128,
}

/// A replacement bids more by one part in so many at least.
const REPLACEMENT_PART: u128 = 10;

impl Bid {
    /// Of a transaction that pays the same whatever the block's price.
    pub const fn flat(amount: u128) -> Self {
        let (cap, tip) = (amount, amount);
        Self { cap, tip }
    }

    /// What it pays on top of `price`; `None` if it does not even pay that.
    pub fn at(&self, price: u128) -> Option<u128> {
        let above = self.cap.checked_sub(price)?;
        Some(above.min(self.tip))
    }

    /// Whether it is enough to take the place of another one of the same sender and nonce.
    pub fn replaces(&self, old: &Self) -> bool {
        let least = |old: u128| old.saturating_add(old.div_ceil(REPLACEMENT_PART).max(1));
        self.cap >= least(old.cap) && self.tip >= least(old.tip)
    }
}

/// Why a transaction is refused. The code is part of the API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct TxError {
    /// SCREAMING_SNAKE_CASE, stable.
    pub code: &'static str,
    pub message: String,
}

impl TxError {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, message }
    }
}

/// What semantic verification says of a transaction.
pub type VerifyResult<T> = Result<VerifiedTx<T>, TxError>;

/// How far many transactions are verified.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Until {
    End,
    /// The first that is not valid decides: what comes after it need not be verified.
    FirstInvalid,
}

impl Until {
    /// Leaves out what comes after the first error, if that decides.
    pub fn cut<T, E>(self, results: &mut Vec<Result<T, E>>) {
        if self == Self::FirstInvalid
            && let Some(invalid) = results.iter().position(Result::is_err)
        {
            results.truncate(invalid + 1);
        }
    }
}

/// What the state says of a transaction that is not in a block yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// The next nonce that the sender's account will take.
    pub account_nonce: u64,
}

/// Where a block stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockContext {
    pub height: u64,
    pub time_ms: u64,
    pub parent: Hash,
    pub proposer: [u8; 32],
    /// Validators that the block's evidence proves to have signed twice, in order of their keys.
    pub equivocators: Vec<PublicKey>,
}

/// What executing a body leads to.
pub struct Executed<P> {
    pub state_root: Hash,
    pub outbox: Vec<OutboundMessage>,
    /// Who decides the next height. Where it is another set, the last message of the outbox says so.
    pub next_validators: Arc<ValidatorSet>,
    /// Claims of its transactions, all used up from now on.
    pub claims: Vec<[u8; 32]>,
    /// State, transactions, receipts: everything of the application in the block's batch.
    pub writes: Vec<Write>,
    pub pending: P,
}

/// A block body that the application has chosen, and what it leads to.
pub struct Proposed<P> {
    /// Indices into the candidates, in the order of execution.
    pub included: Vec<usize>,
    /// Indices of candidates that can never be included and should leave the mempool.
    pub rejected: Vec<(usize, TxError)>,
    /// How many of the offered attestations were taken, from the first.
    pub attestations: usize,
    pub executed: Executed<P>,
}

/// A block breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct InvalidBlock {
    pub code: &'static str,
    pub message: String,
}

impl InvalidBlock {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, message }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the stored state is corrupt: {0}")]
    Corrupt(String),
}

/// One chain's rules and state.
pub trait Application: Sized + Send + 'static {
    const CHAIN: ChainId;
    /// A decoded transaction.
    type Tx: Send + Sync + 'static;
    /// What semantic verification needs: cheap to clone, the same for the life of the node.
    type Rules: Clone + Send + Sync + 'static;
    /// The state after a block that is not committed.
    type Pending: Send + 'static;
    /// The committed state as the API reads it: cheap to make, readable from any thread.
    type View: Send + Sync + 'static;
    /// A state that comes from peers.
    type Restore: Restore;

    /// Builds what verification needs and what takes long to build; the same for every network. Called
    /// on a thread of its own, before or beside the chain's work, which waits for it only where it
    /// verifies what needs it. A second call costs nothing.
    fn warm_up();

    fn rules(genesis: &Genesis) -> Self::Rules;

    /// The state root of height 0 and the writes that make it. Pure.
    fn genesis_state(genesis: &Genesis) -> (Hash, Vec<Write>);

    /// Opens the committed state at `height`, whose header has `state_root`.
    /// Fails if what is stored does not lead to that root.
    fn open(
        genesis: &Genesis,
        store: &dyn ReadStore,
        height: u64,
        state_root: Hash,
    ) -> Result<Self, OpenError>;

    /// Structural and semantic validity. Never panics on any bytes.
    fn verify(rules: &Self::Rules, raw: &[u8]) -> VerifyResult<Self::Tx>;

    /// [`Application::verify`] of many at once, verdicts in their order, as far as `until` says. May use
    /// all cores, and is cheaper than one after the other where proofs can be verified in batches.
    fn verify_all(rules: &Self::Rules, raws: &[&[u8]], until: Until)
    -> Vec<VerifyResult<Self::Tx>>;

    /// Contextual validity at the next height but for claims: balance, expiry, nonce not yet used.
    /// Reads nothing from the store: everything that waits is checked again after each block.
    fn check(&self, tx: &VerifiedTx<Self::Tx>) -> Result<Admission, TxError>;

    /// Whether the committed state leaves the transaction's claims free. `store` reads that state.
    /// The outer error is the store's, the inner the transaction's.
    fn check_claims(
        &self,
        store: &dyn ReadStore,
        tx: &VerifiedTx<Self::Tx>,
    ) -> Result<Result<(), TxError>, StoreError>;

    /// What a place in the next block costs at least, in the measure of bids.
    fn price(&self) -> u128;

    /// Builds a body from `candidates` (each sender's in nonce order, best tip first) and the
    /// next attestations, leaving out what does not fit or fails.
    ///
    /// `store` reads the state of the parent block.
    fn propose(
        &self,
        store: &dyn ReadStore,
        block: &BlockContext,
        candidates: &[Arc<VerifiedTx<Self::Tx>>],
        attestations: &[Attestation],
    ) -> Result<Proposed<Self::Pending>, StoreError>;

    /// Executes the body of somebody's block. The outer error is the store's, the inner the block's.
    fn execute(
        &self,
        store: &dyn ReadStore,
        block: &BlockContext,
        txs: &[Arc<VerifiedTx<Self::Tx>>],
        attestations: &[Attestation],
    ) -> Result<Result<Executed<Self::Pending>, InvalidBlock>, StoreError>;

    /// Makes a pending state the committed one. The block is durable by now.
    fn apply(&mut self, pending: Self::Pending);

    fn view(&self) -> Arc<Self::View>;

    /// Sequence of the last attestation of the other chain that the committed state has consumed.
    fn last_consumed(&self) -> u64;

    /// What the committed state says of the validators of both chains.
    fn validators(&self) -> &Arc<Validators>;

    /// Whether the committed state has had proof that this validator has signed twice. More proof
    /// would change nothing.
    fn is_proved_guilty(&self, validator: &PublicKey) -> bool;

    /// Keeps the committed state, for peers that restore it: the last [`KEPT_SNAPSHOTS`] that this was
    /// asked for.
    fn keep_snapshot(&mut self);

    /// A piece of the state at the height of a snapshot that is kept, in the form that
    /// [`Restore::take`] takes. `None` where the snapshot is not kept (any more) or has nothing at that
    /// place. Costs no more than reading one piece. Never panics on any place.
    fn piece(
        &self,
        store: &dyn ReadStore,
        height: u64,
        place: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError>;

    /// Proves `key` (or its absence) against the committed state root: for state queries of the
    /// other chain. The format is the chain's own; `light_client` verifies it.
    fn prove(&self, store: &dyn ReadStore, key: &[u8]) -> Result<StateProof, StoreError>;
}

/// A value of a chain's state with the proof of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateProof {
    pub height: u64,
    pub value: Option<Vec<u8>>,
    pub proof: Vec<u8>,
}
