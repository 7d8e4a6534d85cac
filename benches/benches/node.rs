//! Whole nodes of the real binary: start on an empty directory, recovery of a killed worker, and
//! what an idle node takes.
//!
//! The peer of a start is one `adnet version` of the same run: a process that is executed, linked
//! and ends, the floor of every start.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use adnet_alpha::tx::{Transaction, approve, assemble_private_mint};
use adnet_benches::report::row;
use adnet_common::genesis::dev_governor_seed;
use adnet_tests::harness::{Api, Failure, Options, Process, Signal, TestNode, binary};
use adnet_tests::shielded;

/// Per kind; an odd number has a median.
const STARTS: usize = 11;
/// Nodes in which each worker is killed once. A worker that dies again soon waits longer each time,
/// by the supervisor's back-off: that is policy, and no figure of speed.
const KILLED_NODES: usize = 20;
const PATIENCE: Duration = Duration::from_secs(20);
/// Four blocks of Alpha and twenty of Delta.
const IDLE: Duration = Duration::from_secs(60);
/// What a node has just done, such as opening its database, is over by then.
const SETTLE: Duration = Duration::from_secs(5);

struct Plan {
    starts: usize,
    killed_nodes: usize,
    idle: Duration,
    settle: Duration,
    is_test: bool,
}

impl Plan {
    fn report(&self, figure: &str, goal: &str, measured: &str, peer: &str) {
        println!("node: {figure}: {measured} (goal {goal}); {peer}");
        if !self.is_test {
            row("node", figure, goal, measured, peer);
        }
    }
}

fn main() {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let plan = if is_test {
        Plan {
            starts: 1,
            killed_nodes: 1,
            idle: Duration::from_secs(1),
            settle: Duration::ZERO,
            is_test,
        }
    } else {
        Plan {
            starts: STARTS,
            killed_nodes: KILLED_NODES,
            idle: IDLE,
            settle: SETTLE,
            is_test,
        }
    };
    start_on_empty_directories(&plan);
    kill_workers(&plan);
    idle(&plan);
}

/// Milliseconds in rising order.
fn sorted_ms(mut times: Vec<Duration>) -> Vec<f64> {
    times.sort_unstable();
    times.iter().map(|time| time.as_secs_f64() * 1e3).collect()
}

/// The value that this part of the sorted values does not exceed.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let place = (sorted.len() as f64 * part).ceil() as usize;
    sorted[place.clamp(1, sorted.len()) - 1]
}

fn words(sorted: &[f64]) -> String {
    format!(
        "p50 {:.0} ms, p99 {:.0} ms, max {:.0} ms of {}",
        quantile(sorted, 0.5),
        quantile(sorted, 0.99),
        sorted[sorted.len() - 1],
        sorted.len()
    )
}

