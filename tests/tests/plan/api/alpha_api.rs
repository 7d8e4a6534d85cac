//! T008: the API on 3030, by a plain HTTP client.

use adnet_tests::harness::{Options, TestNode};
use serde_json::{Value, json};

use crate::documented::paths;

#[test]
fn r001_u010_alpha_api_endpoints() {
    let node = TestNode::start(Options::default());
    let (user, other) = (node.alpha_user(0), node.alpha_user(1));
    let nonce = user.next_nonce();
    let transfer = user.transfer(nonce, other.address(), 5);
    let height = user.done(&transfer);
    let lock = user.lock(nonce + 1, adnet_common::keys::EvmAddress([7; 20]), 9);
    user.done(&lock);
    let api = node.alpha();
    let block = api.get(&format!("/v1/block/{height}")).expect("a block");
    let (status, text) = api.text("/openapi.json").expect("the API answers");
    assert_eq!(status, 200);
    let document: Value = serde_json::from_str(&text).expect("JSON");

    let known = [
        ("{height}", height.to_string()),
        ("{hash}", block["hash"].as_str().expect("a hash").to_owned()),
        ("{id}", transfer.id().to_string()),
        ("{address}", user.address().to_string()),
        ("{key}", hex::encode("supply")),
        ("{sequence}", "1".to_owned()),
        ("{nullifier}", "00".repeat(32)),
    ];
    let mut asked = 0;
    for (path, is_get, is_post) in paths(&document, &known) {
        assert!(
            !path.contains('{'),
            "{path} has a parameter that nobody fills"
        );
        // The streams are bytes for wallets, which the test `light_api` reads.
        let is_stream = path.ends_with("/stream") || path == "/v1/compact/blocks";
        if is_get && !is_stream {
            let path = match path.as_str() {
                "/v1/block/range" => format!("{path}?from=0"),
                "/v1/tree/subtrees" => format!("{path}?from=0"),
                _ => path.clone(),
            };
            let (status, text) = api.text(&path).expect("the API answers");
            assert_eq!(status, 200, "{path}: {text}");
            asked += 1;
        }
        if is_post {
            // What is no request of this route is refused by name, and never by a fault.
            let refused = api
                .post(&path, &json!({"nonsense": true}))
                .expect_err("nonsense");
            assert!(!refused.code().is_empty(), "{path}");
            assert_ne!(refused.code(), "INTERNAL", "{path}");
        }
    }
    assert!(asked >= 20, "{asked} routes of the document were asked");
    // The same transaction again is the same answer, a changed one is refused.
    user.send(&transfer).expect("it is final already");
    let mut forged = transfer;
    forged.payload.fee_units += 1;
    let refused = user.send(&forged).expect_err("the signature is of another");
    assert_eq!(refused.code(), "INVALID_SIGNATURE");
}
