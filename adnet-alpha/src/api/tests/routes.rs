//! The routes that any client uses: blocks, transactions, balances, the chain as a whole.

use adnet_common::application::TxError;
use adnet_common::attestation::{Attestation, outbox_root};
use adnet_common::block::Header;
use adnet_common::chain_id::ChainId;
use adnet_common::hash::Hash;
use adnet_common::state_proof;
use adnet_common::supply::DeltaSupply;
use adnet_common::worker::PendingTx;
use serde_json::{Value, json};

use super::{Api, error_of};
use crate::tests::harness::{EVM, FEE, address};
use crate::tx::TransactionJson;

#[tokio::test]
async fn blocks_by_every_name() {
    let (api, txs) = Api::new();
    let latest = api.get("/v1/block/latest").await;
    assert_eq!(latest["height"], 2);
    let first = api.get("/v1/block/1").await;
    assert_eq!(first["transactions"], 2);
    assert_eq!(first["state_root"], json!(api.chain.roots[1]));
    let hash = first["hash"].as_str().expect("a hash");
    assert_eq!(api.get(&format!("/v1/block/hash/{hash}")).await, first);
    let header = api.get("/v1/block/1/header").await;
    let bytes = hex::decode(header["header"].as_str().expect("hex")).expect("hex");
    assert_eq!(
        json!(Header::decode(&bytes).expect("wire form").hash()),
        first["hash"]
    );
    assert_eq!(header["certificate"], "ce".repeat(9));
    let shown = api.get("/v1/block/1/transactions?offset=1&limit=5").await;
    assert_eq!(shown["total"], 2);
    assert_eq!(shown["transactions"][0]["id"], json!(txs[1].id()));
    assert_eq!(shown["transactions"][0]["function"], "lock");
    let range = api.get("/v1/block/range?from=0&limit=2").await;
    assert_eq!(range["blocks"].as_array().map(Vec::len), Some(2));
    assert_eq!(range["next"], 2);
    let rest = api.get("/v1/block/range?from=2").await;
    assert_eq!(
        (rest["blocks"].as_array().map(Vec::len), &rest["next"]),
        (Some(1), &Value::Null)
    );
    let not_found = (404, "NOT_FOUND".to_owned());
    assert_eq!(api.get_error("/v1/block/3").await, not_found);
    assert_eq!(
        api.get_error(&format!("/v1/block/hash/{}", Hash::ZERO))
            .await,
        not_found
    );
    let invalid = (400, "INVALID_REQUEST".to_owned());
    for path in [
        "/v1/block/x",
        "/v1/block/range?from=0&limit=101",
        "/v1/block/1/transactions?limit=0",
    ] {
        assert_eq!(api.get_error(path).await, invalid, "{path}");
    }
    assert_eq!(api.get_error("/v1/blocks").await, not_found);
}

#[tokio::test]
async fn a_balance_comes_with_a_proof_that_verifies() {
    let (api, _) = Api::new();
    for (path, height) in [("", 2), ("?height=1", 1), ("?height=0", 0)] {
        let balance = api.get(&format!("/v1/balance/{}{path}", address(5))).await;
        assert_eq!(balance["balance_units"], if height == 0 { 0 } else { 700 });
        let bytes = |field: &str| {
            balance[field]
                .as_str()
                .map(|t| hex::decode(t).expect("hex"))
        };
        let root = api.chain.roots[height];
        assert_eq!(balance["state_root"], json!(root));
        let (key, proof) = (
            bytes("key").expect("a key"),
            bytes("proof").expect("a proof"),
        );
        let value = bytes("value");
        state_proof::verify(ChainId::Alpha, &root, &key, value.as_deref(), &proof).expect("proved");
    }
    let spender = api.get(&format!("/v1/balance/{}", address(0))).await;
    assert_eq!(
        (&spender["nonce"], &spender["next_nonce"]),
        (&json!(1), &json!(1))
    );
    let supply = api.get("/v1/state/proof/737570706c79").await;
    assert_eq!(supply["value"], hex::encode(api.chain.supply().encode()));
    assert_eq!(
        api.get("/v1/state/root").await["state_root"],
        json!(api.chain.roots[2])
    );
    assert_eq!(api.get_error("/v1/state/proof/73?height=3").await.0, 404);
    assert_eq!(api.get_error("/v1/state/proof/xyz").await.0, 400);
    assert_eq!(api.get_error("/v1/balance/ax1nobody").await.0, 400);
}

