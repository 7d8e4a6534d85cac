//! Blocks, transactions, receipts and logs in Ethereum's JSON.
//!
//! Where Delta has no such thing the field is there all the same, because clients insist:
//! `transactionsRoot` is our body root, `receiptsRoot` is zero (receipts are no part of a header),
//! `miner` is the end of the proposer's key.

use crate::history::block::BlockFigures;
use crate::history::receipt::Receipt;
use crate::rules::Rules;
use crate::transaction::decode;
use adnet_common::hash::Hash;
use adnet_common::ledger::CommittedBlock;
use alloy_consensus::constants::EMPTY_OMMER_ROOT_HASH;
use alloy_consensus::{Transaction as _, TxEnvelope};
use alloy_primitives::{Address, B64, B256, Bloom, U256, keccak256};
use serde_json::{Value, json};

/// Where something is in the chain.
#[derive(Copy, Clone, Debug)]
pub struct Position {
    pub height: u64,
    pub block_hash: Hash,
    pub time_ms: u64,
    pub index: u32,
}

fn word(hash: &Hash) -> B256 {
    B256::new(hash.0)
}

pub fn quantity(n: impl Into<u128>) -> U256 {
    U256::from(n.into())
}

/// A block, with the hashes of its transactions or all of them.
pub fn block(
    rules: &Rules,
    committed: &CommittedBlock,
    figures: Option<&BlockFigures>,
    receipts: Option<&[Receipt]>,
) -> Value {
    let block = &committed.block;
    let header = &block.header;
    let hash = block.hash();
    let at = |index: usize| Position {
        height: header.height,
        block_hash: hash,
        time_ms: header.time_ms,
        index: index as u32,
    };
    let transactions: Vec<Value> = match receipts {
        None => block
            .body
            .txs
            .iter()
            .map(|raw| json!(keccak256(raw)))
            .collect(),
        Some(receipts) => {
            let each = block.body.txs.iter().zip(receipts).enumerate();
            each.map(|(index, (raw, receipt))| {
                transaction(
                    &committed_tx(raw),
                    receipt.from,
                    Some((&at(index), receipt)),
                )
            })
            .collect()
        }
    };
    // The genesis block has no figures of its own.
    let base_fee_wei = figures.map_or(rules.base_fee_initial_wei, |f| f.base_fee_wei);
    json!({
        "number": quantity(header.height),
        "hash": word(&hash),
        "parentHash": word(&header.parent),
        "nonce": B64::ZERO,
        "sha3Uncles": EMPTY_OMMER_ROOT_HASH,
        "logsBloom": figures.map_or(Bloom::ZERO, |f| f.logs_bloom),
        "transactionsRoot": word(&header.body_root),
        "stateRoot": word(&header.state_root),
        "receiptsRoot": B256::ZERO,
        "miner": Address::from_slice(&header.proposer[12..]),
        "difficulty": U256::ZERO,
        "totalDifficulty": U256::ZERO,
        "extraData": "0x",
        "mixHash": B256::ZERO,
        "size": U256::from(block.encode().len()),
        "gasLimit": quantity(figures.map_or(rules.block_gas_limit, |f| f.gas_limit)),
        "gasUsed": quantity(figures.map_or(0, |f| f.gas_used)),
        "timestamp": quantity(header.time_ms / 1000),
        "baseFeePerGas": quantity(base_fee_wei),
        "transactions": transactions,
        "uncles": [],
    })
}

/// A transaction of a block.
pub fn committed_tx(raw: &[u8]) -> TxEnvelope {
    decode(raw).expect("a committed block holds transactions that decode")
}

/// A transaction, in a block or (without `place`) in the mempool.
pub fn transaction(tx: &TxEnvelope, from: Address, place: Option<(&Position, &Receipt)>) -> Value {
    let mut object = serde_json::to_value(tx).expect("transactions serialize");
    object["from"] = json!(from);
    object["blockHash"] = json!(place.map(|(at, _)| word(&at.block_hash)));
    object["blockNumber"] = json!(place.map(|(at, _)| quantity(at.height)));
    object["transactionIndex"] = json!(place.map(|(at, _)| quantity(at.index)));
    let price = place.map_or(tx.max_fee_per_gas(), |(_, receipt)| {
        receipt.effective_gas_price_wei
    });
    object["gasPrice"] = json!(quantity(price));
    object
}

pub fn receipt(at: &Position, hash: &Hash, receipt: &Receipt) -> Value {
    let logs = receipt.logs.iter().enumerate().map(|(index, log)| {
        json!({
            "address": log.address,
            "topics": log.topics(),
            "data": log.data.data,
            "blockNumber": quantity(at.height),
            "blockHash": word(&at.block_hash),
            "blockTimestamp": quantity(at.time_ms / 1000),
            "transactionHash": word(hash),
            "transactionIndex": quantity(at.index),
            "logIndex": quantity(u64::from(receipt.first_log) + index as u64),
            "removed": false,
        })
    });
    json!({
        "transactionHash": word(hash),
        "transactionIndex": quantity(at.index),
        "blockHash": word(&at.block_hash),
        "blockNumber": quantity(at.height),
        "from": receipt.from,
        "to": receipt.to,
        "type": quantity(receipt.tx_type),
        "status": quantity(u8::from(receipt.success)),
        "gasUsed": quantity(receipt.gas_used),
        "cumulativeGasUsed": quantity(receipt.cumulative_gas_used),
        "effectiveGasPrice": quantity(receipt.effective_gas_price_wei),
        "contractAddress": receipt.contract,
        "logs": logs.collect::<Vec<Value>>(),
        "logsBloom": receipt.bloom(),
    })
}
