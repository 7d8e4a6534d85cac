//! Signatures of accounts and governors. Those of notes are verified with their proofs.

use adnet_common::hash::Hash;
use ed25519_consensus::{Signature, VerificationKey};

use super::Rules;
use crate::refusal::Refusal;
use crate::tx::{Approval, Transaction, Witness};

impl Rules {
    pub(super) fn check_signatures(&self, tx: &Transaction) -> Result<(), Refusal> {
        let sighash = tx.payload.sighash();
        match &tx.witness {
            Witness::Account(signature) | Witness::AccountAndBundle(signature, _) => {
                let account = tx.payload.function.account();
                let account = account.expect("decoding gives each function its witness");
                let wrong = "the signature is not the sending account's over this transaction";
                check_signature(&account, signature, &sighash, wrong)
            }
            Witness::Governors(approvals) | Witness::GovernorsAndBundle(approvals, _) => {
                self.check_approvals(approvals, &sighash)
            }
            Witness::Bundle(_) => Ok(()),
        }
    }

    fn check_approvals(&self, approvals: &[Approval], sighash: &Hash) -> Result<(), Refusal> {
        let (given, needed) = (approvals.len(), self.governor_threshold);
        if given < needed {
            return Err(Refusal::GovernorThreshold { given, needed });
        }
        for approval in approvals {
            if !self.governors.contains(&approval.governor) {
                return Err(Refusal::InvalidSignature(
                    "one of the signers is not a governor",
                ));
            }
            let wrong = "a governor's signature is not over this order";
            check_signature(&approval.governor.0, &approval.signature, sighash, wrong)?;
        }
        Ok(())
    }
}

/// ed25519 as ZIP-215 defines it, so that every node agrees on every signature.
fn check_signature(
    key: &[u8; 32],
    signature: &[u8; 64],
    sighash: &Hash,
    wrong: &'static str,
) -> Result<(), Refusal> {
    let verified = VerificationKey::try_from(*key)
        .and_then(|key| key.verify(&Signature::from(*signature), sighash.as_bytes()));
    verified.map_err(|_| Refusal::InvalidSignature(wrong))
}
