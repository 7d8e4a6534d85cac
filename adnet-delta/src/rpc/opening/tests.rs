//! The same questions to the store alone and to the open chain.

use super::*;
use crate::app::tests::{Chain, address, dev_genesis, secret};
use crate::attest::{ATTEST_ADDRESS, wei};
use crate::history;
use crate::rpc::{Rpc, dispatch};
use crate::tx;
use adnet_common::api::{ApiLimits, ApiMetrics, Client, Later, Slots};
use adnet_common::application::Application;
use adnet_common::block::{Block, Body};
use adnet_common::chain_id::ChainId;
use adnet_common::config::DeltaApiConfig;
use adnet_common::ledger::{self, CommittedBlock};
use adnet_common::worker::{ChainHandle, ChainStatus, Snapshot};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Three blocks: a transfer, a contract with code and a slot, and an empty one.
struct World {
    chain: Chain,
    contract: Address,
    ids: Vec<B256>,
    hashes: Vec<B256>,
}

impl World {
    fn new() -> Self {
        let mut world = World {
            chain: Chain::new(dev_genesis()),
            contract: address(0).create(1),
            ids: Vec::new(),
            hashes: Vec::new(),
        };
        let transfer = world.chain.transfer(0, 0, address(1), wei(5));
        world.block(&[transfer]);
        // SSTORE(1, 7), and one byte of code.
        let init = alloy_primitives::bytes!("6007600155602a5f5360015ff3");
        let envelope = world.chain.envelope(1, 400_000);
        let signed = tx::sign_deploy(&secret(0), envelope, U256::ZERO, init).expect("signed");
        let deploy = world.chain.verified(&signed);
        let other = world
            .chain
            .transfer(1, 0, Address::repeat_byte(0xab), wei(2));
        world.block(&[deploy, other]);
        world.block(&[]);
        world
    }

    /// A block that stands in the store as the ledger has it.
    fn block(&mut self, txs: &[crate::app::tests::Verified]) {
        let made = self.chain.block(txs, &[]);
        let body = Body {
            txs: made.included.iter().map(|i| txs[*i].raw.clone()).collect(),
            ..Body::default()
        };
        assert_eq!(body.txs.len(), txs.len(), "all are included");
        let height = self.chain.height;
        let header = ledger::header_at(&self.chain.store, ChainId::Delta, height);
        let mut header = header.expect("it decodes").expect("it was written");
        header.body_root = body.root();
        let block = Block { header, body };
        self.chain.parent = block.hash();
        self.hashes.push(B256::new(block.hash().0));
        self.ids.extend(txs.iter().map(|tx| B256::new(tx.id.0)));
        let certificate = Vec::new();
        let committed = CommittedBlock { block, certificate };
        let writes = ledger::block_writes(ChainId::Delta, &committed);
        self.chain.store.apply(&writes);
    }

    fn opening(&self) -> RpcModule<Opening> {
        let limits = ApiLimits {
            max_body_bytes: 1 << 20,
            max_header_bytes: 8 << 10,
            request_timeout_ms: 10_000,
            rate_per_s: 0,
            rate_burst: 0,
            max_connections: 1,
        };
        let metrics = ApiMetrics::new(&Default::default()).expect("fresh names");
        let tip = ledger::header_at(&self.chain.store, ChainId::Delta, self.chain.height);
        let opening = worker::Opening {
            rules: DeltaApp::rules(&self.chain.genesis),
            tip: tip.expect("it decodes"),
            reader: Arc::new(self.chain.store.clone()),
            later: Later::new(&limits, metrics),
        };
        module(Opening::of(&opening).expect("there are blocks"))
    }

    /// As it is when the state is rebuilt.
    fn open(&self) -> RpcModule<Rpc> {
        let app = self.chain.reopen();
        let figures = history::figures(&self.chain.store, self.chain.height);
        let status = ChainStatus {
            height: self.chain.height,
            block_hash: self.chain.parent,
            state_root: self.chain.root,
            block_time_ms: figures.expect("it decodes").expect("executed").time_ms,
            block_interval_ms: 3_000,
            ..ChainStatus::default()
        };
        let view = app.view();
        let rules = DeltaApp::rules(&self.chain.genesis);
        let reader = Arc::new(self.chain.store.clone());
        let (chain, requests) = ChainHandle::detached(rules, Snapshot { status, view }, reader);
        // Nothing waits in the mempool: whoever asks hears nothing.
        std::thread::spawn(move || requests.into_iter().for_each(drop));
        let slots = || Slots::new(1);
        let rpc = Rpc::new(chain, slots(), &DeltaApiConfig::default());
        crate::rpc::module(rpc)
    }

    fn blocks(&self) -> Vec<Value> {
        let tip = self.chain.height;
        let mut blocks: Vec<Value> = [
            "latest",
            "pending",
            "safe",
            "finalized",
            "earliest",
            "0x0",
            "0x1",
            "0xffffffff",
            "1",
            "",
        ]
        .map(Value::from)
        .into();
        for height in 0..=tip + 1 {
            blocks.push(json!(format!("{height:#x}")));
            blocks.push(json!({ "blockNumber": format!("{height:#x}") }));
        }
        for hash in self.hashes.iter().chain([&B256::repeat_byte(9)]) {
            blocks.push(json!(hash));
            blocks.push(json!({ "blockHash": hash }));
        }
        blocks.extend([json!(7), json!(null), json!({}), json!([])]);
        blocks
    }

