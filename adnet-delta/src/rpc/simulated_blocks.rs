//! `eth_simulateV1`: what comes in, and simulated blocks in Ethereum's JSON.

use super::dispatch::ANSWER_BYTES_MAX;
use super::error::refusal_code;
use super::objects::{self, Position, quantity};
use super::params::SimulateParams;
use super::simulations::simulated;
use super::state::state_at;
use super::{Answer, Arguments, Rpc, RpcError, method};
use crate::evm::prev_randao;
use crate::evm::sequence::{
    Beginning, RESULT_BYTES_MAX, SequenceError, SimulatedBlock, SimulatedCall, sequence,
};
use crate::evm::simulate::Outcome;
use crate::history;
use adnet_common::hash::Hash;
use alloy_consensus::constants::EMPTY_OMMER_ROOT_HASH;
use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_primitives::{B64, B256, Bloom, Bytes, Signature, TxKind, U256};
use alloy_trie::EMPTY_ROOT_HASH;
use jsonrpsee::RpcModule;
use jsonrpsee::types::Params;
use serde_json::{Value, json};
use std::sync::Arc;

/// The other half is for names, and for the calls themselves where whole transactions are wanted.
const _: () = assert!(2 * RESULT_BYTES_MAX <= ANSWER_BYTES_MAX);

pub fn register(module: &mut RpcModule<Rpc>) {
    method(module, "eth_simulateV1", simulate);
}

async fn simulate(rpc: Arc<Rpc>, params: Params<'static>) -> Answer {
    let (asked, block) = {
        let mut arguments = Arguments::of(&params);
        let asked: SimulateParams = arguments.required()?;
        (asked, arguments.block()?)
    };
    let (strict, full) = (asked.validation, asked.return_full_transactions);
    let notes_transfers = asked.trace_transfers;
    let blocks = asked.into_blocks()?;
    let moment = state_at(&rpc, block).await?;
    let height = moment.view.height;
    let figures = rpc
        .read(move |store| history::figures(store, height))
        .await?;
    let interval_ms = rpc.snapshot().status.block_interval_ms;
    let next_s = moment.next_time_ms / 1000;
    let beginning = Beginning {
        place: moment.place(),
        parent_time_s: figures.map_or(next_s.saturating_sub(1), |f| f.time_ms / 1000),
        interval_s: (interval_ms / 1000).max(1),
        strict,
        notes_transfers,
        view: moment.view,
    };
    let chain_id = rpc.chain.rules().chain_id;
    // What comes of it may be large, so its JSON is made in the same slot.
    let answer = simulated(&rpc, move || -> Answer {
        let made = sequence(&beginning, blocks)?;
        let each = made.iter();
        Ok(each.map(|block| shown(block, chain_id, full)).collect())
    });
    answer.await?
}

impl From<SequenceError> for RpcError {
    fn from(error: SequenceError) -> Self {
        let code = match &error {
            SequenceError::Number { .. } => -38020,
            SequenceError::Time { .. } => -38021,
            SequenceError::TooManyBlocks
            | SequenceError::TooManyCalls
            | SequenceError::TooLarge => -38026,
            SequenceError::GasLimit { .. } => -38015,
            SequenceError::Impossible(_) => -32602,
            SequenceError::Refused(refusal) => refusal_code(refusal),
        };
        RpcError::numbered(code, error.to_string())
    }
}

/// A call as the transaction that nobody has signed.
fn envelope(simulated: &SimulatedCall, chain_id: u64) -> TxEnvelope {
    let call = &simulated.call;
    let tx = TxEip1559 {
        chain_id,
        nonce: simulated.nonce,
        gas_limit: simulated.gas_limit,
        max_fee_per_gas: call.max_fee_per_gas_wei,
        max_priority_fee_per_gas: call.max_priority_fee_per_gas_wei.unwrap_or(0),
        to: call.to.map_or(TxKind::Create, TxKind::Call),
        value: call.value,
        access_list: call.access_list.clone(),
        input: call.data.clone(),
    };
    let nobody = Signature::new(U256::ZERO, U256::ZERO, false);
    TxEnvelope::from(tx.into_signed(nobody))
}

