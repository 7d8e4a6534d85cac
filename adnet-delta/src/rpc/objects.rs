//! Blocks, transactions, receipts and logs in Ethereum's JSON.
//!
//! Where Delta has no such thing the field is there all the same, because clients insist:
//! `transactionsRoot` is our body root, `miner` is the end of the proposer's key, and there are neither withdrawals nor blobs nor requests.

use crate::evm::prev_randao;
use crate::history::block::BlockFigures;
use crate::history::logs::{FoundLog, json_bytes};
use crate::history::receipt::Receipt;
use crate::rules::Rules;
use crate::transaction::decode;
use adnet_common::block::Block;
use adnet_common::hash::Hash;
use adnet_common::header::Header;
use adnet_common::ledger::CommittedBlock;
use alloy_consensus::constants::EMPTY_OMMER_ROOT_HASH;
use alloy_consensus::{Transaction as _, TxEnvelope};
use alloy_primitives::{Address, B64, B256, Bloom, Log, U256, b256, keccak256};
use alloy_trie::EMPTY_ROOT_HASH;
use serde_json::{Value, json};

/// SHA-256 of nothing: a block without requests (EIP-7685).
pub const NO_REQUESTS_HASH: B256 =
    b256!("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");

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

/// A header as subscribers get it.
pub fn header(
    rules: &Rules,
    committed: &CommittedBlock,
    figures: Option<&BlockFigures>,
    receipts_root: B256,
) -> Value {
    let block = &committed.block;
    let header = &block.header;
    // The genesis block has no figures of its own.
    let base_fee_wei = figures.map_or(rules.base_fee_initial_wei, |f| f.base_fee_wei);
    json!({
        "number": quantity(header.height),
        "hash": word(&block.hash()),
        "parentHash": word(&header.parent),
        "nonce": B64::ZERO,
        "sha3Uncles": EMPTY_OMMER_ROOT_HASH,
        "logsBloom": figures.map_or(Bloom::ZERO, |f| f.logs_bloom),
        "transactionsRoot": word(&header.body_root),
        "stateRoot": word(&header.state_root),
        "receiptsRoot": receipts_root,
        "miner": Address::from_slice(&header.proposer[12..]),
        "difficulty": U256::ZERO,
        "extraData": "0x",
        "mixHash": prev_randao(header.height, &header.parent),
        "gasLimit": quantity(figures.map_or(rules.block_gas_limit, |f| f.gas_limit)),
        "gasUsed": quantity(figures.map_or(0, |f| f.gas_used)),
        "timestamp": quantity(header.time_ms / 1000),
        "baseFeePerGas": quantity(base_fee_wei),
        "withdrawalsRoot": EMPTY_ROOT_HASH,
        "blobGasUsed": U256::ZERO,
        "excessBlobGas": U256::ZERO,
        "parentBeaconBlockRoot": B256::ZERO,
        "requestsHash": NO_REQUESTS_HASH,
    })
}

/// A block, with the hashes of its transactions or all of them.
pub fn block(
    rules: &Rules,
    committed: &CommittedBlock,
    figures: Option<&BlockFigures>,
    receipts_root: B256,
    receipts: Option<&[Receipt]>,
) -> Value {
    let block = &committed.block;
    let hash = block.hash();
    let at = |index: usize| Position {
        height: block.header.height,
        block_hash: hash,
        time_ms: block.header.time_ms,
        index: index as u32,
    };
    let txs = &block.body.txs;
    let transactions: Vec<Value> = match receipts {
        None => txs.iter().map(|raw| json!(keccak256(raw))).collect(),
        Some(receipts) => {
            let each = txs.iter().zip(receipts).enumerate();
            each.map(|(index, (raw, receipt))| {
                let place = (&at(index), receipt);
                transaction(&committed_tx(raw), receipt.from, Some(place))
            })
            .collect()
        }
    };
    let mut object = header(rules, committed, figures, receipts_root);
    object["size"] = json!(U256::from(block.encode().len()));
    object["transactions"] = transactions.into();
    object["uncles"] = json!([]);
    object["withdrawals"] = json!([]);
    object
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
    object["blockTimestamp"] = json!(place.map(|(at, _)| quantity(at.time_ms / 1000)));
    object["transactionIndex"] = json!(place.map(|(at, _)| quantity(at.index)));
    let price = place.map_or(tx.max_fee_per_gas(), |(_, receipt)| {
        receipt.effective_gas_price_wei
    });
    object["gasPrice"] = json!(quantity(price));
    object
}

