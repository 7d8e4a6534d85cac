//! Parameters as Ethereum's clients write them.

use super::error::RpcError;
use crate::evm::overrides::{AccountOverride, BlockOverrides, StateOverrides};
use crate::evm::sequence::{BLOCKS_MAX, BlockCalls, CALLS_MAX, SequenceError};
use crate::evm::simulate::Call;
use alloy_primitives::{Address, B256, Bytes, U256};
use revm::context_interface::transaction::{AccessList, SignedAuthorization};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Which block a client means.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum BlockRef {
    /// `latest`, `safe`, `finalized` and `pending`: a committed block is final, and the chain shows
    /// no block before it is committed.
    Latest,
    /// As `Latest`, but with what waits in the mempool counted in where that makes a difference.
    Pending,
    Height(u64),
    Hash(B256),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawBlockRef {
    Text(String),
    /// EIP-1898.
    #[serde(rename_all = "camelCase")]
    Object {
        block_number: Option<String>,
        block_hash: Option<B256>,
    },
}

impl<'de> Deserialize<'de> for BlockRef {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let parsed = match RawBlockRef::deserialize(d)? {
            RawBlockRef::Object {
                block_hash: Some(hash),
                block_number: None,
            } => {
                return Ok(BlockRef::Hash(hash));
            }
            RawBlockRef::Object {
                block_hash: None,
                block_number: Some(text),
            }
            | RawBlockRef::Text(text) => by_text(&text),
            RawBlockRef::Object { .. } => None,
        };
        let expected =
            "a block is a tag, a hex number, a hash, or an object with blockNumber or blockHash";
        parsed.ok_or_else(|| serde::de::Error::custom(expected))
    }
}

fn by_text(text: &str) -> Option<BlockRef> {
    match text {
        "latest" | "safe" | "finalized" => Some(BlockRef::Latest),
        "pending" => Some(BlockRef::Pending),
        "earliest" => Some(BlockRef::Height(0)),
        // 32 bytes are a hash, as everywhere where a block may be named by either.
        hash if hash.len() == 66 => hash.parse().ok().map(BlockRef::Hash),
        number => u64::from_str_radix(number.strip_prefix("0x")?, 16)
            .ok()
            .map(BlockRef::Height),
    }
}

/// A call as `eth_call` and `eth_estimateGas` take it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CallParams {
    from: Option<Address>,
    to: Option<Address>,
    gas: Option<U256>,
    gas_price: Option<U256>,
    max_fee_per_gas: Option<U256>,
    max_priority_fee_per_gas: Option<U256>,
    value: Option<U256>,
    data: Option<Bytes>,
    input: Option<Bytes>,
    access_list: Option<AccessList>,
    authorization_list: Option<Vec<SignedAuthorization>>,
    /// There are no blobs here (EIP-4844), and a call that is about some is not one without.
    blob_versioned_hashes: Option<Vec<B256>>,
    nonce: Option<U256>,
}

/// An account as a simulation supposes it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct AccountOverrideParams {
    balance: Option<U256>,
    nonce: Option<U256>,
    code: Option<Bytes>,
    state: Option<BTreeMap<B256, B256>>,
    state_diff: Option<BTreeMap<B256, B256>>,
}

pub type StateOverrideParams = BTreeMap<Address, AccountOverrideParams>;

/// Accounts that one call may suppose something of, and slots of all of them.
const SUPPOSED_ACCOUNTS_MAX: usize = 1_000;
const SUPPOSED_SLOTS_MAX: usize = 10_000;

fn words(slots: BTreeMap<B256, B256>) -> BTreeMap<U256, U256> {
    let each = slots.into_iter();
    each.map(|(slot, value)| (slot.into(), value.into()))
        .collect()
}

pub fn state_overrides(params: StateOverrideParams) -> Result<StateOverrides, RpcError> {
    let slots = |a: &AccountOverrideParams| {
        let count = |slots: &Option<BTreeMap<_, _>>| slots.as_ref().map_or(0, BTreeMap::len);
        count(&a.state) + count(&a.state_diff)
    };
    let slots: usize = params.values().map(slots).sum();
    if params.len() > SUPPOSED_ACCOUNTS_MAX || slots > SUPPOSED_SLOTS_MAX {
        let message = format!(
            "overrides name at most {SUPPOSED_ACCOUNTS_MAX} accounts and {SUPPOSED_SLOTS_MAX} slots"
        );
        return Err(RpcError::limit(message));
    }
    let mut overrides = StateOverrides::new();
    for (address, params) in params {
        if params.state.is_some() && params.state_diff.is_some() {
            let message = format!("account {address} has both 'state' and 'stateDiff'");
            return Err(RpcError::invalid_params(message));
        }
        let supposed = AccountOverride {
            balance: params.balance,
            nonce: narrow("nonce", params.nonce)?,
            code: params.code,
            storage: params.state.map(words),
            slots: params.state_diff.map(words).unwrap_or_default(),
        };
        overrides.insert(address, supposed);
    }
    Ok(overrides)
}

/// A block as a simulation supposes it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BlockOverrideParams {
    number: Option<U256>,
    #[serde(alias = "timestamp")]
    time: Option<U256>,
    gas_limit: Option<U256>,
    #[serde(alias = "coinbase")]
    fee_recipient: Option<Address>,
    #[serde(alias = "random")]
    prev_randao: Option<B256>,
    #[serde(alias = "baseFee")]
    base_fee_per_gas: Option<U256>,
}

