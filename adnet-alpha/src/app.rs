//! Alpha as the chain core sees it: [`AlphaApp`] is the [`Application`] of the privacy chain.
//!
//! The version of the state tree is the block's height. Evidence comes first in a block, then
//! attestations, then transactions, so AX that a block releases can be spent in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use adnet_common::application::{
    Admission, Application, BlockContext, Executed, InvalidBlock, KEPT_SNAPSHOTS, OpenError,
    Proposed, StateProof, TxError, Until, VerifiedTx, VerifyResult,
};
use adnet_common::attestation::{Attestation, MAX_CERTIFICATE_BYTES};
use adnet_common::chain_id::ChainId;
use adnet_common::genesis::Genesis;
use adnet_common::hash::Hash;
use adnet_common::keys::PublicKey;
use adnet_common::memory_store::MemoryStore;
use adnet_common::store::{ReadStore, StoreError, Write};
use adnet_common::supply::AlphaSupply;
use adnet_common::validators::Validators;
use jmt::storage::{Node, NodeKey};

use crate::open;
use crate::pool::tree::{Anchors, NoteTree};
use crate::pool::verifying_key::verifying_key;
use crate::pool_index::{self, TREE_STATE_EVERY_BLOCKS};
use crate::receipt::Receipt;
use crate::refusal::Refusal;
use crate::rules::Rules;
use crate::state::{self, Account, AlphaRestore, Changes, Committed, Draft, NodeCache};
use crate::tx::Transaction;

/// Every so many blocks the state is kept for peers. The tree has the versions of the last snapshots.
pub const SNAPSHOT_EVERY_BLOCKS: u64 = state::KEPT_VERSIONS / KEPT_SNAPSHOTS as u64;

/// Bytes of a header and of the lengths around it, generously.
const HEADER_BYTES: usize = 1024;

/// The state after a block that is not committed.
pub struct AlphaPending {
    height: u64,
    root: Hash,
    accounts: BTreeMap<[u8; 32], Account>,
    orders: BTreeSet<u64>,
    supply: AlphaSupply,
    validators: Arc<Validators>,
    reported: BTreeSet<PublicKey>,
    notes: NoteTree,
    anchors: Anchors,
    nodes: BTreeMap<NodeKey, Node>,
}

/// The committed state as the API reads it.
pub struct AlphaView {
    pub height: u64,
    pub state_root: Hash,
    pub supply: AlphaSupply,
    pub validators: Arc<Validators>,
    /// Public accounts that exist.
    pub accounts: u64,
    pub(crate) nodes: Arc<NodeCache>,
}

/// See the module.
pub struct AlphaApp {
    rules: Rules,
    committed: Committed,
    nodes: Arc<NodeCache>,
    view: Arc<AlphaView>,
}

impl AlphaApp {
    fn new(rules: Rules, committed: Committed, nodes: Arc<NodeCache>) -> Self {
        let view = view_of(&committed, &nodes);
        Self {
            rules,
            committed,
            nodes,
            view,
        }
    }

    #[cfg(test)]
    pub(crate) fn committed(&self) -> &Committed {
        &self.committed
    }

    fn seal(
        &self,
        store: &dyn ReadStore,
        block: &BlockContext,
        included: &[&VerifiedTx<Transaction>],
        draft: Draft<'_>,
    ) -> Result<Executed<AlphaPending>, StoreError> {
        let Changes {
            accounts,
            orders,
            supply,
            validators,
            reported,
            notes,
            anchors,
            subtrees,
            outbox,
            leaves,
        } = draft.finish();
        let update = state::update(store, &self.nodes, block.height, &leaves)?;
        let mut writes = update.writes;
        for (index, tx) in included.iter().enumerate() {
            let receipt = Receipt {
                height: block.height,
                index: u32::try_from(index).expect("a block has at most 100,000 transactions"),
                fee_units: tx.inner.payload.fee_units,
            };
            writes.push(receipt.write(&tx.id));
        }
        let before = self.committed.notes.len();
        writes.push(pool_index::commitments_write(block.height, before));
        if block.height.is_multiple_of(TREE_STATE_EVERY_BLOCKS) {
            let frontier = notes.encode();
            writes.push(pool_index::tree_state_write(block.height, frontier));
        }
        writes.extend(subtrees.iter().map(pool_index::subtree_write));
        Ok(Executed {
            state_root: update.root,
            outbox,
            next_validators: Arc::clone(&validators.own.set),
            claims: included
                .iter()
                .flat_map(|tx| tx.claims.iter().copied())
                .collect(),
            writes,
            pending: AlphaPending {
                height: block.height,
                root: update.root,
                accounts,
                orders,
                supply,
                validators,
                reported,
                notes,
                anchors,
                nodes: update.nodes,
            },
        })
    }

