//! Making and signing transactions, for the command line and tests.

use crate::attest::{ATTEST_ADDRESS, abi, wei};
use crate::transaction::recover::address_of;
use adnet_common::keys::{KeyKind, SecretKey};
use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256};
use secp256k1::{Message, SECP256K1};

/// What a transaction pays, in wei per gas, and how much gas it may use.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Fees {
    pub gas_limit: u64,
    pub max_fee_per_gas_wei: u128,
    pub max_priority_fee_per_gas_wei: u128,
}

/// What is the same in every kind of transaction.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    pub chain_id: u64,
    pub nonce: u64,
    pub fees: Fees,
}

/// A signed transaction: the bytes to send, and the hash that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedTx {
    pub raw: Vec<u8>,
    pub hash: B256,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    #[error("a Delta transaction is signed with a secp256k1 key, this one is for {0}")]
    WrongKey(KeyKind),
}

/// Gas that a transfer to an account without code takes.
pub const TRANSFER_GAS: u64 = 21_000;
/// Gas limit that is enough for any unlock: the base cost, 36 bytes of calldata and the dispatcher.
pub const UNLOCK_GAS_LIMIT: u64 = 60_000;

/// The address of a secp256k1 secret.
pub fn address(secret: &SecretKey) -> Result<Address, SignError> {
    Ok(address_of(&key(secret)?.public_key(SECP256K1)))
}

/// Sends `value_wei` to an account.
pub fn sign_transfer(
    secret: &SecretKey,
    envelope: Envelope,
    to: Address,
    value_wei: U256,
) -> Result<SignedTx, SignError> {
    sign_call(secret, envelope, to, value_wei, Bytes::new())
}

/// Calls a contract.
pub fn sign_call(
    secret: &SecretKey,
    envelope: Envelope,
    to: Address,
    value_wei: U256,
    calldata: Bytes,
) -> Result<SignedTx, SignError> {
    sign(secret, envelope, TxKind::Call(to), value_wei, calldata)
}

/// Deploys a contract: creation code with its constructor's arguments behind it.
pub fn sign_deploy(
    secret: &SecretKey,
    envelope: Envelope,
    value_wei: U256,
    init_code: Bytes,
) -> Result<SignedTx, SignError> {
    sign(secret, envelope, TxKind::Create, value_wei, init_code)
}

/// Burns sAX and releases as much AX to an account on Alpha.
pub fn sign_unlock(
    secret: &SecretKey,
    envelope: Envelope,
    alpha_public_key: &[u8; 32],
    amount_units: u64,
) -> Result<SignedTx, SignError> {
    let calldata = abi::unlock_calldata(alpha_public_key);
    sign_call(
        secret,
        envelope,
        ATTEST_ADDRESS,
        wei(amount_units),
        calldata,
    )
}

fn sign(
    secret: &SecretKey,
    envelope: Envelope,
    to: TxKind,
    value: U256,
    input: Bytes,
) -> Result<SignedTx, SignError> {
    let tx = TxEip1559 {
        chain_id: envelope.chain_id,
        nonce: envelope.nonce,
        gas_limit: envelope.fees.gas_limit,
        max_fee_per_gas: envelope.fees.max_fee_per_gas_wei,
        max_priority_fee_per_gas: envelope.fees.max_priority_fee_per_gas_wei,
        to,
        value,
        access_list: Default::default(),
        input,
    };
    let signature = sign_digest(&key(secret)?, &tx.signature_hash());
    let raw = TxEnvelope::from(tx.into_signed(signature)).encoded_2718();
    let hash = keccak256(&raw);
    Ok(SignedTx { raw, hash })
}

fn key(secret: &SecretKey) -> Result<secp256k1::SecretKey, SignError> {
    if secret.kind() != KeyKind::Delta {
        return Err(SignError::WrongKey(secret.kind()));
    }
    let key = secp256k1::SecretKey::from_byte_array(*secret.expose());
    Ok(key.expect("a Delta key was checked to be in range when it was made"))
}

/// A deterministic signature (RFC 6979) with low s.
pub(crate) fn sign_digest(key: &secp256k1::SecretKey, digest: &B256) -> Signature {
    let signature = SECP256K1.sign_ecdsa_recoverable(Message::from_digest(digest.0), key);
    let (id, compact) = signature.serialize_compact();
    let odd_y = i32::from(id) & 1 == 1;
    Signature::from_bytes_and_parity(&compact, odd_y)
}
