//! T009: Alpha's network on 4130.

use adnet_common::chain_id::ChainId;
use adnet_tests::harness::{Options, TestNode, eventually};

#[test]
fn r001_u011_alpha_p2p_message_handling() {
    let options = Options {
        alpha_interval_ms: 500,
        delta_interval_ms: 250,
        ..Options::default()
    };
    let nodes = TestNode::network(4, &options);
    // What one is given is in a block of all, and the blocks are the same.
    let user = nodes[3].alpha_user(1);
    let transfer = user.transfer(user.next_nonce(), nodes[0].alpha_user(2).address(), 7);
    user.send(&transfer).expect("accepted");
    let places: Vec<u64> = nodes
        .iter()
        .map(|node| {
            let user = node.alpha_user(0);
            eventually("it is final here", || user.final_at(&transfer.id()))
        })
        .collect();
    assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
    // Every node says who its peers are, on this chain.
    for node in &nodes {
        let peers = eventually("three peers", || {
            let peers = node.api(ChainId::Alpha).get("/v1/peers").ok()?;
            let peers = peers.as_array()?.clone();
            (peers.len() == 3).then_some(peers)
        });
        assert!(
            peers.iter().all(|peer| peer["direction"].is_string()),
            "{peers:?}"
        );
    }
    // Replayed, it is the same transaction at another node as well; garbage is nobody's.
    let elsewhere = nodes[1].alpha_user(1);
    let answer = elsewhere.send(&transfer);
    answer.expect("it is final there, too");
    let garbage = nodes[1].alpha().post(
        "/v1/transaction/broadcast",
        &serde_json::json!({"raw": "00ff00ff"}),
    );
    assert_eq!(garbage.expect_err("garbage").code(), "INVALID_REQUEST");
    // How malformed and replayed messages of peers are judged and scored is shown by the tests
    // `verdicts` and `network::flood`.
}
