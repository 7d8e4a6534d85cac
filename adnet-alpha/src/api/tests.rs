//! The routes on a chain of a few blocks, and the document that describes them.

use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};

use adnet_common::application::{Application, TxError};
use adnet_common::attestation::{Attestation, outbox_root};
use adnet_common::block::{Block, Body as BlockBody, Header};
use adnet_common::chain_id::ChainId;
use adnet_common::hash::Hash;
use adnet_common::ledger::{CommittedBlock, attestation_writes, block_writes};
use adnet_common::state_proof;
use adnet_common::supply::DeltaSupply;
use adnet_common::worker::{
    ChainHandle, ChainStatus, PendingTx, Request, SiblingError, SiblingValue, Snapshot,
};
use axum::Router;
use axum::body::{Body, to_bytes};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{OPENAPI, router, routes};
use crate::app::AlphaApp;
use crate::tests::harness::{Chain, EVM, FEE, address};
use crate::tx::{Transaction, TransactionJson};

#[test]
fn every_route_is_documented_and_nothing_else() {
    assert_eq!(routes().undocumented(OPENAPI), Vec::<String>::new());
}

#[test]
fn every_reference_of_the_document_has_a_target() {
    let document: Value = serde_json::from_str(OPENAPI).expect("JSON");
    for mention in OPENAPI.split("\"#/").skip(1) {
        let path = mention
            .split('"')
            .next()
            .expect("split gives at least one part");
        assert!(document.pointer(&format!("/{path}")).is_some(), "{path}");
    }
}

/// What the chain's thread answers.
#[derive(Default)]
struct Answers {
    refuse: Option<TxError>,
    waiting: Vec<PendingTx>,
    sibling: Option<DeltaSupply>,
    submitted: Vec<Hash>,
}

struct Api {
    chain: Chain,
    router: Router,
    answers: Arc<Mutex<Answers>>,
}

/// Puts the last block of `chain`, with `txs` in it, into its store as the ledger has it.
fn record(chain: &mut Chain, txs: &[Transaction]) {
    let height = chain.height();
    let sent = chain.outbox.clone();
    let body = BlockBody {
        txs: txs.iter().map(Transaction::encode).collect(),
        ..BlockBody::default()
    };
    let header = Header {
        chain: ChainId::Alpha,
        genesis: chain.genesis.hash(),
        height,
        time_ms: chain.genesis.genesis_time_ms + height * 15_000,
        parent: Hash::ZERO,
        proposer: [0; 32],
        body_root: body.root(),
        state_root: chain.roots[height as usize],
        outbox_root: outbox_root(&sent),
        next_validators: Hash::ZERO,
    };
    let block = Block { header, body };
    let certificate = vec![0xce; 9];
    chain.store.apply(&block_writes(
        ChainId::Alpha,
        &CommittedBlock { block, certificate },
    ));
    chain
        .store
        .apply(&attestation_writes(&Attestation::of_block(
            ChainId::Alpha,
            height,
            &sent,
        )));
}

impl Api {
    /// A chain of two blocks: a transfer with a lock, and an empty one.
    fn new() -> (Self, Vec<Transaction>) {
        let mut chain = Chain::new();
        record(&mut chain, &[]);
        let txs = vec![chain.transfer(0, 5, 700), chain.lock(1, 60)];
        chain.must_block(&txs);
        record(&mut chain, &txs);
        chain.outbox.clear();
        chain.must_block(&[]);
        record(&mut chain, &[]);
        let height = chain.height();
        let state_root = chain.roots[height as usize];
        let status = ChainStatus {
            height,
            state_root,
            block_interval_ms: 15_000,
            ..ChainStatus::default()
        };
        let view = chain.app.view();
        let rules = AlphaApp::rules(&chain.genesis);
        let reader = Arc::new(chain.store.clone());
        let (handle, requests) = ChainHandle::detached(rules, Snapshot { status, view }, reader);
        let answers = Arc::new(Mutex::new(Answers::default()));
        let shared = Arc::clone(&answers);
        std::thread::spawn(move || play(&requests, &shared));
        let router = router(handle);
        (
            Self {
                chain,
                router,
                answers,
            },
            txs,
        )
    }

    async fn send(&self, request: http::Request<Body>) -> (u16, Value) {
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("routers do not fail");
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), 1 << 20)
            .await
            .expect("in memory");
        let body: Value = serde_json::from_slice(&bytes).expect("the envelope is JSON");
        assert_eq!(body["success"], json!(status == 200), "{body}");
        (status, body)
    }

    async fn get(&self, path: &str) -> Value {
        let request = http::Request::get(path)
            .body(Body::empty())
            .expect("a request");
        let (status, mut body) = self.send(request).await;
        assert_eq!(status, 200, "{path}: {body}");
        body["data"].take()
    }

    async fn get_error(&self, path: &str) -> (u16, String) {
        let request = http::Request::get(path)
            .body(Body::empty())
            .expect("a request");
        error_of(self.send(request).await)
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = http::Request::post(path).header("content-type", "application/json");
        self.send(
            request
                .body(Body::from(body.to_string()))
                .expect("a request"),
        )
        .await
    }
}

fn error_of((status, body): (u16, Value)) -> (u16, String) {
    (
        status,
        body["error"]["code"]
            .as_str()
            .expect("an error has a code")
            .to_owned(),
    )
}

fn play(requests: &Receiver<Request<AlphaApp>>, answers: &Mutex<Answers>) {
    for request in requests {
        let mut answers = answers.lock().expect("no test panics while it holds them");
        match request {
            Request::Submit { tx, reply } => {
                answers.submitted.push(tx.id);
                let answer = answers.refuse.clone().map_or(Ok(tx.id), Err);
                let _ = reply.send(answer);
            }
            Request::Mempool { limit, reply } => {
                let _ = reply.send(answers.waiting.iter().take(limit).cloned().collect());
            }
            Request::NextNonce { sender, reply } => {
                let own = answers.waiting.iter().filter(|tx| tx.sender == sender);
                let _ = reply.send(own.map(|tx| tx.nonce + 1).max());
            }
            Request::Pending { id, reply } => {
                let _ = reply.send(answers.waiting.iter().find(|tx| tx.id == id).cloned());
            }
            Request::Sibling { reply, .. } => {
                let down = SiblingError::Unavailable("it is not running");
                let value = answers.sibling.map(|supply| SiblingValue {
                    height: 1,
                    value: Some(supply.encode().to_vec()),
                });
                let _ = reply.send(value.ok_or(down));
            }
        }
    }
}

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
