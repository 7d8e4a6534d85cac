//! Semantic validity: what a transaction must satisfy whatever the state. Pure, on any thread.

use std::collections::BTreeSet;
use std::sync::Arc;

use adnet_common::application::VerifiedTx;
use adnet_common::genesis::Genesis;
use adnet_common::hash::Hash;
use adnet_common::keys::PublicKey;
use ed25519_consensus::{Signature, VerificationKey};

use crate::refusal::Refusal;
use crate::tx::{Approval, FeeSchedule, Function, Payload, Transaction, Witness};

/// The parameters of one network that never change. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    inner: Arc<Parameters>,
}

/// See [`Rules`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    pub genesis: Hash,
    pub network_name: String,
    pub network_id: u32,
    pub fees: FeeSchedule,
    pub expiry_window_blocks: u64,
    pub governor_threshold: usize,
    /// In order of key, so that the order in the genesis file does not matter.
    pub governors: BTreeSet<PublicKey>,
    pub block_interval_ms: u64,
    pub max_block_bytes: usize,
    pub max_block_txs: usize,
    pub max_block_attestations: usize,
}

impl std::ops::Deref for Rules {
    type Target = Parameters;

    fn deref(&self) -> &Parameters {
        &self.inner
    }
}

impl Rules {
    /// The rules of a valid genesis.
    pub fn of(genesis: &Genesis) -> Self {
        let fits = "a valid genesis has bounds that fit into memory";
        let inner = Arc::new(Parameters {
            genesis: genesis.hash(),
            network_name: genesis.network_name.clone(),
            network_id: genesis.network_id,
            fees: FeeSchedule::of(&genesis.alpha),
            expiry_window_blocks: genesis.alpha.expiry_window_blocks,
            governor_threshold: genesis.alpha.governors.threshold as usize,
            governors: genesis.alpha.governors.keys.iter().copied().collect(),
            block_interval_ms: genesis.alpha.block_interval_ms,
            max_block_bytes: usize::try_from(genesis.alpha.max_block_bytes).expect(fits),
            max_block_txs: genesis.alpha.max_block_txs as usize,
            max_block_attestations: genesis.attestation.max_per_block as usize,
        });
        Self { inner }
    }

    /// Structural and semantic validity. Signatures come last: they cost the most.
    pub fn verify(&self, raw: &[u8]) -> Result<VerifiedTx<Transaction>, Refusal> {
        let tx = Transaction::decode(raw)?;
        let payload = &tx.payload;
        if payload.genesis != self.genesis {
            return Err(Refusal::WrongNetwork);
        }
        self.check_amounts(payload, raw.len())?;
        self.check_witness(&tx)?;
        let (sender, nonce) = sender_and_nonce(&payload.function);
        Ok(VerifiedTx {
            id: tx.id(),
            sender,
            nonce,
            // Fee per byte, in 2^-32 units.
            priority: (u128::from(payload.fee_units) << 32) / raw.len() as u128,
            last_valid_height: payload.expiry_height,
            claims: Vec::new(),
            raw: raw.to_vec(),
            inner: tx,
        })
    }

    fn check_amounts(&self, payload: &Payload, encoded_bytes: usize) -> Result<(), Refusal> {
        let (amount_units, fee_units) = (payload.function.amount_units(), payload.fee_units);
        if amount_units == 0 {
            return Err(Refusal::AmountZero);
        }
        let least_units = self.fees.least_units(encoded_bytes);
        if fee_units < least_units {
            let given_units = fee_units;
            return Err(Refusal::FeeTooLow {
                given_units,
                least_units,
            });
        }
        match &payload.function {
            Function::Mint(_) if amount_units < fee_units => Err(Refusal::AmountBelowFee {
                amount_units,
                fee_units,
            }),
            Function::Mint(_) => Ok(()),
            Function::Lock(lock) if lock.recipient == [0; 20] => Err(Refusal::RecipientZero),
            _ if amount_units.checked_add(fee_units).is_none() => Err(Refusal::AmountTooLarge),
            _ => Ok(()),
        }
    }

    fn check_witness(&self, tx: &Transaction) -> Result<(), Refusal> {
        let sighash = tx.payload.sighash();
        match (&tx.witness, tx.payload.function.account()) {
            (Witness::Account(signature), Some(account)) => {
                let wrong = "the signature is not the sending account's over this transaction";
                check_signature(&account, signature, &sighash, wrong)
            }
            (Witness::Governors(approvals), None) => self.check_approvals(approvals, &sighash),
            _ => unreachable!("decoding gives each function the witness of its kind"),
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

/// The mempool's view of who sends: an account with its nonce. A mint order has no account: it
/// stands for itself, so that two orders of one number exclude each other.
fn sender_and_nonce(function: &Function) -> ([u8; 32], u64) {
    match function {
        Function::TransferPublic(f) => (f.sender, f.nonce),
        Function::Burn(f) => (f.sender, f.nonce),
        Function::Lock(f) => (f.sender, f.nonce),
        Function::Mint(f) => {
            let number = f.order_nonce.to_be_bytes();
            (Hash::of("adnet/alpha/mint-order/v1", &[&number]).0, 0)
        }
    }
}
