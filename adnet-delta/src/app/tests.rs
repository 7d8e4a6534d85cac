//! A chain of blocks on a store in memory. After every block: the balances add up to the supply,
//! execution agrees with the proposal, and the store leads back to the same root.

mod actions;
mod attest;
mod contracts;
mod dx;
mod fees;
mod past;
mod random;
mod sequences;
mod validators;

use super::*;
use crate::attest::wei;
use crate::history;
use crate::tx::{self, Envelope, Fees, SignedTx};
use adnet_common::attestation::{OutboundMessage, Payload};
use adnet_common::block::Header;
use adnet_common::genesis::dev_delta_secret;
use adnet_common::keys::{KeyKind, PublicKey, SecretKey};
use adnet_common::memory_store::MemoryStore;
use adnet_common::store::Family;
use adnet_common::worker::{ChainHandle, ChainStatus, Request, Snapshot};
use alloy_primitives::{Address, Bytes, U256};
use std::sync::mpsc::Receiver;

pub(crate) fn dev_genesis() -> Genesis {
    let validator = SecretKey::from_bytes(KeyKind::Validator, &[7; 32]).expect("any seed");
    let validator = validator.ed25519_public().expect("an ed25519 seed");
    Genesis::dev(validator, 1_800_000_000_000)
}

pub(crate) fn secret(index: usize) -> SecretKey {
    dev_delta_secret(index).expect("the development genesis has three accounts")
}

pub fn address(index: usize) -> Address {
    tx::address(&secret(index)).expect("a Delta key")
}

pub type Verified = Arc<VerifiedTx<DeltaTx>>;

pub struct Chain {
    pub genesis: Genesis,
    pub store: MemoryStore,
    pub app: DeltaApp,
    pub height: u64,
    pub root: Hash,
    pub parent: Hash,
    next_lock: u64,
    /// Whom the next blocks prove to have signed twice.
    equivocators: Vec<PublicKey>,
}

/// What a block came to.
pub struct Made {
    pub included: Vec<usize>,
    pub rejected: Vec<(usize, TxError)>,
    pub outbox: Vec<OutboundMessage>,
    pub receipts: Vec<history::receipt::Receipt>,
}

/// The header of a block, as far as a chain that opens reads it.
fn header_write(block: &BlockContext, state_root: Hash) -> Write {
    let header = Header {
        chain: ChainId::Delta,
        genesis: Hash::ZERO,
        height: block.height,
        time_ms: block.time_ms,
        parent: block.parent,
        proposer: block.proposer,
        body_root: Hash::ZERO,
        state_root,
        outbox_root: Hash::ZERO,
        next_validators: Hash::ZERO,
    };
    ledger::header_write(ChainId::Delta, &header)
}

impl Chain {
    pub fn new(genesis: Genesis) -> Self {
        let (root, writes) = DeltaApp::genesis_state(&genesis);
        let mut store = MemoryStore::new();
        store.apply(&writes);
        let app = DeltaApp::open(&genesis, &store, 0, root).expect("genesis opens");
        let mut chain = Self {
            genesis,
            store,
            app,
            height: 0,
            root,
            parent: Hash::ZERO,
            next_lock: 1,
            equivocators: Vec::new(),
        };
        let context = BlockContext {
            height: 0,
            ..chain.context()
        };
        chain.store.apply(&[header_write(&context, root)]);
        chain.assert_invariants();
        chain
    }

    /// What the API has of this chain, and what it asks.
    pub fn handle(&self) -> (ChainHandle<DeltaApp>, Receiver<Request<DeltaApp>>) {
        let status = ChainStatus {
            height: self.height,
            block_hash: self.parent,
            ..ChainStatus::default()
        };
        let view = self.app.view();
        let reader = Arc::new(self.store.clone());
        ChainHandle::detached(view.rules, Snapshot { status, view }, reader)
    }

    pub fn context(&self) -> BlockContext {
        let height = self.height + 1;
        BlockContext {
            height,
            time_ms: self.genesis.genesis_time_ms + height * 3000,
            parent: self.parent,
            proposer: [7; 32],
            equivocators: self.equivocators.clone(),
        }
    }

    pub fn verified(&self, signed: &SignedTx) -> Verified {
        let tx = DeltaApp::verify(&self.app.rules, &signed.raw).expect("the transaction is valid");
        assert_eq!(tx.id.0, signed.hash.0);
        Arc::new(tx)
    }

    pub fn lock(&mut self, recipient: Address, amount_units: u64) -> Attestation {
        let payload = Payload::Lock {
            recipient: recipient.into_array(),
            amount_units,
        };
        let message = OutboundMessage {
            sequence: self.next_lock,
            payload,
        };
        self.next_lock += 1;
        Attestation::of_block(ChainId::Alpha, 1, &[message]).remove(0)
    }

    /// Proposes a block, executes what was proposed, and commits it.
    pub fn block(&mut self, txs: &[Verified], locks: &[Attestation]) -> Made {
        let context = self.context();
        let proposed = self
            .app
            .propose(&self.store, &context, txs, locks)
            .expect("no store error");
        let body: Vec<Verified> = proposed
            .included
            .iter()
            .map(|i| Arc::clone(&txs[*i]))
            .collect();
        let locks = &locks[..proposed.attestations];
        let before = self.app.view().state.root();
        let executed = self
            .app
            .execute(&self.store, &context, &body, locks)
            .expect("no store error");
        let executed = executed.expect("what was proposed is valid");
        assert_eq!(executed.state_root, proposed.executed.state_root);
        assert_eq!(executed.writes, proposed.executed.writes);
        assert_eq!(executed.outbox, proposed.executed.outbox);
        assert_eq!(
            self.app.view().state.root(),
            before,
            "execution leaves the committed state"
        );

        self.store.apply(&executed.writes);
        self.store
            .apply(&[header_write(&context, executed.state_root)]);
        self.app.apply(executed.pending);
        self.height = context.height;
        self.root = executed.state_root;
        self.parent = Hash::of("test/block", &[&self.height.to_be_bytes(), &self.root.0]);
        self.assert_invariants();
        Made {
            included: proposed.included,
            rejected: proposed.rejected,
            outbox: executed.outbox,
            receipts: history::receipts_of(&self.store, self.height).expect("receipts decode"),
        }
    }

