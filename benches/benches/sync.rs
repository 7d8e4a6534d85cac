//! Joining late: how fast a fresh node of the real binary fetches both chains from four peers.
//!
//! One validator makes the chains, then stops; four nodes get copies of its blocks and serve them. So
//! nothing but the joining itself takes the machine, and the chains stand still. There is no peer to
//! compare with: the goal is the issue's own.
//!
//! Then another fresh node does the same with a snapshot.
//!
//! With `--test` the chains are short and nothing is recorded.

use std::thread;
use std::time::{Duration, Instant};

use adnet_benches::report::row;
use adnet_common::chain_id::ChainId;
use adnet_tests::cluster::agreement::block;
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

    for trusts in [false, true] {
        let mut fresh = TestNode::newcomer(&peers, &options);
        if trusts {
            for chain in ChainId::ALL {
                let hash = block(&peers[0].api(chain), chain, 1)[0].take();
                let hash = hash.as_str().expect("a hash");
                fresh.set(&format!("{chain}.trusted_block"), &format!("1:{hash}"));
            }
        }
        for joined in join(&mut fresh, &targets) {
            joined.report(trusts, is_test);
        }
    }
}

/// How a chain of a fresh node came to where its peers are.
struct Joined {
    chain: ChainId,
    target: u64,
    /// From the start of the process.
    whole: Duration,
    /// Of blocks, from the first that was seen on.
    rate: f64,
}

fn join(fresh: &mut TestNode, targets: &[(ChainId, u64)]) -> Vec<Joined> {
    let began = Instant::now();
    fresh.launch();
    fresh.await_running();
    // Of each chain: when it had blocks and how many, and when it had all.
    let mut firsts = vec![None; targets.len()];
    let mut lasts = vec![None; targets.len()];
    until("the fresh node is there", Duration::from_millis(10), || {
        for (place, (chain, target)) in targets.iter().enumerate() {
            let at = height(fresh, *chain);
            if at > 0 {
                firsts[place].get_or_insert((Instant::now(), at));
            }
            if at >= *target {
                lasts[place].get_or_insert_with(Instant::now);
            }
        }
        lasts.iter().all(Option::is_some)
    });
    let ends = firsts.into_iter().zip(lasts);
    let joined = targets
        .iter()
        .zip(ends)
        .map(|((chain, target), (first, last))| {
            let last: Instant = last.expect("awaited above");
            let (first, from) = first.expect("it came from nothing");
            Joined {
                chain: *chain,
                target: *target,
                whole: last - began,
                rate: (target - from) as f64 / (last - first).as_secs_f64(),
            }
        });
    joined.collect()
}

impl Joined {
    fn report(&self, trusts: bool, is_test: bool) {
        let Joined {
            chain,
            target,
            whole,
            rate,
        } = self;
        let whole = whole.as_secs_f64();
        let (figure, goal, measured, words) = match trusts {
            false => (
                format!("range sync of {chain}, both chains at once, {PEERS} peers"),
                ">= 200 blocks/s",
                format!("{rate:.0} blocks/s"),
                format!("{target} blocks {whole:.1} s after the start of the process"),
            ),
            true => (
                format!("snapshot sync of {chain}, the same peers"),
                "faster than range sync",
                format!("{whole:.2} s"),
                format!("at height {target}, from the start of the process"),
            ),
        };
        println!("sync: {figure}: {measured} (goal {goal}); {words}");
        if !is_test {
            row("sync", &figure, goal, &measured, &words);
        }
    }
}
