//! T012: Delta's network on 4131.

use adnet_common::chain_id::ChainId;
use adnet_tests::cluster::agreement::assert_same_blocks;
use adnet_tests::harness::{Options, TestNode, eventually};
use alloy_primitives::{Bytes, U256};
use serde_json::json;

use crate::counter::{COUNTER_INIT, address_of_contract};

#[test]
fn r001_u015_delta_p2p_message_handling() {
    let options = Options {
        alpha_interval_ms: 500,
        delta_interval_ms: 250,
        ..Options::default()
    };
    let nodes = TestNode::network(4, &options);
    // What one is given is in a block of all, with the same receipt.
    let user = nodes[3].delta_user(1);
    let nonce = user.next_nonce();
    let deployment = user.deploy(nonce, Bytes::from_static(COUNTER_INIT));
    let made = user.done(&deployment);
    for node in &nodes {
        let here = node.delta_user(0);
        let receipt = eventually("it is final here", || here.receipt(&deployment));
        assert_eq!(receipt, made);
    }
    // Transactions that follow each other may be given to different nodes, in any order.
    let counter = address_of_contract(&made);
    let calls = [3, 1, 2].map(|number| user.call(nonce + number, counter, Bytes::new()));
    for (call, node) in calls.iter().zip(&nodes) {
        node.delta_user(0).send(call).expect("accepted");
    }
    for node in &nodes {
        let here = node.delta_user(0);
        for call in &calls {
            let receipt = eventually("it is final here", || here.receipt(call));
            assert_eq!(receipt["status"], "0x1", "{receipt}");
        }
        let stored = node
            .delta()
            .rpc("eth_getStorageAt", json!([counter, "0x0", "latest"]));
        let stored: U256 = serde_json::from_value(stored.expect("a word")).expect("a word");
        assert_eq!(stored, U256::from(3), "each ran once");
    }
    // Every node says who its peers are, on this chain.
    for node in &nodes {
        let peers = eventually("three peers", || {
            let peers = node.api(ChainId::Delta).get("/v1/peers").ok()?;
            let peers = peers.as_array()?.clone();
            (peers.len() == 3).then_some(peers)
        });
        assert!(
            peers.iter().all(|peer| peer["direction"].is_string()),
            "{peers:?}"
        );
    }
    // Replayed, it is the same transaction at another node as well; garbage is nobody's.
    let elsewhere = nodes[1].delta_user(1);
    let again = elsewhere.send(&calls[0]);
    let again = again.expect_err("it is final there, too");
    assert!(format!("{again:?}").contains("already known"), "{again:?}");
    let garbage = nodes[1]
        .delta()
        .rpc("eth_sendRawTransaction", json!(["0x00ff00ff"]));
    assert_eq!(garbage.expect_err("garbage").code(), "-32000");
    assert_same_blocks(&nodes.iter().collect::<Vec<_>>());
    // How malformed and replayed messages of peers are judged and scored is shown by the tests
    // `verdicts` and `network::flood`.
}
