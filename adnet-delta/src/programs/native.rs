//! The native state of a block under execution: words of system accounts outside of the EVM's journal.
//!
//! Words lie in the storage of their system account, so they are under the state root and can be
//! proved like any slot. No code runs at those addresses, so nothing but programs writes them. A
//! transaction that fails is undone from a checkpoint, as is a call that a program refuses.

use crate::attest::{self, ATTEST_ADDRESS};
use crate::rules::Rules;
use crate::state::WorldState;
use adnet_common::attestation::{MAX_TX_OUTBOX, OutboundMessage, Payload};
use adnet_common::store::Write;
use adnet_common::supply::DeltaSupply;
use alloy_primitives::{Address, U256};
use std::collections::BTreeMap;

/// Actions of contracts that one block applies, at most. Gas bounds them too, but not below this.
pub const MAX_BLOCK_ACTIONS: usize = 4096;

/// A word of a system account.
type Place = (Address, U256);

/// See the module.
pub struct NativeState<'a> {
    start: &'a WorldState,
    dx_transferable: bool,
    /// What the block has changed so far.
    words: BTreeMap<Place, U256>,
    /// What was in `words` before, since the last transaction began.
    undo: Vec<(Place, Option<U256>)>,
    outbox: Vec<OutboundMessage>,
    actions_left: usize,
    /// Wei that programs have burned since the last transaction began.
    burned_wei: U256,
}

/// How far the native state was.
#[derive(Copy, Clone, Debug)]
pub struct Checkpoint {
    undo: usize,
    outbox: usize,
    burned_wei: U256,
}

impl<'a> NativeState<'a> {
    /// At the start of a block on `start`.
    pub fn new(rules: &Rules, start: &'a WorldState) -> Self {
        Self {
            start,
            dx_transferable: rules.dx_transferable,
            words: BTreeMap::new(),
            undo: Vec::new(),
            outbox: Vec::new(),
            actions_left: MAX_BLOCK_ACTIONS,
            burned_wei: U256::ZERO,
        }
    }

    /// Nothing before this is undone any more.
    pub fn begin_transaction(&mut self) {
        self.undo.clear();
        self.burned_wei = U256::ZERO;
    }

    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            undo: self.undo.len(),
            outbox: self.outbox.len(),
            burned_wei: self.burned_wei,
        }
    }

    /// Takes back all since the checkpoint, which must be one of this transaction.
    pub fn roll_back(&mut self, to: Checkpoint) {
        for (place, before) in self.undo.drain(to.undo..).rev() {
            match before {
                Some(word) => self.words.insert(place, word),
                None => self.words.remove(&place),
            };
        }
        self.outbox.truncate(to.outbox);
        self.burned_wei = to.burned_wei;
    }

    /// The state at the start of the block, which is what reads see.
    pub fn at_start(&self) -> &'a WorldState {
        self.start
    }

    /// A word as the block has left it so far.
    pub fn word(&self, program: &Address, slot: U256) -> U256 {
        let changed = self.words.get(&(*program, slot)).copied();
        changed.unwrap_or_else(|| self.start.storage(program, &slot))
    }

    pub fn set_word(&mut self, program: &Address, slot: U256, word: U256) {
        let place = (*program, slot);
        let before = self.words.insert(place, word);
        self.undo.push((place, before));
    }

    /// Delta's supply leaf.
    pub fn supply(&self) -> DeltaSupply {
        let word = self.word(&ATTEST_ADDRESS, U256::ZERO);
        DeltaSupply::decode(&word.to_be_bytes())
    }

    pub fn set_supply(&mut self, supply: &DeltaSupply) {
        let word = U256::from_be_bytes(supply.encode());
        self.set_word(&ATTEST_ADDRESS, U256::ZERO, word);
    }

    /// Whether the outbox takes another message of a transaction.
    pub fn has_outbox_room(&self) -> bool {
        self.outbox.len() < MAX_TX_OUTBOX
    }

    /// Sends a message to Alpha and gives its sequence. `None`, and no change, if there is none left:
    /// only a simulation can suppose that.
    pub fn send(&mut self, payload: Payload) -> Option<u64> {
        let mut supply = self.supply();
        let sequence = supply.last_sent.checked_add(1)?;
        supply.last_sent = sequence;
        self.set_supply(&supply);
        self.outbox.push(OutboundMessage { sequence, payload });
        Some(sequence)
    }

    /// Counts sAX as burned; the wei themselves are the EVM's to take away. `None`, and no change, if
    /// it is more than exists: only a simulation can suppose that.
    pub fn burn(&mut self, amount_units: u64) -> Option<()> {
        let mut supply = self.supply();
        let burned = supply.burned_total_units.checked_add(amount_units)?;
        supply.burned_total_units = burned;
        self.set_supply(&supply);
        self.burned_wei += attest::wei(amount_units);
        Some(())
    }

    /// What programs have burned in this transaction.
    pub fn burned_wei(&self) -> U256 {
        self.burned_wei
    }

    pub fn has_action_room(&self) -> bool {
        self.actions_left > 0
    }

    /// Takes one of the block's actions, if any is left. That is never undone.
    pub fn take_action(&mut self) -> bool {
        let left = self.actions_left.checked_sub(1);
        self.actions_left = left.unwrap_or(0);
        left.is_some()
    }

    /// Whether people may send DX to each other.
    pub fn dx_transferable(&self) -> bool {
        self.dx_transferable
    }

    /// Writes what the block has changed into the state after it, in the order of places, and
    /// gives what it says to Alpha.
    pub fn finish(self, state: &mut WorldState, writes: &mut Vec<Write>) -> Vec<OutboundMessage> {
        for ((program, slot), word) in self.words {
            if self.start.storage(&program, &slot) != word {
                state.set_slot(&program, slot, word, writes);
            }
        }
        self.outbox
    }
}
