//! A chain in memory that executes every block twice: as its proposer and as a validator.

use std::sync::Arc;

use adnet_common::application::{Application, BlockContext, InvalidBlock, TxError, VerifiedTx};
use adnet_common::attestation::{Attestation, OutboundMessage, Payload};
use adnet_common::chain_id::ChainId;
use adnet_common::genesis::{Genesis, dev_alpha_seed, dev_governor_seed};
use adnet_common::hash::Hash;
use adnet_common::keys::{AlphaAddress, EvmAddress, KeyKind, PublicKey, SecretKey};
use adnet_common::memory_store::MemoryStore;
use adnet_common::supply::AlphaSupply;

use crate::app::AlphaApp;
use crate::state::{self, Account, Leaf, StateKey};
use crate::tx::{
    Approval, Function, MintOrder, Terms, Transaction, approve, assemble_mint, sign_burn,
    sign_lock, sign_transfer,
};

pub const FEE: u64 = 1000;
pub const REASON: Hash = Hash([9; 32]);
pub const EVM: EvmAddress = EvmAddress([0xee; 20]);

pub struct Chain {
    pub genesis: Genesis,
    pub store: MemoryStore,
    pub app: AlphaApp,
    /// State root of each height.
    pub roots: Vec<Hash>,
    pub outbox: Vec<OutboundMessage>,
    /// Whom the next blocks prove to have signed twice.
    pub equivocators: Vec<PublicKey>,
}

/// Three dev accounts come with the genesis; further ones are empty at first.
pub fn key(index: usize) -> SecretKey {
    match index {
        0..3 => dev_alpha_seed(index),
        _ => SecretKey::from_bytes(KeyKind::Alpha, &[index as u8; 32]).expect("any seed"),
    }
}

pub fn address(index: usize) -> AlphaAddress {
    AlphaAddress::from(key(index).ed25519_public().expect("an ed25519 seed"))
}

pub fn genesis() -> Genesis {
    Genesis::dev(PublicKey(address(9).0), 1_800_000_000_000)
}

impl Chain {
    pub fn new() -> Self {
        let genesis = genesis();
        let (root, writes) = AlphaApp::genesis_state(&genesis);
        let mut store = MemoryStore::new();
        store.apply(&writes);
        let app = AlphaApp::open(&genesis, &store, 0, root).expect("the genesis state opens");
        Self {
            genesis,
            store,
            app,
            roots: vec![root],
            outbox: Vec::new(),
            equivocators: Vec::new(),
        }
    }

    pub fn height(&self) -> u64 {
        self.app.view().height
    }

    pub fn supply(&self) -> AlphaSupply {
        self.app.view().supply
    }

    pub fn account(&self, index: usize) -> Account {
        self.app.committed().account(&address(index).0)
    }

    pub fn balance(&self, index: usize) -> u64 {
        self.account(index).balance_units
    }

    pub fn terms(&self) -> Terms {
        Terms {
            genesis: self.genesis.hash(),
            fee_units: FEE,
            expiry_height: self.height() + 10,
        }
    }

    fn nonce(&self, index: usize) -> u64 {
        self.account(index).nonce
    }

    pub fn transfer(&self, from: usize, to: usize, amount_units: u64) -> Transaction {
        let nonce = self.nonce(from);
        let tx = sign_transfer(&key(from), &self.terms(), nonce, address(to), amount_units);
        tx.expect("the key is the sender's")
    }

    pub fn burn(&self, from: usize, amount_units: u64) -> Transaction {
        let tx = sign_burn(&key(from), &self.terms(), self.nonce(from), amount_units);
        tx.expect("the key is the sender's")
    }

    pub fn lock(&self, from: usize, amount_units: u64) -> Transaction {
        let tx = sign_lock(
            &key(from),
            &self.terms(),
            self.nonce(from),
            EVM,
            amount_units,
        );
        tx.expect("the key is the sender's")
    }

    pub fn mint(
        &self,
        order_nonce: u64,
        to: usize,
        amount_units: u64,
        signers: usize,
    ) -> Transaction {
        let order = MintOrder {
            order_nonce,
            recipient: address(to).0,
            amount_units,
            reason_hash: REASON,
        };
        let payload = self.terms().payload(Function::Mint(order));
        let approval = |i| approve(&dev_governor_seed(i), &payload).expect("an ed25519 seed");
        let approvals: Vec<Approval> = (0..signers).map(approval).collect();
        assemble_mint(payload, approvals)
    }

