//! Delta's reads while a worker that has just started rebuilds its state: they are answered at once, and
//! as the open chain answers them.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use adnet_common::api::{ApiLimits, ApiMetrics, Later, serve};
use adnet_common::application::Application;
use adnet_common::block::{Body, Header};
use adnet_common::chain_id::ChainId;
use adnet_common::genesis::Genesis;
use adnet_common::hash::Hash;
use adnet_common::memory_store::MemoryStore;
use adnet_common::worker::Opening;
use adnet_delta::DeltaApp;
use adnet_delta::api::opening_router;
use adnet_tests::harness::{DeltaUser, Options, Signal, TestNode, eventually};
use adnet_tests::sim;
use alloy_primitives::{Address, Bytes};
use axum::Router;
use serde_json::{Value, json};
use tokio::sync::watch;

/// Adds one to slot 0 with each call.
const COUNTER: &str = "6012600c60003960126000f36000546001018060005560005260206000f3";
const OPENING_HEADER: &str = "x-adnet-opening";
const PATIENCE: Duration = Duration::from_secs(60);
/// Workers that are killed at most until one was seen rebuilding its state.
const KILLS_MAX: usize = 6;

/// A client that asks again at once when its connection breaks: its worker was killed.
struct Client {
    agent: ureq::Agent,
    url: String,
    /// Answers from before the chain was open.
    early: usize,
}

impl Client {
    fn of(node: &TestNode) -> Self {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(20)))
            .http_status_as_error(false)
            .build();
        Client {
            agent: agent.new_agent(),
            url: format!("http://{}/", node.delta().address),
            early: 0,
        }
    }

    /// The answer, and whether it came before the chain was open.
    fn ask(&mut self, method: &str, params: &Value) -> (Value, bool) {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answered = self.agent.post(&self.url).send_json(&call);
            let read = answered.and_then(|mut response| {
                let is_early = response.headers().contains_key(OPENING_HEADER);
                Ok((response.body_mut().read_json::<Value>()?, is_early))
            });
            match read {
                Ok((answer, is_early)) => {
                    self.early += usize::from(is_early);
                    return (answer, is_early);
                }
                Err(error) => assert!(Instant::now() < deadline, "{method}: {error}"),
            }
        }
    }
}

/// A contract that was deployed and called, in blocks that nothing changes any more.
fn with_contract(user: &DeltaUser) -> (Address, Vec<Value>) {
    let code: Bytes = hex::decode(COUNTER).expect("hexadecimal").into();
    let deployed = user.done(&user.deploy(0, code));
    let contract = user.address().create(0);
    let called = user.done(&user.call(1, contract, Bytes::new()));
    (contract, vec![deployed, called])
}

#[test]
fn reads_are_answered_rightly_while_the_state_is_rebuilt() {
    let node = TestNode::start(Options::default());
    let user = node.delta_user(0);
    let (contract, receipts) = with_contract(&user);
    let mut client = Client::of(&node);
    let mut questions = vec![
        ("eth_chainId", json!([])),
        ("net_version", json!([])),
        ("eth_getBalance", json!([user.address(), "latest"])),
        (
            "eth_getTransactionCount",
            json!([user.address(), "pending"]),
        ),
        ("eth_getCode", json!([contract, "latest"])),
        ("eth_getStorageAt", json!([contract, "0x0", "latest"])),
        ("eth_getBlockByNumber", json!(["0x1", true])),
    ];
    for receipt in &receipts {
        let (id, block) = (&receipt["transactionHash"], &receipt["blockHash"]);
        questions.push(("eth_getTransactionByHash", json!([id])));
        questions.push(("eth_getTransactionReceipt", json!([id])));
        questions.push(("eth_getBlockByHash", json!([block, false])));
        questions.push(("eth_getBlockReceipts", json!([block])));
    }
    // What needs the state waits, and is right then, or says why not.
    let call = ("eth_call", json!([{ "to": contract }, "latest"]));
    let expected: Vec<Value> = questions
        .iter()
        .chain([&call])
        .map(|(method, params)| {
            let (answer, is_early) = client.ask(method, params);
            assert!(!is_early && !answer["result"].is_null(), "{answer}");
            answer
        })
        .collect();

    let mut height = 0;
    let mut kills = 0;
    while client.early == 0 {
        assert!(kills < KILLS_MAX, "{kills} workers were open at once");
        kills += 1;
        let killed = node.worker("delta");
        killed.signal(Signal::SIGKILL);
        let deadline = Instant::now() + PATIENCE;
        let mut is_over = false;
        while !is_over {
            assert!(Instant::now() < deadline, "the worker does not come back");
            is_over = node.chain("delta")["worker"] == "running" && !killed.is_alive();
            for ((method, params), expected) in questions.iter().zip(&expected) {
                let (answer, is_early) = client.ask(method, params);
                assert_eq!(&answer, expected, "{method}, early: {is_early}");
            }
            let (number, _) = client.ask("eth_blockNumber", &json!([]));
            let number = number["result"].as_str().expect("a quantity");
            let now = u64::from_str_radix(&number[2..], 16).expect("hexadecimal");
            assert!(now >= height, "block {now} after block {height}");
            height = now;
            let (answer, is_early) = client.ask(call.0, &call.1);
            let is_starting = answer["error"]["code"] == -32005;
            assert!(
                !is_early && (is_starting || Some(&answer) == expected.last()),
                "{answer}"
            );
        }
    }
    println!("{} answers came early, after {kills} kills", client.early);
    eventually("the metrics tell of it", || {
        let metrics = node.metrics().text("/metrics").ok()?.1;
        metrics
            .contains("adnet_api_before_open_total")
            .then_some(())
    });
}

