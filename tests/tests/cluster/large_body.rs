//! A block body near the largest crosses from its proposer to all validators, and is decided.

use super::alone;
use adnet_common::block::MAX_BODY_BYTES;
use adnet_common::chain_id::ChainId;
use adnet_common::genesis::{DEV_ACCOUNTS, dev_delta_secret};
use adnet_delta::tx::{Envelope, Fees, SignedTx, address, sign_call};
use adnet_tests::cluster::agreement::height;
use adnet_tests::cluster::{Cluster, Manifest};
use adnet_tests::harness::{TestNode, eventually};
use alloy_primitives::{Bytes, U256};
use serde_json::{Value, json};

/// Transactions, and bytes of zeros in each: together what a block of 8 MiB has room for.
const TXS: u64 = 33;
const CALLDATA_BYTES: usize = 250_000;
/// What zeros cost at least, by EIP-7623, and some for the transaction itself.
const GAS: u64 = 10 * CALLDATA_BYTES as u64 + 30_000;

fn large(node: &TestNode, sender: usize, nonce: u64) -> SignedTx {
    let secret = |index| dev_delta_secret(index).expect("a development account");
    let envelope = Envelope {
        chain_id: node.genesis.delta.chain_id,
        nonce,
        fees: Fees {
            gas_limit: GAS,
            max_fee_per_gas_wei: 20_000_000_000,
            max_priority_fee_per_gas_wei: 0,
        },
    };
    let to = address(&secret((sender + 1) % DEV_ACCOUNTS)).expect("a Delta key");
    let calldata = Bytes::from(vec![0; CALLDATA_BYTES]);
    let tx = sign_call(&secret(sender), envelope, to, U256::ZERO, calldata);
    tx.expect("a Delta key")
}

fn quantity(value: &Value) -> u64 {
    let text = value.as_str().and_then(|text| text.strip_prefix("0x"));
    u64::from_str_radix(text.expect("a quantity"), 16).expect("a quantity")
}

/// The largest block of Delta that a node has: its bytes and transactions.
fn largest(node: &TestNode) -> (u64, usize) {
    let tip = height(node, ChainId::Delta);
    let sizes = (1..=tip).map(|at| {
        let block = eventually("the block is served", || {
            let params = json!([format!("0x{at:x}"), false]);
            node.delta().rpc("eth_getBlockByNumber", params).ok()
        });
        let txs = block["transactions"].as_array().map_or(0, Vec::len);
        (quantity(&block["size"]), txs)
    });
    sizes.max().expect("there are blocks")
}

#[test]
fn a_body_of_eight_megabytes_is_decided_by_four() {
    let _alone = alone();
    let manifest = Manifest::named("large-body");
    let cluster = Cluster::start(&manifest, |genesis| {
        genesis.delta.max_block_bytes = MAX_BODY_BYTES as u64;
    });
    let nodes = &cluster.nodes;
    // Just after a block, so that all are there before the next one is built.
    let before = height(&nodes[0], ChainId::Delta);
    eventually("a new block", || {
        (height(&nodes[0], ChainId::Delta) > before).then_some(())
    });
    let mut last = None;
    for number in 0..TXS {
        let sender = number as usize % DEV_ACCOUNTS;
        let tx = large(&nodes[0], sender, number / DEV_ACCOUNTS as u64);
        let raw = format!("0x{}", hex::encode(&tx.raw));
        let api = nodes[sender].delta();
        let sent = api.rpc("eth_sendRawTransaction", json!([raw]));
        assert_eq!(sent.expect("accepted"), json!(tx.hash));
        last = Some(tx);
    }
    let last = last.expect("there are some");
    for node in nodes {
        eventually("the last one is final here", || {
            node.delta_user(0).receipt(&last)
        });
    }
    let (bytes, txs) = largest(&nodes[3]);
    println!("a block of {bytes} bytes with {txs} transactions");
    assert!(bytes > 7_000_000, "{bytes} bytes, {txs} transactions");
    cluster.assert_agreement();
}