    pub fn assert_invariants(&self) {
        let view = self.app.view();
        let supply = view.supply();
        let total = supply.total_units().expect("no more burned than minted");
        assert_eq!(
            view.state.total_balance(),
            wei(total),
            "balances are the supply"
        );
        assert!(crate::programs::dx::holds(&view.state), "all DX is there");
        assert_eq!(Hash(view.state.root().0), self.root);
        let reopened = self.reopen();
        assert_eq!(reopened.view.state.root(), view.state.root());
        assert_eq!(reopened.last_consumed(), self.app.last_consumed());
        assert_eq!(reopened.validators(), self.app.validators());
    }

    pub fn reopen(&self) -> DeltaApp {
        DeltaApp::open(&self.genesis, &self.store, self.height, self.root).expect("it reopens")
    }

    pub fn balance(&self, address: Address) -> U256 {
        self.app
            .view()
            .state
            .account(&address)
            .map_or(U256::ZERO, |account| account.balance)
    }

    pub fn nonce(&self, index: usize) -> u64 {
        let view = self.app.view();
        let account = view.state.account(&address(index));
        account.map_or(0, |account| account.nonce)
    }

    /// A call by account `from` with its next nonce, alone in a block.
    pub fn call(&mut self, from: usize, to: Address, value: U256, data: Bytes) -> Made {
        let tx = self.call_tx(from, self.nonce(from), to, value, data);
        self.block(&[tx], &[])
    }

    pub fn call_tx(
        &self,
        from: usize,
        nonce: u64,
        to: Address,
        value: U256,
        data: Bytes,
    ) -> Verified {
        let envelope = self.envelope(nonce, 400_000);
        self.verified(&tx::sign_call(&secret(from), envelope, to, value, data).expect("signed"))
    }

    pub fn envelope(&self, nonce: u64, gas_limit: u64) -> Envelope {
        let fees = Fees {
            gas_limit,
            max_fee_per_gas_wei: 4_000_000_000,
            max_priority_fee_per_gas_wei: 1_000,
        };
        Envelope {
            chain_id: self.app.rules.chain_id,
            nonce,
            fees,
        }
    }

    pub fn transfer(&self, from: usize, nonce: u64, to: Address, value: U256) -> Verified {
        let envelope = self.envelope(nonce, tx::TRANSFER_GAS);
        self.verified(&tx::sign_transfer(&secret(from), envelope, to, value).expect("signed"))
    }
}

#[test]
fn opening_with_another_root_or_a_bent_leaf_fails() {
    let mut chain = Chain::new(dev_genesis());
    let transfer = chain.transfer(0, 0, address(1), wei(5));
    chain.block(&[transfer], &[]);
    let wrong = DeltaApp::open(&chain.genesis, &chain.store, 1, Hash::ZERO);
    assert!(matches!(wrong, Err(OpenError::Corrupt(_))));
    let leaves: Vec<_> = chain.store.family(Family::DeltaState).collect();
    let leaves: Vec<(Vec<u8>, Vec<u8>)> = leaves
        .into_iter()
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    for (key, value) in leaves {
        let mut bent = chain.store.clone();
        let mut value = value;
        let last = value.len() - 1;
        value[last] ^= 1;
        bent.apply(&[Write::put(Family::DeltaState, key, value)]);
        let opened = DeltaApp::open(&chain.genesis, &bent, 1, chain.root);
        assert!(matches!(opened, Err(OpenError::Corrupt(_))));
    }
}

#[test]
fn what_is_proved_verifies_against_the_root() {
    let mut chain = Chain::new(dev_genesis());
    let lock = chain.lock(Address::repeat_byte(5), 77);
    chain.block(&[], &[lock]);
    let supply_key = adnet_common::supply::DELTA_SUPPLY_KEY;
    let absent_slot = [&supply_key[..51], &[9]].concat();
    let absent_account = [&Address::repeat_byte(0xee)[..], &[0; 32]].concat();
    let known = Address::repeat_byte(5);
    let keys: [&[u8]; 6] = [
        &supply_key,
        &absent_slot,
        known.as_slice(),
        &absent_account[..20],
        &absent_account,
        &supply_key[..20],
    ];
    let verify = adnet_common::state_proof::verify;
    for key in keys {
        let proved = chain.app.prove(&chain.store, key).expect("no store error");
        assert_eq!(proved.height, 1);
        let value = proved.value.as_deref();
        verify(ChainId::Delta, &chain.root, key, value, &proved.proof).expect("it verifies");
        let other = Some(&[1u8, 2, 3][..]);
        assert!(verify(ChainId::Delta, &chain.root, key, other, &proved.proof).is_err());
    }
    let supply = chain
        .app
        .prove(&chain.store, &supply_key)
        .expect("no store error")
        .value;
    let supply = DeltaSupply::decode(&supply.expect("it is set").try_into().expect("32 bytes"));
    assert_eq!(supply, chain.app.view().supply());
    assert_eq!(supply.last_consumed, 1);
}
