//! Networks of validators: from the moment when a block is due to when it is committed.
//!
//! The peer of four validators on loopback is one that decides alone in the same run: the same
//! blocks, signatures, databases and fsyncs, without anybody to agree with. All nodes share the cores
//! of this machine. The figures are those of the nodes' own metric; its buckets bound what is known.

use std::thread;
use std::time::Duration;

use adnet_benches::prometheus_histogram::Buckets;
use adnet_benches::report::row;
use adnet_tests::harness::{Options, TestNode};

const METRIC: &str = "adnet_block_delay_seconds";
const INTERVAL_MS: u64 = 1_000;
/// Workers report once a second.
const LAST_REPORT: Duration = Duration::from_millis(1_500);

struct Plan {
    lasts: Duration,
    is_test: bool,
}

fn main() {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let lasts = match is_test {
        true => Duration::from_secs(2),
        false => Duration::from_secs(60),
    };
    decide(&Plan { lasts, is_test });
}

/// Blocks without transactions, so that what is seen is the agreement.
fn decide(plan: &Plan) {
    let options = Options {
        alpha_interval_ms: INTERVAL_MS,
        delta_interval_ms: INTERVAL_MS,
        ..Options::default()
    };
    let alone = watch(&[TestNode::start(options.clone())], plan.lasts);
    let four = watch(&TestNode::network(4, &options), plan.lasts);
    let measured = words(&four);
    let peer = format!("one validator alone: {}", words(&alone));
    let figure = "block due -> committed, 4 validators on loopback, both chains";
    println!("network: {figure}: {measured}; {peer}");
    if !plan.is_test {
        row("network", figure, "p50 <= 30 ms", &measured, &peer);
    }
}

/// What the metric counts of all nodes over this time.
fn watch(nodes: &[TestNode], lasts: Duration) -> Buckets {
    let pages = || {
        let of = |node: &TestNode| node.metrics().text("/metrics").expect("it is served").1;
        nodes.iter().map(of).collect::<String>()
    };
    let earlier = Buckets::on_page(&pages(), METRIC);
    thread::sleep(lasts + LAST_REPORT);
    Buckets::on_page(&pages(), METRIC).since(&earlier)
}

fn words(seen: &Buckets) -> String {
    let ms = |seconds: f64| seconds * 1e3;
    format!(
        "p50 {:.1} ms, p99 {:.1} ms, max <= {:.0} ms of {} commits",
        ms(seen.quantile(0.5)),
        ms(seen.quantile(0.99)),
        ms(seen.highest_edge()),
        seen.count()
    )
}
