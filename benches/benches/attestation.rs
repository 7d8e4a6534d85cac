//! From "durable on one chain" to "in the other's inbox": in a running node, and step by step
//! beside sockets.
//!
//! In the node, locks go one way and unlocks the other, about one per block, first alone and then
//! beside as many transfers as two clients per chain get accepted on the same cores. The figures
//! are those of the node's own metric, whose clock runs from the acknowledgement of the block to
//! the verified message in the other worker's inbox. The metric's buckets bound what is known: the
//! part below the goal is exact, and quantiles are linear within a bucket.
//!
//! The path in small is the same work between two processes of this benchmark: encode proof and
//! message, send, wake, validate, verify certificate and path, keep. There the ring is compared
//! with sockets in turns, once on idle cores and once beside a busy process on each core.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use adnet_benches::attestation::{BusyCores, Carrier, Path, serve_if_peer};
use adnet_benches::prometheus_histogram::Buckets;
use adnet_benches::report::row;
use adnet_tests::harness::{Failure, Options, TestNode};
use alloy_primitives::U256;
use hdrhistogram::Histogram;

const METRIC: &str = "adnet_attestation_delay_seconds";
const BLOCK_INTERVAL_MS: u64 = 100;
/// In turns of one delivery per carrier.
const DELIVERIES: u64 = 1_500;
/// Long enough for every core to be asleep again.
const PAUSE: Duration = Duration::from_millis(2);

struct Plan {
    node_for: Duration,
    deliveries: u64,
    is_test: bool,
}

fn main() {
    serve_if_peer();
    adnet_shm::unlink_stale("adnet-bench-");
    let is_test = std::env::args().any(|argument| argument == "--test");
    let plan = if is_test {
        Plan {
            node_for: Duration::from_secs(1),
            deliveries: 5,
            is_test,
        }
    } else {
        Plan {
            node_for: Duration::from_secs(45),
            deliveries: DELIVERIES,
            is_test,
        }
    };
    in_small(&plan, "idle cores");
    let busy = BusyCores::start();
    in_small(&plan, "beside a busy process on each core");
    drop(busy);
    in_node(&plan);
}

/// The same path over each carrier.
fn in_small(plan: &Plan, condition: &str) {
    let mut paths = Carrier::ALL.map(Path::start);
    let mut tails =
        Carrier::ALL.map(|_| Histogram::<u64>::new(3).expect("three digits are supported"));
    for turn in 0..plan.deliveries {
        for (path, tail) in paths.iter_mut().zip(&mut tails) {
            thread::sleep(PAUSE);
            let delay_ns = path.deliver();
            // The first ones fault memory in.
            if turn >= plan.deliveries / 20 {
                tail.record(delay_ns).expect("it grows");
            }
        }
    }
    drop(paths);
    let words = |tail: &Histogram<u64>| {
        let us = |ns: u64| ns as f64 / 1e3;
        format!(
            "p50 {:.1} us, p99 {:.1} us, max {:.0} us",
            us(tail.value_at_quantile(0.5)),
            us(tail.value_at_quantile(0.99)),
            us(tail.max())
        )
    };
    let [ring, unix, tcp] = &tails;
    let peer = format!(
        "{}: {}; {}: {}",
        Carrier::UnixSocket.name(),
        words(unix),
        Carrier::Tcp.name(),
        words(tcp)
    );
    report(
        plan,
        &format!("encoded, sent, verified, kept; {condition}"),
        "",
        &words(ring),
        &peer,
    );
}

/// The real node, alone and under load.
fn in_node(plan: &Plan) {
    let node = TestNode::start(Options {
        alpha_interval_ms: BLOCK_INTERVAL_MS,
        delta_interval_ms: BLOCK_INTERVAL_MS,
        ..Options::default()
    });
    let sent = AtomicU64::new(0);
    let idle = watch(&node, plan.node_for, |stop| {
        thread::scope(|scope| {
            scope.spawn(|| lock_and_unlock(&node, stop));
        });
    });
    goal_row(plan, "idle", "p99 < 100 us", 1e-4, &idle, "");

    let began = Instant::now();
    let loaded = watch(&node, plan.node_for, |stop| {
        thread::scope(|scope| {
            scope.spawn(|| lock_and_unlock(&node, stop));
            for index in [1, 2] {
                let (node, sent) = (&node, &sent);
                scope.spawn(move || alpha_transfers(node, index, stop, sent));
                scope.spawn(move || delta_transfers(node, index, stop, sent));
            }
        });
    });
    let per_second = sent.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    let load = format!("load: {per_second:.0} transfers/s accepted");
    goal_row(plan, "under load", "p99 < 1 ms", 1e-3, &loaded, &load);
}

