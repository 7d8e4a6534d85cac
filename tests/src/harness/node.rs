//! One node of the real binary in a directory of its own.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::SocketAddr,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use adnet_common::genesis::Genesis;
use nix::{
    sys::signal::{self},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;

use super::{
    AlphaUser, Api, DeltaUser, PATIENCE, PassedSocket, Process, binary, command_with, eventually,
    segments_of,
};

pub use nix::sys::signal::Signal;

/// How long a worker may outlive its supervisor.
const ORPHAN_DEADLINE: Duration = Duration::from_millis(500);

/// How a node differs from the default one.
#[derive(Clone, Debug)]
pub struct Options {
    pub alpha_interval_ms: u64,
    pub delta_interval_ms: u64,
    /// Further arguments of `adnet run`.
    pub arguments: Vec<String>,
    /// Further variables of its environment.
    pub environment: Vec<(String, String)>,
    /// Listening sockets that are passed to it, as by a service manager.
    pub sockets: Option<[PassedSocket; 2]>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            alpha_interval_ms: 250,
            delta_interval_ms: 125,
            arguments: Vec::new(),
            environment: Vec::new(),
            sockets: None,
        }
    }
}

/// A node that runs, or did: its directory stays until this is dropped.
pub struct TestNode {
    dir: TempDir,
    options: Options,
    pub genesis: Arc<Genesis>,
    running: Option<Running>,
    starts: u32,
}

struct Running {
    child: Child,
    process: Process,
    log: PathBuf,
    alpha: Option<Api>,
    delta: Option<Api>,
    metrics: Api,
}

impl TestNode {
    /// Makes a node and starts it; back when it is ready.
    pub fn start(options: Options) -> TestNode {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let done = Command::new(binary())
            .arg("init")
            .arg("--data-dir")
            .arg(dir.path())
            .arg("--alpha-block-interval")
            .arg(options.alpha_interval_ms.to_string())
            .arg("--delta-block-interval")
            .arg(options.delta_interval_ms.to_string())
            .output()
            .expect("the binary runs");
        assert!(done.status.success(), "init: {done:?}");
        let genesis = Genesis::load(&dir.path().join("genesis.json")).expect("init made one");
        let mut node = TestNode {
            dir,
            options,
            genesis: Arc::new(genesis),
            running: None,
            starts: 0,
        };
        node.restart();
        node
    }

    /// Starts the node again, on the same data.
    pub fn restart(&mut self) {
        assert!(self.running.is_none(), "stop it first");
        self.starts += 1;
        let log = self.dir.path().join(format!("log-{}.jsonl", self.starts));
        let stderr = File::create(&log).expect("the folder is ours");
        let mut command = match &self.options.sockets {
            Some(sockets) => command_with(&binary(), sockets),
            None => {
                let mut command = Command::new(binary());
                command.stdin(Stdio::null()).stdout(Stdio::null());
                command
            }
        };
        command.arg("run").arg("--data-dir").arg(self.dir.path());
        command.args(["--log-format", "json"]);
        for setting in [
            "alpha.api_listen=127.0.0.1:0",
            "delta.api_listen=127.0.0.1:0",
            "metrics.listen=127.0.0.1:0",
            "alpha.p2p_listen=127.0.0.1:0",
            "delta.p2p_listen=127.0.0.1:0",
            "alpha.api_rate_limit_per_s=0",
            "delta.api_rate_limit_per_s=0",
        ] {
            command.args(["--set", setting]);
        }
        command.args(&self.options.arguments);
        command.envs(self.options.environment.iter().cloned());
        command.stderr(stderr);
        let mut child = command.spawn().expect("the binary runs");
        let pid = child.id();
        let process = Process::of(pid).expect("a child that is not reaped has an entry");
        let socket = self.dir.path().join("control.sock");
        let deadline = Instant::now() + PATIENCE;
        let report = loop {
            let report = status_at(&socket).filter(|report| report["pid"] == pid);
            if let Some(report) = report.filter(|report| report["ready"] == true) {
                break report;
            }
            let ended = child.try_wait().expect("it is our child");
            if ended.is_some() || Instant::now() >= deadline {
                let _ = child.kill();
                let _ = child.wait();
                let said = fs::read_to_string(&log).unwrap_or_default();
                panic!(
                    "the node did not become ready ({ended:?}):\n{}",
                    tail(&said)
                );
            }
            thread::sleep(Duration::from_millis(10));
        };
        let metrics = logged(&log, "metrics, health and readiness listen")
            .first()
            .and_then(|event| event["address"].as_str()?.parse().ok())
            .map(Api::new)
            .expect("the log names the address of the metrics");
        self.running = Some(Running {
            child,
            process,
            log,
            alpha: listen(&report, "alpha").map(Api::new),
            delta: listen(&report, "delta").map(Api::new),
            metrics,
        });
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("the node runs")
    }

    pub fn data_dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn alpha(&self) -> Api {
        self.running().alpha.clone().expect("this node runs Alpha")
    }

    pub fn delta(&self) -> Api {
        self.running().delta.clone().expect("this node runs Delta")
    }

    pub fn metrics(&self) -> Api {
        self.running().metrics.clone()
    }

    /// A development account of Alpha at this node.
    pub fn alpha_user(&self, index: usize) -> AlphaUser {
        AlphaUser::new(self.alpha(), Arc::clone(&self.genesis), index)
    }

