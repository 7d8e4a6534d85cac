//! The ring beside its peers, in one run, between two processes pinned to two cores.
//!
//! Criterion drives the runs; HdrHistogram keeps the tails, which criterion does not have. Two
//! tables are made, one with both sides polling and one with both sides blocking, because the two
//! are different questions. In the table of blocking links both sides sleep in the kernel each time,
//! the ring too, on its futex or on an eventfd. By default the ring does neither: it looks for about
//! 30 µs and sleeps only if nothing came. That wait has a table of its own, and is never put among
//! links that sleep; the goal that compares it with a Unix socket names it for what it is.
//!
//! The figures that the goals speak of are ratios. They are measured in short rounds in which the
//! ring and its peer take turns, since on a virtual machine the distance between two cores changes
//! from minute to minute; the median of the rounds counts.

use std::time::Duration;

use adnet_benches::link::{
    Doorbell, Floor, Iceoryx, IpcBytes, Link, Pipe, Ring, Session, Sleeper, SleepingFloor,
    SpinThenFutex, Task, Tcp, UnixSocket, Wait, rtrb_round_trips, serve_if_peer,
    std_mpsc_round_trips,
};
use adnet_benches::report::{directory, row, table};
use criterion::{BenchmarkId, Criterion, Throughput};
use hdrhistogram::Histogram;

/// Words in a message: 64 B, 256 B, 1 KB, 64 KB.
const SIZES_WORDS: [usize; 4] = [8, 32, 128, 8192];
/// Messages between two flushes.
const BATCHES: [usize; 3] = [1, 8, 64];
/// Rounds for the ratios.
const ROUNDS: usize = 9;

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 10_000_000_000, 3).expect("valid bounds")
}

fn bytes_name(words: usize) -> String {
    match words * 8 {
        bytes if bytes < 1024 => format!("{bytes} B"),
        bytes => format!("{} KB", bytes / 1024),
    }
}

/// Lines of one of the two tables.
#[derive(Default)]
struct Lines(Vec<Vec<String>>);

impl Lines {
    fn latency(&mut self, link: &str, words: usize, tail: &Histogram<u64>) {
        self.line(link, &bytes_name(words), tail);
    }

    /// A wake that carries nothing.
    fn floor(&mut self, name: &str, tail: &Histogram<u64>) {
        self.line(name, "none", tail);
    }

    fn line(&mut self, name: &str, message: &str, tail: &Histogram<u64>) {
        let quantile = |q| format!("{} ns", tail.value_at_quantile(q));
        let mut line = vec![name.to_owned(), message.to_owned()];
        line.extend([0.5, 0.99, 0.999].map(quantile));
        self.0.push(line);
    }

    fn finish(self, title: &str, heading: &[&str]) -> String {
        let mut lines = vec![heading.iter().map(|&cell| cell.to_owned()).collect()];
        lines.extend(self.0);
        format!("\n{title}\n\n{}", table(&lines))
    }
}

/// All sizes and batches of one link.
fn compare<L: Link>(criterion: &mut Criterion, wait: Wait, latency: &mut Lines, rate: &mut Lines) {
    let mut group = criterion.benchmark_group(format!("round trip, {}", wait.name()));
    for words in SIZES_WORDS {
        let mut session = Session::<L>::start(wait, Task::Echo, words, 1);
        let mut tail = histogram();
        group.bench_function(BenchmarkId::new(L::NAME, bytes_name(words)), |bencher| {
            bencher.iter_custom(|count| session.round_trips(count, &mut tail));
        });
        latency.latency(L::NAME, words, &tail);
    }
    group.finish();

    let mut group = criterion.benchmark_group(format!("stream, {}", wait.name()));
    for words in SIZES_WORDS {
        let mut line = vec![L::NAME.to_owned(), bytes_name(words)];
        for batch in BATCHES {
            let mut session = Session::<L>::start(wait, Task::Sink, words, batch);
            let (mut batches, mut elapsed) = (0u64, Duration::ZERO);
            group.throughput(Throughput::Elements(batch as u64));
            let id = BenchmarkId::new(L::NAME, format!("{} x {batch}", bytes_name(words)));
            group.bench_function(id, |bencher| {
                bencher.iter_custom(|count| {
                    let took = session.stream(count);
                    batches += count;
                    elapsed += took;
                    took
                });
            });
            let rate = batches as f64 * batch as f64 / elapsed.as_secs_f64();
            line.push(format!("{:.3} M/s", rate / 1e6));
        }
        rate.0.push(line);
    }
    group.finish();
}

const LATENCY_HEADING: [&str; 5] = ["link", "message", "p50", "p99", "p99.9"];
const RATE_HEADING: [&str; 5] = ["link", "message", "1", "8", "64"];

