//! The heartbeat line between two real processes, and the early warning of a death.

mod common;

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use adnet_shm::{Heartbeat, HeartbeatSegment, ShmError};
use common::*;

const CHILD: &str = "ADNET_SHM_TEST_BEAT";
const WORKER_ID: u32 = 3;

/// Not a test of its own: the worker's side, when started with the name of a segment.
#[test]
fn child_worker() {
    let Ok(name) = std::env::var(CHILD) else {
        return;
    };
    let heartbeat = Arc::new(Heartbeat::attach(&name, WORKER_ID, 1).expect("attach"));
    heartbeat.watch_death().expect("robust list");
    heartbeat.mark_ready();
    for progress in 0.. {
        heartbeat.beat(2, progress);
        if heartbeat.stop_requested().expect("hint") {
            std::process::exit(0);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn start(segment: &HeartbeatSegment) -> Child {
    let child = Command::new(std::env::current_exe().expect("path of the test"))
        .args(["--exact", "child_worker", "--nocapture"])
        .env(CHILD, segment.name())
        .stdout(Stdio::null())
        .spawn()
        .expect("child");
    until("ready", || segment.is_ready().expect("hint"));
    child
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn beats_are_seen_and_the_stop_hint_ends_the_worker() {
    let segment = HeartbeatSegment::create(&fresh_name("beat"), WORKER_ID, [1; 16]).expect("room");
    assert!(!segment.is_ready().expect("hint"));
    let mut child = start(&segment);
    until("progress", || segment.read().progress > 3);
    let beat = segment.read();
    assert_eq!((beat.state, beat.epoch), (2, 1));
    assert!(beat.monotonic_ns > 0);
    assert!(!segment.wait_for_death(Duration::from_millis(20)));
    segment.request_stop();
    assert!(child.wait().expect("child").success());
    assert_eq!(segment.bump_epoch(), 2);
    assert!(
        !segment.is_ready().expect("hint"),
        "cleared for the successor"
    );
    let stale = Heartbeat::attach(segment.name(), WORKER_ID, 1);
    assert!(matches!(stale, Err(ShmError::StaleEpoch { .. })));
    let successor = Heartbeat::attach(segment.name(), WORKER_ID, 2).expect("attach");
    assert!(!successor.stop_requested().expect("hint"));
}

#[test]
fn a_kill_is_reported_before_the_process_is_reaped() {
    let segment = HeartbeatSegment::create(&fresh_name("kill"), WORKER_ID, [1; 16]).expect("room");
    let mut child = start(&segment);
    until("watch", || segment.is_watched());
    let (told, warned) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let died = segment.wait_for_death(Duration::from_secs(20));
            told.send((died, Instant::now())).expect("receiver waits");
        });
        let killed_at = Instant::now();
        child.kill().expect("kill");
        let (died, at) = warned.recv().expect("answer");
        assert!(died);
        let latency = at - killed_at;
        assert!(latency < Duration::from_secs(2), "{latency:?}");
        child.wait().expect("child");
    });
}

#[test]
fn a_worker_without_a_watch_is_not_reported() {
    let segment = HeartbeatSegment::create(&fresh_name("none"), WORKER_ID, [1; 16]).expect("room");
    assert!(!segment.wait_for_death(Duration::from_secs(20)), "at once");
    let other = Heartbeat::attach(segment.name(), WORKER_ID + 1, 1);
    assert!(matches!(other, Err(ShmError::RingMismatch { .. })));
    let ring_instead = adnet_shm::Producer::attach(segment.name(), &EXPECT, 1);
    assert!(matches!(ring_instead, Err(ShmError::HeaderField("form"))));
}