const LIMITS: ApiLimits = ApiLimits {
    max_body_bytes: 1 << 20,
    max_header_bytes: 8 << 10,
    request_timeout_ms: 600,
    rate_per_s: 0,
    rate_burst: 0,
    max_connections: 16,
};

/// What a chain that has only its genesis block in the store begins with.
fn opening(genesis: &Genesis, later: Later) -> Opening<DeltaApp> {
    let (state_root, writes) = DeltaApp::genesis_state(genesis);
    let mut store = MemoryStore::new();
    store.apply(&writes);
    let header = Header {
        chain: ChainId::Delta,
        genesis: genesis.hash(),
        height: 0,
        time_ms: genesis.genesis_time_ms,
        parent: Hash::ZERO,
        proposer: [0; 32],
        body_root: Body::default().root(),
        state_root,
        outbox_root: Hash::ZERO,
        next_validators: Hash::ZERO,
    };
    Opening {
        rules: DeltaApp::rules(genesis),
        tip: Some(header),
        reader: Arc::new(store),
        later,
    }
}

/// Serves the API of a chain that is not open.
fn serve_opening(genesis: &Genesis) -> (String, Later, watch::Sender<bool>) {
    let metrics = ApiMetrics::new(&prometheus::Registry::new()).expect("fresh names");
    let later = Later::new(&LIMITS, metrics.clone());
    let routes = (
        opening_router(opening(genesis, later.clone())),
        later.clone(),
    );
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    let (stop, stopped) = watch::channel(false);
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let served = serve(listener, routes, LIMITS, metrics, stopped);
        runtime.expect("a runtime").block_on(served)
    });
    (url, later, stop)
}

/// Status, header fields that matter, and body.
fn raw(url: &str, body: &str) -> (u16, bool, bool, Value) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        .build()
        .new_agent();
    let mut response = agent.post(url).send(body).expect("it answers");
    let has = |name: &str| response.headers().contains_key(name);
    let (early, retry) = (has(OPENING_HEADER), has("retry-after"));
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string().expect("text");
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    (status, early, retry, body)
}

#[test]
fn what_needs_the_state_is_told_by_name_when_to_come_again() {
    let genesis = sim::genesis(1);
    let (url, later, _stop) = serve_opening(&genesis);
    let number = r#"{"jsonrpc":"2.0","id":7,"method":"eth_blockNumber"}"#;
    let call = r#"{"jsonrpc":"2.0","id":8,"method":"eth_call","params":[{}]}"#;
    let unknown = r#"{"jsonrpc":"2.0","id":9,"method":"eth_nothing"}"#;

    let (status, early, retry, body) = raw(&url, number);
    assert_eq!((status, early, retry), (200, true, false));
    assert_eq!(body, json!({ "jsonrpc": "2.0", "id": 7, "result": "0x0" }));
    let (.., body) = raw(&url, &format!("[{number},{number}]"));
    assert_eq!(body.as_array().map(Vec::len), Some(2), "{body}");
    let held = &genesis.delta.accounts[0];
    let balance = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_getBalance",
        "params": [held.address.to_string(), "latest"] });
    let (.., body) = raw(&url, &balance.to_string());
    let wei = u128::from(held.balance_units) * 100_000_000_000_000;
    assert_eq!(body["result"], format!("{wei:#x}"));
    // What is no request is told so at once, as ever.
    let (status, early, _, body) = raw(&url, "{");
    assert_eq!(
        (status, early, &body["error"]["code"]),
        (200, true, &json!(-32700))
    );

    for needs_more in [call, unknown, &format!("[{number},{call}]")] {
        let (status, early, retry, body) = raw(&url, needs_more);
        assert_eq!((status, early, retry), (503, false, true), "{needs_more}");
        assert_eq!(body["error"]["code"], -32005);
        let message = body["error"]["message"].as_str().expect("a message");
        assert!(message.starts_with("STARTING: "), "{message}");
    }
    let (status, _, retry, body) = raw(&format!("{url}v1/status"), "");
    assert_eq!((status, retry), (503, true));
    assert_eq!(body["error"]["code"], "STARTING");

    // And with the open chain everything is its answer.
    later.open(Router::new().fallback(|body: String| async move { body }));
    for request in [number, call] {
        let (status, early, _, body) = raw(&url, request);
        assert_eq!((status, early), (200, false));
        assert_eq!(body, serde_json::from_str::<Value>(request).expect("JSON"));
    }
}