fn tables(criterion: &mut Criterion, wait: Wait) -> String {
    let (mut latency, mut rate) = (Lines::default(), Lines::default());
    match wait {
        Wait::Polling => latency.floor(Floor::NAME, &floor_tail(300_000)),
        Wait::Blocking => {
            for sleeper in [Sleeper::Futex, Sleeper::Eventfd] {
                latency.floor(sleeper.name(), &sleeping_tail(sleeper, 20_000));
            }
        }
    }
    compare::<Ring>(criterion, wait, &mut latency, &mut rate);
    if wait == Wait::Blocking {
        compare::<Ring<Doorbell>>(criterion, wait, &mut latency, &mut rate);
    }
    compare::<Iceoryx>(criterion, wait, &mut latency, &mut rate);
    compare::<UnixSocket>(criterion, wait, &mut latency, &mut rate);
    compare::<Pipe>(criterion, wait, &mut latency, &mut rate);
    compare::<Tcp>(criterion, wait, &mut latency, &mut rate);
    compare::<IpcBytes>(criterion, wait, &mut latency, &mut rate);
    let mut tail = histogram();
    std_mpsc_round_trips(wait, 20_000, &mut tail);
    latency.latency("std mpsc, threads of one process", 8, &tail);
    if wait == Wait::Polling {
        let mut tail = histogram();
        rtrb_round_trips(100_000, &mut tail);
        latency.latency("rtrb, threads of one process", 8, &tail);
    }
    let name = wait.name();
    latency.finish(
        &format!("Round trip between two processes, all {name}"),
        &LATENCY_HEADING,
    ) + &rate.finish(
        &format!("One way between two processes, all {name}, by messages per batch"),
        &RATE_HEADING,
    )
}

/// The ring's default wait, beside nothing: no peer waits in this way.
fn default_wait_tables(criterion: &mut Criterion) -> String {
    let (mut latency, mut rate) = (Lines::default(), Lines::default());
    compare::<Ring<SpinThenFutex>>(criterion, Wait::Blocking, &mut latency, &mut rate);
    latency.finish(
        "Round trip between two processes, bounded spin, then futex (neither polling nor blocking)",
        &LATENCY_HEADING,
    ) + &rate.finish(
        "One way between two processes, bounded spin, then futex, by messages per batch",
        &RATE_HEADING,
    )
}

fn floor_tail(count: u64) -> Histogram<u64> {
    let mut tail = histogram();
    Floor::start().round_trips(count, &mut tail);
    tail
}

