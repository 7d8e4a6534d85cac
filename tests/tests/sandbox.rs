//! The process layer with real processes: what a worker inherits, what it cannot do once it is
//! confined, that it serves HTTP there, and that it never outlives its supervisor.
//!
//! Each test drives `sandbox_probe` (see its header) and reads its answers.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use adnet_supervisor::process::exit_code;
use adnet_supervisor::process::hang::{Beat, HangJudge, HangKind, HangLimits, RunState, Verdict};
use adnet_supervisor::process::proc_stat;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Nothing here takes longer than a few milliseconds; the machine may be busy, though.
const PATIENCE: Duration = Duration::from_secs(20);

struct Probe {
    process: Child,
    /// Held open: its end tells the probe to end.
    _stdin: ChildStdin,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Probe {
    fn start(args: &[&str]) -> Probe {
        Probe::start_with(args, |command| command)
    }

    fn start_with(args: &[&str], prepare: impl FnOnce(&mut Command) -> &mut Command) -> Probe {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sandbox_probe"));
        command
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut process = prepare(&mut command)
            .spawn()
            .expect("the probe is built with the test");
        let stdin = process.stdin.take().expect("stdin is piped");
        let lines = BufReader::new(process.stdout.take().expect("stdout is piped")).lines();
        Probe {
            process,
            _stdin: stdin,
            lines,
        }
    }

    fn line(&mut self) -> String {
        self.lines
            .next()
            .expect("the probe says one more line")
            .expect("it is text")
    }

    fn after(&mut self, prefix: &str) -> String {
        let line = self.line();
        line.strip_prefix(prefix)
            .unwrap_or_else(|| panic!("{line:?}, not {prefix:?}"))
            .to_owned()
    }

    /// Reads up to the worker's number.
    fn worker(&mut self) -> (String, Pid) {
        let address = self.after("listening ");
        (
            address,
            Pid::from_raw(self.after("worker ").parse().expect("a number")),
        )
    }

    fn rest(mut self) -> Vec<String> {
        self.lines
            .by_ref()
            .map(|line| line.expect("it is text"))
            .collect()
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.process.id()).expect("numbers are small");
        kill(Pid::from_raw(pid), signal).expect("the probe runs");
    }

    fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the probe ends", || {
            status = self.process.try_wait().expect("it is our child");
            status.is_some()
        });
        status.expect("set above")
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Whether the process is gone; an orphan that init has not reaped yet counts as gone.
fn is_gone(pid: Pid) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat
            .rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with(['Z', 'X'])),
        Err(_) => true,
    }
}

fn status_field(pid: Pid, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the worker runs");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {field} in {status}"))
        .trim()
        .to_owned()
}

/// What a confined worker was answered, or how it ended.
fn try_in_sandbox(what: &str) -> String {
    let mut probe = Probe::start(&["supervise", "try", what]);
    probe.worker();
    probe.rest().join(", ")
}

#[test]
fn a_worker_inherits_what_it_was_granted_and_nothing_else() {
    let mut probe = Probe::start(&["supervise", "inherited"]);
    probe.worker();
    let mut lines = probe.rest();
    assert_eq!(lines.pop().as_deref(), Some("ended: exited with code 0"));
    let with = |prefix: &str| -> Vec<String> {
        let found = lines.iter().filter_map(|line| line.strip_prefix(prefix));
        let mut found: Vec<String> = found.map(|rest| rest.trim().to_owned()).collect();
        found.sort_unstable();
        found
    };
    assert_eq!(with("fd "), ["0", "1", "2", "3", "7"]);
    assert_eq!(with("env "), ["ADNET_PROBE=yes"]);
    assert_eq!(with("cwd "), ["/"]);
    assert_eq!(with("SigBlk:"), ["0000000000000000"]);
    // SIGINT (2), and SIGPIPE (13), which Rust's runtime ignores by itself. Signals 32 and 33 are
    // libc's own and stay as they are.
    let ignored = u64::from_str_radix(&with("SigIgn:")[0], 16).expect("a mask");
    assert_eq!(ignored & !0x1_8000_0000, 0x1002);
}

#[test]
fn the_kernel_confirms_that_a_worker_is_confined() {
    let mut probe = Probe::start(&["supervise", "confined"]);
    let (_, worker) = probe.worker();
    let report = probe.line();
    assert!(!report.contains("UNAVAILABLE"), "{report}");
    probe.after("ready");
    assert_eq!(status_field(worker, "Seccomp"), "2");
    assert_eq!(status_field(worker, "Seccomp_filters"), "3");
    assert_eq!(status_field(worker, "NoNewPrivs"), "1");
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(status_field(worker, set), "0000000000000000", "{set}");
    }
    if nix::unistd::geteuid().is_root() {
        assert_eq!(status_field(worker, "CapBnd"), "0000000000000000");
    }
    let limits = fs::read_to_string(format!("/proc/{worker}/limits")).expect("the worker runs");
    let limit = |name: &str| {
        limits
            .lines()
            .find(|line| line.starts_with(name))
            .map(str::to_owned)
    };
    let core = limit("Max core file size").expect("it is listed");
    assert_eq!(core.split_ascii_whitespace().nth(4), Some("0"), "{core}");
    let files = limit("Max open files").expect("it is listed");
    assert_eq!(
        files.split_ascii_whitespace().nth(3),
        Some("128"),
        "{files}"
    );
}