#[tokio::test]
async fn transactions_are_sent_found_and_sent_again() {
    let (api, txs) = Api::new();
    let found = api.get(&format!("/v1/transaction/{}", txs[0].id())).await;
    assert_eq!(found["status"], "final");
    assert_eq!(found["receipt"]["fee_units"], FEE);
    assert_eq!(found["raw"], hex::encode(txs[0].encode()));
    // Sent again, it is final, and the chain's thread is not even asked.
    let resent = json!({"raw": hex::encode(txs[0].encode())});
    let (status, body) = api.post("/v1/transaction/broadcast", &resent).await;
    assert_eq!((status, &body["data"]["status"]), (200, &json!("final")));
    assert!(api.answers.lock().expect("mine").submitted.is_empty());

    let new = [
        ("/v1/transfer", api.chain.transfer(0, 6, 5)),
        ("/v1/burn", api.chain.burn(0, 5)),
        ("/v1/lock", api.chain.lock(0, 5)),
        ("/v1/mint", api.chain.mint(1, 6, 5_000, 2)),
    ];
    for (path, tx) in &new {
        let mut json = serde_json::to_value(TransactionJson::from(tx)).expect("serialises");
        json.as_object_mut().expect("an object").remove("function");
        let (status, body) = api.post(path, &json).await;
        assert_eq!(
            (status, &body["data"]["id"]),
            (200, &json!(tx.id())),
            "{path}: {body}"
        );
        assert_eq!(body["data"]["status"], "pending");
        json["fee_units"] = json!(FEE + 1);
        let refused = error_of(api.post(path, &json).await);
        assert_eq!(refused, (400, "INVALID_SIGNATURE".to_owned()), "{path}");
        json["surprise"] = json!(1);
        assert_eq!(
            error_of(api.post(path, &json).await),
            (400, "INVALID_REQUEST".to_owned())
        );
    }
    assert_eq!(api.answers.lock().expect("mine").submitted.len(), new.len());
    let not_hex = error_of(
        api.post("/v1/transaction/broadcast", &json!({"raw": "zz"}))
            .await,
    );
    assert_eq!(not_hex, (400, "INVALID_REQUEST".to_owned()));
    let error = TxError::new("INSUFFICIENT_BALANCE", "too little");
    api.answers.lock().expect("mine").refuse = Some(error);
    let raw = json!({"raw": hex::encode(new[0].1.encode())});
    let refused = error_of(api.post("/v1/transaction/broadcast", &raw).await);
    assert_eq!(refused, (422, "INSUFFICIENT_BALANCE".to_owned()));
}

#[tokio::test]
async fn what_waits_is_seen() {
    let (api, _) = Api::new();
    let tx = api.chain.transfer(0, 6, 5);
    let path = format!("/v1/transaction/{}", tx.id());
    assert_eq!(api.get_error(&path).await, (404, "NOT_FOUND".to_owned()));
    api.answers.lock().expect("mine").waiting.push(PendingTx {
        id: tx.id(),
        raw: tx.encode(),
        sender: address(0).0,
        nonce: 1,
    });
    assert_eq!(api.get(&path).await["status"], "pending");
    let pool = api.get("/v1/mempool").await;
    assert_eq!(pool["transactions"][0]["id"], json!(tx.id()));
    assert_eq!(
        api.get("/v1/mempool?limit=0").await["transactions"],
        json!([])
    );
    assert_eq!(api.get_error("/v1/mempool?limit=201").await.0, 400);
    assert_eq!(
        api.get(&format!("/v1/balance/{}", address(0))).await["next_nonce"],
        2
    );
}

#[tokio::test]
async fn the_chain_speaks_of_itself() {
    let (api, _) = Api::new();
    let status = api.get("/v1/status").await;
    assert_eq!(
        (&status["chain"], &status["height"]),
        (&json!("alpha"), &json!(2))
    );
    assert_eq!(status["genesis"], json!(api.chain.genesis.hash()));
    assert_eq!(api.get("/v1/version").await["governor_threshold"], 2);
    // The blocks of this chain are old.
    assert_eq!(
        api.get_error("/v1/health").await,
        (503, "LAGGING".to_owned())
    );
    assert_eq!(
        api.get_error("/v1/supply").await,
        (503, "UNAVAILABLE".to_owned())
    );
    let genesis_locked = api.chain.supply().locked_total_units - 60;
    api.answers.lock().expect("mine").sibling = Some(DeltaSupply {
        minted_total_units: genesis_locked,
        ..DeltaSupply::default()
    });
    let supply = api.get("/v1/supply").await;
    assert_eq!(
        (&supply["holds"], &supply["locks_in_flight_units"]),
        (&json!(true), &json!(60))
    );
    let validators = api.get("/v1/validators").await;
    assert_eq!(api.get("/v1/committee").await, validators);
    assert_eq!(validators["from_height"], json!(1));
    assert_eq!(validators["tombstones"], json!([]));
    let [only] = &api.chain.genesis.validators[..] else {
        panic!("the development genesis has one validator")
    };
    let member = json!({"public_key": only.public_key, "power": only.power});
    assert_eq!(validators["validators"], json!([member]));
    let sent = api.get("/v1/attestations/1").await;
    assert_eq!(
        (&sent["kind"], &sent["recipient"]),
        (&json!("lock"), &json!(EVM))
    );
    let raw = hex::decode(sent["raw"].as_str().expect("hex")).expect("hex");
    let attestation = Attestation::decode(&raw).expect("wire form");
    assert!(attestation.is_in(&outbox_root(std::slice::from_ref(&attestation.message))));
    assert_eq!(api.get_error("/v1/attestations/2").await.0, 404);
}