fn sleeping_tail(sleeper: Sleeper, count: u64) -> Histogram<u64> {
    let mut tail = histogram();
    SleepingFloor::start(sleeper).round_trips(count, &mut tail);
    tail
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Median round trip of a fresh session, in nanoseconds.
fn p50<L: Link>(wait: Wait, count: u64) -> f64 {
    let mut session = Session::<L>::start(wait, Task::Echo, 8, 1);
    session.round_trips(count / 10, &mut histogram());
    let mut tail = histogram();
    session.round_trips(count, &mut tail);
    tail.value_at_quantile(0.5) as f64
}

/// Messages of 64 bytes per second in batches of 64, in millions.
fn rate<L: Link>(batches: u64) -> f64 {
    let mut session = Session::<L>::start(Wait::Polling, Task::Sink, 8, 64);
    session.stream(batches / 10);
    batches as f64 * 64.0 / session.stream(batches).as_secs_f64() / 1e6
}

fn polling_rows(rounds: &[(f64, f64, f64)]) {
    let of = |value: fn(&(f64, f64, f64)) -> f64| median(rounds.iter().map(value).collect());
    let (floor, ring, iceoryx) = (of(|r| r.0), of(|r| r.1), of(|r| r.2));
    row(
        "ring",
        "round trip p50, 64 B, polling, against bare cache lines",
        "<= 1.3 x",
        &format!("{:.2} x ({ring:.0} ns)", of(|r| r.1 / r.0)),
        &format!("bare {floor:.0} ns"),
    );
    row(
        "ring",
        "round trip p50, 64 B, polling, against iceoryx2",
        ">= 4 x faster",
        &format!("{:.1} x ({ring:.0} ns)", of(|r| r.2 / r.1)),
        &format!("iceoryx2 0.10 {iceoryx:.0} ns"),
    );
}

/// One round of the ratios: bare cache lines, ring, iceoryx2, as medians in nanoseconds. `None` if
/// the distance between the two cores changed meanwhile.
fn polling_round() -> Option<(f64, f64, f64)> {
    let floor = || floor_tail(50_000).value_at_quantile(0.5) as f64;
    let before = floor();
    let ring = p50::<Ring>(Wait::Polling, 50_000);
    let between = floor();
    let iceoryx = p50::<Iceoryx>(Wait::Polling, 50_000);
    let after = floor();
    let floors = [before, between, after];
    let (least, most) = floors
        .iter()
        .fold((f64::MAX, 0f64), |(least, most), &floor| {
            (least.min(floor), most.max(floor))
        });
    (most <= 1.25 * least).then_some((floors.iter().sum::<f64>() / 3.0, ring, iceoryx))
}

fn goals() {
    let mut rounds = Vec::new();
    for _ in 0..4 * ROUNDS {
        rounds.extend(polling_round());
        if rounds.len() == ROUNDS {
            break;
        }
    }
    if rounds.is_empty() {
        println!("the machine is too unsteady for the ratios of the ring; none is recorded");
    } else {
        polling_rows(&rounds);
    }

    let rates: Vec<(f64, f64)> = (0..ROUNDS)
        .map(|_| (rate::<Ring>(100_000), rate::<Iceoryx>(10_000)))
        .collect();
    let ring = median(rates.iter().map(|r| r.0).collect());
    let iceoryx = median(rates.iter().map(|r| r.1).collect());
    row(
        "ring",
        "messages/s, 64 B, batch 64, polling",
        ">= 20 M/s",
        &format!("{ring:.1} M/s"),
        "",
    );
    row(
        "ring",
        "messages/s, 64 B, batch 64, polling, against iceoryx2",
        ">= 4 x",
        &format!("{:.1} x", median(rates.iter().map(|r| r.0 / r.1).collect())),
        &format!("iceoryx2 0.10 {iceoryx:.1} M/s"),
    );

    blocking_rows();
}

/// Both sides asleep each time, and the ring's own wait against a socket whose readers sleep.
fn blocking_rows() {
    const COUNT: u64 = 2_000;
    struct Round {
        futex: f64,
        doorbell: f64,
        bare_futex: f64,
        socket: f64,
        pipe: f64,
        spinning: f64,
    }
    let rounds: Vec<Round> = (0..ROUNDS)
        .map(|_| Round {
            futex: p50::<Ring>(Wait::Blocking, COUNT),
            doorbell: p50::<Ring<Doorbell>>(Wait::Blocking, COUNT),
            bare_futex: sleeping_tail(Sleeper::Futex, COUNT).value_at_quantile(0.5) as f64,
            socket: p50::<UnixSocket>(Wait::Blocking, COUNT),
            pipe: p50::<Pipe>(Wait::Blocking, COUNT),
            spinning: p50::<Ring<SpinThenFutex>>(Wait::Blocking, 50_000),
        })
        .collect();
    let of = |value: fn(&Round) -> f64| median(rounds.iter().map(value).collect());
    row(
        "ring",
        "round trip p50, 64 B, ring with bounded spin against a blocking Unix socket",
        ">= 50 x faster",
        &format!(
            "{:.0} x ({:.0} ns)",
            of(|r| r.socket / r.spinning),
            of(|r| r.spinning)
        ),
        &format!("Unix socket {:.0} ns", of(|r| r.socket)),
    );
    row(
        "ring",
        "round trip p50, 64 B, both asleep each time, by futex",
        "",
        &format!("{:.1} us", of(|r| r.futex) / 1e3),
        &format!(
            "Unix socket {:.2} x ({:.1} us), pipe {:.2} x, bare futex {:.2} x",
            of(|r| r.socket / r.futex),
            of(|r| r.socket) / 1e3,
            of(|r| r.pipe / r.futex),
            of(|r| r.bare_futex / r.futex)
        ),
    );
    row(
        "ring",
        "round trip p50, 64 B, both asleep each time, by eventfd",
        "",
        &format!("{:.1} us", of(|r| r.doorbell) / 1e3),
        &format!(
            "Unix socket {:.2} x ({:.1} us), pipe {:.2} x",
            of(|r| r.socket / r.doorbell),
            of(|r| r.socket) / 1e3,
            of(|r| r.pipe / r.doorbell)
        ),
    );
}

/// A few messages over one link, to see that it works.
fn try_out<L: Link>() {
    for wait in [Wait::Polling, Wait::Blocking] {
        for words in SIZES_WORDS {
            Session::<L>::start(wait, Task::Echo, words, 1).round_trips(20, &mut histogram());
            Session::<L>::start(wait, Task::Sink, words, 8).stream(4);
        }
    }
}

fn main() {
    serve_if_peer();
    adnet_shm::unlink_stale("adnet-bench-");
    // As `cargo test --benches` asks for: no figures.
    if std::env::args().any(|argument| argument == "--test") {
        floor_tail(20);
        sleeping_tail(Sleeper::Futex, 20);
        sleeping_tail(Sleeper::Eventfd, 20);
        try_out::<Ring>();
        try_out::<Ring<Doorbell>>();
        try_out::<Ring<SpinThenFutex>>();
        try_out::<Iceoryx>();
        try_out::<UnixSocket>();
        try_out::<Pipe>();
        try_out::<Tcp>();
        try_out::<IpcBytes>();
        return;
    }
    goals();
    let mut criterion = Criterion::default()
        .without_plots()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(300))
        .configure_from_args();
    let text = tables(&mut criterion, Wait::Polling)
        + &tables(&mut criterion, Wait::Blocking)
        + &default_wait_tables(&mut criterion);
    criterion.final_summary();
    println!("{text}");
    std::fs::create_dir_all(directory())
        .and_then(|()| std::fs::write(directory().join("ring.txt"), text))
        .expect("the target directory can be written");
}
