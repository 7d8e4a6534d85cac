//! A whole node of the real binary on Delta: signed transactions over HTTP until they are in durable
//! blocks, and reads beside a bare hyper server.
//!
//! Client and node share the machine: what the client takes, the node does not have. Everything is
//! signed before the clock runs. A rate is that of consecutive blocks, from the moment the block before
//! them was seen to the moment the last of them was.

use std::convert::Infallible;
use std::fs;
use std::future::poll_fn;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use adnet_benches::delta::{Sender, deploy_token, genesis, holder, senders, sign_all};
use adnet_benches::delta::{token_transfer, transfer};
use adnet_benches::http_load::{Connection, Load, load};
use adnet_benches::report::row;
use adnet_common::genesis::Genesis;
use adnet_delta::tx::SignedTx;
use adnet_tests::harness::{Api, Process, Signal, binary};
use alloy_primitives::{Address, keccak256};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

const AREA: &str = "delta node";
const PATIENCE: Duration = Duration::from_secs(60);
/// Transactions of one HTTP request.
const BATCH: usize = 100;
const SUBMITTERS: usize = 64;
const READERS: usize = 16;

struct Plan {
    is_test: bool,
    interval_ms: u64,
    senders: usize,
    each: u64,
    /// Blocks that are counted, after the first that are not.
    blocks: u64,
    reading: Duration,
}

impl Plan {
    fn report(&self, figure: &str, goal: &str, measured: &str, peer: &str) {
        println!("{figure}: {measured} {peer} {goal}");
        if !self.is_test {
            row(AREA, figure, goal, measured, peer);
        }
    }
}

fn main() {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let plan = if is_test {
        Plan {
            is_test,
            interval_ms: 250,
            senders: 10,
            each: 20,
            blocks: 2,
            reading: Duration::from_millis(300),
        }
    } else {
        Plan {
            is_test,
            interval_ms: 3_000,
            senders: 2_500,
            each: 300,
            blocks: 20,
            reading: Duration::from_secs(5),
        }
    };
    let senders = senders(plan.senders);
    let native = transfers(&plan, &senders);
    let tokens = token_transfers(&plan, &senders);
    let figure = "transfers/s from HTTP to durable blocks, 20 blocks of 3 s";
    plan.report(
        &format!("native {figure}"),
        ">= 10,000/s",
        &format!("{native:.0}/s"),
        "",
    );
    plan.report(
        &format!("ERC-20 {figure}"),
        ">= 80 % of native",
        &format!("{tokens:.0}/s ({:.0} %)", 100.0 * tokens / native),
        &format!("native {native:.0}/s"),
    );
    reads(&plan, &senders);
}

/// A node that ends in order when dropped.
struct Node {
    child: Child,
    address: SocketAddr,
    genesis: Genesis,
    _directory: tempfile::TempDir,
}

impl Node {
    fn start(plan: &Plan, senders: &[Sender]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let data = directory.path().join("node");
        let interval = plan.interval_ms.to_string();
        let made = Command::new(binary())
            .args(["init", "--delta-block-interval", &interval, "--data-dir"])
            .arg(&data)
            .output();
        assert!(made.expect("the binary runs").status.success());
        let path = data.join("genesis.json");
        let genesis = genesis(Genesis::load(&path).expect("init made one"), senders);
        let text = serde_json::to_string(&genesis).expect("plain fields");
        fs::write(&path, text).expect("the directory is ours");

        // Taken and given back: nobody else gets the ports within the second that this takes.
        let held = [0; 5].map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let addresses = held
            .each_ref()
            .map(|listener| listener.local_addr().expect("bound"));
        drop(held);
        let mut command = Command::new(binary());
        command.arg("run").arg("--data-dir").arg(&data);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let log = fs::File::create(directory.path().join("log")).expect("the directory is ours");
        command.stderr(log);
        let keys = [
            "delta.api_listen",
            "alpha.api_listen",
            "metrics.listen",
            "alpha.p2p_listen",
            "delta.p2p_listen",
        ];
        for (key, address) in keys.iter().zip(&addresses) {
            command.args(["--set", &format!("{key}={address}")]);
        }
        for setting in [
            "network.discovery=false",
            "supervisor.alpha_standby=false",
            "delta.api_rate_limit_per_s=0",
            "delta.mempool_max_txs=200000",
            "delta.mempool_max_bytes=268435456",
            "delta.mempool_max_per_sender=10000",
        ] {
            command.args(["--set", setting]);
        }
        let node = Self {
            child: command.spawn().expect("the binary runs"),
            address: addresses[0],
            genesis,
            _directory: directory,
        };
        let deadline = Instant::now() + PATIENCE;
        while node.api().height().is_err() {
            assert!(Instant::now() < deadline, "the node does not answer");
            thread::sleep(Duration::from_millis(20));
        }
        node
    }

