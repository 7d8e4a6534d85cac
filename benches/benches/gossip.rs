//! Gossip between six nodes on loopback: how soon a message is everywhere, what it costs on the wire, and
//! what a saturated gossip does to votes.
//!
//! The peer of gossip is the same message sent to each of the others directly, and the peer of votes
//! beside gossip are votes without. Loopback has no losses and no delay of its own.
//!
//! With `--test` it is short and nothing is recorded.

use std::thread;
use std::time::{Duration, Instant};

use adnet_benches::mesh::{Mesh, loopback_bytes};
use adnet_benches::report::row;

const NODES: usize = 6;
const MESSAGE_BYTES: usize = 1 << 10;
const VOTE_BYTES: usize = 200;
/// What saturates: transactions as large as a contract.
const LOAD_BYTES: usize = 16 << 10;

const GOSSIPED: u8 = 1;
const DIRECT: u8 = 2;
const IDLE_VOTE: u8 = 3;
const BUSY_VOTE: u8 = 4;
const LOAD: u8 = 5;

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Median, 99th percentile, and what did not arrive.
fn words(times: &[Duration], expected: usize) -> String {
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    format!(
        "p50 {:.2} ms, p99 {:.2} ms, {} of {expected} lost",
        ms(at(0.5)),
        ms(at(0.99)),
        expected.saturating_sub(times.len())
    )
}

/// One message each 5 ms, from each node in turn. Returns the bytes on the wire for each byte of a
/// message and receiver.
fn spread(
    mesh: &mut Mesh,
    count: usize,
    kind: u8,
    send: impl Fn(&mut Mesh, usize),
) -> (String, f64) {
    let before = loopback_bytes();
    for number in 0..count {
        let node = number % mesh.len();
        send(mesh, node);
        thread::sleep(Duration::from_millis(5));
    }
    let expected = count * (mesh.len() - 1);
    mesh.await_arrivals(kind, expected);
    let bytes = loopback_bytes() - before;
    let times = mesh.times(kind);
    let ideal = times.len() * MESSAGE_BYTES;
    (words(&times, expected), bytes as f64 / ideal as f64)
}

/// Votes of the first node, each 10 ms; `between` is done meanwhile.
fn vote(mesh: &mut Mesh, lasts: Duration, kind: u8, between: impl Fn(&mut Mesh)) -> String {
    let (began, mut votes) = (Instant::now(), 0);
    while began.elapsed() < lasts {
        mesh.broadcast(0, kind, VOTE_BYTES);
        votes += 1;
        let next = Instant::now() + Duration::from_millis(10);
        while Instant::now() < next {
            between(mesh);
        }
    }
    let expected = votes * (mesh.len() - 1);
    mesh.await_arrivals(kind, expected);
    words(&mesh.times(kind), expected)
}

fn main() {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let (count, lasts) = match is_test {
        true => (60, Duration::from_millis(300)),
        false => (2_000, Duration::from_secs(10)),
    };
    let say = |figure: &str, measured: &str, peer: &str| {
        println!("network: {figure}: {measured}; {peer}");
        if !is_test {
            row("network", figure, "", measured, peer);
        }
    };
    let mut mesh = Mesh::start(NODES);
    let (gossiped, gossip_cost) = spread(&mut mesh, count, GOSSIPED, |mesh, node| {
        mesh.publish(node, GOSSIPED, MESSAGE_BYTES);
    });
    let (direct, direct_cost) = spread(&mut mesh, count, DIRECT, |mesh, node| {
        mesh.broadcast(node, DIRECT, MESSAGE_BYTES);
    });
    say(
        "1 KiB to all of 6 nodes, gossip",
        &gossiped,
        &format!("sent to each directly: {direct}"),
    );
    say(
        "amplification: bytes on the wire per byte and receiver",
        &format!("{gossip_cost:.2}"),
        &format!("sent to each directly: {direct_cost:.2}"),
    );
    let idle = vote(&mut mesh, lasts, IDLE_VOTE, |_| {
        thread::sleep(Duration::from_millis(1));
    });
    let began = Instant::now();
    let busy = vote(&mut mesh, lasts, BUSY_VOTE, |mesh| {
        // As much as the routers take, from all nodes.
        let taken = (0..NODES).filter(|node| mesh.publish(*node, LOAD, LOAD_BYTES));
        if taken.count() == 0 {
            thread::sleep(Duration::from_micros(200));
        }
    });
    let load = mesh.arrived(LOAD) as f64 * LOAD_BYTES as f64;
    let rate = load / began.elapsed().as_secs_f64() / f64::from(1 << 20);
    say(
        "votes beside saturated gossip, 6 nodes",
        &busy,
        &format!("without gossip: {idle}; gossip delivered {rate:.0} MiB/s in all"),
    );
}
