//! `adnet testnet run`: the nodes of a test network as children of this process, one live line each.
//!
//! Invariants: no node outlives this process; each node gets one request to stop in order, and a
//! second one (which ends it at once) only when the person asks twice.

use std::{
    fs::File,
    io::{self, IsTerminal, Write},
    os::{fd::AsFd, unix::process::CommandExt},
    path::PathBuf,
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use adnet_common::config::NodeConfig;
use anyhow::{Context, bail};
use clap::Args;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use nix::sys::{prctl, signal};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::plan::existing;
use crate::{
    cli::{UsageError, control_client},
    control::StatusReport,
    process::signals::{Signals, StopRequest},
};

/// Between two looks at the nodes.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Between two reports where nobody watches a terminal.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// Start all nodes of a test network and show what they do
///
/// Each node writes its log to DIR/node-I/node.log. Ctrl-C stops all of them in order, a second one
/// at once.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  adnet testnet run --dir ./testnet")]
pub(super) struct RunTestnet {
    /// Where `adnet testnet --validators` has put the nodes
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,

    /// Further arguments of every `adnet run`, after --
    #[arg(last = true, value_name = "ARGUMENTS")]
    arguments: Vec<String>,
}

struct Node {
    name: String,
    config: NodeConfig,
    log: PathBuf,
    child: Child,
    /// How it ended, in words.
    ended: Option<String>,
    ended_well: bool,
}

impl RunTestnet {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let found = existing(&self.dir);
        if found.is_empty() {
            let dir = self.dir.display();
            let why = format!(
                "there is no node-0 in {dir}: make the network by \
                 `adnet testnet --validators 4 --dir {dir}`"
            );
            return Err(UsageError(why).into());
        }
        let mut signals = Signals::supervisor().context("signals cannot be handled")?;
        let mut nodes = Vec::new();
        for (name, data_dir) in found {
            match start(name, data_dir, &self.arguments) {
                Ok(node) => nodes.push(node),
                Err(error) => {
                    end(&mut nodes, signal::Signal::SIGTERM);
                    return Err(error);
                }
            }
        }
        let mut view = View::new(&nodes);
        loop {
            for node in &mut nodes {
                node.look();
            }
            view.show(&mut nodes);
            if nodes.iter().all(|node| node.ended.is_some()) {
                break;
            }
            if readable(&signals, LOOK_EVERY)? {
                match signals.take()? {
                    Some(StopRequest::Orderly) => {
                        view.say("stopping all nodes");
                        ask(&mut nodes, signal::Signal::SIGTERM);
                    }
                    Some(StopRequest::AtOnce) => end(&mut nodes, signal::Signal::SIGKILL),
                    None => {}
                }
            }
        }
        let failed: Vec<&Node> = nodes.iter().filter(|node| !node.ended_well).collect();
        for node in &failed {
            let how = node.ended.as_deref().unwrap_or_default();
            eprintln!("{} {how}; its log is {}", node.name, node.log.display());
        }
        Ok(match failed.is_empty() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    }
}

fn start(name: String, data_dir: PathBuf, arguments: &[String]) -> anyhow::Result<Node> {
    let log = data_dir.join("node.log");
    let opened = File::options().create(true).append(true).open(&log);
    let log_file = opened.with_context(|| format!("{} cannot be written", log.display()))?;
    let mut command = Command::new("/proc/self/exe");
    command
        .arg("run")
        .arg("--data-dir")
        .arg(&data_dir)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log_file)
        // Ctrl-C is for us alone: we pass it on once.
        .process_group(0);
    let us = std::process::id();
    // SAFETY: between fork and exec only prctl and getppid are called, which are safe in a signal
    // handler, and nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            prctl::set_pdeathsig(signal::Signal::SIGTERM)?;
            // We may have died before the line above.
            match std::os::unix::process::parent_id() == us {
                true => Ok(()),
                false => Err(io::ErrorKind::NotFound.into()),
            }
        });
    }
    let child = command
        .spawn()
        .with_context(|| format!("{name} cannot be started"))?;
    let config = NodeConfig {
        data_dir,
        mode: adnet_common::config::Mode::Dual,
    };
    Ok(Node {
        name,
        config,
        log,
        child,
        ended: None,
        ended_well: false,
    })
}