    fn api(&self) -> Api {
        Api::new(self.address, Arc::default()).keeping_its_connection()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(process) = Process::of(self.child.id()) {
            process.signal(Signal::SIGTERM);
        }
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() >= deadline {
                let _ = self.child.kill();
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn recipient(sender: &Sender, nonce: u64) -> Address {
    let hash = keccak256([sender.address.as_slice(), &nonce.to_be_bytes()].concat());
    let number = u64::from_be_bytes(*hash.first_chunk().expect("32 bytes"));
    holder((number % 100_000) as usize)
}

fn transfers(plan: &Plan, senders: &[Sender]) -> f64 {
    let node = Node::start(plan, senders);
    let signed = sign_all(senders, 0..plan.each, |sender, nonce| {
        transfer(&node.genesis, sender, nonce, recipient(sender, nonce))
    });
    rate(plan, &node, &signed)
}

fn token_transfers(plan: &Plan, senders: &[Sender]) -> f64 {
    let node = Node::start(plan, senders);
    let (genesis, owner) = (&node.genesis, &senders[0]);
    let token = owner.address.create(0);
    let mut first = vec![deploy_token(genesis, owner, 0)];
    first.extend(
        (1u64..)
            .zip(&senders[1..])
            .map(|(nonce, to)| token_transfer(genesis, token, owner, nonce, to.address, 1_000_000)),
    );
    submit(node.address, &first, &AtomicBool::new(false));
    let last = format!("{}", first[first.len() - 1].hash);
    let deadline = Instant::now() + PATIENCE;
    let receipt = loop {
        let receipt = node.api().rpc("eth_getTransactionReceipt", json!([last]));
        let receipt = receipt.expect("the node answers");
        if !receipt.is_null() {
            break receipt;
        }
        assert!(Instant::now() < deadline, "the token is not distributed");
        thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(receipt["status"], "0x1");
    let signed = sign_all(&senders[1..], 0..plan.each, |sender, nonce| {
        token_transfer(genesis, token, sender, nonce, recipient(sender, nonce), 1)
    });
    rate(plan, &node, &signed)
}

/// Sends everything by several connections; transactions per second of the counted blocks.
fn rate(plan: &Plan, node: &Node, signed: &[SignedTx]) -> f64 {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let parts: Vec<Vec<SignedTx>> = (0..SUBMITTERS)
            .map(|at| {
                signed
                    .iter()
                    .skip(at)
                    .step_by(SUBMITTERS)
                    .cloned()
                    .collect()
            })
            .collect();
        for part in parts {
            let (address, is_over) = (node.address, &is_over);
            scope.spawn(move || submit(address, &part, is_over));
        }
        let api = node.api();
        let mut seen = vec![(api.height().expect("the node answers"), Instant::now())];
        let first = seen[0].0 + 2;
        while seen[seen.len() - 1].0 < first + plan.blocks {
            let height = api.height().expect("the node answers");
            if height > seen[seen.len() - 1].0 {
                seen.push((height, Instant::now()));
            }
            thread::sleep(Duration::from_millis(5));
        }
        is_over.store(true, Ordering::Relaxed);
        let begin = seen.iter().find(|(height, _)| *height >= first);
        let (begin, end) = (*begin.expect("it came by"), seen[seen.len() - 1]);
        let counts: Vec<usize> = (begin.0 + 1..=end.0)
            .map(|height| {
                let block = api.rpc(
                    "eth_getBlockByNumber",
                    json!([format!("{height:#x}"), false]),
                );
                let block = block.expect("the node answers");
                block["transactions"].as_array().expect("a block").len()
            })
            .collect();
        println!("transactions per block: {counts:?}");
        counts.iter().sum::<usize>() as f64 / (end.1 - begin.1).as_secs_f64()
    })
}

/// Sends in batches, one after the other; what is refused for now is sent again.
fn submit(address: SocketAddr, signed: &[SignedTx], is_over: &AtomicBool) {
    let mut connection = Connection::open(address).expect("the node listens");
    for batch in signed.chunks(BATCH) {
        let mut waiting: Vec<&SignedTx> = batch.iter().collect();
        while !waiting.is_empty() {
            if is_over.load(Ordering::Relaxed) {
                return;
            }
            let calls: Vec<Value> = (0u64..)
                .zip(&waiting)
                .map(|(id, tx)| {
                    let raw = format!("0x{}", hex::encode(&tx.raw));
                    json!({ "jsonrpc": "2.0", "id": id, "method": "eth_sendRawTransaction", "params": [raw] })
                })
                .collect();
            let request = connection.request(&Value::Array(calls).to_string());
            let (status, body) = connection.answer(&request).expect("the node answers");
            if status == 200 && !body.windows(8).any(|part| part == b"\"error\":") {
                break;
            }
            waiting = refused(waiting, status, &body);
            if !waiting.is_empty() {
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

/// The transactions of a batch that have to be sent again.
fn refused<'a>(sent: Vec<&'a SignedTx>, status: u16, body: &[u8]) -> Vec<&'a SignedTx> {
    let Ok(Value::Array(answers)) = serde_json::from_slice::<Value>(body) else {
        assert!(
            matches!(status, 429 | 503),
            "{}",
            String::from_utf8_lossy(body)
        );
        return sent;
    };
    let again = |answer: &Value| {
        let message = answer["error"]["message"].as_str()?;
        let is_in = message.contains("already known") || message.contains("nonce too low");
        (!is_in).then(|| answer["id"].as_u64().expect("the ids are ours") as usize)
    };
    answers
        .iter()
        .filter_map(again)
        .map(|at| sent[at])
        .collect()
}

/// `eth_getBalance` on keep-alive connections, in turns with a server that knows the answer by heart.
fn reads(plan: &Plan, senders: &[Sender]) {
    let node = Node::start(plan, senders);
    let params = json!([senders[0].address, "latest"]);
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_getBalance", "params": params });
    let call = call.to_string();
    let mut connection = Connection::open(node.address).expect("the node listens");
    let request = connection.request(&call);
    let (status, answer) = connection.answer(&request).expect("the node answers");
    assert_eq!(status, 200);
    let answer = String::from_utf8(answer).expect("JSON is text");
    assert!(answer.contains("\"result\""), "{answer}");
    let bare = bare_server(answer);
    let rounds = if plan.is_test { 1 } else { 3 };
    let best = |loads: Vec<Load>| {
        let best = loads
            .into_iter()
            .max_by(|a, b| a.answers_per_s.total_cmp(&b.answers_per_s));
        best.expect("one round at least")
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours.push(load(node.address, READERS, &call, plan.reading));
        theirs.push(load(bare, READERS, &call, plan.reading));
    }
    plan.report(
        &format!("eth_getBalance on {READERS} connections, client on the same cores"),
        ">= 30,000/s",
        &best(ours).words(),
        &format!("bare hyper server: {}", best(theirs).words()),
    );
}

/// A hyper server that gives `answer` to everything, until the process ends.
fn bare_server(answer: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    listener.set_nonblocking(true).expect("a socket");
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        runtime.expect("threads can be started").block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
            loop {
                let (stream, _) = listener.accept().await.expect("the socket lives");
                stream.set_nodelay(true).expect("a connection");
                let answer = answer.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| fixed(request, answer.clone()));
                    let server = hyper::server::conn::http1::Builder::new();
                    // A client that is done closes its connection, which is no error of interest.
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
    });
    address
}

async fn fixed(
    mut request: Request<Incoming>,
    answer: String,
) -> Result<Response<String>, Infallible> {
    while let Some(Ok(_)) = poll_fn(|cx| Pin::new(request.body_mut()).poll_frame(cx)).await {}
    let response = Response::builder().header("content-type", "application/json");
    Ok(response.body(answer).expect("a fixed header"))
}
