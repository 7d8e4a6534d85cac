//! One node of the real binary in a directory of its own.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use adnet_common::{chain_id::ChainId, genesis::Genesis};
use serde_json::Value;
use tempfile::TempDir;

use super::{
    AlphaUser, Api, DeltaUser, PATIENCE, PassedSocket, Process, adnet, binary, command_with,
    ending::remove_segments,
    eventually, eventually_within,
    listen::Listen,
    outage::Outages,
    report::{listen, logged, status_at, tail},
    without_settings,
};

pub use nix::sys::signal::Signal;

/// A standby prepares itself at a low priority: a busy machine lets it wait.
const STANDBY_PATIENCE: Duration = Duration::from_secs(180);

/// How a node differs from the default one.
#[derive(Clone, Debug)]
pub struct Options {
    pub alpha_interval_ms: u64,
    pub delta_interval_ms: u64,
    /// Whether the node listens at the same addresses after each restart.
    pub keeps_addresses: bool,
    /// Whether Alpha's worker has a standby, as it has by default outside of tests: it takes two seconds
    /// of CPU, which tests of other things leave to each other.
    pub alpha_standby: bool,
    /// Further arguments of `adnet run`.
    pub arguments: Vec<String>,
    /// Further variables of its environment.
    pub environment: Vec<(String, String)>,
    /// Listening sockets that are passed to it, as by a service manager.
    pub sockets: Option<[PassedSocket; 2]>,
    /// A network namespace for it. Its APIs are then reached by passed sockets, which stay outside.
    pub namespace: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            alpha_interval_ms: 250,
            delta_interval_ms: 125,
            keeps_addresses: false,
            alpha_standby: false,
            arguments: Vec::new(),
            environment: Vec::new(),
            sockets: None,
            namespace: None,
        }
    }
}

/// A node that runs, or did: its directory stays until this is dropped.
pub struct TestNode {
    pub(super) dir: TempDir,
    pub(super) options: Options,
    pub genesis: Arc<Genesis>,
    pub(super) listen: Listen,
    pub(super) outages: Arc<Outages>,
    pub(super) starting: Option<Starting>,
    pub(super) running: Option<Running>,
    starts: u32,
}

/// A node of which nobody knows yet whether it becomes ready. Dropped, it ends.
pub(super) struct Starting {
    child: Option<Child>,
    log: PathBuf,
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
            remove_segments(child.id());
        }
    }
}

pub(super) struct Running {
    pub(super) child: Child,
    pub(super) process: Process,
    pub(super) log: PathBuf,
    alpha: Option<Api>,
    delta: Option<Api>,
    metrics: Api,
}

impl TestNode {
    /// Makes a node and starts it; back when it is ready.
    pub fn start(options: Options) -> TestNode {
        let mut node = TestNode::made(options);
        node.restart();
        node
    }

    /// Makes a node of a network of its own, without starting it.
    pub(super) fn made(options: Options) -> TestNode {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let done = adnet()
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
        let listen = if options.keeps_addresses {
            Listen::at_free_ports()
        } else {
            Listen::anywhere()
        };
        TestNode {
            dir,
            options,
            genesis: Arc::new(genesis),
            listen,
            outages: Arc::default(),
            starting: None,
            running: None,
            starts: 0,
        }
    }

    /// Starts the node again, on the same data.
    pub fn restart(&mut self) {
        self.launch();
        self.await_ready();
    }

    /// Starts its process, and is back at once.
    pub fn launch(&mut self) {
        assert!(self.running.is_none(), "stop it first");
        self.starts += 1;
        let log = self.dir.path().join(format!("log-{}.jsonl", self.starts));
        let stderr = File::create(&log).expect("the folder is ours");
        let mut command = match (&self.options.sockets, &self.options.namespace) {
            (Some(sockets), Some(namespace)) => {
                let mut command = command_with(Path::new("ip"), sockets);
                command.args(["netns", "exec", namespace]).arg(binary());
                without_settings(command)
            }
            (Some(sockets), None) => without_settings(command_with(&binary(), sockets)),
            (None, _) => {
                let mut command = adnet();
                command.stdin(Stdio::null()).stdout(Stdio::null());
                command
            }
        };
        command.arg("run").arg("--data-dir").arg(self.dir.path());
        command.args(["--log-format", "json"]);
        for setting in self.listen.settings() {
            command.args(["--set", &setting]);
        }
        for setting in [
            "alpha.api_rate_limit_per_s=0",
            "delta.api_rate_limit_per_s=0",
        ] {
            command.args(["--set", setting]);
        }
        let standby = self.options.alpha_standby;
        command.args(["--set", &format!("supervisor.alpha_standby={standby}")]);
        command.args(&self.options.arguments);
        command.envs(self.options.environment.iter().cloned());
        command.stderr(stderr);
        let child = command.spawn().expect("the binary runs");
        self.starting = Some(Starting {
            child: Some(child),
            log,
        });
    }

    /// Waits until the launched node is ready.
    pub fn await_ready(&mut self) {
        self.await_report(|report| report["ready"] == true);
    }

    /// Waits until the workers of the launched node run, whether their chains grow or not.
    pub fn await_running(&mut self) {
        self.await_report(|report| {
            let chains = report["chains"].as_array();
            chains.is_some_and(|chains| chains.iter().all(|c| c["worker"] == "running"))
        });
    }

    fn await_report(&mut self, is_enough: impl Fn(&Value) -> bool) {
        let mut starting = self.starting.take().expect("launch it first");
        let log = starting.log.clone();
        let child = starting.child.as_mut().expect("it was launched");
        let pid = child.id();
        let process = Process::of(pid).expect("a child that is not reaped has an entry");
        let socket = self.dir.path().join("control.sock");
        let deadline = Instant::now() + PATIENCE;
        let report = loop {
            let report = status_at(&socket).filter(|report| report["pid"] == pid);
            if report.is_some() {
                // It listened before it opened its control socket.
                self.outages.end();
            }
            if let Some(report) = report.filter(&is_enough) {
                break report;
            }
            let ended = child.try_wait().expect("it is our child");
            if ended.is_some() || Instant::now() >= deadline {
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
            .map(|address| Api::new(address, Arc::clone(&self.outages)))
            .expect("the log names the address of the metrics");
        let api = |chain| {
            let address = listen(&report, chain)?;
            Some(Api::new(address, Arc::clone(&self.outages)))
        };
        let child = starting.child.take().expect("it was launched");
        self.running = Some(Running {
            child,
            process,
            log,
            alpha: api("alpha"),
            delta: api("delta"),
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

    pub fn api(&self, chain: ChainId) -> Api {
        match chain {
            ChainId::Alpha => self.alpha(),
            ChainId::Delta => self.delta(),
        }
    }

    pub fn metrics(&self) -> Api {
        self.running().metrics.clone()
    }

    /// What the clients of this node could not get.
    pub fn outages(&self) -> &Outages {
        &self.outages
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

    /// The process of Alpha's standby, ready or not.
    pub fn standby(&self) -> Process {
        eventually("there is a standby", || {
            let pid = self.chain("alpha")["standby"]["pid"].as_u64()?;
            Process::of(u32::try_from(pid).expect("pids are short"))
        })
    }

    /// The same, once it is ready to take over.
    pub fn ready_standby(&self) -> Process {
        eventually_within(STANDBY_PATIENCE, "the standby is ready", || {
            let standby = self.chain("alpha")["standby"].take();
            let pid = standby["pid"]
                .as_u64()
                .filter(|_| standby["is_ready"] == true)?;
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
}
