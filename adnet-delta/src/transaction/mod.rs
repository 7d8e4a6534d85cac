//! Ethereum-signed transactions: what is valid whatever the state says.
//!
//! Legacy (with EIP-155), EIP-2930, EIP-1559 and EIP-7702 transactions are taken, in the very
//! encoding of EIP-2718. Everything here is bounded by the length of the bytes, and the costly part,
//! the recovery of signers, comes after the cheap ones.

pub mod recover;
#[cfg(test)]
mod tests;

use crate::rules::Rules;
use adnet_common::application::{Bid, TxError, Until, VerifiedTx, VerifyResult};
use adnet_common::block::MAX_TX_BYTES;
use adnet_common::hash::Hash;
use alloy_consensus::{Transaction as _, TxEnvelope};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, B256, U256, keccak256};
use rayon::prelude::*;
use recover::recover;
use revm::context::TxEnv;
use revm::context_interface::cfg::gas::calculate_initial_tx_gas_for_tx;
use revm::context_interface::either::Either;
use revm::context_interface::transaction::{
    RecoveredAuthority, RecoveredAuthorization, SignedAuthorization,
};
use revm::primitives::eip3860::MAX_INITCODE_SIZE;
use revm::primitives::hardfork::SpecId;

/// A transaction that the EVM can execute.
#[derive(Clone, Debug)]
pub struct DeltaTx {
    pub env: TxEnv,
    /// Where the sender's account stands in the state: hashed here, where many are verified at once,
    /// for the chain's thread, which looks it up once more after each block.
    pub path: B256,
}

impl DeltaTx {
    pub fn new(env: TxEnv) -> Self {
        let path = keccak256(env.caller);
        Self { env, path }
    }
}

const LEGACY_FROM: u8 = 0xc0;

/// Structural and semantic validity. `VerifiedTx::id` is the Ethereum transaction hash.
pub fn verify(rules: &Rules, raw: &[u8]) -> Result<VerifiedTx<DeltaTx>, TxError> {
    let envelope = decode(raw)?;
    check_limits(rules, &envelope)?;
    let mut env = environment(&envelope, Address::ZERO);
    check_gas(&env)?;

    let signature = envelope.signature();
    let sender = recover(
        &envelope.signature_hash(),
        signature.v(),
        signature.r(),
        signature.s(),
    );
    let sender =
        sender.map_err(|e| TxError::new("INVALID_SIGNATURE", format!("invalid sender: {e}")))?;
    env.caller = sender;
    env.authorization_list = authorizations(&envelope);

    let mut padded = [0; 32];
    padded[12..].copy_from_slice(sender.as_slice());
    Ok(VerifiedTx {
        claims: Vec::new(),
        id: Hash(keccak256(raw).0),
        raw: raw.to_vec(),
        sender: padded,
        nonce: envelope.nonce(),
        bid: bid(&env),
        last_valid_height: u64::MAX,
        inner: DeltaTx::new(env),
    })
}

/// Fewer signatures (0.3 ms) are not worth another thread.
const SHARE_MIN: usize = 8;
/// Where the first invalid one decides, so many are verified beyond it at most.
const LOOK_AHEAD: usize = 1024;

/// [`verify`] of many on all cores: recovering a signer takes longer than all the rest.
pub fn verify_all(rules: &Rules, raws: &[&[u8]], until: Until) -> Vec<VerifyResult<DeltaTx>> {
    let at_once = match until {
        Until::End => raws.len().max(1),
        Until::FirstInvalid => LOOK_AHEAD,
    };
    let mut verdicts = Vec::with_capacity(raws.len());
    for raws in raws.chunks(at_once) {
        if raws.len() < 2 * SHARE_MIN {
            // Not even worth a call of the other threads.
            verdicts.extend(raws.iter().map(|raw| verify(rules, raw)));
        } else {
            let raws = raws.par_iter().with_min_len(SHARE_MIN);
            verdicts.par_extend(raws.map(|raw| verify(rules, raw)));
        }
        until.cut(&mut verdicts);
        if until == Until::FirstInvalid && verdicts.last().is_some_and(Result::is_err) {
            break;
        }
    }
    verdicts
}

/// In wei per gas. A legacy price may be tip as a whole.
fn bid(env: &TxEnv) -> Bid {
    let cap = env.gas_price;
    let tip = env.gas_priority_fee.unwrap_or(cap);
    Bid { cap, tip }
}

/// The most that a transaction can take from its sender, in wei, if it is a number at all.
pub fn max_cost_wei(env: &TxEnv) -> Option<U256> {
    let gas = U256::from(env.gas_limit).checked_mul(U256::from(env.gas_price))?;
    gas.checked_add(env.value)
}

