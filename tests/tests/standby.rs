//! Alpha's standby in a real node: it takes the place of a worker that is killed, with its key built,
//! and is itself no condition for anything: not for the worker, not for a stop, not for a restart.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use adnet_tests::harness::{
    Api, Options, Process, Signal, TestNode, eventually, eventually_within,
};

/// For a stop in which nothing has to be waited for; the deadline of the configuration is 10 s.
const PROMPT: Duration = Duration::from_secs(3);

fn node() -> TestNode {
    TestNode::start(Options {
        alpha_standby: true,
        ..Options::default()
    })
}

/// What the API says about its proofs, as soon as it says anything.
fn proofs_ready_at_first(api: &Api) -> bool {
    eventually("the API answers", || {
        api.get("/v1/status").ok()?["proofs_ready"].as_bool()
    })
}

fn await_proofs(api: &Api) {
    eventually_within(Duration::from_secs(60), "the key is built", || {
        let status = api.get("/v1/status").ok()?;
        (status["proofs_ready"] == true).then_some(())
    });
}

/// Kills the worker of Alpha; back when it is gone.
fn kill(process: Process) {
    process.signal(Signal::SIGKILL);
    eventually("the kernel ends it", || (!process.is_alive()).then_some(()));
}

fn grows(node: &TestNode) {
    let api = node.alpha();
    let from = eventually("the API answers", || api.height().ok());
    eventually("blocks come", || {
        (api.height().ok()? >= from + 2).then_some(())
    });
}

fn metric(node: &TestNode, line: &str) -> Option<()> {
    let (_, page) = node.metrics().text("/metrics").ok()?;
    page.lines().any(|found| found == line).then_some(())
}

#[test]
fn it_takes_over_with_its_key_and_another_one_follows() {
    let node = node();
    let first = node.ready_standby();
    eventually("the metrics tell of it", || {
        metric(
            &node,
            "adnet_standby_ready{role=\"supervisor\",chain=\"alpha\"} 1",
        )
    });
    assert!(node.chain("delta")["standby"].is_null(), "Delta needs none");
    let (_, page) = node.metrics().text("/metrics").expect("it answers");
    assert!(!page.contains("adnet_standby_ready{role=\"supervisor\",chain=\"delta\"}"));

    kill(node.worker("alpha"));
    let ready = proofs_ready_at_first(&node.alpha());
    assert!(ready, "a standby answers with its key built");
    let worker = eventually("the standby is the worker", || {
        (node.worker("alpha") == first).then_some(first)
    });
    let chain = node.chain("alpha");
    let counts = ["incarnation", "restarts", "takeovers"].map(|name| chain[name].as_u64());
    assert_eq!(counts, [Some(2), Some(1), Some(1)], "{chain}");
    let begun = node.logged("alpha_runtime_started");
    let begun = begun.last().expect("it says so");
    assert_eq!(begun["pid"], worker.pid, "{begun}");
    assert_eq!(begun["incarnation"], 2, "{begun}");
    eventually("the metrics count it", || {
        metric(
            &node,
            "adnet_standby_takeovers_total{role=\"supervisor\",chain=\"alpha\"} 1",
        )
    });
    grows(&node);

    // Again, with the one that came after it.
    let second = node.ready_standby();
    assert_ne!(second, first);
    kill(worker);
    assert!(proofs_ready_at_first(&node.alpha()));
    assert_eq!(node.worker("alpha"), second);
    grows(&node);
    assert_eq!(node.outages().refused(), 0);
}

/// The negative control: what a node without a standby does.
#[test]
fn without_it_the_key_comes_later() {
    let node = TestNode::start(Options::default());
    let worker = node.worker("alpha");
    assert!(node.chain("alpha")["standby"].is_null());
    await_proofs(&node.alpha());
    kill(worker);
    let ready = proofs_ready_at_first(&node.alpha());
    assert!(!ready, "a fresh worker answers before its key is built");
    grows(&node);
    await_proofs(&node.alpha());
}

#[test]
fn its_death_brings_another_and_touches_nothing_else() {
    let node = node();
    let worker = node.worker("alpha");
    // While it prepares itself, and when it is ready.
    let unready = node.standby();
    kill(unready);
    let second = eventually("another one comes", || {
        Some(node.standby()).filter(|standby| *standby != unready)
    });
    assert_eq!(node.ready_standby(), second);
    kill(second);
    let third = eventually("another one comes", || {
        Some(node.standby()).filter(|standby| *standby != second)
    });
    assert_eq!(
        node.worker("alpha"),
        worker,
        "the worker has noticed nothing"
    );
    assert_eq!(node.chain("alpha")["restarts"], 0);
    assert!(third.is_alive());
    grows(&node);
}

