//! Building and signing transactions: for the command line, tests and other clients.

use adnet_common::genesis::{AlphaGenesis, Genesis};
use adnet_common::hash::Hash;
use adnet_common::keys::{AlphaAddress, EvmAddress, PublicKey, SecretKey};

use super::{Approval, Burn, Function, Lock, Payload, Transaction, TransferPublic, Witness};

/// Why a transaction could not be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    #[error("a Delta key does not sign on Alpha")]
    WrongKind,
    #[error("the key does not belong to the account that the transaction names")]
    NotTheSender,
    #[error("a mint is signed by governors, not by an account")]
    NotAnAccounts,
}

/// What a transaction costs at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeSchedule {
    pub base_units: u64,
    pub per_byte_units: u64,
}

impl FeeSchedule {
    pub fn of(genesis: &AlphaGenesis) -> Self {
        Self {
            base_units: genesis.fee_base_units,
            per_byte_units: genesis.fee_per_byte_units,
        }
    }

    /// The least fee of a transaction of `encoded_bytes`, payload and witness together.
    pub fn least_units(&self, encoded_bytes: usize) -> u64 {
        let by_size = self.per_byte_units.saturating_mul(encoded_bytes as u64);
        self.base_units.saturating_add(by_size)
    }
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
        let fees = FeeSchedule::of(&genesis.alpha);
        Self {
            genesis: genesis.hash(),
            fee_units: fees.least_units(function.signed_bytes(approvals)),
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

impl Function {
    /// Bytes of a whole transaction of this function. Fields have fixed widths, so neither fee nor
    /// expiry nor the signatures' content matter.
    pub fn signed_bytes(&self, approvals: usize) -> usize {
        let terms = Terms {
            genesis: Hash::ZERO,
            fee_units: 0,
            expiry_height: 0,
        };
        let blank = Approval {
            governor: PublicKey([0; 32]),
            signature: [0; 64],
        };
        let witness = match self {
            Function::Mint(_) => Witness::Governors(vec![blank; approvals]),
            _ => Witness::Account([0; 64]),
        };
        let payload = terms.payload(self.clone());
        Transaction { payload, witness }.encode().len()
    }
}

/// Signs a function of an account with that account's key.
///
/// # Errors
/// If the key is of the wrong kind or of another account, or the function is a mint.
pub fn sign(key: &SecretKey, terms: &Terms, function: Function) -> Result<Transaction, SignError> {
    let signer = key.ed25519().ok_or(SignError::WrongKind)?;
    let account = function.account().ok_or(SignError::NotAnAccounts)?;
    if signer.verification_key().to_bytes() != account {
        return Err(SignError::NotTheSender);
    }
    let payload = terms.payload(function);
    let signature = signer.sign(payload.sighash().as_bytes()).to_bytes();
    let witness = Witness::Account(signature);
    Ok(Transaction { payload, witness })
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
pub fn assemble_mint(payload: Payload, mut approvals: Vec<Approval>) -> Transaction {
    approvals.sort_by_key(|approval| approval.governor);
    approvals.dedup_by_key(|approval| approval.governor);
    let witness = Witness::Governors(approvals);
    Transaction { payload, witness }
}
