//! Joining late: how fast a fresh node of the real binary fetches both chains from four peers.
//!
//! One validator makes the chains, then stops; four nodes get copies of its blocks and serve them. So
//! nothing but the joining itself takes the machine, and the chains stand still. There is no peer to
//! compare with: the goal is the issue's own.
//!
//! With `--test` the chains are short and nothing is recorded.

use std::thread;
use std::time::{Duration, Instant};

use adnet_benches::report::row;
use adnet_common::chain_id::ChainId;
use adnet_tests::harness::{Options, TestNode};

const PEERS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(300);
/// Alpha's and Delta's: as fast as one node makes blocks.
const INTERVAL_MS: u64 = 10;

fn height(node: &TestNode, chain: ChainId) -> u64 {
    node.api(chain).height().unwrap_or(0)
}

fn until(what: &str, every: Duration, mut is_done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_done() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        thread::sleep(every);
    }
}

fn main() {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let blocks = if is_test { 50 } else { 2_000 };
    let options = Options {
        alpha_interval_ms: INTERVAL_MS,
        delta_interval_ms: INTERVAL_MS,
        keeps_addresses: true,
        ..Options::default()
    };
    let mut source = TestNode::start(options.clone());
    until("the chains are made", Duration::from_millis(100), || {
        ChainId::ALL
            .iter()
            .all(|chain| height(&source, *chain) >= blocks)
    });
    source.stop();
    let mut peers: Vec<TestNode> = Vec::new();
    for _ in 0..PEERS {
        let mut peer = TestNode::with_blocks_of(&source, &[], &options);
        peer.launch();
        peer.await_running();
        peers.push(peer);
    }
    let peers: Vec<&TestNode> = peers.iter().collect();
    let targets = ChainId::ALL.map(|chain| (chain, height(peers[0], chain)));

    let mut fresh = TestNode::newcomer(&peers, &options);
    let began = Instant::now();
    fresh.restart();
    // Of each chain: when it had blocks and how many, and when it had all.
    type Times = (ChainId, Option<(Instant, u64)>, Option<Instant>);
    let mut times: Vec<Times> = ChainId::ALL.map(|chain| (chain, None, None)).to_vec();
    until("the fresh node is there", Duration::from_millis(10), || {
        for (chain, first, last) in &mut times {
            let at = height(&fresh, *chain);
            let target = targets.iter().find(|(c, _)| c == chain).expect("both").1;
            if at > 0 && first.is_none() {
                *first = Some((Instant::now(), at));
            }
            if at >= target && last.is_none() {
                *last = Some(Instant::now());
            }
        }
        times.iter().all(|(_, _, last)| last.is_some())
    });
    for ((chain, first, last), (_, target)) in times.into_iter().zip(targets) {
        let last = last.expect("awaited above");
        let (first, from) = first.expect("it came from nothing");
        let rate = (target - from) as f64 / (last - first).as_secs_f64();
        let figure = format!("range sync of {chain}, both chains at once, {PEERS} peers");
        let measured = format!("{rate:.0} blocks/s");
        let whole = (last - began).as_secs_f64();
        let words = format!("{target} blocks {whole:.1} s after the start of the process");
        println!("sync: {figure}: {measured} (goal >= 200 blocks/s); {words}");
        if !is_test {
            row("sync", &figure, ">= 200 blocks/s", &measured, &words);
        }
    }
}
