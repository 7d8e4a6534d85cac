//! What a payment will be, before it is proved: which notes pay, what it costs, until when it is
//! good. Plans are quick, so they can be shown and asked about.

use adnet_common::hash::Hash;

use super::intent::{Intent, Source};
use super::select::{self, SelectError, Selection};
use super::state::Wallet;
use super::tree::TreeError;
use crate::pool::{ActionBytes, Bundle};
use crate::tx::{
    Burn, BurnPrivate, FeeSchedule, Function, Lock, LockPrivate, Shield, TransferPrivate,
    TransferPublic, Unshield,
};

/// Actions of a bundle, at least: so that the smallest payments look alike.
const ACTIONS_MIN: usize = 2;

/// What a node says of the chain and of the wallet's account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions {
    pub fees: FeeSchedule,
    /// How far ahead a transaction may expire.
    pub expiry_window_blocks: u64,
    /// The public account; only what the account pays needs it.
    pub account: Option<Account>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    pub balance_units: u64,
    /// Number of its next transaction.
    pub nonce: u64,
}

/// A payment that can be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub intent: Intent,
    /// Without the fee. Of a consolidation, what the new note will hold.
    pub amount_units: u64,
    pub fee_units: u64,
    /// Positions of the notes that pay.
    pub spends: Vec<u64>,
    /// What comes back to the pool.
    pub change_units: u64,
    /// The block whose root it names, if notes pay.
    pub anchor_height: Option<u64>,
    pub expiry_height: u64,
    pub nonce: Option<u64>,
    /// The expired transaction in whose place it comes.
    pub replaces: Option<Hash>,
}

