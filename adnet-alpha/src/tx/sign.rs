//! Building and signing transactions: for the command line, tests and other clients.

use adnet_common::genesis::Genesis;
use adnet_common::hash::Hash;
use adnet_common::keys::{AlphaAddress, EvmAddress, PublicKey, SecretKey};

use super::{
    Approval, Burn, FeeSchedule, Function, Lock, Payload, Transaction, TransferPublic, Witness,
};
use crate::pool::BundleProof;

/// Why a transaction could not be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    #[error("a Delta key does not sign on Alpha")]
    WrongKind,
    #[error("the key does not belong to the account that the transaction names")]
    NotTheSender,
    #[error("a mint is signed by governors, and what the pool pays by the owners of its notes")]
    NotAnAccounts,
    #[error("a function with a bundle needs its proof, one without has none")]
    Proof,
}

/// What every transaction says beside its function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Hash of the network's genesis.
    pub genesis: Hash,
    pub fee_units: u64,
    /// At most the genesis' window ahead of the chain's next height.
    pub expiry_height: u64,
}

impl Terms {
    /// Terms that pay the least fee for `function`, to which `approvals` governors will sign
    /// (0 for an account's transaction).
    pub fn cheapest(
        genesis: &Genesis,
        expiry_height: u64,
        function: &Function,
        approvals: usize,
    ) -> Self {
        Self {
            genesis: genesis.hash(),
            fee_units: FeeSchedule::of(&genesis.alpha).of_function(function, approvals),
            expiry_height,
        }
    }

    pub fn payload(&self, function: Function) -> Payload {
        Payload {
            genesis: self.genesis,
            function,
            fee_units: self.fee_units,
            expiry_height: self.expiry_height,
        }
    }
}

/// Signs a function of an account with that account's key.
///
/// # Errors
/// If the key is of the wrong kind or of another account, or the function is not an account's alone.
pub fn sign(key: &SecretKey, terms: &Terms, function: Function) -> Result<Transaction, SignError> {
    if function.bundle().is_some() {
        return Err(SignError::Proof);
    }
    let payload = terms.payload(function);
    let witness = Witness::Account(account_signature(key, &payload)?);
    Ok(Transaction { payload, witness })
}

/// Signs a payload that shields with the key of the account that pays.
///
/// # Errors
/// As [`sign`].
pub fn sign_shield(
    key: &SecretKey,
    payload: Payload,
    proof: BundleProof,
) -> Result<Transaction, SignError> {
    if payload.function.bundle().is_none() {
        return Err(SignError::Proof);
    }
    let witness = Witness::AccountAndBundle(account_signature(key, &payload)?, proof);
    Ok(Transaction { payload, witness })
}

fn account_signature(key: &SecretKey, payload: &Payload) -> Result<[u8; 64], SignError> {
    let signer = key.ed25519().ok_or(SignError::WrongKind)?;
    let account = payload.function.account();
    let account = account.ok_or(SignError::NotAnAccounts)?;
    if signer.verification_key().to_bytes() != account {
        return Err(SignError::NotTheSender);
    }
    Ok(signer.sign(payload.sighash().as_bytes()).to_bytes())
}

fn account_of(key: &SecretKey) -> Result<[u8; 32], SignError> {
    Ok(key.ed25519_public().ok_or(SignError::WrongKind)?.0)
}

/// AX from the key's account to `recipient`.
pub fn sign_transfer(
    key: &SecretKey,
    terms: &Terms,
    nonce: u64,
    recipient: AlphaAddress,
    amount_units: u64,
) -> Result<Transaction, SignError> {
    let transfer = TransferPublic {
        sender: account_of(key)?,
        nonce,
        recipient: recipient.0,
        amount_units,
    };
    sign(key, terms, Function::TransferPublic(transfer))
}

/// Destroys AX of the key's account.
pub fn sign_burn(
    key: &SecretKey,
    terms: &Terms,
    nonce: u64,
    amount_units: u64,
) -> Result<Transaction, SignError> {
    let burn = Burn {
        sender: account_of(key)?,
        nonce,
        amount_units,
    };
    sign(key, terms, Function::Burn(burn))
}

/// Locks AX of the key's account for `recipient` on Delta.
pub fn sign_lock(
    key: &SecretKey,
    terms: &Terms,
    nonce: u64,
    recipient: EvmAddress,
    amount_units: u64,
) -> Result<Transaction, SignError> {
    let lock = Lock {
        sender: account_of(key)?,
        nonce,
        recipient: recipient.0,
        amount_units,
    };
    sign(key, terms, Function::Lock(lock))
}

/// One governor's signature over a payload that orders a mint.
pub fn approve(governor: &SecretKey, payload: &Payload) -> Result<Approval, SignError> {
    let signer = governor.ed25519().ok_or(SignError::WrongKind)?;
    Ok(Approval {
        governor: PublicKey(signer.verification_key().to_bytes()),
        signature: signer.sign(payload.sighash().as_bytes()).to_bytes(),
    })
}

/// Puts governors' signatures in the order that the format asks for; a second one of a governor is
/// dropped.
pub fn assemble_mint(payload: Payload, approvals: Vec<Approval>) -> Transaction {
    let witness = Witness::Governors(in_order(approvals));
    Transaction { payload, witness }
}

/// As [`assemble_mint`], of a mint to a note.
pub fn assemble_private_mint(
    payload: Payload,
    approvals: Vec<Approval>,
    proof: BundleProof,
) -> Transaction {
    let witness = Witness::GovernorsAndBundle(in_order(approvals), proof);
    Transaction { payload, witness }
}

fn in_order(mut approvals: Vec<Approval>) -> Vec<Approval> {
    approvals.sort_by_key(|approval| approval.governor);
    approvals.dedup_by_key(|approval| approval.governor);
    approvals
}
