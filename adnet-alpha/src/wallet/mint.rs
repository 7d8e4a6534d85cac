//! Issuing AX to a note: governors order it, and only the recipient sees that it came.
//!
//! One governor makes the payload with its proof; each of them signs that; whoever has enough of the
//! signatures sends it. In between it travels as a transaction that nobody has signed.

use adnet_common::hash::Hash;

use super::build::{BuildError, Output, not_built, output_bundle};
use super::memo::Memo;
use super::plan::blank;
use super::prove::{Phase, prove};
use crate::pool::{Bundle, ShieldedAddress};
use crate::tx::assemble_private_mint;
use crate::tx::{Approval, FeeSchedule, Function, MintPrivate, Payload, Transaction, Witness};

/// What the governors order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateMint {
    pub genesis: Hash,
    /// Each number is executed at most once, for ever.
    pub order_nonce: u64,
    pub recipient: ShieldedAddress,
    /// Issued in all; the recipient gets this less the fee.
    pub amount_units: u64,
    pub reason_hash: Hash,
    pub memo: Memo,
    pub expiry_height: u64,
}

impl PrivateMint {
    /// The transaction without a signature. Its fee is exact if `approvals` governors sign.
    pub fn propose(
        &self,
        fees: &FeeSchedule,
        approvals: usize,
        progress: &mut dyn FnMut(Phase),
    ) -> Result<Transaction, BuildError> {
        let function = |bundle| {
            Function::MintPrivate(MintPrivate {
                order_nonce: self.order_nonce,
                amount_units: self.amount_units,
                reason_hash: self.reason_hash,
                bundle,
            })
        };
        let fee_units = fees.of_function(&function(blank(2)), approvals);
        let value_units = self.amount_units.checked_sub(fee_units);
        let value_units = value_units.filter(|units| *units > 0).ok_or_else(|| {
            not_built(format!(
                "the amount does not cover the fee of {fee_units} units"
            ))
        })?;
        let bundle = output_bundle(Output {
            ovk: None,
            recipient: self.recipient,
            value_units,
            memo: self.memo.clone(),
        })?;
        let payload = Payload {
            genesis: self.genesis,
            function: function(Bundle::of(&bundle)),
            fee_units,
            expiry_height: self.expiry_height,
        };
        let proof = prove(bundle, &payload.sighash(), &[], progress)?;
        Ok(assemble_private_mint(payload, Vec::new(), proof))
    }
}

/// Adds a governor's signature to a proposed mint; `None` if it is none. A second signature of one
/// governor replaces nothing.
pub fn add_approval(proposed: Transaction, approval: Approval) -> Option<Transaction> {
    let Transaction { payload, witness } = proposed;
    match witness {
        Witness::GovernorsAndBundle(mut approvals, proof) => {
            approvals.push(approval);
            Some(assemble_private_mint(payload, approvals, proof))
        }
        _ => None,
    }
}