#[test]
fn forbidden_calls_are_refused() {
    for what in [
        "open",
        "openat",
        "stat",
        "readlink",
        "unlink",
        "mkdir",
        "memfd_create",
        "socket",
        "socketpair-datagram",
        "connect",
        "bind",
        "listen",
        "sendto-address",
        "sendmsg",
        "recvmsg",
        "attach-filter",
        "tiocsti",
        "fork",
        "vfork",
        "clone-namespace",
        "kill-parent",
        "tgkill-parent",
        "setpriority-parent",
        "setuid",
        "capset",
        "prlimit",
        "prctl-dumpable",
    ] {
        assert_eq!(
            try_in_sandbox(what),
            "EPERM, ended: exited with code 0",
            "{what}"
        );
    }
}

#[test]
fn calls_newer_than_the_policy_look_unknown() {
    for what in ["clone3", "openat2"] {
        assert_eq!(
            try_in_sandbox(what),
            "ENOSYS, ended: exited with code 0",
            "{what}"
        );
    }
}

#[test]
fn what_a_worker_needs_is_allowed() {
    for what in ["mmap-data", "tgkill-self", "setpriority-self"] {
        assert_eq!(
            try_in_sandbox(what),
            "allowed, ended: exited with code 0",
            "{what}"
        );
    }
}

#[test]
fn deadly_calls_end_the_worker() {
    for what in [
        "execve",
        "execveat",
        "mmap-exec",
        "mprotect-exec",
        "ptrace",
        "process_vm_readv",
        "pidfd_getfd",
        "mount",
        "unshare",
        "bpf",
        "perf_event_open",
        "io_uring_setup",
        "userfaultfd",
        "seccomp",
        "keyctl",
        "init_module",
        "reboot",
        "clock_settime",
    ] {
        let answer = try_in_sandbox(what);
        assert!(
            answer.starts_with("ended: killed by SIGSYS"),
            "{what}: {answer}"
        );
    }
}

#[test]
fn a_confined_worker_serves_http_on_the_inherited_socket() {
    let mut probe = Probe::start(&["supervise", "serve"]);
    let (address, worker) = probe.worker();
    probe.after("ready");
    let get = |path: &str| {
        let mut response = ureq::get(format!("http://{address}{path}"))
            .call()
            .expect(path);
        response.body_mut().read_to_string().expect("a text")
    };
    assert_eq!(get("/"), "hello from inside");
    assert_eq!(get("/sleep"), "slept");
    assert!(matches!(get("/threads").split_once(" of "), Some((ran, count)) if ran == count));
    let body = "x".repeat(1 << 20);
    let mut echoed = ureq::post(format!("http://{address}/echo"))
        .send(&body)
        .expect("echo");
    assert_eq!(echoed.body_mut().read_to_string().expect("a text"), body);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..25).for_each(|_| assert_eq!(get("/"), "hello from inside")));
        }
    });
    assert!(!is_gone(worker));
}

#[test]
fn a_worker_with_other_descriptors_or_a_thread_does_not_enter() {
    for (mode, reason) in [
        ("descriptor-too-many", "unexpected {4}, missing {}"),
        ("descriptor-too-few", "unexpected {}, missing {99}"),
        ("thread-too-early", "by a single thread, but there are 2"),
    ] {
        let mut probe = Probe::start(&["supervise", mode]);
        probe.worker();
        let answer = probe.line();
        assert!(
            answer.starts_with("refused: ") && answer.contains(reason),
            "{mode}: {answer}"
        );
    }
}

#[test]
fn root_can_give_a_worker_another_user() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let mut probe = Probe::start(&["supervise", "identity", "65534"]);
    let (_, worker) = probe.worker();
    probe.after("ready");
    assert_eq!(status_field(worker, "Uid"), "65534\t65534\t65534\t65534");
    assert_eq!(status_field(worker, "Gid"), "65534\t65534\t65534\t65534");
    assert_eq!(status_field(worker, "Groups"), "");
    assert_eq!(status_field(worker, "CapEff"), "0000000000000000");
    // The change of user cleared the parent-death signal; the sandbox set it again.
    probe.signal(Signal::SIGKILL);
    eventually("the worker follows its supervisor", || is_gone(worker));
}

#[test]
fn no_worker_outlives_its_supervisor() {
    for (mode, ready) in [
        ("sleep", None),
        ("lifetime", Some("watching")),
        ("no-pdeathsig", Some("watching")),
    ] {
        let mut probe = Probe::start(&["supervise", mode]);
        let (_, worker) = probe.worker();
        if let Some(ready) = ready {
            probe.after(ready);
        }
        assert!(!is_gone(worker));
        let killed = Instant::now();
        probe.signal(Signal::SIGKILL);
        eventually("the worker follows its supervisor", || is_gone(worker));
        println!(
            "{mode}: gone {:?} after its supervisor was killed",
            killed.elapsed()
        );
    }
}