fn shown(block: &SimulatedBlock, chain_id: u64, full: bool) -> Value {
    let mut bloom = Bloom::ZERO;
    let (mut calls, mut transactions) = (Vec::new(), Vec::new());
    let mut log_index = 0u32;
    for (index, call) in (0..).zip(&block.calls) {
        let tx = envelope(call, chain_id);
        let hash = Hash(tx.tx_hash().0);
        let at = Position {
            height: block.place.height,
            block_hash: block.hash,
            time_ms: block.place.time_ms,
            index,
        };
        let mut logs = Vec::new();
        for log in &call.logs {
            bloom.accrue_log(log);
            logs.push(objects::log(&at, &hash, log_index, log));
            log_index += 1;
        }
        calls.push(result(&call.outcome, logs));
        transactions.push(if full {
            let mut object = objects::transaction(&tx, call.call.from, None);
            object["blockHash"] = json!(B256::new(block.hash.0));
            object["blockNumber"] = json!(quantity(at.height));
            object["blockTimestamp"] = json!(quantity(block.time_s));
            object["transactionIndex"] = json!(quantity(index));
            object
        } else {
            json!(B256::new(hash.0))
        });
    }
    let randao = block.block.prev_randao;
    let randao = randao.unwrap_or_else(|| prev_randao(block.place.height, &block.place.parent));
    json!({
        "number": quantity(block.place.height),
        "hash": B256::new(block.hash.0),
        "parentHash": B256::new(block.place.parent.0),
        "nonce": B64::ZERO,
        "sha3Uncles": EMPTY_OMMER_ROOT_HASH,
        "logsBloom": bloom,
        "transactionsRoot": B256::ZERO,
        "stateRoot": block.state_root,
        "receiptsRoot": B256::ZERO,
        "miner": block.block.fee_recipient.unwrap_or_default(),
        "difficulty": U256::ZERO,
        "extraData": "0x",
        "mixHash": randao,
        "size": U256::ZERO,
        "gasLimit": quantity(block.gas_limit),
        "gasUsed": quantity(block.gas_used),
        "timestamp": quantity(block.time_s),
        "baseFeePerGas": quantity(block.base_fee_wei),
        "transactions": transactions,
        "uncles": [],
        "withdrawals": [],
        "withdrawalsRoot": EMPTY_ROOT_HASH,
        "blobGasUsed": U256::ZERO,
        "excessBlobGas": U256::ZERO,
        "parentBeaconBlockRoot": B256::ZERO,
        "requestsHash": objects::NO_REQUESTS_HASH,
        "calls": calls,
    })
}

fn result(outcome: &Outcome, logs: Vec<Value>) -> Value {
    let (status, output, gas_used, peak, error) = match outcome {
        Outcome::Success {
            output,
            gas_used,
            gas_refunded,
        } => (1u8, output.clone(), gas_used, gas_used + gas_refunded, None),
        Outcome::Revert { output, gas_used } => {
            let message = RpcError::reverted(output.clone()).to_string();
            let error = json!({ "code": 3, "message": message, "data": output });
            (0, Bytes::new(), gas_used, *gas_used, Some(error))
        }
        Outcome::Halt {
            reason, gas_used, ..
        } => {
            let error = json!({ "code": -32015, "message": reason });
            (0, Bytes::new(), gas_used, *gas_used, Some(error))
        }
    };
    let mut result = json!({
        "status": quantity(status),
        "returnData": output,
        "gasUsed": quantity(*gas_used),
        "maxUsedGas": quantity(peak),
        "logs": logs,
    });
    if let Some(error) = error {
        result["error"] = error;
    }
    result
}
