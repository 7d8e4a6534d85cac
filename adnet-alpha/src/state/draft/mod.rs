//! A block under execution: the committed state with what the block has changed so far.
//!
//! Every change is checked in full before anything is touched, so a refused transaction leaves no
//! trace. Sums that the supply equation guarantees are `expect`ed: if they fail, the state is
//! broken and the process must not go on.

mod pool;
mod sibling;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use adnet_common::application::VerifiedTx;
use adnet_common::attestation::{MAX_TX_OUTBOX, OutboundMessage, Payload};
use adnet_common::hash::Hash;
use adnet_common::keys::PublicKey;
use adnet_common::supply::AlphaSupply;
use adnet_common::validators::Validators;

use super::{Account, BurnRecord, Committed, LockRecord, MintRecord, StateKey};
use crate::pool::tree::{Anchors, NoteTree};
use crate::pool_index::Subtree;
use crate::refusal::Refusal;
use crate::rules::Rules;
use crate::tx::{Function, Transaction};

const BALANCED: &str = "the supply equation bounds every balance";

pub struct Draft<'a> {
    rules: &'a Rules,
    committed: &'a Committed,
    height: u64,
    accounts: BTreeMap<[u8; 32], Account>,
    orders: BTreeSet<u64>,
    records: BTreeMap<StateKey, Vec<u8>>,
    outbox: Vec<OutboundMessage>,
    supply: AlphaSupply,
    validators: Arc<Validators>,
    reported: BTreeSet<PublicKey>,
    /// Of the nullifiers that the block may spend, those that earlier blocks have spent.
    spent_before: BTreeSet<[u8; 32]>,
    nullifiers: BTreeSet<[u8; 32]>,
    /// In the order of the tree.
    commitments: Vec<[u8; 32]>,
}

