//! What clients ask Delta's JSON-RPC: parameters become a question within its bounds, or are refused.

use super::programs::STATE;
use super::{Decoder, Group};
use adnet_delta::evm::overrides::{StateOverrides, suppose};
use adnet_delta::evm::sequence::{BLOCKS_MAX, CALLS_MAX};
use adnet_delta::evm::simulate::Call;
use adnet_delta::programs::{DX_ADDRESS, dx};
use adnet_delta::rpc::LogParams;
use adnet_delta::rpc::dispatch::{BATCH_MAX, batch};
use adnet_delta::rpc::params::{
    BlockOverrideParams, BlockRef, CallParams, SimulateParams, StateOverrideParams, state_overrides,
};
use alloy_primitives::U256;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const ADDRESS: &str = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";
const WORD: &str = "0x00000000000000000000000000000000000000000000000000000000000000ff";

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

fn texts(values: &[Value]) -> Vec<Vec<u8>> {
    let each = values.iter();
    each.map(|value| value.to_string().into_bytes()).collect()
}

fn calls() -> Vec<Value> {
    vec![
        json!({ "to": ADDRESS, "data": "0x01", "gas": "0x5208", "value": "0x1", "nonce": "0x0" }),
        json!({ "from": ADDRESS, "input": "0x", "gasPrice": "0x3b9aca00" }),
        json!({
            "to": ADDRESS, "maxFeePerGas": "0x10", "maxPriorityFeePerGas": "0x1",
            "accessList": [{ "address": ADDRESS, "storageKeys": [WORD] }],
            "authorizationList": [{
                "chainId": "0x1", "address": ADDRESS, "nonce": "0x0", "yParity": "0x0", "r": "0x1", "s": "0x1",
            }],
            "blobVersionedHashes": [],
        }),
    ]
}

fn accounts() -> Vec<Value> {
    vec![
        json!({ ADDRESS: { "balance": "0x1", "nonce": "0xffffffffffffffff", "code": "0x5f5ff3" } }),
        json!({ ADDRESS: { "stateDiff": { WORD: WORD } }, format!("{DX_ADDRESS:#x}"): { "code": "0x" } }),
        json!({ ADDRESS: { "state": { WORD: WORD } } }),
    ]
}

fn blocks() -> Vec<Value> {
    vec![
        json!({ "number": "0x1", "time": "0x2", "gasLimit": "0x3", "baseFeePerGas": "0x4" }),
        json!({ "feeRecipient": ADDRESS, "prevRandao": WORD }),
        json!({ "coinbase": ADDRESS, "random": WORD, "timestamp": "0x5", "baseFee": "0x6" }),
    ]
}

/// The most that a call may cost is a number.
fn is_payable(call: &Call) {
    let gas = U256::from(call.gas.unwrap_or(u64::MAX));
    let price = U256::from(call.max_fee_per_gas_wei);
    assert!((gas * price).checked_add(call.value).is_some(), "{call:?}");
}

/// Whatever is supposed of accounts, the system's own are what they were.
fn suppose_all(overrides: &StateOverrides) {
    let mut state = STATE.clone();
    match suppose(&mut state, overrides) {
        Ok(()) => assert!(!overrides.contains_key(&DX_ADDRESS)),
        Err(impossible) => assert!(!impossible.to_string().is_empty()),
    }
    assert!(dx::holds(&state), "DX came or went by {overrides:?}");
}

pub fn decoders() -> Vec<Decoder> {
    let decoder = |name, samples, check| Decoder {
        name,
        group: Group::Question,
        samples,
        check,
    };
    vec![
        decoder(
            "block of a question",
            |_| {
                texts(&[
                    json!("latest"),
                    json!("0x1f"),
                    json!(WORD),
                    json!({ "blockNumber": "earliest" }),
                    json!({ "blockHash": WORD, "requireCanonical": true }),
                ])
            },
            |bytes| {
                if let Some(BlockRef::Height(height)) = read(bytes) {
                    let written = json!(format!("{height:#x}")).to_string();
                    assert_eq!(read(written.as_bytes()), Some(BlockRef::Height(height)));
                }
            },
        ),
        decoder(
            "call of a question",
            |_| texts(&calls()),
            |bytes| {
                if let Some(Ok(call)) = read(bytes).map(CallParams::into_call) {
                    is_payable(&call);
                }
            },
        ),
        decoder(
            "supposed accounts",
            |_| texts(&accounts()),
            |bytes| {
                if let Some(Ok(overrides)) = read::<StateOverrideParams>(bytes).map(state_overrides)
                {
                    suppose_all(&overrides);
                }
            },
        ),
        decoder(
            "supposed block",
            |_| texts(&blocks()),
            |bytes| {
                let _ = read(bytes).map(BlockOverrideParams::into_overrides);
            },
        ),
        decoder(
            "simulation of blocks",
            |_| {
                let block = |n: usize| {
                    json!({
                        "calls": calls(), "stateOverrides": accounts()[n], "blockOverrides": blocks()[n],
                    })
                };
                texts(&[
                    json!({ "blockStateCalls": [{}] }),
                    json!({
                        "blockStateCalls": [block(0), block(2)],
                        "validation": true, "returnFullTransactions": true, "traceTransfers": true,
                    }),
                ])
            },
            |bytes| {
                let Some(Ok(blocks)) = read(bytes).map(SimulateParams::into_blocks) else {
                    return;
                };
                let calls = blocks.iter().flat_map(|block| &block.calls);
                assert!((1..=BLOCKS_MAX).contains(&blocks.len()));
                assert!(calls.clone().count() <= CALLS_MAX);
                calls.for_each(is_payable);
                blocks.iter().for_each(|block| suppose_all(&block.state));
            },
        ),
        decoder(
            "logs of a question",
            |_| {
                texts(&[
                    json!({ "address": ADDRESS, "topics": [WORD, null, [WORD, WORD]] }),
                    json!({ "address": [ADDRESS], "fromBlock": "0x1", "toBlock": "latest" }),
                    json!({ "blockHash": WORD, "topics": [[]] }),
                ])
            },
            |bytes| {
                if let Some(Ok((query, _))) = read(bytes).map(LogParams::parse) {
                    let mut places = query.topics.iter().map(Vec::len);
                    assert!(query.topics.len() <= 4 && query.addresses.len() <= 1000);
                    assert!(places.all(|alternatives| alternatives <= 1000));
                }
            },
        ),
        decoder(
            "batch of questions",
            |_| {
                let one =
                    json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [{}] });
                texts(&[json!([one]), Value::Array(vec![one; BATCH_MAX])])
            },
            |bytes| {
                let text = std::str::from_utf8(bytes).unwrap_or_default();
                match batch(text) {
                    Ok(requests) => assert!((1..=BATCH_MAX).contains(&requests.len())),
                    Err(refusal) => assert!(refusal.contains("\"error\"")),
                }
            },
        ),
    ]
}
