//! Transactions in JSON: the bodies of the API's write routes, and how blocks show them.
//!
//! The JSON form of a signed transaction is the transaction itself, field by field: the API builds
//! the wire form from it, and the signatures decide.

use adnet_common::hash::Hash;
use adnet_common::keys::{AlphaAddress, EvmAddress, PublicKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::shielded_json::ShieldedJson;
use super::{
    Approval, Burn, Function, Lock, MintOrder, Payload, Transaction, TransferPublic, Witness,
};

/// 64 bytes as 128 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignatureHex(pub [u8; 64]);

impl Serialize for SignatureHex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for SignatureHex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; 64];
        hex::decode_to_slice(&text, &mut bytes)
            .map_err(|_| serde::de::Error::custom("a signature has 128 hex digits"))?;
        Ok(Self(bytes))
    }
}

/// A signed `transfer_public`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedTransfer {
    pub genesis: Hash,
    pub sender: AlphaAddress,
    pub nonce: u64,
    pub recipient: AlphaAddress,
    pub amount_units: u64,
    pub fee_units: u64,
    pub expiry_height: u64,
    pub signature: SignatureHex,
}

/// A `mint` with the governors' signatures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedMint {
    pub genesis: Hash,
    pub order_nonce: u64,
    pub recipient: AlphaAddress,
    pub amount_units: u64,
    pub reason_hash: Hash,
    pub fee_units: u64,
    pub expiry_height: u64,
    pub approvals: Vec<JsonApproval>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonApproval {
    pub governor: PublicKey,
    pub signature: SignatureHex,
}

/// A signed `burn`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedBurn {
    pub genesis: Hash,
    pub sender: AlphaAddress,
    pub nonce: u64,
    pub amount_units: u64,
    pub fee_units: u64,
    pub expiry_height: u64,
    pub signature: SignatureHex,
}

/// A signed `lock`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedLock {
    pub genesis: Hash,
    pub sender: AlphaAddress,
    pub nonce: u64,
    /// An account on Delta.
    pub recipient: EvmAddress,
    pub amount_units: u64,
    pub fee_units: u64,
    pub expiry_height: u64,
    pub signature: SignatureHex,
}

/// Any transaction, as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "function", rename_all = "snake_case")]
pub enum TransactionJson {
    TransferPublic(SignedTransfer),
    Mint(SignedMint),
    Burn(SignedBurn),
    Lock(SignedLock),
    TransferPublicToPrivate(ShieldedJson),
    TransferPrivateToPublic(ShieldedJson),
    TransferPrivate(ShieldedJson),
    MintPrivate(ShieldedJson),
    BurnPrivate(ShieldedJson),
    LockPrivate(ShieldedJson),
}

fn account_signed(payload: Payload, signature: SignatureHex) -> Transaction {
    let witness = Witness::Account(signature.0);
    Transaction { payload, witness }
}

impl From<SignedTransfer> for Transaction {
    fn from(json: SignedTransfer) -> Self {
        let function = Function::TransferPublic(TransferPublic {
            sender: json.sender.0,
            nonce: json.nonce,
            recipient: json.recipient.0,
            amount_units: json.amount_units,
        });
        let payload = Payload {
            genesis: json.genesis,
            function,
            fee_units: json.fee_units,
            expiry_height: json.expiry_height,
        };
        account_signed(payload, json.signature)
    }
}

impl From<SignedMint> for Transaction {
    fn from(json: SignedMint) -> Self {
        let function = Function::Mint(MintOrder {
            order_nonce: json.order_nonce,
            recipient: json.recipient.0,
            amount_units: json.amount_units,
            reason_hash: json.reason_hash,
        });
        let payload = Payload {
            genesis: json.genesis,
            function,
            fee_units: json.fee_units,
            expiry_height: json.expiry_height,
        };
        let approval = |a: JsonApproval| Approval {
            governor: a.governor,
            signature: a.signature.0,
        };
        let approvals = json.approvals.into_iter().map(approval).collect();
        super::assemble_mint(payload, approvals)
    }
}

impl From<SignedBurn> for Transaction {
    fn from(json: SignedBurn) -> Self {
        let function = Function::Burn(Burn {
            sender: json.sender.0,
            nonce: json.nonce,
            amount_units: json.amount_units,
        });
        let payload = Payload {
            genesis: json.genesis,
            function,
            fee_units: json.fee_units,
            expiry_height: json.expiry_height,
        };
        account_signed(payload, json.signature)
    }
}

impl From<SignedLock> for Transaction {
    fn from(json: SignedLock) -> Self {
        let function = Function::Lock(Lock {
            sender: json.sender.0,
            nonce: json.nonce,
            recipient: json.recipient.0,
            amount_units: json.amount_units,
        });
        let payload = Payload {
            genesis: json.genesis,
            function,
            fee_units: json.fee_units,
            expiry_height: json.expiry_height,
        };
        account_signed(payload, json.signature)
    }
}

impl From<&Transaction> for TransactionJson {
    fn from(tx: &Transaction) -> Self {
        let Payload {
            genesis,
            ref function,
            fee_units,
            expiry_height,
        } = tx.payload;
        let (signature, approvals) = match &tx.witness {
            Witness::Bundle(_)
            | Witness::AccountAndBundle(..)
            | Witness::GovernorsAndBundle(..) => (SignatureHex([0; 64]), Vec::new()),
            Witness::Account(signature) => (SignatureHex(*signature), Vec::new()),
            Witness::Governors(approvals) => {
                let json = |a: &Approval| JsonApproval {
                    governor: a.governor,
                    signature: SignatureHex(a.signature),
                };
                (SignatureHex([0; 64]), approvals.iter().map(json).collect())
            }
        };
        match function {
            Function::TransferPublic(f) => TransactionJson::TransferPublic(SignedTransfer {
                genesis,
                sender: AlphaAddress(f.sender),
                nonce: f.nonce,
                recipient: AlphaAddress(f.recipient),
                amount_units: f.amount_units,
                fee_units,
                expiry_height,
                signature,
            }),
            Function::Mint(f) => TransactionJson::Mint(SignedMint {
                genesis,
                order_nonce: f.order_nonce,
                recipient: AlphaAddress(f.recipient),
                amount_units: f.amount_units,
                reason_hash: f.reason_hash,
                fee_units,
                expiry_height,
                approvals,
            }),
            Function::Burn(f) => TransactionJson::Burn(SignedBurn {
                genesis,
                sender: AlphaAddress(f.sender),
                nonce: f.nonce,
                amount_units: f.amount_units,
                fee_units,
                expiry_height,
                signature,
            }),
            Function::Lock(f) => TransactionJson::Lock(SignedLock {
                genesis,
                sender: AlphaAddress(f.sender),
                nonce: f.nonce,
                recipient: EvmAddress(f.recipient),
                amount_units: f.amount_units,
                fee_units,
                expiry_height,
                signature,
            }),
            Function::Shield(_) => TransactionJson::TransferPublicToPrivate(tx.into()),
            Function::Unshield(_) => TransactionJson::TransferPrivateToPublic(tx.into()),
            Function::TransferPrivate(_) => TransactionJson::TransferPrivate(tx.into()),
            Function::MintPrivate(_) => TransactionJson::MintPrivate(tx.into()),
            Function::BurnPrivate(_) => TransactionJson::BurnPrivate(tx.into()),
            Function::LockPrivate(_) => TransactionJson::LockPrivate(tx.into()),
        }
    }
}
