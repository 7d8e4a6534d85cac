//! Delta as the chain core sees it: the rules of its blocks over the state in memory.
//!
//! Messages of Alpha come first in a block, then the transactions in the order of the body, and last
//! what evidence and messages do to the validators. The
//! committed state changes in `apply` alone; a pending one shares what it did not change.

mod admission;
mod execution;
mod genesis;
mod past;
mod proof;
mod proposal;
#[cfg(test)]
pub(crate) mod tests;

use crate::attest;
use crate::evm::RecentHashes;
use crate::rules::Rules;
use crate::state::{self, DeltaRestore, WorldState, leaves};
use crate::transaction::{self, DeltaTx};
use crate::validators;
use adnet_common::application::{
    Admission, Application, BlockContext, Executed, InvalidBlock, KEPT_SNAPSHOTS, OpenError,
    Proposed, StateProof, TxError, Until, VerifiedTx, VerifyResult,
};
use adnet_common::attestation::Attestation;
use adnet_common::chain_id::ChainId;
use adnet_common::genesis::Genesis;
use adnet_common::hash::Hash;
use adnet_common::keys::PublicKey;
use adnet_common::ledger::{self, LedgerError};
use adnet_common::store::{ReadStore, StoreError, Write};
use adnet_common::supply::DeltaSupply;
use adnet_common::validators::Validators;
use past::PastStates;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Every so many blocks the state is kept for peers (13 minutes).
pub const SNAPSHOT_EVERY_BLOCKS: u64 = 256;

/// Delta.
pub struct DeltaApp {
    rules: Rules,
    committed: Committed,
    view: Arc<DeltaView>,
    past: PastStates,
    /// States that are kept for peers, by height.
    snapshots: BTreeMap<u64, WorldState>,
}

/// The state after a block, and what the next one needs besides.
#[derive(Clone)]
struct Committed {
    height: u64,
    state: WorldState,
    /// Hashes of the blocks before the last one, whose own hash only its child names.
    hashes: RecentHashes,
    /// What the state says of validators.
    validators: Arc<Validators>,
    /// Leaves that the block has changed.
    changes: usize,
}

/// The state after a block that is not committed.
pub struct Pending(Committed);

/// The committed state as the API reads it.
pub struct DeltaView {
    pub rules: Rules,
    pub height: u64,
    pub state: WorldState,
    pub hashes: RecentHashes,
    pub validators: Arc<Validators>,
    past: PastStates,
}

impl DeltaView {
    /// The view as of the block at `height`: this one, or one of the past that is in memory.
    pub fn at(self: &Arc<Self>, height: u64) -> Option<Arc<Self>> {
        if height == self.height {
            return Some(Arc::clone(self));
        }
        let past = self.past.at(height)?;
        Some(Arc::new(past.view(self.rules, self.past.clone())))
    }

    /// The lowest height whose state is in memory.
    pub fn first_kept(&self) -> u64 {
        self.past.first().unwrap_or(self.height)
    }

    /// The same with another state, for simulations.
    pub fn supposing(&self, state: WorldState) -> DeltaView {
        DeltaView {
            rules: self.rules,
            height: self.height,
            state,
            hashes: self.hashes.clone(),
            validators: Arc::clone(&self.validators),
            past: PastStates::default(),
        }
    }

    /// The same as of one block more, which follows the block named `parent`.
    pub fn after(mut self, height: u64, parent: Hash) -> DeltaView {
        self.hashes = self.hashes.with(height - 1, parent);
        self.height = height;
        self
    }

    pub fn supply(&self) -> DeltaSupply {
        attest::supply(&self.state)
    }

    /// The base fee of the next block.
    pub fn next_base_fee_wei(&self) -> u64 {
        attest::next_base_fee_wei(&self.state)
    }
}

impl DeltaApp {
    fn new(rules: Rules, committed: Committed, past: PastStates) -> Self {
        let view = Arc::new(committed.view(rules, past.clone()));
        Self {
            rules,
            committed,
            view,
            past,
            snapshots: BTreeMap::new(),
        }
    }
}

impl Committed {
    fn view(&self, rules: Rules, past: PastStates) -> DeltaView {
        DeltaView {
            rules,
            height: self.height,
            state: self.state.clone(),
            hashes: self.hashes.clone(),
            validators: Arc::clone(&self.validators),
            past,
        }
    }
}

impl Application for DeltaApp {
    const CHAIN: ChainId = ChainId::Delta;
    type Tx = DeltaTx;
    type Rules = Rules;
    type Pending = Pending;
    type View = DeltaView;
    type Restore = DeltaRestore;

    /// Nothing here takes long.
    fn warm_up() {}

    fn rules(genesis: &Genesis) -> Rules {
        Rules::new(genesis)
    }

    fn genesis_state(genesis: &Genesis) -> (Hash, Vec<Write>) {
        let (state, writes) = genesis::state(genesis);
        (Hash(state.root().0), writes)
    }