    /// Parameters for every method, sensible and not.
    fn questions(&self) -> Vec<(&'static str, Value)> {
        let mut all = Vec::new();
        for name in [
            "eth_chainId",
            "net_version",
            "eth_blockNumber",
            "net_listening",
        ] {
            all.push((name, json!([])));
        }
        for name in ["web3_clientVersion", "eth_syncing", "eth_accounts"] {
            all.push((name, json!([])));
        }
        all.push(("web3_sha3", json!(["0x68656c6c6f"])));
        all.push(("web3_sha3", json!([1])));
        let accounts = [
            address(0),
            address(1),
            self.contract,
            ATTEST_ADDRESS,
            Address::repeat_byte(0xab),
            Address::repeat_byte(0xee),
        ];
        let mut accounts: Vec<Value> = accounts.iter().map(|address| json!(address)).collect();
        accounts.push(json!("0x12"));
        let slots = ["0x0", "0x1", "1", "0x", &format!("0x{}", "0".repeat(65))].map(Value::from);
        for account in &accounts {
            for name in ["eth_getBalance", "eth_getCode", "eth_getTransactionCount"] {
                all.push((name, json!([account])));
                let blocks = self.blocks();
                all.extend(blocks.iter().map(|block| (name, json!([account, block]))));
            }
            for slot in &slots {
                let name = "eth_getStorageAt";
                all.push((name, json!([account, slot])));
                let blocks = self.blocks();
                all.extend(
                    blocks
                        .iter()
                        .map(|block| (name, json!([account, slot, block]))),
                );
            }
        }
        for block in self.blocks() {
            for full in [json!(true), json!(false), json!(3)] {
                all.push(("eth_getBlockByNumber", json!([block, full])));
                all.push(("eth_getBlockByHash", json!([block, full])));
            }
            for name in [
                "eth_getBlockByNumber",
                "eth_getBlockByHash",
                "eth_getBlockTransactionCountByNumber",
                "eth_getBlockTransactionCountByHash",
                "eth_getBlockReceipts",
            ] {
                all.push((name, json!([block])));
            }
            for index in [
                json!("0x0"),
                json!("0x1"),
                json!("0xffffffffff"),
                json!("x"),
            ] {
                all.push((
                    "eth_getTransactionByBlockNumberAndIndex",
                    json!([block, index]),
                ));
                all.push((
                    "eth_getTransactionByBlockHashAndIndex",
                    json!([block, index]),
                ));
            }
        }
        let ids = self.ids.iter().map(|id| json!(id));
        for id in ids.chain([json!(B256::repeat_byte(3)), json!("0x3"), json!(null)]) {
            all.push(("eth_getTransactionByHash", json!([id])));
            all.push(("eth_getTransactionReceipt", json!([id])));
        }
        all
    }
}

#[tokio::test]
async fn the_store_alone_answers_as_the_open_chain_does() {
    let world = World::new();
    let (opening, open) = (world.opening(), world.open());
    let client = Client::from(IpAddr::from([127, 0, 0, 1]));
    let (mut answered, mut told_to_wait) = (BTreeSet::new(), 0);
    for (method, params) in world.questions() {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let request = request.to_string();
        assert!(serves(&opening, request.as_bytes()), "{request}");
        let early = dispatch::answer_text(&opening, client, &request).await;
        let late = dispatch::answer_text(&open, client, &request).await;
        let parse = |answer: Option<String>| -> Value {
            serde_json::from_str(&answer.expect("an answer")).expect("JSON")
        };
        let answer = parse(early.clone());
        if answer["error"]["message"] == WAIT_FOR_EARLIER {
            told_to_wait += 1;
            assert!(!parse(late)["result"].is_null(), "{request}");
            continue;
        }
        assert_eq!(early, late, "{request}");
        if !answer["result"].is_null() {
            answered.insert(method);
        }
    }
    let served: BTreeSet<&str> = opening.method_names().collect();
    assert_eq!(answered, served, "every method has given something");
    assert!(told_to_wait > 0, "earlier states are asked for, too");

    // The contract is there, with its code and its slot, so equal answers are not empty ones.
    let contract = world.contract;
    for (method, params, result) in [
        ("eth_getCode", json!([contract]), "0x2a".to_owned()),
        (
            "eth_getStorageAt",
            json!([contract, "0x1"]),
            format!("0x{:064x}", 7),
        ),
        (
            "eth_getTransactionCount",
            json!([address(0)]),
            "0x2".to_owned(),
        ),
        ("eth_blockNumber", json!([]), "0x3".to_owned()),
    ] {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer = dispatch::answer_text(&opening, client, &request.to_string()).await;
        let answer: Value = serde_json::from_str(&answer.expect("an answer")).expect("JSON");
        assert_eq!(answer["result"], result, "{method}");
    }
}

#[test]
fn what_needs_the_state_is_known_before_it_is_answered() {
    let world = World::new();
    let opening = world.opening();
    let serves = |body: &str| serves(&opening, body.as_bytes());
    let one = |method: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#);
    let (known, unknown) = (one("eth_blockNumber"), one("eth_call"));
    assert!(serves(&known) && !serves(&unknown));
    assert!(serves(&format!("[{known},{known}]")));
    assert!(!serves(&format!("[{known},{unknown}]")));
    // What is no request has the same error before and after.
    for garbage in ["", "{", "[]", "[1]", "7", r#"{"id":1}"#, "[[[["] {
        assert!(serves(garbage), "{garbage}");
    }
    assert!(super::serves(&opening, &[0xff, 0xfe]));
    for method in world.open().method_names() {
        let is_read = opening.method(method).is_some();
        assert_eq!(serves(&one(method)), is_read, "{method}");
    }
}
