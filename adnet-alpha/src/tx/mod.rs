//! Alpha's transaction: a payload that is signed, and the witness that authorises it.
//!
//! Wire form, big-endian, lengths as u32:
//!
//! ```text
//! payload  version u16 = 1 · genesis hash [32] · chain u8 = 1 · function tag u8
//!          fee u64 · expiry height u64 · public part (length, bytes)
//! witness  number of sections, then each: kind u8 · body (length, bytes)
//! ```
//!
//! Signatures are over [`Payload::sighash`], a domain-separated hash of the whole payload: with the
//! genesis hash and the chain in it, a signature is worth nothing on another network or chain.
//! The payload of a shielded transaction has all that its bundle does, anchor and flags included, so
//! one hash is what account, governors and the owners of the notes sign.
//! The id covers the payload and NOT the witness: a client knows it before anybody signs, and nobody
//! can change it by changing signatures or by making another proof of the same. Two transactions of
//! one id have one effect and exclude each other by nonce, order number or nullifiers. Whoever remembers that a transaction verified must remember the
//! [`Transaction::witness_id`] or the bytes, never the id.

mod fees;
mod function;
mod json;
mod shielded;
mod shielded_json;
mod sign;
mod witness;

pub use fees::FeeSchedule;
pub use function::{Burn, Function, Lock, MintOrder, TransferPublic};
pub(crate) use function::{entering_units, tag};
pub use json::{JsonApproval, SignedBurn, SignedLock, SignedMint, SignedTransfer, TransactionJson};
pub use shielded::{BurnPrivate, LockPrivate, MintPrivate, Shield, TransferPrivate, Unshield};
pub use shielded_json::{ActionJson, BundleJson, ShieldedJson};
pub use sign::{
    SignError, Terms, approve, assemble_mint, assemble_private_mint, sign, sign_burn, sign_lock,
    sign_shield, sign_transfer,
};
pub use witness::{Approval, Witness};

use adnet_common::block::MAX_TX_BYTES;
use adnet_common::chain_id::ChainId;
use adnet_common::codec::{DecodeReason, Reader, Writer};
use adnet_common::hash::Hash;

use crate::refusal::Refusal;

/// Version of the transaction format.
pub const VERSION: u16 = 1;

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Hash of the network's genesis.
    pub genesis: Hash,
    pub function: Function,
    pub fee_units: u64,
    /// The last height whose block may include it.
    pub expiry_height: u64,
}

impl Payload {
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(192);
        w.u16(VERSION)
            .hash(&self.genesis)
            .u8(ChainId::Alpha.as_byte())
            .u8(self.function.tag());
        w.u64(self.fee_units)
            .u64(self.expiry_height)
            .bytes(&self.function.public_part());
        w.finish()
    }

    /// What signatures sign.
    pub fn sighash(&self) -> Hash {
        Hash::of("adnet/alpha/sighash/v1", &[&self.encode()])
    }

    /// The transaction's id.
    pub fn id(&self) -> Hash {
        Hash::of("adnet/alpha/tx/v1", &[&self.encode()])
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self, Refusal> {
        let version = r.u16("transaction version")?;
        if version != VERSION {
            return Err(Refusal::UnknownVersion(version));
        }
        let genesis = r.hash("genesis hash")?;
        if r.u8("chain")? != ChainId::Alpha.as_byte() {
            return Err(Refusal::WrongNetwork);
        }
        let tag = r.u8("function")?;
        let fee_units = r.u64("fee")?;
        let expiry_height = r.u64("expiry height")?;
        let public_part = r.bytes("public part", MAX_TX_BYTES)?;
        Ok(Self {
            genesis,
            function: Function::decode(tag, public_part)?,
            fee_units,
            expiry_height,
        })
    }
}

/// A payload with its witness. Only verification says whether the witness is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    pub payload: Payload,
    pub witness: Witness,
}

impl Transaction {
    pub fn id(&self) -> Hash {
        self.payload.id()
    }

    /// Names this payload with this very witness.
    pub fn witness_id(&self) -> Hash {
        Hash::of("adnet/alpha/witness/v1", &[&self.encode()])
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(320);
        w.raw(&self.payload.encode());
        self.witness.encode_into(&mut w);
        w.finish()
    }

    /// Structural validity: the bytes are one transaction of a function that exists.
    pub fn decode(raw: &[u8]) -> Result<Self, Refusal> {
        let mut r = Reader::new(raw);
        if raw.len() > MAX_TX_BYTES {
            let (len, max) = (raw.len() as u64, MAX_TX_BYTES as u64);
            return Err(r
                .error("transaction", DecodeReason::TooLong { len, max })
                .into());
        }
        let payload = Payload::decode(&mut r)?;
        let witness = Witness::decode(&mut r, &payload.function)?;
        r.end()?;
        Ok(Self { payload, witness })
    }
}

#[cfg(test)]
pub(crate) mod golden_tests;
#[cfg(test)]
mod tests;