    /// A development account of Delta at this node.
    pub fn delta_user(&self, index: usize) -> DeltaUser {
        DeltaUser::new(self.delta(), Arc::clone(&self.genesis), index)
    }

    /// The report of the control socket.
    pub fn status(&self) -> Value {
        eventually("the control socket answers", || {
            status_at(&self.data_dir().join("control.sock"))
        })
    }

    /// The worker of a chain as the report names it.
    pub fn chain(&self, name: &str) -> Value {
        let mut status = self.status();
        let chains = status["chains"].as_array_mut().expect("chains");
        let found = chains.iter_mut().find(|chain| chain["chain"] == name);
        found.expect("a wanted chain is reported").take()
    }

    /// The process of a chain's running worker.
    pub fn worker(&self, name: &str) -> Process {
        eventually("the worker runs", || {
            let chain = self.chain(name);
            let running = chain["worker"] == "running";
            let pid = chain["pid"].as_u64().filter(|_| running)?;
            Process::of(u32::try_from(pid).expect("pids are short"))
        })
    }

    pub fn supervisor(&self) -> Process {
        self.running().process
    }

    /// Events of the log of this start with this message or event name.
    pub fn logged(&self, name: &str) -> Vec<Value> {
        logged(&self.running().log, name)
    }

    /// Sends a signal to the supervisor.
    pub fn signal(&self, which: Signal) {
        send(self.supervisor(), which);
    }

    /// Waits until the node has ended by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let mut running = self.running.take().expect("the node runs");
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = running.child.try_wait().expect("it is our child") {
                return status;
            }
            if Instant::now() >= deadline {
                let _ = running.child.kill();
                let _ = running.child.wait();
                panic!("the node did not end within {PATIENCE:?}");
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGTERM, and the check that nothing is left.
    pub fn stop(&mut self) -> ExitStatus {
        let process = self.supervisor();
        let children = process.children();
        self.signal(Signal::SIGTERM);
        let status = self.wait();
        assert_nothing_left(process, &children);
        status
    }

    /// `kill -9` of the supervisor. Its segments stay: nobody was left to remove them.
    pub fn kill(&mut self) -> Killed {
        let process = self.supervisor();
        let children = process.children();
        self.signal(Signal::SIGKILL);
        let at = Instant::now();
        let mut running = self.running.take().expect("the node runs");
        running.child.wait().expect("it is our child");
        while children.iter().any(Process::is_alive) {
            let late = at.elapsed();
            assert!(
                late < ORPHAN_DEADLINE,
                "workers outlive their supervisor by {late:?}"
            );
            thread::sleep(Duration::from_millis(1));
        }
        Killed {
            pid: process.pid,
            orphans_gone_after: at.elapsed(),
        }
    }
}

/// What `kill -9` of a supervisor left.
pub struct Killed {
    pub pid: u32,
    pub orphans_gone_after: Duration,
}

impl Drop for TestNode {
    fn drop(&mut self) {
        let Some(mut running) = self.running.take() else {
            return;
        };
        let children = running.process.children();
        if thread::panicking() {
            let said = fs::read_to_string(&running.log).unwrap_or_default();
            eprintln!("the end of the node's log:\n{}", tail(&said));
            let _ = running.child.kill();
            let _ = running.child.wait();
            for name in segments_of(running.process.pid) {
                let _ = fs::remove_file(Path::new("/dev/shm").join(name));
            }
            return;
        }
        send(running.process, Signal::SIGTERM);
        let deadline = Instant::now() + PATIENCE;
        while running.child.try_wait().expect("it is our child").is_none() {
            if Instant::now() >= deadline {
                let _ = running.child.kill();
                let _ = running.child.wait();
                panic!("the node did not stop within {PATIENCE:?}");
            }
            thread::sleep(Duration::from_millis(5));
        }
        assert_nothing_left(running.process, &children);
    }
}

/// Sends a signal to a process that a test has looked up.
pub(super) fn send(process: Process, which: Signal) {
    let pid = i32::try_from(process.pid).expect("pids are positive");
    signal::kill(Pid::from_raw(pid), which).expect("it is alive");
}

impl Process {
    pub fn signal(self, which: Signal) {
        send(self, which);
    }
}

fn assert_nothing_left(supervisor: Process, children: &[Process]) {
    let alive: Vec<_> = children.iter().filter(|child| child.is_alive()).collect();
    assert!(alive.is_empty(), "workers are left: {alive:?}");
    let segments = segments_of(supervisor.pid);
    assert!(segments.is_empty(), "segments are left: {segments:?}");
}

/// What the control socket answers to `status`, if it answers.
fn status_at(socket: &Path) -> Option<Value> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(b"{\"cmd\":\"status\"}\n").ok()?;
    let mut answer = Vec::new();
    let mut byte = [0; 4096];
    while !answer.ends_with(b"\n") {
        match stream.read(&mut byte).ok()? {
            0 => return None,
            n => answer.extend_from_slice(&byte[..n]),
        }
    }
    let mut answer: Value = serde_json::from_slice(&answer).ok()?;
    Some(answer["status"].take())
}

fn listen(report: &Value, chain: &str) -> Option<SocketAddr> {
    let chains = report["chains"].as_array()?;
    let found = chains.iter().find(|report| report["chain"] == chain)?;
    found["api_listen"].as_str()?.parse().ok()
}

fn logged(log: &Path, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(log).expect("the node writes its log");
    text.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|event| event["event"] == name || event["message"] == name)
        .collect()
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