#[test]
fn a_panic_in_any_thread_aborts_in_and_out_of_the_sandbox() {
    let mut probe = Probe::start(&["panic"]);
    let status = std::os::unix::process::ExitStatusExt::signal(&probe.ended());
    assert_eq!(status, Some(Signal::SIGABRT as i32));
    let mut probe = Probe::start(&["supervise", "abort"]);
    probe.worker();
    assert_eq!(probe.rest(), ["ended: killed by SIGABRT"]);
}

#[test]
fn a_confined_worker_takes_sigterm_as_an_event_and_ignores_sigint() {
    let mut probe = Probe::start(&["supervise", "stop-hint"]);
    let (_, worker) = probe.worker();
    probe.after("ready");
    kill(worker, Signal::SIGINT).expect("the worker runs");
    kill(worker, Signal::SIGTERM).expect("the worker runs");
    assert_eq!(probe.rest(), ["Some(Orderly)", "ended: exited with code 0"]);
}

#[test]
fn the_second_signal_asks_for_the_end_and_the_third_takes_it() {
    let mut probe = Probe::start(&["signals"]);
    probe.after("ready");
    probe.signal(Signal::SIGTERM);
    probe.after("orderly");
    probe.signal(Signal::SIGINT);
    probe.after("at once");
    // From here on the loop is stuck; only the handler can end the process.
    probe.signal(Signal::SIGTERM);
    assert_eq!(probe.ended().code(), Some(exit_code::ENDED_AT_ONCE));
}

#[test]
fn hangs_of_real_processes_are_told_apart() {
    for (mode, stop, state, kind) in [
        ("spin", false, RunState::Runnable, HangKind::Spinning),
        ("sleep", false, RunState::Asleep, HangKind::Deadlocked),
        ("spin", true, RunState::Stopped, HangKind::Stopped),
    ] {
        let mut probe = Probe::start(&["supervise", mode]);
        let (_, worker) = probe.worker();
        if stop {
            kill(worker, Signal::SIGSTOP).expect("the worker runs");
        }
        let sample = || proc_stat::sample(worker.as_raw());
        eventually("the state is seen", || {
            sample().is_ok_and(|sample| sample.state == state)
        });
        let limits = HangLimits {
            warn_ns: 50_000_000,
            kill_ns: 400_000_000,
        };
        let beat = Beat {
            progress: 0,
            beat_ns: 0,
        };
        let started = Instant::now();
        let now_ns = || u64::try_from(started.elapsed().as_nanos()).expect("584 years");
        let mut judge = HangJudge::new(limits, beat, 0);
        let mut verdict = Verdict::Fine;
        eventually("the judge convicts", || {
            verdict = judge.look(beat, now_ns(), sample);
            matches!(verdict, Verdict::Kill { .. })
        });
        assert!(
            matches!(verdict, Verdict::Kill { kind: found, .. } if found == kind),
            "{verdict:?}"
        );
    }
}

#[test]
fn systemd_is_told_in_its_own_words() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut probe = Probe::start_with(&["notify"], |command| {
        command
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", "10000000")
    });
    assert_eq!(probe.line(), "active true Some(5s)");
    let receive = || {
        let mut bytes = [0_u8; 4_096];
        let length = socket.recv(&mut bytes).expect("a message");
        String::from_utf8(bytes[..length].to_vec()).expect("a text")
    };
    assert_eq!(receive(), "READY=1\nSTATUS=alpha 1, delta 5\n");
    assert_eq!(receive(), "STATUS=alpha 2 READY=0\n");
    assert_eq!(receive(), "WATCHDOG=1\n");
    assert_eq!(
        receive(),
        "STOPPING=1\nEXTEND_TIMEOUT_USEC=10000000\nSTATUS=draining\n"
    );
    assert_eq!(probe.rest(), ["done"]);
}

#[test]
fn outside_systemd_nothing_is_sent_and_nothing_fails() {
    let mut probe = Probe::start_with(&["notify"], |command| {
        command
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
    });
    assert_eq!(probe.line(), "active false None");
    assert_eq!(probe.rest(), ["done"]);
}

#[test]
fn sockets_of_systemd_are_taken_by_name_and_the_rest_is_bound() {
    let mut probe = Probe::start(&["activate", "metrics:alpha-api"]);
    let (metrics, alpha) = (probe.after("metrics "), probe.after("alpha-api "));
    assert_eq!(
        probe.rest(),
        [
            format!("took alpha-api {alpha}"),
            "bound delta-api".to_owned(),
            format!("took metrics {metrics}")
        ]
    );
}

#[test]
fn a_misnamed_or_missing_socket_of_systemd_is_refused() {
    for (names, reason) in [
        ("http", "a socket named \"http\""),
        ("metrics:metrics", "a socket named \"metrics\""),
    ] {
        let mut probe = Probe::start(&["activate", names]);
        let status = probe.ended();
        assert_eq!(status.code(), Some(exit_code::OS_REFUSED));
        let lines = probe.rest();
        assert!(lines.iter().any(|line| line.contains(reason)), "{lines:?}");
    }
}