/// What a block has changed.
pub struct Changes {
    pub accounts: BTreeMap<[u8; 32], Account>,
    pub orders: BTreeSet<u64>,
    pub supply: AlphaSupply,
    pub validators: Arc<Validators>,
    pub reported: BTreeSet<PublicKey>,
    pub notes: NoteTree,
    pub anchors: Anchors,
    /// Subtrees of note commitments that the block has filled.
    pub subtrees: Vec<Subtree>,
    pub outbox: Vec<OutboundMessage>,
    /// All changed leaves.
    pub leaves: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl<'a> Draft<'a> {
    /// A block at the height after the committed one. Of the nullifiers of its transactions,
    /// `spent_before` has those that the committed state has.
    pub fn new(
        rules: &'a Rules,
        committed: &'a Committed,
        spent_before: BTreeSet<[u8; 32]>,
    ) -> Self {
        let height = committed
            .height
            .checked_add(1)
            .expect("heights stay far below 2^64");
        Self {
            rules,
            committed,
            height,
            accounts: BTreeMap::new(),
            orders: BTreeSet::new(),
            records: BTreeMap::new(),
            outbox: Vec::new(),
            supply: committed.supply,
            validators: Arc::clone(&committed.validators),
            reported: BTreeSet::new(),
            spent_before,
            nullifiers: BTreeSet::new(),
            commitments: Vec::new(),
        }
    }

    pub fn account(&self, owner: &[u8; 32]) -> Account {
        let changed = self.accounts.get(owner).copied();
        changed.unwrap_or_else(|| self.committed.account(owner))
    }

    /// Contextual validity but for the order of nonces: used also for what waits in the mempool.
    /// Answers with the nonce that the sender's account takes next.
    pub fn check(&self, tx: &Transaction) -> Result<u64, Refusal> {
        let (next, last) = (self.height, tx.payload.expiry_height);
        if last < next {
            return Err(Refusal::Expired { last, next });
        }
        let most = next.saturating_add(self.rules.expiry_window_blocks);
        if last > most {
            return Err(Refusal::ExpiryTooFar { given: last, most });
        }
        let function = &tx.payload.function;
        let amount_units = amount_units(tx);
        if let Some(bundle) = function.bundle() {
            self.check_bundle(bundle)?;
        }
        if matches!(function, Function::Lock(_) | Function::LockPrivate(_)) {
            let total = self.supply.locked_total_units.checked_add(amount_units);
            total.ok_or(Refusal::SupplyOverflow)?;
        }
        match function {
            Function::TransferPublic(f) => self.check_account(&f.sender, f.nonce, tx),
            Function::Burn(f) => self.check_account(&f.sender, f.nonce, tx),
            Function::Lock(f) => self.check_account(&f.sender, f.nonce, tx),
            Function::Shield(f) => self.check_account(&f.sender, f.nonce, tx),
            Function::Mint(order) => self.check_mint(order.order_nonce, amount_units),
            Function::MintPrivate(order) => self.check_mint(order.order_nonce, amount_units),
            // Notes have no nonce: each transaction stands for itself.
            Function::Unshield(_)
            | Function::TransferPrivate(_)
            | Function::BurnPrivate(_)
            | Function::LockPrivate(_) => Ok(0),
        }
    }

    fn check_account(
        &self,
        sender: &[u8; 32],
        given: u64,
        tx: &Transaction,
    ) -> Result<u64, Refusal> {
        let account = self.account(sender);
        if given < account.nonce {
            let next = account.nonce;
            return Err(Refusal::NonceTooLow { given, next });
        }
        let (held_units, needed_units) = (account.balance_units, cost_units(tx));
        if held_units < needed_units {
            return Err(Refusal::InsufficientBalance {
                held_units,
                needed_units,
            });
        }
        Ok(account.nonce)
    }

    fn check_mint(&self, number: u64, amount_units: u64) -> Result<u64, Refusal> {
        if self.orders.contains(&number) || self.committed.executed_orders.contains(&number) {
            return Err(Refusal::MintAlreadyUsed(number));
        }
        let issued = self.supply.issued_units.checked_add(amount_units);
        issued.ok_or(Refusal::SupplyOverflow)?;
        // A mint order stands for itself: its one nonce is 0.
        Ok(0)
    }

    /// Executes a transaction, or refuses it and changes nothing.
    pub fn execute(&mut self, tx: &VerifiedTx<Transaction>) -> Result<(), Refusal> {
        let next = self.check(&tx.inner)?;
        if tx.nonce != next {
            let given = tx.nonce;
            return Err(Refusal::NonceTooHigh { given, next });
        }
        let function = &tx.inner.payload.function;
        let (amount_units, fee_units) = (amount_units(&tx.inner), tx.inner.payload.fee_units);
        if let Function::Lock(_) | Function::LockPrivate(_) = function
            && self.outbox.len() >= MAX_TX_OUTBOX
        {
            return Err(Refusal::OutboxFull);
        }
        // From here on nothing is refused. First what is paid, then where it goes.
        if let Some(sender) = function.account() {
            self.pay(&sender, amount_units, fee_units);
        } else if function.order().is_some() {
            add(&mut self.supply.issued_units, amount_units);
            add(&mut self.supply.fees_units, fee_units);
        } else {
            add(&mut self.supply.fees_units, fee_units);
        }
        if let Some(bundle) = function.bundle() {
            self.apply_bundle(bundle);
        }
        match function {
            Function::TransferPublic(f) => self.credit(&f.recipient, amount_units),
            Function::Unshield(f) => self.credit(&f.recipient, amount_units),
            Function::Shield(_) | Function::TransferPrivate(_) => {}
            Function::Burn(f) => self.burn(tx.id, Some(f.sender), amount_units),
            Function::BurnPrivate(_) => self.burn(tx.id, None, amount_units),
            Function::Lock(f) => self.lock(tx.id, Some(f.sender), f.recipient, amount_units),
            Function::LockPrivate(f) => self.lock(tx.id, None, f.recipient, amount_units),
            Function::Mint(f) => {
                let credited = amount_units.checked_sub(fee_units);
                let credited = credited.expect("verification refuses a mint below its fee");
                self.credit(&f.recipient, credited);
                let to = Some(f.recipient);
                self.record_mint(tx.id, f.order_nonce, to, amount_units, f.reason_hash);
            }
            Function::MintPrivate(f) => {
                self.record_mint(tx.id, f.order_nonce, None, amount_units, f.reason_hash);
            }
        }
        Ok(())
    }

    fn burn(&mut self, tx: Hash, sender: Option<[u8; 32]>, amount_units: u64) {
        add(&mut self.supply.burned_units, amount_units);
        let record = BurnRecord {
            height: self.height,
            sender,
            amount_units,
        };
        self.records.insert(StateKey::Burn(tx), record.encode());
    }

    fn lock(&mut self, tx: Hash, sender: Option<[u8; 32]>, recipient: [u8; 20], amount_units: u64) {
        add(&mut self.supply.locked_total_units, amount_units);
        let record = LockRecord {
            height: self.height,
            tx,
            sender,
            recipient,
            amount_units,
        };
        let sequence = self.send(Payload::Lock {
            recipient,
            amount_units,
        });
        self.records
            .insert(StateKey::Lock(sequence), record.encode());
    }

    fn record_mint(
        &mut self,
        tx: Hash,
        order: u64,
        recipient: Option<[u8; 32]>,
        amount_units: u64,
        reason_hash: Hash,
    ) {
        self.orders.insert(order);
        let record = MintRecord {
            height: self.height,
            tx,
            recipient,
            amount_units,
            reason_hash,
        };
        self.records.insert(StateKey::Mint(order), record.encode());
    }

    /// Takes amount and fee from an account and uses up its nonce. The amount is on its way: the
    /// caller puts it where it belongs.
    fn pay(&mut self, sender: &[u8; 32], amount_units: u64, fee_units: u64) {
        let mut account = self.account(sender);
        let cost = amount_units
            .checked_add(fee_units)
            .expect("verification refuses the overflow");
        account.balance_units = account
            .balance_units
            .checked_sub(cost)
            .expect("checked before");
        account.nonce = account
            .nonce
            .checked_add(1)
            .expect("no account signs 2^64 transactions");
        self.accounts.insert(*sender, account);
        let public = self.supply.public_units.checked_sub(cost);
        self.supply.public_units = public.expect(BALANCED);
        add(&mut self.supply.fees_units, fee_units);
    }

    fn credit(&mut self, recipient: &[u8; 32], amount_units: u64) {
        let mut account = self.account(recipient);
        add(&mut account.balance_units, amount_units);
        self.accounts.insert(*recipient, account);
        add(&mut self.supply.public_units, amount_units);
    }

    /// What the block comes to.
    ///
    /// # Panics
    /// If the supply equation does not hold: no rule can have allowed that.
    pub fn finish(mut self) -> Changes {
        self.announce_validators();
        let notes = self.finish_notes();
        let validator_leaves = self.validator_leaves();
        self.records.extend(validator_leaves);
        let supply = self.supply;
        assert!(
            supply.holds(),
            "the supply equation holds after every block: {supply:?}"
        );
        let mut leaves: BTreeMap<Vec<u8>, Vec<u8>> = self
            .records
            .into_iter()
            .map(|(key, value)| (key.encode(), value))
            .collect();
        let accounts = self.accounts.iter();
        leaves.extend(accounts.map(|(key, a)| (StateKey::Account(*key).encode(), a.encode())));
        if supply != self.committed.supply {
            leaves.insert(StateKey::Supply.encode(), supply.encode());
        }
        Changes {
            accounts: self.accounts,
            orders: self.orders,
            supply,
            validators: self.validators,
            reported: self.reported,
            notes: notes.tree,
            anchors: notes.anchors,
            subtrees: notes.subtrees,
            outbox: self.outbox,
            leaves,
        }
    }
}

/// What the transaction moves, which verification has found to be an amount.
fn amount_units(tx: &Transaction) -> u64 {
    let amount_units = tx.payload.function.amount_units(tx.payload.fee_units);
    amount_units.expect("verification refuses a bundle that gives no amount")
}

/// What an account's transaction takes from it.
fn cost_units(tx: &Transaction) -> u64 {
    let cost = amount_units(tx).checked_add(tx.payload.fee_units);
    cost.expect("verification refuses the overflow")
}

fn add(total: &mut u64, amount: u64) {
    *total = total.checked_add(amount).expect(BALANCED);
}
