//! How the API shows transactions of the shielded pool: what everybody may know of them.

use adnet_common::hash::Hash;
use adnet_common::keys::{AlphaAddress, EvmAddress};
use serde::Serialize;

use super::{Function, Payload, Transaction};
use crate::pool::Bundle;

/// Public ends and bundle; the wire form has the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShieldedJson {
    pub genesis: Hash,
    /// The public account that pays, and its nonce.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<AlphaAddress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<u64>,
    /// The public account that is credited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<AlphaAddress>,
    /// The account on Delta for which AX is locked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta_recipient: Option<EvmAddress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_nonce: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_hash: Option<Hash>,
    /// Absent for a private transfer, whose amounts are hidden.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount_units: Option<u64>,
    pub fee_units: u64,
    pub expiry_height: u64,
    pub bundle: BundleJson,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BundleJson {
    pub flags: u8,
    /// Units that leave the pool (positive) or enter it (negative).
    pub value_balance: i64,
    pub anchor: Hash,
    pub actions: Vec<ActionJson>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ActionJson {
    pub nullifier: Hash,
    pub note_commitment: Hash,
}

impl From<&Bundle> for BundleJson {
    fn from(bundle: &Bundle) -> Self {
        let actions = bundle.actions.iter().map(|action| ActionJson {
            nullifier: Hash(action.nullifier),
            note_commitment: Hash(action.cmx),
        });
        Self {
            flags: bundle.flags,
            value_balance: bundle.value_balance,
            anchor: Hash(bundle.anchor),
            actions: actions.collect(),
        }
    }
}

impl From<&Transaction> for ShieldedJson {
    /// # Panics
    /// If the transaction has no bundle.
    fn from(tx: &Transaction) -> Self {
        let Payload {
            genesis,
            ref function,
            fee_units,
            expiry_height,
        } = tx.payload;
        let bundle = function.bundle().expect("a shielded function has a bundle");
        let is_hidden = matches!(function, Function::TransferPrivate(_));
        let amount_units = function.amount_units(fee_units);
        let mut json = Self {
            genesis,
            sender: None,
            nonce: None,
            recipient: None,
            delta_recipient: None,
            order_nonce: None,
            reason_hash: None,
            amount_units: amount_units.filter(|_| !is_hidden),
            fee_units,
            expiry_height,
            bundle: BundleJson::from(bundle),
        };
        match function {
            Function::Shield(f) => {
                json.sender = Some(AlphaAddress(f.sender));
                json.nonce = Some(f.nonce);
            }
            Function::Unshield(f) => json.recipient = Some(AlphaAddress(f.recipient)),
            Function::MintPrivate(f) => {
                json.order_nonce = Some(f.order_nonce);
                json.reason_hash = Some(f.reason_hash);
            }
            Function::LockPrivate(f) => json.delta_recipient = Some(EvmAddress(f.recipient)),
            _ => {}
        }
        json
    }
}