    pub fn verify(&self, tx: &Transaction) -> Result<Arc<VerifiedTx<Transaction>>, TxError> {
        AlphaApp::verify(&AlphaApp::rules(&self.genesis), &tx.encode()).map(Arc::new)
    }

    pub fn context(&self) -> BlockContext {
        let height = self.height() + 1;
        BlockContext {
            height,
            time_ms: self.genesis.genesis_time_ms + height * 15_000,
            parent: Hash::ZERO,
            proposer: [0; 32],
            equivocators: self.equivocators.clone(),
        }
    }

    /// Executes and commits a block, or says why it is invalid.
    pub fn block(
        &mut self,
        txs: &[Transaction],
        attestations: &[Attestation],
    ) -> Result<(), InvalidBlock> {
        let verified = txs
            .iter()
            .map(|tx| self.verify(tx).expect("semantically valid"));
        let verified: Vec<_> = verified.collect();
        let context = self.context();
        let executed = self
            .app
            .execute(&self.store, &context, &verified, attestations);
        let executed = executed.expect("memory does not fail")?;
        let proposed = self
            .app
            .propose(&self.store, &context, &verified, attestations);
        let proposed = proposed.expect("memory does not fail");
        assert_eq!(
            proposed.included.len(),
            txs.len(),
            "what is valid is proposed"
        );
        assert_eq!(proposed.attestations, attestations.len());
        assert_eq!(proposed.executed.state_root, executed.state_root);
        assert_eq!(proposed.executed.writes, executed.writes);
        self.commit(executed);
        Ok(())
    }

    pub fn commit(
        &mut self,
        executed: adnet_common::application::Executed<crate::app::AlphaPending>,
    ) {
        assert!(
            executed
                .writes
                .iter()
                .all(|write| write.is_allowed(ChainId::Alpha))
        );
        self.store.apply(&executed.writes);
        self.app.apply(executed.pending);
        self.roots.push(executed.state_root);
        self.outbox.extend(executed.outbox);
        assert_eq!(self.app.view().state_root, executed.state_root);
    }

    #[track_caller]
    pub fn must_block(&mut self, txs: &[Transaction]) {
        self.block(txs, &[]).expect("the block is valid");
    }

    /// The code with which the next block refuses the transaction.
    pub fn block_code(&mut self, tx: Transaction) -> &'static str {
        let before = self.supply();
        let refused = self
            .block(&[tx], &[])
            .expect_err("the transaction is refused");
        assert_eq!(self.supply(), before);
        refused.code
    }

    /// Opens the state from the store again and checks that nothing is different.
    pub fn reopen(&mut self) {
        let root = *self.roots.last().expect("there is a genesis");
        let opened = AlphaApp::open(&self.genesis, &self.store, self.height(), root);
        let opened = opened.expect("the committed state opens");
        assert_eq!(opened.committed(), self.app.committed());
        self.app = opened;
    }

    /// A leaf as of `height`, verified against the root of that height.
    pub fn leaf(&self, height: u64, key: &StateKey) -> Option<Leaf> {
        let (key, cache) = (key.encode(), state::NodeCache::default());
        let leaf = state::leaf_proof(&self.store, &cache, height, &key).expect("memory");
        if let Some(leaf) = &leaf {
            let root = &self.roots[height as usize];
            let value = leaf.value.as_deref();
            adnet_common::state_proof::verify(ChainId::Alpha, root, &key, value, &leaf.proof)
                .expect("the proof verifies");
        }
        leaf
    }
}

/// Delta's message `sequence`: sAX burned for an account on Alpha.
pub fn unlock(sequence: u64, to: usize, amount_units: u64) -> Attestation {
    let recipient = address(to).0;
    let message = OutboundMessage {
        sequence,
        payload: Payload::Unlock {
            recipient,
            amount_units,
        },
    };
    let mut attestations = Attestation::of_block(ChainId::Delta, 5 + sequence, &[message]);
    attestations.pop().expect("one message, one attestation")
}
