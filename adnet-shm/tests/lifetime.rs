//! Segments come and go without a trace: removal, forked owners, sweeping, a full /dev/shm, and no
//! descriptor left in a side.

mod common;

use std::process::Command;

use adnet_shm::{HeartbeatSegment, Segment, ShmError, unlink_stale};
use common::*;

#[test]
fn a_segment_is_gone_after_drop_while_attached_sides_go_on() {
    let (segment, mut producer, mut consumer) = ring("gone", 4096, 0);
    let name = segment.name().to_owned();
    assert!(exists(&name));
    drop(segment);
    assert!(!exists(&name));
    send(&mut producer, 1, b"still mapped");
    assert!(consumer.try_recv().expect("not corrupt").is_some());
}

#[test]
fn a_side_keeps_no_descriptor_and_cannot_write_to_the_other() {
    let (segment, _producer, _consumer) = ring("maps", 4096, 0);
    let held = std::fs::read_dir("/proc/self/fd")
        .expect("procfs")
        .filter_map(|entry| std::fs::read_link(entry.expect("entry").path()).ok())
        .filter(|target| target.ends_with(segment.name()))
        .count();
    assert_eq!(held, 1, "the owner's own descriptor only");
    // Owner: one writable range. Producer and consumer: read-only where the other writes.
    let maps = std::fs::read_to_string("/proc/self/maps").expect("procfs");
    let mut rights: Vec<(u64, String)> = maps
        .lines()
        .filter(|line| line.ends_with(segment.name()))
        .map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let offset = u64::from_str_radix(fields[2], 16).expect("offset");
            (offset, fields[1].to_owned())
        })
        .collect();
    rights.sort();
    let rights: Vec<(u64, &str)> = rights.iter().map(|(at, r)| (*at, r.as_str())).collect();
    assert_eq!(
        rights,
        [
            (0, "r--s"),      // producer: header
            (0, "r--s"),      // consumer: header and producer page
            (0, "rw-s"),      // owner
            (0x1000, "rw-s"), // producer: own page
            (0x2000, "r--s"), // producer: consumer page
            (0x2000, "rw-s"), // consumer: own page
            (0x3000, "r--s"), // consumer: data
            (0x3000, "rw-s"), // producer: data
        ]
    );
}

#[test]
fn a_forked_child_does_not_take_the_name_away() {
    let segment = Segment::create(&spec("fork", 4096)).expect("room");
    let name = segment.name().to_owned();
    // SAFETY: the child only drops the segment (an munmap and a close) and leaves at once.
    match unsafe { nix::unistd::fork() }.expect("fork") {
        nix::unistd::ForkResult::Child => {
            drop(segment);
            // SAFETY: ends the child without running the test harness's exit handlers.
            unsafe { nix::libc::_exit(0) }
        }
        nix::unistd::ForkResult::Parent { child } => {
            nix::sys::wait::waitpid(child, None).expect("child");
            assert!(exists(&name));
            drop(segment);
            assert!(!exists(&name));
        }
    }
}

#[test]
fn the_sweep_removes_only_what_dead_processes_left() {
    let mut child = Command::new("true").spawn().expect("true");
    let dead_pid = child.id();
    child.wait().expect("child");
    let prefix = format!("adnet-sweep{}-", std::process::id());
    let make = |pid: u32, rest: &str| {
        let mut spec = spec("sweep", 4096);
        spec.name = format!("{prefix}{pid}-{rest}");
        Segment::create(&spec).expect("room")
    };
    let left_behind = [make(dead_pid, "a"), make(dead_pid, "b")];
    let mine = make(std::process::id(), "mine");
    // Pid in use, but by a process that started at another time than the header says.
    let reused = make(1, "reused");
    let strange = make(dead_pid, "x");
    let other_shape = format!("{prefix}other");
    std::fs::write(format!("/dev/shm/{other_shape}"), b"").expect("room");

    assert_eq!(
        unlink_stale(&prefix),
        3,
        "reused: its header names another owner"
    );
    assert_eq!(unlink_stale(&prefix), 0);
    assert!(!left_behind.iter().any(|segment| exists(segment.name())));
    assert!(exists(mine.name()));
    assert!(exists(reused.name()), "the header does not speak of pid 1");
    assert!(exists(&other_shape));
    drop(strange);
    std::fs::remove_file(format!("/dev/shm/{other_shape}")).expect("there");
}

#[test]
fn a_segment_larger_than_the_free_space_is_refused_and_leaves_nothing() {
    const CHILD: &str = "ADNET_SHM_TEST_SMALL";
    if std::env::var_os(CHILD).is_some() {
        in_a_small_shm();
        return;
    }
    // A /dev/shm of 256 KiB, seen only by one child in a mount namespace of its own.
    let me = std::env::current_exe().expect("path of the test");
    let script = format!(
        "mount -t tmpfs -o size=256k none /dev/shm && exec {} --exact \
         a_segment_larger_than_the_free_space_is_refused_and_leaves_nothing --nocapture",
        me.display()
    );
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", &script])
        .env(CHILD, "1")
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            eprintln!("skipped: unshare is not available: {error}");
            return;
        }
    };
    let text = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    if !output.status.success() && text.contains("Operation not permitted") {
        eprintln!("skipped: no right to make a mount namespace");
        return;
    }
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}

fn in_a_small_shm() {
    let left = || std::fs::read_dir("/dev/shm").expect("mounted").count();
    let error = Segment::create(&spec("big", 1 << 20)).expect_err("four times too large");
    assert!(matches!(error, ShmError::NoSpace { .. }), "{error}");
    assert!(error.to_string().contains("too full"), "{error}");
    assert_eq!(left(), 0);
    // Fill up to the last byte: creation succeeds while there is room and then says that there is
    // none; no touch of any of them is a SIGBUS.
    let mut segments = Vec::new();
    let refused = loop {
        match Segment::create(&spec("fill", 4096)) {
            Ok(segment) => segments.push(segment),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, ShmError::NoSpace { .. }), "{refused}");
    assert_eq!(segments.len(), 16);
    for segment in &segments {
        let mut producer = attach_producer(segment);
        for _ in 0..7 {
            producer
                .try_loan(512)
                .expect("room")
                .commit(1, 0, 512)
                .expect("not fenced");
        }
    }
    let heartbeat = HeartbeatSegment::create(&fresh_name("beat"), 1, [0; 16]);
    assert!(matches!(heartbeat, Err(ShmError::NoSpace { .. })));
    drop(segments);
    assert_eq!(left(), 0);
}