/// Why something cannot be paid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("the amount is zero")]
    AmountZero,
    #[error(transparent)]
    Notes(#[from] SelectError),
    #[error(
        "the account holds {held_units} units, of which pending transactions take {pending_units}; {needed_units} are needed with the fee"
    )]
    Account {
        held_units: u64,
        pending_units: u64,
        needed_units: u64,
    },
    #[error("the account pays, but its balance and number are not known")]
    AccountUnknown,
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl Wallet {
    /// How `intent` can be done now.
    pub fn plan(&self, intent: &Intent, conditions: &Conditions) -> Result<Plan, PlanError> {
        if intent.amount_units() == Some(0) {
            return Err(PlanError::AmountZero);
        }
        match intent.source() {
            Source::Pool => self.plan_from_pool(intent, conditions),
            Source::Account => self.plan_from_account(intent, conditions),
        }
    }

    /// The same payment once more, for a transaction that came too late. It is of the same notes and
    /// has the same number: of the two only one can ever be in a block, whatever a node says of the
    /// first.
    pub fn plan_again(&self, id: Hash, plan: &Plan, expiry_window_blocks: u64) -> Plan {
        Plan {
            anchor_height: plan.anchor_height.map(|_| self.anchor_height()),
            expiry_height: self.tip().height.saturating_add(expiry_window_blocks),
            replaces: Some(id),
            ..plan.clone()
        }
    }

    /// The most that could leave the pool at once now, by an intent like this one; its own amount
    /// does not matter.
    pub fn most_units(&self, intent: &Intent, conditions: &Conditions) -> u64 {
        let fee = |spends| self.pool_fee(intent, conditions, spends);
        let most = select::most(&self.candidates(), fee);
        most.map_or(0, |most| most.total_units - most.fee_units)
    }

    fn plan_from_pool(&self, intent: &Intent, conditions: &Conditions) -> Result<Plan, PlanError> {
        let fee = |spends| self.pool_fee(intent, conditions, spends);
        let candidates = self.candidates();
        let balance = self.pool_balance();
        let waiting = balance
            .confirming_units
            .saturating_add(balance.returning_units);
        let Selection {
            positions,
            total_units,
            fee_units,
        } = match intent.amount_units() {
            Some(amount) => select::select(&candidates, amount, waiting, fee)?,
            None => select::consolidate(&candidates, fee)?,
        };
        let left = total_units - fee_units;
        let amount_units = intent.amount_units().unwrap_or(left);
        Ok(Plan {
            intent: intent.clone(),
            amount_units,
            fee_units,
            spends: positions,
            change_units: left - amount_units,
            anchor_height: Some(self.anchor_height()),
            expiry_height: self.tip().height + conditions.expiry_window_blocks,
            nonce: None,
            replaces: None,
        })
    }

    fn plan_from_account(
        &self,
        intent: &Intent,
        conditions: &Conditions,
    ) -> Result<Plan, PlanError> {
        let account = conditions.account.ok_or(PlanError::AccountUnknown)?;
        let nonce = self.next_nonce(account.nonce);
        let function = self.function(intent, Some(nonce), Some(blank(ACTIONS_MIN)));
        let fee_units = conditions.fees.of_function(&function, 0);
        let amount_units = intent.amount_units().unwrap_or(0);
        let needed = amount_units
            .checked_add(fee_units)
            .ok_or(SelectError::TooLarge)?;
        let pending_units = self.account_pending().outgoing_units;
        if account.balance_units.saturating_sub(pending_units) < needed {
            return Err(PlanError::Account {
                held_units: account.balance_units,
                pending_units,
                needed_units: needed,
            });
        }
        Ok(Plan {
            intent: intent.clone(),
            amount_units,
            fee_units,
            spends: Vec::new(),
            change_units: 0,
            anchor_height: None,
            expiry_height: self.tip().height + conditions.expiry_window_blocks,
            nonce: Some(nonce),
            replaces: None,
        })
    }

    /// The exact fee of a transaction that spends so many notes and makes at most two.
    fn pool_fee(&self, intent: &Intent, conditions: &Conditions, spends: usize) -> u64 {
        let function = self.function(intent, None, Some(blank(spends.max(ACTIONS_MIN))));
        conditions.fees.of_function(&function, 0)
    }

    /// The function that does what is intended.
    ///
    /// # Panics
    /// If a function of the account is given no nonce, or one of the pool no bundle.
    pub(super) fn function(
        &self,
        intent: &Intent,
        nonce: Option<u64>,
        bundle: Option<Bundle>,
    ) -> Function {
        let sender = self.viewing.alpha.0;
        let nonce = || nonce.expect("what the account pays has a number");
        let bundle = || bundle.expect("what touches the pool has a bundle");
        match *intent {
            Intent::Send { .. } | Intent::Consolidate => {
                Function::TransferPrivate(TransferPrivate { bundle: bundle() })
            }
            Intent::Shield { .. } => Function::Shield(Shield {
                sender,
                nonce: nonce(),
                bundle: bundle(),
            }),
            Intent::Unshield { recipient, .. } => Function::Unshield(Unshield {
                recipient: recipient.0,
                bundle: bundle(),
            }),
            Intent::TransferPublic {
                recipient,
                amount_units,
            } => Function::TransferPublic(TransferPublic {
                sender,
                nonce: nonce(),
                recipient: recipient.0,
                amount_units,
            }),
            Intent::Lock {
                from: Source::Pool,
                recipient,
                ..
            } => Function::LockPrivate(LockPrivate {
                recipient: recipient.0,
                bundle: bundle(),
            }),
            Intent::Lock {
                from: Source::Account,
                recipient,
                amount_units,
            } => Function::Lock(Lock {
                sender,
                nonce: nonce(),
                recipient: recipient.0,
                amount_units,
            }),
            Intent::Burn {
                from: Source::Pool, ..
            } => Function::BurnPrivate(BurnPrivate { bundle: bundle() }),
            Intent::Burn {
                from: Source::Account,
                amount_units,
            } => Function::Burn(Burn {
                sender,
                nonce: nonce(),
                amount_units,
            }),
        }
    }
}

/// A bundle of the size of one with so many actions: all that a fee depends on.
pub(super) fn blank(actions: usize) -> Bundle {
    let action = ActionBytes {
        cv_net: [0; 32],
        nullifier: [0; 32],
        rk: [0; 32],
        cmx: [0; 32],
        epk: [0; 32],
        enc_ciphertext: [0; 580],
        out_ciphertext: [0; 80],
    };
    Bundle {
        actions: vec![action; actions],
        flags: 0,
        value_balance: 0,
        anchor: [0; 32],
    }
}