/// Decodes the bytes of one transaction of a known type, in their only encoding.
pub fn decode(raw: &[u8]) -> Result<TxEnvelope, TxError> {
    if raw.len() > MAX_TX_BYTES {
        let message = format!(
            "the transaction has {} bytes, at most {MAX_TX_BYTES} go",
            raw.len()
        );
        return Err(TxError::new("TX_TOO_LARGE", message));
    }
    match raw.first() {
        None => {
            return Err(TxError::new(
                "INVALID_TRANSACTION",
                "the transaction is empty",
            ));
        }
        Some(3) => {
            let message =
                "transaction type not supported: Delta takes no blob transactions (EIP-4844)";
            return Err(TxError::new("UNSUPPORTED_TX_TYPE", message));
        }
        Some(1 | 2 | 4 | LEGACY_FROM..) => {}
        Some(other) => {
            let message = format!("transaction type not supported: {other:#04x}");
            return Err(TxError::new("UNSUPPORTED_TX_TYPE", message));
        }
    }
    let mut rest = raw;
    let envelope = TxEnvelope::decode_2718(&mut rest);
    let envelope =
        envelope.map_err(|e| TxError::new("INVALID_TRANSACTION", format!("rlp: {e}")))?;
    // The id is the hash of these bytes, so one transaction must not have two encodings.
    if !rest.is_empty() || envelope.encoded_2718() != raw {
        let message = "rlp: the encoding is not canonical or has bytes left over";
        return Err(TxError::new("INVALID_TRANSACTION", message));
    }
    Ok(envelope)
}

fn check_limits(rules: &Rules, tx: &TxEnvelope) -> Result<(), TxError> {
    match tx.chain_id() {
        Some(id) if id == rules.chain_id => {}
        Some(id) => {
            let message = format!(
                "invalid chain id for signer: have {id} want {}",
                rules.chain_id
            );
            return Err(TxError::new("WRONG_CHAIN_ID", message));
        }
        None => {
            let message = "only replay-protected (EIP-155) transactions allowed";
            return Err(TxError::new("CHAIN_ID_REQUIRED", message));
        }
    }
    if tx.gas_limit() > rules.tx_gas_limit {
        let (have, max) = (tx.gas_limit(), rules.tx_gas_limit);
        let message =
            format!("exceeds block gas limit: a transaction has at most {max}, not {have}");
        return Err(TxError::new("GAS_LIMIT_TOO_HIGH", message));
    }
    if tx.nonce() == u64::MAX {
        return Err(TxError::new("NONCE_OVERFLOW", "nonce has max value"));
    }
    let max_fee = tx.max_fee_per_gas();
    if tx
        .max_priority_fee_per_gas()
        .is_some_and(|tip| tip > max_fee)
    {
        let message = "max priority fee per gas higher than max fee per gas";
        return Err(TxError::new("TIP_ABOVE_FEE_CAP", message));
    }
    if max_fee < u128::from(rules.min_base_fee_wei) {
        let floor = rules.min_base_fee_wei;
        let message =
            format!("transaction underpriced: {max_fee} wei per gas, the floor is {floor}");
        return Err(TxError::new("FEE_TOO_LOW", message));
    }
    if tx.is_create() && tx.input().len() > MAX_INITCODE_SIZE {
        let message = format!("max initcode size exceeded: the limit is {MAX_INITCODE_SIZE} bytes");
        return Err(TxError::new("INITCODE_TOO_LARGE", message));
    }
    if tx.authorization_list().is_some_and(<[_]>::is_empty) {
        let message = "EIP-7702 transaction with empty auth list";
        return Err(TxError::new("EMPTY_AUTHORIZATION_LIST", message));
    }
    Ok(())
}

fn check_gas(env: &TxEnv) -> Result<(), TxError> {
    if max_cost_wei(env).is_none() {
        return Err(TxError::new(
            "COST_OVERFLOW",
            "gas * price + value exceeds 256 bits",
        ));
    }
    let gas = calculate_initial_tx_gas_for_tx(env, SpecId::PRAGUE, None);
    let least = gas.initial_regular_gas().max(gas.floor_gas());
    if env.gas_limit < least {
        let message = format!(
            "intrinsic gas too low: gas {}, minimum needed {least}",
            env.gas_limit
        );
        return Err(TxError::new("INTRINSIC_GAS_TOO_LOW", message));
    }
    Ok(())
}

/// The transaction as the EVM takes it. Authorizations are counted in, but not recovered.
pub fn environment(tx: &TxEnvelope, caller: Address) -> TxEnv {
    let unrecovered = |a: &SignedAuthorization| Either::Left(a.clone());
    TxEnv {
        tx_type: tx.tx_type() as u8,
        caller,
        gas_limit: tx.gas_limit(),
        gas_price: tx.max_fee_per_gas(),
        kind: tx.kind(),
        value: tx.value(),
        data: tx.input().clone(),
        nonce: tx.nonce(),
        chain_id: tx.chain_id(),
        access_list: tx.access_list().cloned().unwrap_or_default(),
        gas_priority_fee: tx.max_priority_fee_per_gas(),
        blob_hashes: Vec::new(),
        max_fee_per_blob_gas: 0,
        authorization_list: tx
            .authorization_list()
            .into_iter()
            .flatten()
            .map(unrecovered)
            .collect(),
    }
}

/// The authorities of EIP-7702, recovered here and not in the block. One with a wrong signature
/// stays in the list without effect, as the EIP says.
fn authorizations(tx: &TxEnvelope) -> Vec<Either<SignedAuthorization, RecoveredAuthorization>> {
    let recovered = |signed: &SignedAuthorization| {
        let inner = signed.inner().clone();
        let odd_y = match signed.y_parity() {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        };
        let authority = odd_y
            .and_then(|odd| recover(&inner.signature_hash(), odd, signed.r(), signed.s()).ok())
            .map_or(RecoveredAuthority::Invalid, RecoveredAuthority::Valid);
        Either::Right(RecoveredAuthorization::new_unchecked(inner, authority))
    };
    tx.authorization_list()
        .into_iter()
        .flatten()
        .map(recovered)
        .collect()
}