/// A running `adnet run` that is stopped in order when dropped.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(process) = Process::of(self.0.id()) {
            process.signal(Signal::SIGTERM);
        }
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.0.try_wait(), Ok(None)) {
            if Instant::now() >= deadline {
                let _ = self.0.kill();
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn start_on_empty_directories(plan: &Plan) {
    let (mut ours, mut floors) = (Vec::new(), Vec::new());
    for _ in 0..plan.starts {
        let began = Instant::now();
        let version = Command::new(binary()).arg("version").output();
        assert!(version.expect("the binary runs").status.success());
        floors.push(began.elapsed());
        ours.push(start_once());
    }
    plan.report(
        "start on an empty directory -> both APIs answer",
        "<= 2 s",
        &words(&sorted_ms(ours)),
        &format!("`adnet version` {}", words(&sorted_ms(floors))),
    );
}

fn start_once() -> Duration {
    let directory = tempfile::tempdir().expect("a temporary directory");
    // Taken and given back: nobody else gets the port within the second that this takes.
    let held = [0; 5].map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    let [alpha, delta, metrics, alpha_p2p, delta_p2p] = held
        .each_ref()
        .map(|listener| listener.local_addr().expect("bound"));
    drop(held);
    let mut command = Command::new(binary());
    command
        .arg("run")
        .arg("--data-dir")
        .arg(directory.path().join("node"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    for (key, address) in [
        ("alpha.api_listen", alpha),
        ("delta.api_listen", delta),
        ("metrics.listen", metrics),
        ("alpha.p2p_listen", alpha_p2p),
        ("delta.p2p_listen", delta_p2p),
    ] {
        command.args(["--set", &format!("{key}={address}")]);
    }
    command.args(["--set", "network.discovery=false"]);
    let began = Instant::now();
    let _node = Started(command.spawn().expect("the binary runs"));
    for address in [alpha, delta] {
        until_answer(&Api::new(address, Arc::default()), began, &mut 0);
    }
    began.elapsed()
}

/// Waits for an answer; counts refused connections.
fn until_answer(api: &Api, began: Instant, refused: &mut u64) -> Duration {
    loop {
        match api.height() {
            Ok(_) => return began.elapsed(),
            Err(Failure::ConnectionRefused) => *refused += 1,
            Err(_) => {}
        }
        assert!(began.elapsed() < PATIENCE, "no answer");
        thread::sleep(Duration::from_millis(1));
    }
}

/// What a killed worker's API was asked for.
#[derive(Default)]
struct Recoveries {
    answers: Vec<Duration>,
    proofs: Vec<Duration>,
    refused: u64,
}

impl Recoveries {
    /// Kills the worker of a chain; back when its successor answers, and on Alpha when it has verified
    /// a shielded transaction.
    fn kill(&mut self, node: &TestNode, chain: &str, api: &Api) {
        let worker = node.worker(chain);
        worker.signal(Signal::SIGKILL);
        let began = Instant::now();
        // An answer of the victim itself would be no recovery.
        while worker.is_alive() {
            thread::sleep(Duration::from_micros(200));
        }
        self.answers
            .push(until_answer(api, began, &mut self.refused));
        if chain == "alpha" {
            self.proofs.push(until_verified(node, api, began));
        }
    }
}

/// A shielded transaction for the node's network whose signatures are of another one: all of it has
/// to be verified before it can be refused, and it can be sent again and again.
fn badly_signed(node: &TestNode) -> String {
    let real = shielded::transactions().swap_remove(0);
    let Transaction {
        mut payload,
        witness,
    } = Transaction::decode(&real).expect("a sound transaction");
    let proof = witness.proof().expect("a mint to a note").clone();
    payload.genesis = node.genesis.hash();
    let governors = node.genesis.alpha.governors.threshold as usize;
    let approval = |i| approve(&dev_governor_seed(i), &payload).expect("an ed25519 seed");
    let approvals = (0..governors).map(approval).collect();
    hex::encode(assemble_private_mint(payload, approvals, proof).encode())
}

/// Waits until the node says of a proof that it is bad.
fn until_verified(node: &TestNode, api: &Api, began: Instant) -> Duration {
    let body = serde_json::json!({"raw": badly_signed(node)});
    loop {
        let answer = api.post("/v1/transaction/broadcast", &body);
        match answer.expect_err("it is not good") {
            Failure::Refused { code, .. } if code == "BAD_PROOF" => return began.elapsed(),
            _ => assert!(began.elapsed() < PATIENCE, "nothing is verified"),
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn kill_workers(plan: &Plan) {
    let (mut both, mut alone) = (Recoveries::default(), Recoveries::default());
    for _ in 0..plan.killed_nodes {
        let options = Options {
            alpha_standby: true,
            ..Options::default()
        };
        let node = TestNode::start(options);
        node.ready_standby();
        both.kill(&node, "alpha", &node.alpha());
        both.kill(&node, "delta", &node.delta());
        drop(node);

        let node = TestNode::start(Options::default());
        until_verified(&node, &node.alpha(), Instant::now());
        alone.kill(&node, "alpha", &node.alpha());
    }
    plan.report(
        "worker kill -9 -> its API answers",
        "p50 <= 250 ms, p99 <= 1 s, 0 refused",
        &format!(
            "{}, {} refused connections",
            words(&sorted_ms(both.answers)),
            both.refused
        ),
        &format!(
            "Alpha without a standby {}",
            words(&sorted_ms(alone.answers))
        ),
    );
    plan.report(
        "Alpha's worker kill -9 -> a shielded transaction is verified again",
        "p50 <= 250 ms",
        &words(&sorted_ms(both.proofs)),
        &format!("without a standby {}", words(&sorted_ms(alone.proofs))),
    );
}

fn idle(plan: &Plan) {
    // The intervals of production.
    let node = TestNode::start(Options {
        alpha_interval_ms: 15_000,
        delta_interval_ms: 3_000,
        alpha_standby: true,
        ..Options::default()
    });
    let standby = node.ready_standby();
    until_verified(&node, &node.alpha(), Instant::now());
    thread::sleep(plan.settle);
    let mut processes = vec![node.supervisor()];
    processes.extend(node.supervisor().children());
    assert_eq!(processes.len(), 4, "supervisor, two workers, a standby");
    let (began, before) = (Instant::now(), cpu_seconds(&processes));
    thread::sleep(plan.idle);
    let share = (cpu_seconds(&processes) - before) / began.elapsed().as_secs_f64();
    let of_standby_kb = pss_kb(&standby);
    processes.retain(|process| *process != standby);
    let memory_kb: Vec<u64> = processes.iter().map(pss_kb).collect();
    let per_process: Vec<String> = memory_kb.iter().map(|kb| (kb / 1024).to_string()).collect();
    plan.report(
        "idle node, CPU",
        "< 3 % of one core",
        &format!("{:.2} %", share * 100.0),
        "",
    );
    plan.report(
        "idle node, PSS of the three processes",
        "<= 250 MB",
        &format!("{} MB", memory_kb.iter().sum::<u64>() / 1024),
        &format!(
            "of them {} MB; the standby adds {} MB",
            per_process.join(" + "),
            of_standby_kb / 1024
        ),
    );
}

/// CPU time that the processes have used, from their scheduler statistics (in nanoseconds, where
/// the ticks of /proc/PID/stat are too coarse for a node that does nearly nothing).
fn cpu_seconds(processes: &[Process]) -> f64 {
    let of_thread = |path: std::path::PathBuf| {
        let text = fs::read_to_string(path.join("schedstat")).unwrap_or_default();
        let first = text.split(' ').next().and_then(|word| word.parse().ok());
        first.unwrap_or(0u64)
    };
    let of_process = |process: &Process| {
        let threads = fs::read_dir(format!("/proc/{}/task", process.pid)).expect("it lives");
        threads
            .flatten()
            .map(|thread| of_thread(thread.path()))
            .sum::<u64>()
    };
    processes.iter().map(of_process).sum::<u64>() as f64 / 1e9
}

/// Memory of a process, of what it shares its part.
fn pss_kb(process: &Process) -> u64 {
    let path = format!("/proc/{}/smaps_rollup", process.pid);
    let text = fs::read_to_string(path).expect("it lives and is ours");
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kb = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok());
    kb.expect("the kernel tells a process's share")
}