impl BlockOverrideParams {
    pub fn into_overrides(self) -> Result<BlockOverrides, RpcError> {
        Ok(BlockOverrides {
            number: narrow("number", self.number)?,
            time_s: narrow("time", self.time)?,
            gas_limit: narrow("gasLimit", self.gas_limit)?,
            fee_recipient: self.fee_recipient,
            prev_randao: self.prev_randao,
            base_fee_wei: narrow("baseFeePerGas", self.base_fee_per_gas)?,
        })
    }
}

fn narrow<T: TryFrom<U256>>(what: &str, value: Option<U256>) -> Result<Option<T>, RpcError> {
    let too_large = |_| RpcError::invalid_params(format!("{what} is too large"));
    value
        .map(|value| T::try_from(value).map_err(too_large))
        .transpose()
}

impl CallParams {
    pub fn into_call(self) -> Result<Call, RpcError> {
        let price: Option<u128> = narrow("gasPrice", self.gas_price)?;
        let max_fee: Option<u128> = narrow("maxFeePerGas", self.max_fee_per_gas)?;
        let tip: Option<u128> = narrow("maxPriorityFeePerGas", self.max_priority_fee_per_gas)?;
        if price.is_some() && (max_fee.is_some() || tip.is_some()) {
            let message = "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified";
            return Err(RpcError::invalid_params(message));
        }
        let data = match (self.input, self.data) {
            (Some(input), Some(data)) if input != data => {
                let message = "both \"data\" and \"input\" are set and not equal";
                return Err(RpcError::invalid_params(message));
            }
            (input, data) => input.or(data).unwrap_or_default(),
        };
        if self
            .blob_versioned_hashes
            .is_some_and(|blobs| !blobs.is_empty())
        {
            let message = "blob transactions (EIP-4844) are not supported";
            return Err(RpcError::invalid_params(message));
        }
        let max_fee_per_gas_wei = price.or(max_fee).unwrap_or(0);
        let value = self.value.unwrap_or_default();
        let gas = narrow("gas", self.gas)?;
        // The sum of gas, price and value must be a number, as in a transaction.
        let cost = U256::from(gas.unwrap_or(u64::MAX)) * U256::from(max_fee_per_gas_wei);
        if cost.checked_add(value).is_none() {
            return Err(RpcError::invalid_params(
                "gas * price + value exceeds 256 bits",
            ));
        }
        Ok(Call {
            from: self.from.unwrap_or_default(),
            to: self.to,
            gas,
            max_fee_per_gas_wei,
            // A tip without a fee cap would be above it.
            max_priority_fee_per_gas_wei: tip.filter(|_| max_fee_per_gas_wei > 0),
            value,
            data,
            access_list: self.access_list.unwrap_or_default(),
            authorizations: self.authorization_list.unwrap_or_default(),
            nonce: narrow("nonce", self.nonce)?,
        })
    }
}

/// What `eth_simulateV1` takes. Blocks and calls are counted before they are read: the shortest is two
/// bytes of JSON and hundreds in memory.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SimulateParams {
    block_state_calls: Vec<Box<RawValue>>,
    #[serde(default)]
    pub trace_transfers: bool,
    /// Whether calls are as good as transactions.
    #[serde(default)]
    pub validation: bool,
    #[serde(default)]
    pub return_full_transactions: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockParams {
    block_overrides: Option<BlockOverrideParams>,
    state_overrides: Option<StateOverrideParams>,
    #[serde(default)]
    calls: Vec<Box<RawValue>>,
}

impl SimulateParams {
    pub fn into_blocks(self) -> Result<Vec<BlockCalls>, RpcError> {
        if self.block_state_calls.is_empty() {
            return Err(RpcError::invalid_params("empty input"));
        }
        if self.block_state_calls.len() > BLOCKS_MAX {
            return Err(SequenceError::TooManyBlocks.into());
        }
        let mut calls_left = CALLS_MAX;
        let blocks = self.block_state_calls.iter().map(|raw| {
            let block: BlockParams = read(raw)?;
            let left = calls_left.checked_sub(block.calls.len());
            calls_left = left.ok_or(SequenceError::TooManyCalls)?;
            let calls = block.calls.iter();
            let calls = calls.map(|raw| read::<CallParams>(raw)?.into_call());
            Ok(BlockCalls {
                block: block.block_overrides.unwrap_or_default().into_overrides()?,
                state: state_overrides(block.state_overrides.unwrap_or_default())?,
                calls: calls.collect::<Result<_, RpcError>>()?,
            })
        });
        blocks.collect()
    }
}

fn read<T: DeserializeOwned>(raw: &RawValue) -> Result<T, RpcError> {
    let invalid = |error| RpcError::invalid_params(format!("invalid argument: {error}"));
    serde_json::from_str(raw.get()).map_err(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_named_in_every_way_that_clients_use() {
        let parse = |text: &str| serde_json::from_str::<BlockRef>(text).ok();
        assert_eq!(parse("\"finalized\""), Some(BlockRef::Latest));
        assert_eq!(parse("\"pending\""), Some(BlockRef::Pending));
        assert_eq!(parse("\"0x1f\""), Some(BlockRef::Height(31)));
        assert_eq!(
            parse("{\"blockNumber\":\"earliest\"}"),
            Some(BlockRef::Height(0))
        );
        let hash = B256::repeat_byte(7);
        assert_eq!(parse(&format!("\"{hash}\"")), Some(BlockRef::Hash(hash)));
        assert_eq!(
            parse(&format!("{{\"blockHash\":\"{hash}\"}}")),
            Some(BlockRef::Hash(hash))
        );
        for wrong in ["\"newest\"", "\"12\"", "{}", "7", "\"0x10000000000000000\""] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