/// About what a transaction of a block takes in JSON: names, numbers, and two digits for each byte.
pub fn tx_bytes(raw: &[u8]) -> usize {
    const ALONE: usize = 480;
    ALONE + 2 * raw.len()
}

/// About what a receipt takes in JSON.
pub fn receipt_bytes(receipt: &Receipt) -> usize {
    const ALONE: usize = 1_000;
    ALONE + receipt.logs.iter().map(json_bytes).sum::<usize>()
}

/// A log; `index` counts in the block.
pub fn log(at: &Position, hash: &Hash, index: u32, log: &Log) -> Value {
    json!({
        "address": log.address,
        "topics": log.topics(),
        "data": log.data.data,
        "blockNumber": quantity(at.height),
        "blockHash": word(&at.block_hash),
        "blockTimestamp": quantity(at.time_ms / 1000),
        "transactionHash": word(hash),
        "transactionIndex": quantity(at.index),
        "logIndex": quantity(index),
        "removed": false,
    })
}

/// The hash of a transaction of `block`.
pub fn tx_id(block: &Block, index: u32) -> Hash {
    let raw = usize::try_from(index)
        .ok()
        .and_then(|index| block.body.txs.get(index));
    let raw = raw.expect("each receipt is one of a transaction of its block");
    Hash(keccak256(raw).0)
}

/// A log that was found in a block, with the hashes of the block and of the transaction: many logs have
/// the same.
pub fn found_log(header: &Header, block_hash: Hash, tx: &Hash, found: &FoundLog) -> Value {
    let at = Position {
        height: found.height,
        block_hash,
        time_ms: header.time_ms,
        index: found.tx_index,
    };
    log(&at, tx, found.log_index, &found.log)
}

pub fn receipt(at: &Position, hash: &Hash, receipt: &Receipt) -> Value {
    let numbered = (receipt.first_log..).zip(&receipt.logs);
    let logs = numbered.map(|(index, log_of)| log(at, hash, index, log_of));
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

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::{SignableTransaction, TxEip1559};
    use alloy_eips::eip2718::Encodable2718;
    use alloy_primitives::{Bytes, LogData, Signature, TxKind};

    const AT: Position = Position {
        height: 1_000_000,
        block_hash: Hash([0xff; 32]),
        time_ms: 1_700_000_000_000,
        index: 1_000,
    };

    fn receipt_with(logs: Vec<Log>) -> Receipt {
        Receipt {
            tx_type: 2,
            from: Address::repeat_byte(1),
            to: Some(Address::repeat_byte(2)),
            success: true,
            gas_used: 21_000,
            cumulative_gas_used: 300_000_000,
            effective_gas_price_wei: 1_000_000_000,
            contract: None,
            first_log: 0,
            logs,
        }
    }

    /// Within a tenth, so that nothing is refused that is far from being too large.
    fn assert_near(object: &Value, estimate: usize) {
        let takes = object.to_string().len();
        let near = takes * 9 / 10..takes * 11 / 10;
        assert!(near.contains(&estimate), "{takes}, {estimate}");
    }

    #[test]
    fn the_estimates_of_transactions_and_receipts_are_near_what_they_take() {
        for len in [0, 1_000, 100_000] {
            let tx = TxEip1559 {
                chain_id: 7_331,
                nonce: 1_000,
                gas_limit: 21_000,
                max_fee_per_gas: 2_000_000_000,
                max_priority_fee_per_gas: 1_000_000_000,
                to: TxKind::Call(Address::repeat_byte(2)),
                value: U256::from(10u64.pow(18)),
                input: vec![0xff; len].into(),
                ..TxEip1559::default()
            };
            let signature = Signature::new(U256::MAX >> 1, U256::MAX >> 2, true);
            let tx = TxEnvelope::from(tx.into_signed(signature));
            let place = (&AT, &receipt_with(Vec::new()));
            let object = transaction(&tx, Address::repeat_byte(1), Some(place));
            assert_near(&object, tx_bytes(&tx.encoded_2718()));
        }
        for logs in [0, 1, 100] {
            let log = Log {
                address: Address::repeat_byte(9),
                data: LogData::new_unchecked(vec![B256::ZERO; 3], Bytes::from(vec![1; 32])),
            };
            let receipt_of = receipt_with(vec![log; logs]);
            let object = receipt(&AT, &Hash([1; 32]), &receipt_of);
            assert_near(&object, receipt_bytes(&receipt_of));
        }
    }
}
