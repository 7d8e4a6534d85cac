//! T010: DeltaVM with its accounts, programs that people deploy, a block every 3 s.

use adnet_common::chain_id::ChainId;
use adnet_delta::programs::DX_ADDRESS;
use adnet_tests::harness::{Options, TestNode};
use adnet_tests::sim::{self, Scenario};
use alloy_primitives::{Bytes, U256, keccak256};
use serde_json::{Value, json};

use crate::counter::{COUNTER_INIT, address_of_contract};
use crate::person::patiently;

#[test]
fn r001_u012_delta_runtime_initialization() {
    let node = TestNode::start(Options::default());
    let begun = node.logged("delta_runtime_started");
    let [event] = begun.as_slice() else {
        panic!("one start, one event: {begun:?}")
    };
    assert_eq!(event["role"], "delta", "{event}");
    assert!(
        event["pid"].is_u64() && event["incarnation"].is_u64(),
        "{event}"
    );

    // The state has a root from the genesis on, and the accounts of the genesis under it.
    let (api, user) = (node.delta(), node.delta_user(0));
    let rpc = |method, params| api.rpc(method, params).expect("the API answers");
    let genesis = rpc("eth_getBlockByNumber", json!(["0x0", false]));
    let proof = rpc("eth_getProof", json!([user.address(), [], "0x0"]));
    let top: Bytes = serde_json::from_value(proof["accountProof"][0].clone()).expect("bytes");
    assert_eq!(genesis["stateRoot"], json!(keccak256(&top)), "{proof}");
    assert_ne!(proof["balance"], "0x0", "a development account has sAX");

    // DX is there, all of it, and reads as an ERC-20.
    let total_supply = json!({"to": DX_ADDRESS, "data": "0x18160ddd"});
    let supply = rpc("eth_call", json!([total_supply, "latest"]));
    let supply: U256 = serde_json::from_value(supply).expect("a word");
    assert_eq!(
        supply,
        U256::from(10).pow(U256::from(27)),
        "10^9 whole units"
    );

    // A program that somebody deploys runs, and keeps what it stores.
    let nonce = user.next_nonce();
    let made = user.done(&user.deploy(nonce, Bytes::from_static(COUNTER_INIT)));
    let counter = address_of_contract(&made);
    for call in 1..=2 {
        let receipt = user.done(&user.call(nonce + call, counter, Bytes::new()));
        assert_eq!(receipt["status"], "0x1", "{receipt}");
    }
    let counted = rpc("eth_getStorageAt", json!([counter, "0x0", "latest"]));
    let counted: U256 = serde_json::from_value(counted).expect("a word");
    assert_eq!(counted, U256::from(2));
}

#[test]
fn r001_u013_three_second_block_production() {
    // The real binary at the real interval, for as long as a test may take.
    let node = TestNode::start(Options {
        delta_interval_ms: 3_000,
        ..Options::default()
    });
    let block = |height: u64| -> Option<Value> {
        let found = node.delta().get(&format!("/v1/blocks/{height}"));
        found.ok()
    };
    let eleventh = patiently("the eleventh block", || block(11));
    let time = |block: &Value| block["time_ms"].as_u64().expect("a time");
    let first = block(1).expect("it came before");
    assert_eq!(time(&eleventh) - time(&first), 30_000);

    // The same code on a virtual clock, for an hour.
    let scenario = Scenario {
        only: Some(ChainId::Delta),
        has_clients: false,
        timer_late_max_ms: 50,
        ..Scenario::alone(9, 1_200 * 3_000)
    };
    let report = sim::run(&scenario).expect("all rules hold");
    let times: Vec<u64> = report.decided.values().map(|d| d.first_ms).collect();
    assert!(times.len() >= 1_199, "{} blocks", times.len());
    let taken_ms = times[times.len() - 1] - times[0];
    let planned_ms = (times.len() as u64 - 1) * 3_000;
    assert!(
        taken_ms.abs_diff(planned_ms) * 100 < planned_ms,
        "{taken_ms} ms for {planned_ms}"
    );
}
