//! A block under execution: the committed state with what the block has changed so far.
//!
//! Every change is checked in full before anything is touched, so a refused transaction leaves no
//! trace. Sums that the supply equation guarantees are `expect`ed: if they fail, the state is
//! broken and the process must not go on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use adnet_common::application::{InvalidBlock, VerifiedTx};
use adnet_common::attestation::{Attestation, MAX_TX_OUTBOX, OutboundMessage, Payload};
use adnet_common::consensus::EncodedSet;
use adnet_common::hash::Hash;
use adnet_common::keys::PublicKey;
use adnet_common::supply::AlphaSupply;
use adnet_common::validators::Validators;

use super::{Account, BurnRecord, Committed, LockRecord, MintRecord, StateKey, UnlockRecord};
use crate::refusal::Refusal;
use crate::rules::Rules;
use crate::tx::{Function, MintOrder, Transaction};

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
}

/// What a block has changed.
pub struct Changes {
    pub accounts: BTreeMap<[u8; 32], Account>,
    pub orders: BTreeSet<u64>,
    pub supply: AlphaSupply,
    pub validators: Arc<Validators>,
    pub reported: BTreeSet<PublicKey>,
    pub outbox: Vec<OutboundMessage>,
    /// All changed leaves.
    pub leaves: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl<'a> Draft<'a> {
    /// A block at the height after the committed one.
    pub fn new(rules: &'a Rules, committed: &'a Committed) -> Self {
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
        match &tx.payload.function {
            Function::TransferPublic(f) => self.check_account(&f.sender, f.nonce, tx),
            Function::Burn(f) => self.check_account(&f.sender, f.nonce, tx),
            Function::Lock(f) => {
                let next = self.check_account(&f.sender, f.nonce, tx)?;
                let total = self.supply.locked_total_units.checked_add(f.amount_units);
                total.ok_or(Refusal::SupplyOverflow)?;
                Ok(next)
            }
            Function::Mint(order) => self.check_mint(order),
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

    fn check_mint(&self, order: &MintOrder) -> Result<u64, Refusal> {
        let number = order.order_nonce;
        if self.orders.contains(&number) || self.committed.executed_orders.contains(&number) {
            return Err(Refusal::MintAlreadyUsed(number));
        }
        let issued = self.supply.issued_units.checked_add(order.amount_units);
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
        let fee_units = tx.inner.payload.fee_units;
        let height = self.height;
        match &tx.inner.payload.function {
            Function::TransferPublic(f) => {
                self.pay(&f.sender, f.amount_units, fee_units);
                self.credit(&f.recipient, f.amount_units);
            }
            Function::Burn(f) => {
                self.pay(&f.sender, f.amount_units, fee_units);
                add(&mut self.supply.burned_units, f.amount_units);
                let record = BurnRecord {
                    height,
                    sender: f.sender,
                    amount_units: f.amount_units,
                };
                self.records.insert(StateKey::Burn(tx.id), record.encode());
            }
            Function::Lock(f) => {
                if self.outbox.len() >= MAX_TX_OUTBOX {
                    return Err(Refusal::OutboxFull);
                }
                self.pay(&f.sender, f.amount_units, fee_units);
                add(&mut self.supply.locked_total_units, f.amount_units);
                let record = LockRecord {
                    height,
                    tx: tx.id,
                    sender: f.sender,
                    recipient: f.recipient,
                    amount_units: f.amount_units,
                };
                let sequence = self.send(Payload::Lock {
                    recipient: f.recipient,
                    amount_units: f.amount_units,
                });
                self.records
                    .insert(StateKey::Lock(sequence), record.encode());
            }
            Function::Mint(order) => self.mint(order, fee_units, tx.id),
        }
        Ok(())
    }

    fn mint(&mut self, order: &MintOrder, fee_units: u64, tx: Hash) {
        let credited = order.amount_units.checked_sub(fee_units);
        let credited = credited.expect("verification refuses a mint below its fee");
        add(&mut self.supply.issued_units, order.amount_units);
        add(&mut self.supply.fees_units, fee_units);
        self.credit(&order.recipient, credited);
        self.orders.insert(order.order_nonce);
        let record = MintRecord {
            height: self.height,
            tx,
            recipient: order.recipient,
            amount_units: order.amount_units,
            reason_hash: order.reason_hash,
        };
        self.records
            .insert(StateKey::Mint(order.order_nonce), record.encode());
    }

    /// Tells Delta of those whom the block proves to have signed twice, each once for ever. Comes
    /// before everything else in a block.
    pub fn report(&mut self, equivocators: &[PublicKey]) {
        for validator in equivocators {
            let is_known = self.committed.reported.contains(validator)
                || self.validators.tombstones.contains_key(validator);
            if is_known || !self.reported.insert(*validator) {
                continue;
            }
            let key = StateKey::Misbehaviour(*validator);
            self.records.insert(key, self.height.to_be_bytes().to_vec());
            let validator = *validator;
            self.send(Payload::Misbehaviour { validator });
        }
    }

    /// Does what a message of Delta says. Certificate and path are proved already.
    ///
    /// # Errors
    /// Not the next message, not of a kind for Alpha, or one that the state does not allow.
    pub fn consume(&mut self, attestation: &Attestation) -> Result<(), InvalidBlock> {
        let message = &attestation.message;
        let next = self
            .supply
            .last_consumed
            .checked_add(1)
            .expect("sequences stay below 2^64");
        if message.sequence != next {
            let why = format!("message {} where {next} is due", message.sequence);
            return Err(InvalidBlock::new("ATTESTATION_OUT_OF_ORDER", why));
        }
        match &message.payload {
            Payload::Unlock {
                recipient,
                amount_units,
            } => self.unlock(attestation, *recipient, *amount_units)?,
            Payload::ValidatorSet { set, tombstoned } => {
                self.adopt(attestation.height, set, tombstoned)?;
            }
            other => {
                let why = format!("Alpha consumes no {}", other.kind_name());
                return Err(InvalidBlock::new("WRONG_ATTESTATION_KIND", why));
            }
        }
        self.supply.last_consumed = next;
        Ok(())
    }

    /// Releases AX for an attested burn of sAX on Delta.
    fn unlock(
        &mut self,
        attestation: &Attestation,
        recipient: [u8; 32],
        amount_units: u64,
    ) -> Result<(), InvalidBlock> {
        let locked_units = self
            .supply
            .locked_units()
            .expect("released never exceeds locked");
        if amount_units > locked_units {
            let why = format!("{amount_units} units, the lock pool holds {locked_units}");
            return Err(InvalidBlock::new("LOCK_POOL_EXCEEDED", why));
        }
        add(&mut self.supply.released_total_units, amount_units);
        self.credit(&recipient, amount_units);
        let record = UnlockRecord {
            height: self.height,
            attestation: attestation.id(),
            recipient,
            amount_units,
        };
        let key = StateKey::Unlock(attestation.message.sequence);
        self.records.insert(key, record.encode());
        Ok(())
    }

    /// Takes over the validators that Delta has decreed in its block of `sibling_height`.
    fn adopt(
        &mut self,
        sibling_height: u64,
        set: &EncodedSet,
        tombstoned: &[PublicKey],
    ) -> Result<(), InvalidBlock> {
        let set = set.open();
        let set = set.map_err(|e| InvalidBlock::new("BAD_VALIDATOR_SET", e.to_string()))?;
        let validators = Arc::make_mut(&mut self.validators);
        validators.adopt(self.height, set.clone(), tombstoned);
        validators.follow(sibling_height, set);
        Ok(())
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

    fn send(&mut self, payload: Payload) -> u64 {
        let sequence = self
            .supply
            .last_sent
            .checked_add(1)
            .expect("sequences stay below 2^64");
        self.supply.last_sent = sequence;
        self.outbox.push(OutboundMessage { sequence, payload });
        sequence
    }

    /// Says last of all that Alpha has other validators from the next height on.
    fn announce_validators(&mut self) {
        let (before, after) = (&self.committed.validators, &self.validators);
        if after.own.set != before.own.set {
            let set = EncodedSet::of(&after.own.set);
            self.send(Payload::Adopted { set });
        }
    }

    /// The leaves of the validators that the block has changed.
    fn validator_leaves(&self) -> BTreeMap<StateKey, Vec<u8>> {
        let (before, after) = (&self.committed.validators, &self.validators);
        let is_new = |(key, _): &(&PublicKey, &u64)| !before.tombstones.contains_key(*key);
        let tombstones = after.tombstones.iter().filter(is_new);
        let mut leaves: BTreeMap<StateKey, Vec<u8>> = tombstones
            .map(|(key, height)| (StateKey::Tombstone(*key), height.to_be_bytes().to_vec()))
            .collect();
        if after.own != before.own {
            leaves.insert(StateKey::Validators, after.own.encode());
        }
        if after.sibling != before.sibling {
            leaves.insert(StateKey::SiblingValidators, after.sibling.encode());
        }
        leaves
    }

    /// What the block comes to.
    ///
    /// # Panics
    /// If the supply equation does not hold: no rule can have allowed that.
    pub fn finish(mut self) -> Changes {
        self.announce_validators();
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
            outbox: self.outbox,
            leaves,
        }
    }
}

/// What an account's transaction takes from it.
fn cost_units(tx: &Transaction) -> u64 {
    let amount_units = tx.payload.function.amount_units();
    let cost = amount_units.checked_add(tx.payload.fee_units);
    cost.expect("verification refuses the overflow")
}

fn add(total: &mut u64, amount: u64) {
    *total = total.checked_add(amount).expect(BALANCED);
}