fn goal_row(plan: &Plan, when: &str, goal: &str, edge: f64, seen: &Buckets, note: &str) {
    let us = |seconds: f64| seconds * 1e6;
    let measured = format!(
        "p50 {:.0} us, p99 {:.0} us, max <= {:.0} us; {:.1} % within the goal; {} messages",
        us(seen.quantile(0.5)),
        us(seen.quantile(0.99)),
        us(seen.highest_edge()),
        100.0 * seen.part_up_to(edge),
        seen.count()
    );
    let figure = format!("node: durable on one chain -> in the other's inbox, {when}");
    report(plan, &figure, goal, &measured, note);
}

fn report(plan: &Plan, figure: &str, goal: &str, measured: &str, peer: &str) {
    println!("attestation: {figure}: {measured}; {peer}");
    if !plan.is_test {
        row("attestation", figure, goal, measured, peer);
    }
}

/// What the node's metric counted while `load` ran.
fn watch(node: &TestNode, lasts: Duration, load: impl FnOnce(&AtomicBool) + Send) -> Buckets {
    let earlier = on_page(node);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| load(&stop));
        thread::sleep(lasts);
        stop.store(true, Ordering::Relaxed);
    });
    // Workers report once a second.
    thread::sleep(Duration::from_millis(1_500));
    on_page(node).since(&earlier)
}

fn on_page(node: &TestNode) -> Buckets {
    let (_, page) = node.metrics().text("/metrics").expect("the page is served");
    Buckets::on_page(&page, METRIC)
}

/// About one lock and one unlock per block.
fn lock_and_unlock(node: &TestNode, stop: &AtomicBool) {
    let (alpha, delta) = (node.alpha_user(0), node.delta_user(0));
    let (mut alpha_nonce, mut delta_nonce) = (alpha.next_nonce(), delta.next_nonce());
    while !stop.load(Ordering::Relaxed) {
        let due = Instant::now() + Duration::from_millis(BLOCK_INTERVAL_MS);
        let lock = alpha.lock(alpha_nonce, delta.evm_address(), 7);
        alpha_nonce += u64::from(is_taken(alpha.send(&lock)));
        let unlock = delta.unlock(delta_nonce, alpha.address(), 5);
        delta_nonce += u64::from(is_taken(delta.send(&unlock)));
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

fn alpha_transfers(node: &TestNode, index: usize, stop: &AtomicBool, sent: &AtomicU64) {
    let (user, to) = (node.alpha_user(index), node.alpha_user(0).address());
    let mut nonce = user.next_nonce();
    while !stop.load(Ordering::Relaxed) {
        let tx = user.transfer(nonce, to, 1 + nonce % 97);
        count(is_taken(user.send(&tx)), &mut nonce, sent);
    }
}

fn delta_transfers(node: &TestNode, index: usize, stop: &AtomicBool, sent: &AtomicU64) {
    let (user, to) = (node.delta_user(index), node.delta_user(0).address());
    let mut nonce = user.next_nonce();
    while !stop.load(Ordering::Relaxed) {
        let tx = user.transfer(nonce, to, U256::from(1 + nonce % 97));
        count(is_taken(user.send(&tx)), &mut nonce, sent);
    }
}

fn count(is_taken: bool, nonce: &mut u64, sent: &AtomicU64) {
    if is_taken {
        *nonce += 1;
        sent.fetch_add(1, Ordering::Relaxed);
    } else {
        thread::sleep(Duration::from_millis(5));
    }
}

/// A refusal means that too much waits already, and the same nonce is tried again.
fn is_taken<T>(answer: Result<T, Failure>) -> bool {
    match answer {
        Ok(_) => true,
        Err(Failure::Refused { .. }) => false,
        Err(failure) => panic!("the node does not answer: {failure}"),
    }
}
