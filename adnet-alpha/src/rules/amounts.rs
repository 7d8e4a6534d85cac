//! What a transaction moves and pays, whatever the state.

use super::Rules;
use crate::pool::bundle::{empty_anchor, flag_byte};
use crate::pool::{ActionBytes, Bundle};
use crate::refusal::Refusal;
use crate::tx::{Function, MintPrivate, Payload, Shield, entering_units};
use adnet_common::hash::Hash;
use std::collections::BTreeSet;

impl Rules {
    /// The least fee of a payload whose transaction has so many bytes.
    pub(super) fn least_units(&self, payload: &Payload, encoded_bytes: usize) -> u64 {
        let bundle = payload.function.bundle();
        let actions = bundle.map_or(0, |bundle| bundle.actions.len());
        self.fees.least_units(encoded_bytes, actions)
    }

    /// Amounts and fee of a payload whose transaction has so many bytes.
    pub(super) fn check_amounts(
        &self,
        payload: &Payload,
        encoded_bytes: usize,
    ) -> Result<(), Refusal> {
        let (function, given_units) = (&payload.function, payload.fee_units);
        let least_units = self.least_units(payload, encoded_bytes);
        if given_units < least_units {
            return Err(Refusal::FeeTooLow {
                given_units,
                least_units,
            });
        }
        if function.is_paid_by_pool() && given_units != least_units {
            return Err(Refusal::FeeNotStandard {
                given_units,
                needed_units: least_units,
            });
        }
        if let Some(bundle) = function.bundle() {
            check_bundle(function, bundle)?;
            check_balance(function, bundle, given_units)?;
        }
        let amount_units = function.amount_units(given_units);
        let amount_units = amount_units.expect("the value balance gives an amount");
        let fee_units = given_units;
        match function {
            Function::TransferPrivate(_) => Ok(()),
            _ if amount_units == 0 => Err(Refusal::AmountZero),
            Function::Mint(_) | Function::MintPrivate(_) if amount_units < fee_units => {
                Err(Refusal::AmountBelowFee {
                    amount_units,
                    fee_units,
                })
            }
            Function::Mint(_) | Function::MintPrivate(_) => Ok(()),
            Function::Lock(lock) if lock.recipient == [0; 20] => Err(Refusal::RecipientZero),
            Function::LockPrivate(lock) if lock.recipient == [0; 20] => Err(Refusal::RecipientZero),
            _ if amount_units.checked_add(fee_units).is_none() => Err(Refusal::AmountTooLarge),
            _ => Ok(()),
        }
    }
}

/// Flags and anchor of a bundle in its function, and that it spends nothing twice.
fn check_bundle(function: &Function, bundle: &Bundle) -> Result<(), Refusal> {
    let may_spend = !matches!(function, Function::Shield(_) | Function::MintPrivate(_));
    if bundle.flags != flag_byte(may_spend) {
        return Err(Refusal::WrongFlags(function.name()));
    }
    if !may_spend && bundle.anchor != empty_anchor().to_bytes() {
        return Err(Refusal::AnchorNotEmpty);
    }
    let mut seen = BTreeSet::new();
    for ActionBytes { nullifier, .. } in &bundle.actions {
        if !seen.insert(nullifier) {
            return Err(Refusal::DuplicateNullifier(Hash(*nullifier)));
        }
    }
    Ok(())
}

/// That the value balance has the sign of its function, covers the fee, and says what the function
/// says beside it.
fn check_balance(function: &Function, bundle: &Bundle, fee_units: u64) -> Result<(), Refusal> {
    let given = bundle.value_balance;
    let wrong = |why| Err(Refusal::WrongValueBalance { given, why });
    // The proof system adds value balances up: the one that has no negative is not for it.
    if given == i64::MIN {
        return wrong("it has no negative");
    }
    match function {
        Function::Shield(Shield { .. }) => match entering_units(bundle) {
            None => wrong("shielding takes AX into the pool"),
            Some(_) => Ok(()),
        },
        Function::MintPrivate(MintPrivate { amount_units, .. }) => {
            let Some(entering) = entering_units(bundle) else {
                return wrong("a mint takes AX into the pool");
            };
            match amount_units.checked_sub(fee_units) {
                Some(noted) if noted == entering => Ok(()),
                Some(_) => wrong("it is not the amount less the fee"),
                None => Err(Refusal::AmountBelowFee {
                    amount_units: *amount_units,
                    fee_units,
                }),
            }
        }
        _ => match (u64::try_from(given), function) {
            (Err(_), _) => wrong("this function takes AX out of the pool"),
            (Ok(leaving), _) if leaving < fee_units => wrong("it does not cover the fee"),
            (Ok(leaving), Function::TransferPrivate(_)) if leaving > fee_units => {
                wrong("a private transfer gives the fee and nothing else")
            }
            (Ok(_), _) => Ok(()),
        },
    }
}
