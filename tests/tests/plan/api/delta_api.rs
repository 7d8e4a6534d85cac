//! T011: the API on 4030, by a plain HTTP client: JSON-RPC and REST.

use adnet_tests::harness::{Options, TestNode, eventually};
use alloy_primitives::{Bytes, U256};
use serde_json::{Value, json};

use crate::counter::{COUNTER_INIT, address_of_contract};
use crate::documented::paths;

#[test]
fn r001_u014_delta_rest_endpoints() {
    let node = TestNode::start(Options::default());
    let (api, user) = (node.delta(), node.delta_user(0));
    let transfer = user.transfer(
        user.next_nonce(),
        node.delta_user(1).address(),
        U256::from(5),
    );
    user.done(&transfer);
    // What Delta attests is a burn of sAX.
    let burn = user.unlock(user.next_nonce(), node.alpha_user(0).address(), 3);
    let receipt = user.done(&burn);
    assert_eq!(receipt["status"], "0x1", "{receipt}");
    let (status, text) = api.text("/openapi.json").expect("the API answers");
    assert_eq!(status, 200);
    let document: Value = serde_json::from_str(&text).expect("JSON");

    let known = [
        ("{block}", "latest".to_owned()),
        ("{hash}", transfer.hash.to_string()),
        ("{address}", user.address().to_string()),
        ("{key}", hex::encode(user.address())),
        ("{sequence}", "1".to_owned()),
    ];
    let mut asked = 0;
    for (path, is_get, is_post) in paths(&document, &known) {
        assert!(
            !path.contains('{'),
            "{path} has a parameter that nobody fills"
        );
        // A GET of these begins a WebSocket, which the test `clients` reads.
        let is_socket = path == "/" || path == "/v1/ws";
        if is_get && !is_socket {
            let path = match path.as_str() {
                "/v1/blocks" => format!("{path}?from=0"),
                _ => path.clone(),
            };
            eventually(&path, || {
                // The burn's attestation is stored a moment after its block.
                let (status, text) = api.text(&path).expect("the API answers");
                assert!(status == 200 || path.contains("attestations"), "{text}");
                (status == 200).then_some(())
            });
            asked += 1;
        }
        if is_post && path != "/" {
            let refused = api.post(&path, &json!({"nonsense": true}));
            let refused = refused.expect_err("nonsense");
            assert!(!refused.code().is_empty(), "{path}");
            assert_ne!(refused.code(), "INTERNAL", "{path}");
        }
    }
    assert!(asked >= 14, "{asked} routes of the document were asked");
    // The same transaction again is said to be the same.
    let again = user.send(&transfer).expect_err("it is final already");
    assert!(format!("{again:?}").contains("already known"), "{again:?}");
}

#[test]
fn r001_u014_delta_json_rpc_methods() {
    let node = TestNode::start(Options::default());
    let (api, user) = (node.delta(), node.delta_user(0));
    let nonce = user.next_nonce();
    let made = user.done(&user.deploy(nonce, Bytes::from_static(COUNTER_INIT)));
    let counter = address_of_contract(&made);
    let call = user.call(nonce + 1, counter, Bytes::new());
    let receipt = user.done(&call);
    let (number, hash) = (&receipt["blockNumber"], &receipt["blockHash"]);
    let count = json!({"from": user.address(), "to": counter});
    let filter = || api.rpc("eth_newFilter", json!([{}])).expect("a filter");
    let asked = [
        ("web3_clientVersion", json!([])),
        ("web3_sha3", json!(["0x00"])),
        ("net_version", json!([])),
        ("net_listening", json!([])),
        ("net_peerCount", json!([])),
        ("eth_chainId", json!([])),
        ("eth_syncing", json!([])),
        ("eth_accounts", json!([])),
        ("eth_blockNumber", json!([])),
        ("eth_gasPrice", json!([])),
        ("eth_maxPriorityFeePerGas", json!([])),
        ("eth_feeHistory", json!(["0x1", "latest", [50]])),
        ("eth_getBalance", json!([user.address(), "latest"])),
        ("eth_getCode", json!([counter, "safe"])),
        ("eth_getStorageAt", json!([counter, "0x0", "finalized"])),
        (
            "eth_getTransactionCount",
            json!([user.address(), "pending"]),
        ),
        ("eth_getProof", json!([counter, ["0x0"], "latest"])),
        ("eth_getBlockByNumber", json!([number, true])),
        ("eth_getBlockByHash", json!([hash, false])),
        ("eth_getBlockTransactionCountByNumber", json!([number])),
        ("eth_getBlockTransactionCountByHash", json!([hash])),
        ("eth_getUncleCountByBlockNumber", json!([number])),
        ("eth_getUncleCountByBlockHash", json!([hash])),
        ("eth_getBlockReceipts", json!([number])),
        ("eth_getTransactionByHash", json!([call.hash])),
        (
            "eth_getTransactionByBlockHashAndIndex",
            json!([hash, "0x0"]),
        ),
        (
            "eth_getTransactionByBlockNumberAndIndex",
            json!([number, "0x0"]),
        ),
        ("eth_getRawTransactionByHash", json!([call.hash])),
        ("eth_getTransactionReceipt", json!([call.hash])),
        ("eth_call", json!([count, "latest"])),
        ("eth_estimateGas", json!([count])),
        ("eth_createAccessList", json!([count, "latest"])),
        (
            "eth_simulateV1",
            json!([{"blockStateCalls": [{"calls": [count]}]}, "latest"]),
        ),
        ("eth_getLogs", json!([{"blockHash": hash}])),
        ("eth_newBlockFilter", json!([])),
        ("eth_newPendingTransactionFilter", json!([])),
        ("eth_getFilterChanges", json!([filter()])),
        ("eth_getFilterLogs", json!([filter()])),
        ("eth_uninstallFilter", json!([filter()])),
    ];
    for (method, params) in asked {
        let answer = api.rpc(method, params.clone());
        let answer = answer.unwrap_or_else(|refused| panic!("{method} {params}: {refused:?}"));
        assert!(!answer.is_null(), "{method} {params}");
        // What is no parameter is refused by name.
        if params != json!([]) {
            let refused = api.rpc(method, json!([["nonsense"], 7]));
            let refused = refused.expect_err("nonsense");
            assert_eq!(refused.code(), "-32602", "{method}: {refused:?}");
        }
    }
    let latest = api.rpc("eth_call", json!([count, "latest"]));
    assert_eq!(latest.expect("a word"), json!(format!("0x{:064x}", 2)));
    let unknown = api.rpc("anvil_nodeInfo", json!([]));
    assert_eq!(unknown.expect_err("nobody has it").code(), "-32601");
}
