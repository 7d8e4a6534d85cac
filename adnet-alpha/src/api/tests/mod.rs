//! The routes on a chain of a few blocks, and the document that describes them.

mod light;
mod operators;
mod routes;
mod viewing;

use std::net::SocketAddr;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};

use adnet_common::application::{Application, TxError};
use adnet_common::attestation::{Attestation, outbox_root};
use adnet_common::block::{Block, Body as BlockBody, Header};
use adnet_common::chain_id::ChainId;
use adnet_common::config::AlphaApiConfig;
use adnet_common::hash::Hash;
use adnet_common::ledger::{CommittedBlock, attestation_writes, block_writes};
use adnet_common::mempool::Admitted;
use adnet_common::supply::DeltaSupply;
use adnet_common::worker::{
    ChainHandle, ChainStatus, PendingTx, Request, SiblingError, SiblingValue, Snapshot,
};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::response::Response;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{OPENAPI, router};
use crate::app::AlphaApp;
use crate::tests::harness::Chain;
use crate::tx::Transaction;

#[test]
fn every_route_is_documented_and_nothing_else() {
    assert_eq!(super::routes().undocumented(OPENAPI), Vec::<String>::new());
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
        Self::with(&AlphaApiConfig::default())
    }

    fn with(config: &AlphaApiConfig) -> (Self, Vec<Transaction>) {
        let mut chain = Chain::new();
        record(&mut chain, &[]);
        let txs = vec![chain.transfer(0, 5, 700), chain.lock(1, 60)];
        chain.must_block(&txs);
        record(&mut chain, &txs);
        chain.outbox.clear();
        chain.must_block(&[]);
        record(&mut chain, &[]);
        (Self::of(chain, config), txs)
    }

    /// The API of a chain whose blocks are recorded.
    fn of(chain: Chain, config: &AlphaApiConfig) -> Self {
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
        let router = router(handle, config);
        Self {
            chain,
            router,
            answers,
        }
    }

    /// The answer to a request from `peer`, whatever it is.
    async fn answer(&self, peer: [u8; 4], mut request: http::Request<Body>) -> Response {
        let peer = SocketAddr::from((peer, 1234));
        request.extensions_mut().insert(ConnectInfo(peer));
        let answered = self.router.clone().oneshot(request).await;
        answered.expect("routers do not fail")
    }

    async fn send(&self, request: http::Request<Body>) -> (u16, Value) {
        let response = self.answer([127, 0, 0, 1], request).await;
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
                let (id, is_new) = (tx.id, true);
                let admitted = Admitted { id, is_new };
                let answer = answers.refuse.clone().map_or(Ok(admitted), Err);
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
            // Nothing on Alpha's routes asks for these.
            Request::Waiting { .. } | Request::WaitingOf { .. } | Request::Arrivals { .. } => {}
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