impl Node {
    fn look(&mut self) {
        if self.ended.is_none()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            self.end(status);
        }
    }

    fn end(&mut self, status: ExitStatus) {
        self.ended = Some(format!("has ended ({status})"));
        self.ended_well = status.success();
    }

    fn signal(&self, which: signal::Signal) {
        if self.ended.is_none() {
            let pid = i32::try_from(self.child.id()).expect("a pid is positive");
            // It may just have ended.
            let _ = signal::kill(Pid::from_raw(pid), which);
        }
    }

    /// What the node is doing, in one line.
    fn line(&self) -> String {
        if let Some(how) = &self.ended {
            return format!("{how}; see {}", self.log.display());
        }
        let socket = self.config.control_socket();
        let Ok(status) = control_client::status(&socket) else {
            return "starting".to_owned();
        };
        let peers = control_client::peers(&socket).unwrap_or_default();
        line(&status, |chain| {
            peers.iter().filter(|peer| peer.chain == chain).count()
        })
    }
}

fn line(status: &StatusReport, peers: impl Fn(adnet_common::chain_id::ChainId) -> usize) -> String {
    let state = match (status.stopping, status.ready) {
        (true, _) => "stopping ",
        (false, true) => "ready    ",
        (false, false) => "not ready",
    };
    let chains = status.chains.iter().map(|chain| {
        let height = chain.height.map_or("-".to_owned(), |h| h.to_string());
        let hash = chain.progress.as_ref().map(|p| p.block_hash.to_string());
        let hash = hash.as_deref().and_then(|h| h.get(..8)).unwrap_or("-");
        let peers = peers(chain.chain);
        let name = chain.chain.name();
        let restarts = match chain.restarts {
            0 => String::new(),
            n => format!(", {n} restarts"),
        };
        format!("{name} {height} {hash} ({peers} peers{restarts})")
    });
    format!("{state}  {}", chains.collect::<Vec<_>>().join("   "))
}

fn ask(nodes: &mut [Node], which: signal::Signal) {
    for node in nodes {
        node.signal(which);
    }
}

/// Ends all nodes and waits for them.
fn end(nodes: &mut [Node], which: signal::Signal) {
    ask(nodes, which);
    for node in nodes {
        if let Ok(status) = node.child.wait() {
            node.end(status);
        }
    }
}

fn readable(signals: &Signals, within: Duration) -> anyhow::Result<bool> {
    let timeout = Timespec {
        tv_sec: 0,
        tv_nsec: i64::from(within.subsec_nanos()),
    };
    let mut fds = [PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN)];
    match poll(&mut fds, Some(&timeout)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(true),
        Err(error) => bail!("waiting failed: {error}"),
    }
}

/// Live lines on a terminal, a report now and then elsewhere.
enum View {
    Live(MultiProgress, Vec<ProgressBar>),
    Plain { reported: Option<Instant> },
}

impl View {
    fn new(nodes: &[Node]) -> Self {
        if !io::stderr().is_terminal() {
            return View::Plain { reported: None };
        }
        let all = MultiProgress::new();
        let style = ProgressStyle::with_template("{spinner} {prefix:>8}  {wide_msg}");
        let style = style.expect("the template is a constant");
        let bar = |node: &Node| {
            let bar = ProgressBar::new_spinner().with_style(style.clone());
            let bar = all.add(bar);
            bar.set_prefix(node.name.clone());
            bar
        };
        let bars = nodes.iter().map(bar).collect();
        View::Live(all, bars)
    }

    fn show(&mut self, nodes: &mut [Node]) {
        match self {
            View::Live(_, bars) => {
                for (bar, node) in bars.iter().zip(nodes) {
                    bar.set_message(node.line());
                    bar.tick();
                }
            }
            View::Plain { reported } => {
                if reported.is_some_and(|at| at.elapsed() < REPORT_EVERY) {
                    return;
                }
                *reported = Some(Instant::now());
                let mut out = io::stderr().lock();
                for node in nodes {
                    // Nobody need read it.
                    let _ = writeln!(out, "{}  {}", node.name, node.line());
                }
            }
        }
    }

    fn say(&self, words: &str) {
        match self {
            // A terminal that is gone takes no line.
            View::Live(all, _) => drop(all.println(words)),
            View::Plain { .. } => eprintln!("{words}"),
        }
    }
}