#[test]
fn both_at_once_bring_a_fresh_worker() {
    let node = node();
    let (worker, standby) = (node.worker("alpha"), node.ready_standby());
    standby.signal(Signal::SIGKILL);
    worker.signal(Signal::SIGKILL);
    let fresh = eventually("a fresh one is at work", || {
        let now = node.worker("alpha");
        (now != worker && now != standby && now.is_alive()).then_some(now)
    });
    assert!(node.supervisor().children().contains(&fresh));
    grows(&node);
    // No input was in hand at either death, so none is set aside.
    let set_aside = "an input was in hand at two deaths of this worker: it is set aside and not delivered again";
    assert!(node.logged(set_aside).is_empty());
    let next = node.standby();
    assert!(next != standby && next != fresh);
}

#[test]
fn one_that_is_not_ready_or_stopped_is_not_called() {
    let node = node();
    let unready = node.standby();
    let worker = node.worker("alpha");
    kill(worker);
    let fresh = eventually("a fresh one is at work", || {
        Some(node.worker("alpha")).filter(|now| *now != worker)
    });
    assert_ne!(fresh, unready);
    // It goes on preparing itself, and serves the next death; unless it is stopped then.
    assert_eq!(node.ready_standby(), unready);
    unready.signal(Signal::SIGSTOP);
    eventually("it is stopped", || (state(unready) == 'T').then_some(()));
    kill(fresh);
    let next = eventually("a fresh one is at work", || {
        Some(node.worker("alpha")).filter(|now| *now != fresh)
    });
    assert_ne!(next, unready);
    assert!(!unready.is_alive(), "nobody waits for it");
    grows(&node);
}

#[test]
fn it_ends_with_its_supervisor_however_that_ends() {
    let mut node = node();
    // Killed while the standby prepares itself, and when it is ready: `kill` insists that no process
    // outlives the supervisor by 500 ms.
    node.standby();
    node.kill();
    node.restart();
    let ready = node.ready_standby();
    node.kill();
    assert!(!ready.is_alive());
    node.restart();
    // Stopped in order, in the midst of its preparation.
    let unready = node.standby();
    let begun = Instant::now();
    let status = node.stop();
    let took = begun.elapsed();
    assert!(status.success(), "{status}");
    assert!(took < PROMPT, "the stop took {took:?}");
    assert!(!unready.is_alive());
}

#[test]
fn it_is_confined_before_it_waits_and_holds_what_it_was_granted() {
    let node = node();
    let standby = node.ready_standby();
    let status = fs::read_to_string(entry(standby, "status")).expect("it lives");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.expect("the kernel tells it").trim().to_owned()
    };
    assert_eq!(field("Seccomp:"), "2");
    assert_eq!(field("Seccomp_filters:"), "3");
    assert_eq!(field("NoNewPrivs:"), "1");
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    assert_eq!(field("Name:"), "adnet-standby");
    assert_eq!(descriptors(standby), [0, 1, 2, 3, 4, 5, 7]);
    let call_socket = fs::read_link(entry(standby, "fd/7")).expect("it waits there");
    // What has built the key at a low priority is gone, and nobody else was slowed down.
    eventually("one thread waits, one watches the supervisor", || {
        (nice_values(standby) == [0, 0]).then_some(())
    });

    kill(node.worker("alpha"));
    eventually("the standby is the worker", || {
        (node.worker("alpha") == standby).then_some(())
    });
    let status = fs::read_to_string(entry(standby, "status")).expect("it lives");
    assert!(status.contains("Name:\tadnet-alpha\n"), "{status}");
    // Its number may be another's by now.
    let after = fs::read_link(entry(standby, "fd/7")).ok();
    assert_ne!(after, Some(call_socket), "the call is over");
    // The thread that verifies steps back a little by itself; nobody has the standby's priority.
    assert!(nice_values(standby).iter().all(|nice| *nice < 5));
}

fn entry(process: Process, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{}/{name}", process.pid))
}

fn numbers_in(folder: PathBuf) -> Vec<u32> {
    let entries = fs::read_dir(folder).expect("it lives");
    let names = entries
        .flatten()
        .filter_map(|e| e.file_name().into_string().ok());
    let mut numbers: Vec<u32> = names.filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

fn descriptors(process: Process) -> Vec<u32> {
    numbers_in(entry(process, "fd"))
}

/// What the kernel tells of a process or a thread that lives, from its state on.
fn fields(path: PathBuf) -> Option<Vec<String>> {
    let line = fs::read_to_string(path).ok()?;
    let (_, rest) = line.rsplit_once(") ").expect("a name in brackets");
    Some(rest.split(' ').map(str::to_owned).collect())
}

fn state(process: Process) -> char {
    let fields = fields(entry(process, "stat")).expect("it lives");
    fields[0].chars().next().expect("a letter")
}

/// Of each of its threads.
fn nice_values(process: Process) -> Vec<i32> {
    let threads = numbers_in(entry(process, "task"));
    let nice = |thread| {
        let fields = fields(entry(process, &format!("task/{thread}/stat")))?;
        Some(fields[16].parse().expect("a number"))
    };
    threads.into_iter().filter_map(nice).collect()
}
