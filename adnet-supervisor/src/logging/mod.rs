//! Logs: one line per event on standard error, for people or as JSON, or entries of the journal.
//!
//! Every event carries the process's identity (role, pid, incarnation), in whatever thread it
//! arose, because the logs of three processes end up in one place. Filters: adnet's own events from
//! the configured level on, those of libraries only from `warn` on, or `error` where they warn of what
//! is usual, unless `trace` is asked for.

mod journal;
mod line;

use std::{
    env,
    io::{self, IsTerminal},
    os::{
        fd::OwnedFd,
        unix::{fs::MetadataExt, net::UnixDatagram},
    },
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use adnet_common::config::{LogConfig, LogFormat, LogLevel};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    filter::Targets,
    layer::SubscriberExt,
    util::{SubscriberInitExt, TryInitError},
};

use journal::Journal;
use line::Line;

/// How often a role was started by the present supervisor; 0 for the supervisor itself, and for a
/// standby until it is called. All clones show the same number.
#[derive(Clone, Debug, Default)]
pub struct Incarnation(Arc<AtomicU64>);

impl Incarnation {
    pub fn set(&self, incarnation: u32) {
        self.0.store(incarnation.into(), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl From<u32> for Incarnation {
    fn from(incarnation: u32) -> Incarnation {
        Incarnation(Arc::new(AtomicU64::new(incarnation.into())))
    }
}

/// Which process of the node is speaking.
#[derive(Clone, Debug)]
pub struct LogIdentity {
    /// `supervisor`, `alpha` or `delta`.
    pub role: &'static str,
    pub incarnation: Incarnation,
    /// The process id.
    pub pid: u32,
}

/// Starts logging for this process, once: to `journal` if there is one, else to standard error.
///
/// # Errors
/// If logging was started already.
pub fn start(
    log: &LogConfig,
    identity: LogIdentity,
    journal: Option<OwnedFd>,
) -> Result<(), TryInitError> {
    let registry = tracing_subscriber::registry().with(filter(log.level));
    if let Some(socket) = journal {
        let journal = Journal::new(UnixDatagram::from(socket), identity);
        return registry.with(journal).try_init();
    }
    let line = Line {
        json: log.format == LogFormat::Json,
        colour: log.format != LogFormat::Json && io::stderr().is_terminal(),
        identity,
    };
    let layer = tracing_subscriber::fmt::layer()
        .event_format(line)
        .with_writer(io::stderr);
    registry.with(layer).try_init()
}

/// A connection to the journal, if that is where the lines of this process belong: the format is
/// left to us, and standard error leads there. Workers inherit it, because their sandbox lets them
/// open none.
pub fn journal_connection(log: &LogConfig) -> Option<OwnedFd> {
    if log.format != LogFormat::Auto || !stderr_is_the_journal() {
        return None;
    }
    // Without it the lines go to standard error, and so to the journal all the same.
    journal::connect().ok().map(OwnedFd::from)
}

/// Tells on standard error what ends a command. In the journal each line counts as an error, by the
/// prefix of `sd-daemon(3)`.
pub fn complain(text: &str) {
    let prefix = if stderr_is_the_journal() { "<3>" } else { "" };
    for line in text.lines() {
        eprintln!("{prefix}{line}");
    }
}

fn filter(level: LogLevel) -> Targets {
    let (own, libraries) = match level {
        LogLevel::Error => (LevelFilter::ERROR, LevelFilter::ERROR),
        LogLevel::Warn => (LevelFilter::WARN, LevelFilter::WARN),
        LogLevel::Info => (LevelFilter::INFO, LevelFilter::WARN),
        LogLevel::Debug => (LevelFilter::DEBUG, LevelFilter::WARN),
        LogLevel::Trace => (LevelFilter::TRACE, LevelFilter::TRACE),
    };
    // The router warns of each block that it is given a second time, which is how we find out, and
    // discovery of each search of a node that knows nobody yet.
    let chatty = match level {
        LogLevel::Trace => LevelFilter::TRACE,
        _ => LevelFilter::ERROR,
    };
    Targets::new()
        .with_default(libraries)
        .with_target("libp2p_gossipsub", chatty)
        .with_target("discv5", chatty)
        .with_target("adnet", own)
}

/// systemd names device and inode of the journal's stream; a redirection makes standard error
/// another file, and then lines have to go there.
fn stderr_is_the_journal() -> bool {
    let Ok(stream) = env::var("JOURNAL_STREAM") else {
        return false;
    };
    std::fs::metadata("/proc/self/fd/2")
        .is_ok_and(|stderr| stream == format!("{}:{}", stderr.dev(), stderr.ino()))
}