    fn open(
        genesis: &Genesis,
        store: &dyn ReadStore,
        height: u64,
        state_root: Hash,
    ) -> Result<Self, OpenError> {
        let state = leaves::load(store)?;
        let root = Hash(state.root().0);
        if root != state_root {
            let message = format!(
                "delta's state at height {height} has root {root}, its header {state_root}"
            );
            return Err(OpenError::Corrupt(message));
        }
        let validators = validators::read(&state);
        let validators = validators.map_err(|e| OpenError::Corrupt(e.to_string()))?;
        let hashes = recent_hashes(store, height)?;
        let mut committed = Committed {
            height,
            state,
            hashes,
            validators: Arc::new(validators),
            changes: 0,
        };
        let past = PastStates::reopen(store, &mut committed)?;
        Ok(Self::new(Rules::new(genesis), committed, past))
    }

    fn verify(rules: &Rules, raw: &[u8]) -> Result<VerifiedTx<DeltaTx>, TxError> {
        transaction::verify(rules, raw)
    }

    fn verify_all(rules: &Rules, raws: &[&[u8]], until: Until) -> Vec<VerifyResult<DeltaTx>> {
        transaction::verify_all(rules, raws, until)
    }

    /// The base fee.
    fn price(&self) -> u128 {
        attest::next_base_fee_wei(&self.committed.state).into()
    }

    /// Accounts exclude each other by nonce: no transaction has a claim.
    fn check_claims(
        &self,
        _store: &dyn ReadStore,
        _tx: &VerifiedTx<DeltaTx>,
    ) -> Result<Result<(), TxError>, StoreError> {
        Ok(Ok(()))
    }

    fn check(&self, tx: &VerifiedTx<DeltaTx>) -> Result<Admission, TxError> {
        admission::check(&self.committed.state, tx)
    }

    fn propose(
        &self,
        _store: &dyn ReadStore,
        block: &BlockContext,
        candidates: &[Arc<VerifiedTx<DeltaTx>>],
        attestations: &[Attestation],
    ) -> Result<Proposed<Pending>, StoreError> {
        Ok(proposal::propose(
            &self.rules,
            &self.committed,
            block,
            candidates,
            attestations,
        ))
    }

    fn execute(
        &self,
        _store: &dyn ReadStore,
        block: &BlockContext,
        txs: &[Arc<VerifiedTx<DeltaTx>>],
        attestations: &[Attestation],
    ) -> Result<Result<Executed<Pending>, InvalidBlock>, StoreError> {
        Ok(execution::execute(
            &self.rules,
            &self.committed,
            block,
            txs,
            attestations,
        ))
    }

    fn apply(&mut self, pending: Pending) {
        let last = std::mem::replace(&mut self.committed, pending.0);
        self.past = self.past.with(last);
        self.view = Arc::new(self.committed.view(self.rules, self.past.clone()));
    }

    fn view(&self) -> Arc<DeltaView> {
        Arc::clone(&self.view)
    }

    fn last_consumed(&self) -> u64 {
        attest::supply(&self.committed.state).last_consumed
    }

    fn validators(&self) -> &Arc<Validators> {
        &self.committed.validators
    }

    fn is_proved_guilty(&self, validator: &PublicKey) -> bool {
        let validators = &self.committed.validators;
        validators.tombstones.contains_key(validator)
    }

    /// A version of the state shares all that is unchanged with the others.
    fn keep_snapshot(&mut self) {
        let Committed { height, state, .. } = &self.committed;
        self.snapshots.insert(*height, state.clone());
        while self.snapshots.len() > KEPT_SNAPSHOTS {
            self.snapshots.pop_first();
        }
    }

    fn piece(
        &self,
        store: &dyn ReadStore,
        height: u64,
        place: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        match self.snapshots.get(&height) {
            Some(state) => state::piece(state, store, place),
            None => Ok(None),
        }
    }

    fn prove(&self, _store: &dyn ReadStore, key: &[u8]) -> Result<StateProof, StoreError> {
        Ok(proof::prove(&self.view, key))
    }
}

/// The hashes that blocks up to `height` name as their parents.
fn recent_hashes(store: &dyn ReadStore, height: u64) -> Result<RecentHashes, OpenError> {
    let first = height.saturating_sub(255);
    let headers = ledger::headers(store, ChainId::Delta, first, height);
    let headers = headers.map_err(|error| match error {
        LedgerError::Store(error) => OpenError::Store(error),
        corrupt => OpenError::Corrupt(corrupt.to_string()),
    })?;
    // The genesis block has no parent.
    let parents = headers.iter().filter_map(|header| {
        let parent = header.height.checked_sub(1)?;
        Some((parent, header.parent))
    });
    Ok(
        parents.fold(RecentHashes::default(), |hashes, (height, hash)| {
            hashes.with(height, hash)
        }),
    )
}

pub use proof::prove;