    fn assert_next(&self, block: &BlockContext) {
        let next = self.committed.height + 1;
        assert_eq!(
            block.height, next,
            "blocks are built and executed on the committed state"
        );
    }

    /// How many of `attestations` the next block takes, and the bytes that they need in it with the
    /// finality proofs of their heights. At most half of the block is theirs.
    fn take_attestations(
        &self,
        draft: &mut Draft<'_>,
        attestations: &[Attestation],
    ) -> (usize, usize) {
        let (mut taken, mut bytes, mut last_height) = (0, 0, None);
        for attestation in attestations.iter().take(self.rules.max_block_attestations) {
            let mut needed = bytes + attestation.encode().len();
            if last_height != Some(attestation.height) {
                needed += HEADER_BYTES + MAX_CERTIFICATE_BYTES;
            }
            let fits = taken == 0 || needed <= self.rules.max_block_bytes / 2;
            if !fits {
                break;
            }
            if let Err(error) = draft.consume(attestation) {
                tracing::warn!(%error, "an attestation cannot be consumed and holds up the rest");
                break;
            }
            (taken, bytes, last_height) = (taken + 1, needed, Some(attestation.height));
        }
        (taken, bytes)
    }

    fn check_size(
        &self,
        txs: &[Arc<VerifiedTx<Transaction>>],
        attestations: &[Attestation],
    ) -> Result<(), InvalidBlock> {
        let too_large = |what: String| Err(InvalidBlock::new("BLOCK_TOO_LARGE", what));
        if txs.len() > self.rules.max_block_txs {
            return too_large(format!("{} transactions", txs.len()));
        }
        if attestations.len() > self.rules.max_block_attestations {
            return too_large(format!("{} attestations", attestations.len()));
        }
        let bytes: usize = txs.iter().map(|tx| body_bytes(tx)).sum();
        if bytes > self.rules.max_block_bytes {
            return too_large(format!("{bytes} bytes of transactions"));
        }
        Ok(())
    }
}

fn view_of(committed: &Committed, nodes: &Arc<NodeCache>) -> Arc<AlphaView> {
    Arc::new(AlphaView {
        height: committed.height,
        state_root: committed.root,
        supply: committed.supply,
        validators: Arc::clone(&committed.validators),
        accounts: committed.accounts.len() as u64,
        nodes: Arc::clone(nodes),
    })
}

/// What a transaction takes in a body: its bytes and their length.
fn body_bytes(tx: &VerifiedTx<Transaction>) -> usize {
    4 + tx.raw.len()
}

impl Application for AlphaApp {
    const CHAIN: ChainId = ChainId::Alpha;
    type Tx = Transaction;
    type Rules = Rules;
    type Pending = AlphaPending;
    type View = AlphaView;
    type Restore = AlphaRestore;

    fn warm_up() {
        verifying_key();
    }

    fn rules(genesis: &Genesis) -> Rules {
        Rules::of(genesis)
    }

    fn genesis_state(genesis: &Genesis) -> (Hash, Vec<Write>) {
        let leaves = open::genesis_leaves(genesis);
        let update = state::update(&MemoryStore::new(), &NodeCache::default(), 0, &leaves);
        let update = update.expect("reading the empty store in memory does not fail");
        (update.root, update.writes)
    }

    fn open(
        genesis: &Genesis,
        store: &dyn ReadStore,
        height: u64,
        state_root: Hash,
    ) -> Result<Self, OpenError> {
        let nodes = Arc::new(NodeCache::default());
        let committed = open::committed_state(store, &nodes, height, state_root)?;
        Ok(Self::new(Rules::of(genesis), committed, nodes))
    }

    fn verify(rules: &Rules, raw: &[u8]) -> Result<VerifiedTx<Transaction>, TxError> {
        Ok(rules.verify(raw)?)
    }

    fn verify_all(rules: &Rules, raws: &[&[u8]], until: Until) -> Vec<VerifyResult<Transaction>> {
        let verdicts = rules.verify_all(raws, until).into_iter();
        verdicts.map(|verdict| Ok(verdict?)).collect()
    }

    fn check_claims(
        &self,
        store: &dyn ReadStore,
        tx: &VerifiedTx<Transaction>,
    ) -> Result<Result<(), TxError>, StoreError> {
        let spent = state::spent(store, &tx.claims)?;
        Ok(match spent.first() {
            Some(nullifier) => Err(Refusal::NullifierSpent(Hash(*nullifier)).into()),
            None => Ok(()),
        })
    }

    /// Fees here do not depend on the block.
    fn price(&self) -> u128 {
        0
    }

    fn check(&self, tx: &VerifiedTx<Transaction>) -> Result<Admission, TxError> {
        let draft = Draft::new(&self.rules, &self.committed, BTreeSet::new());
        let account_nonce = draft.check(&tx.inner)?;
        Ok(Admission { account_nonce })
    }

