//! What transactions cost: a flat part, and parts per byte and per shielded action.
//!
//! Everything that a fee depends on is the same for all transactions of one function and one number
//! of actions, so a fee tells nothing about who pays it.

use adnet_common::genesis::AlphaGenesis;

use super::{Function, Terms, Transaction, Witness};
use adnet_common::hash::Hash;

/// What a transaction costs at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeSchedule {
    pub base_units: u64,
    pub per_byte_units: u64,
    /// Per action of the bundle: what its proof costs all nodes to verify.
    pub per_action_units: u64,
}

impl FeeSchedule {
    pub fn of(genesis: &AlphaGenesis) -> Self {
        Self {
            base_units: genesis.fee_base_units,
            per_byte_units: genesis.fee_per_byte_units,
            per_action_units: genesis.fee_per_action_units,
        }
    }

    /// The least fee of a transaction of `encoded_bytes`, payload and witness together, whose bundle
    /// has so many actions (0 without a bundle).
    pub fn least_units(&self, encoded_bytes: usize, actions: usize) -> u64 {
        let by_size = self.per_byte_units.saturating_mul(encoded_bytes as u64);
        let by_actions = self.per_action_units.saturating_mul(actions as u64);
        self.base_units
            .saturating_add(by_size)
            .saturating_add(by_actions)
    }

    /// The least fee of a transaction of this function, to which `approvals` governors will sign
    /// (0 if none has to). Of a bundle only the number of actions matters.
    pub fn of_function(&self, function: &Function, approvals: usize) -> u64 {
        let actions = function.bundle().map_or(0, |bundle| bundle.actions.len());
        self.least_units(function.signed_bytes(approvals), actions)
    }
}

impl Function {
    /// Bytes of a whole transaction of this function. Fields have fixed widths, so neither fee nor
    /// expiry nor the content of signatures and proofs matter.
    pub fn signed_bytes(&self, approvals: usize) -> usize {
        let terms = Terms {
            genesis: Hash::ZERO,
            fee_units: 0,
            expiry_height: 0,
        };
        let witness = Witness::blank(self, approvals);
        let payload = terms.payload(self.clone());
        Transaction { payload, witness }.encode().len()
    }
}
