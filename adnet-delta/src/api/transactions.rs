//! Routes about transactions. Sending one twice is answered the same twice: the hash decides.

use adnet_common::api::{ApiError, ApiJson, ApiPath, ApiResult, ok};
use adnet_common::chain_id::ChainId;
use adnet_common::hash::Hash;
use adnet_common::ledger;
use adnet_common::mempool::Admitted;
use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, keccak256};
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::{Api, ReadError};
use crate::history::{self, Place, receipt::Receipt};
use crate::transaction::decode;

#[derive(Serialize)]
struct TransactionBody {
    hash: Hash,
    /// `pending` or `final`.
    status: &'static str,
    from: Address,
    to: Option<Address>,
    nonce: u64,
    /// In decimal.
    value_wei: String,
    gas_limit: u64,
    /// In decimal.
    max_fee_per_gas_wei: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<ReceiptBody>,
    /// The signed transaction in its wire form (EIP-2718).
    raw: String,
}

#[derive(Serialize)]
struct ReceiptBody {
    height: u64,
    index: u32,
    /// False for one that reverted or ran out of gas.
    succeeded: bool,
    gas_used: u64,
    /// In decimal.
    effective_gas_price_wei: String,
    /// In decimal.
    fee_wei: String,
    contract: Option<Address>,
    logs: Vec<LogBody>,
}

#[derive(Serialize)]
struct LogBody {
    address: Address,
    topics: Vec<String>,
    data: String,
}

impl ReceiptBody {
    fn new(place: Place, receipt: Receipt) -> Self {
        let fee_wei = receipt
            .effective_gas_price_wei
            .saturating_mul(receipt.gas_used.into());
        let logs = receipt.logs.iter().map(|log| LogBody {
            address: log.address,
            topics: log.topics().iter().map(ToString::to_string).collect(),
            data: log.data.data.to_string(),
        });
        Self {
            height: place.height,
            index: place.index,
            succeeded: receipt.success,
            gas_used: receipt.gas_used,
            effective_gas_price_wei: receipt.effective_gas_price_wei.to_string(),
            fee_wei: fee_wei.to_string(),
            contract: receipt.contract,
            logs: logs.collect(),
        }
    }
}

fn body(hash: Hash, raw: &[u8], from: Address, receipt: Option<ReceiptBody>) -> TransactionBody {
    let tx = decode(raw).expect("blocks and the mempool hold transactions that decode");
    TransactionBody {
        hash,
        status: if receipt.is_some() {
            "final"
        } else {
            "pending"
        },
        from,
        to: tx.to(),
        nonce: tx.nonce(),
        value_wei: tx.value().to_string(),
        gas_limit: tx.gas_limit(),
        max_fee_per_gas_wei: tx.max_fee_per_gas().to_string(),
        receipt,
        raw: format!("0x{}", hex::encode(raw)),
    }
}

pub(super) async fn by_hash(State(api): State<Api>, ApiPath(hash): ApiPath<Hash>) -> ApiResult {
    if let Some(body) = committed(&api, hash).await? {
        return Ok(ok(body));
    }
    if let Some(pending) = api.chain.pending(hash).await {
        let from = Address::from_slice(&pending.sender[12..]);
        return Ok(ok(body(hash, &pending.raw, from, None)));
    }
    // It may have become final between the two looks.
    let found = committed(&api, hash).await?;
    found
        .map(ok)
        .ok_or_else(|| ApiError::not_found(format!("there is no transaction {hash}")))
}

async fn committed(api: &Api, hash: Hash) -> Result<Option<TransactionBody>, ApiError> {
    api.read(move |store| -> Result<_, ReadError> {
        let Some(place) = history::place_of(store, &hash)? else {
            return Ok(None);
        };
        let block = ledger::block_at(store, ChainId::Delta, place.height)?;
        let receipt = history::receipt_at(store, place)?;
        let (Some(committed), Some(receipt)) = (block, receipt) else {
            return Ok(None);
        };
        let index = usize::try_from(place.index).unwrap_or(usize::MAX);
        let raw = committed.block.body.txs.get(index);
        let from = receipt.from;
        Ok(raw.map(|raw| body(hash, raw, from, Some(ReceiptBody::new(place, receipt)))))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SendBody {
    /// The signed transaction in hex, `0x` in front or not.
    raw: String,
}

#[derive(Serialize)]
struct SentBody {
    hash: Hash,
    /// `pending` in the mempool, `final` if a block had it before.
    status: &'static str,
}

pub(super) async fn send(State(api): State<Api>, ApiJson(sent): ApiJson<SendBody>) -> ApiResult {
    let digits = sent.raw.strip_prefix("0x").unwrap_or(&sent.raw);
    let raw = hex::decode(digits).map_err(|_| ApiError::invalid("`raw` is not hexadecimal"))?;
    let hash = Hash(keccak256(&raw).0);
    match api.chain.submit(raw).await {
        Ok(Admitted { id: hash, .. }) => Ok(ok(SentBody {
            hash,
            status: "pending",
        })),
        // One that is in a block already was not refused, it is done.
        Err(error) if error.code == "NONCE_TOO_LOW" && is_final(&api, hash).await? => {
            Ok(ok(SentBody {
                hash,
                status: "final",
            }))
        }
        Err(error) => Err(error.into()),
    }
}

async fn is_final(api: &Api, hash: Hash) -> Result<bool, ApiError> {
    let place = api.read(move |store| Ok(history::place_of(store, &hash)?));
    Ok(place.await?.is_some())
}