    fn propose(
        &self,
        store: &dyn ReadStore,
        block: &BlockContext,
        candidates: &[Arc<VerifiedTx<Transaction>>],
        attestations: &[Attestation],
    ) -> Result<Proposed<AlphaPending>, StoreError> {
        self.assert_next(block);
        let spent = state::spent(store, candidates.iter().flat_map(|tx| &tx.claims))?;
        let mut draft = Draft::new(&self.rules, &self.committed, spent);
        draft.report(&block.equivocators);
        let (taken, taken_bytes) = self.take_attestations(&mut draft, attestations);
        let mut room = self
            .rules
            .max_block_bytes
            .saturating_sub(HEADER_BYTES + taken_bytes);
        let (mut included, mut txs, mut rejected) = (Vec::new(), Vec::new(), Vec::new());
        for (index, tx) in candidates.iter().enumerate() {
            if included.len() == self.rules.max_block_txs {
                break;
            }
            let Some(left) = room.checked_sub(body_bytes(tx)) else {
                continue;
            };
            match draft.execute(tx) {
                Ok(()) => {
                    room = left;
                    included.push(index);
                    txs.push(&**tx);
                }
                Err(refusal) if refusal.is_final() => rejected.push((index, refusal.into())),
                Err(_) => {}
            }
        }
        Ok(Proposed {
            executed: self.seal(store, block, &txs, draft)?,
            included,
            rejected,
            attestations: taken,
        })
    }

    fn execute(
        &self,
        store: &dyn ReadStore,
        block: &BlockContext,
        txs: &[Arc<VerifiedTx<Transaction>>],
        attestations: &[Attestation],
    ) -> Result<Result<Executed<AlphaPending>, InvalidBlock>, StoreError> {
        self.assert_next(block);
        if let Err(invalid) = self.check_size(txs, attestations) {
            return Ok(Err(invalid));
        }
        let spent = state::spent(store, txs.iter().flat_map(|tx| &tx.claims))?;
        let mut draft = Draft::new(&self.rules, &self.committed, spent);
        draft.report(&block.equivocators);
        for attestation in attestations {
            if let Err(invalid) = draft.consume(attestation) {
                return Ok(Err(invalid));
            }
        }
        for (index, tx) in txs.iter().enumerate() {
            if let Err(refusal) = draft.execute(tx) {
                return Ok(Err(invalid_tx(index, &refusal)));
            }
        }
        let txs: Vec<&VerifiedTx<Transaction>> = txs.iter().map(|tx| &**tx).collect();
        self.seal(store, block, &txs, draft).map(Ok)
    }

    fn apply(&mut self, pending: AlphaPending) {
        let next = self.committed.height + 1;
        assert_eq!(
            pending.height, next,
            "a block is applied to the state it was executed on"
        );
        let committed = &mut self.committed;
        committed.height = pending.height;
        committed.root = pending.root;
        committed.accounts.extend(pending.accounts);
        committed.executed_orders.extend(pending.orders);
        committed.supply = pending.supply;
        committed.validators = pending.validators;
        committed.reported.extend(pending.reported);
        committed.notes = pending.notes;
        committed.anchors = pending.anchors;
        for (key, node) in pending.nodes {
            self.nodes.insert(key, node);
        }
        self.view = view_of(&self.committed, &self.nodes);
    }

    fn view(&self) -> Arc<AlphaView> {
        Arc::clone(&self.view)
    }

    fn last_consumed(&self) -> u64 {
        self.committed.supply.last_consumed
    }

    fn validators(&self) -> &Arc<Validators> {
        &self.committed.validators
    }

    fn is_proved_guilty(&self, validator: &PublicKey) -> bool {
        let Committed {
            validators,
            reported,
            ..
        } = &self.committed;
        reported.contains(validator) || validators.tombstones.contains_key(validator)
    }

    /// The tree has all versions of a while: nothing needs to be done to keep one.
    fn keep_snapshot(&mut self) {}

    fn piece(
        &self,
        store: &dyn ReadStore,
        height: u64,
        place: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        state::piece(store, &self.nodes, height, place)
    }

    fn prove(&self, store: &dyn ReadStore, key: &[u8]) -> Result<StateProof, StoreError> {
        let height = self.committed.height;
        let leaf = state::leaf_proof(store, &self.nodes, height, key)?;
        let missing = || StoreError::Failed("the committed state tree has a hole".into());
        let state::Leaf { value, proof } = leaf.ok_or_else(missing)?;
        Ok(StateProof {
            height,
            value,
            proof,
        })
    }
}

fn invalid_tx(index: usize, refusal: &Refusal) -> InvalidBlock {
    InvalidBlock::new(refusal.code(), format!("transaction {index}: {refusal}"))
}
