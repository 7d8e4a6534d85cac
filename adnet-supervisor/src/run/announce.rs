//! What systemd hears of the node: that it is ready, how high its chains are, that it progresses,
//! that it stops. See [`Notifier`] for the protocol.
//!
//! The watchdog is for what the supervisor cannot heal by itself. So it gets its sign only while the
//! main loop turns and each worker is at work, or on its way back to it.
//!
//! Invariant: a service manager that cannot be told is a warning in the log, never the node's end.

use crate::node_state::{ChainPlan, ChainState, NodeState};
use crate::process::notify::Notifier;
use std::io;
use std::time::{Duration, Instant};

/// How often systemd hears the heights.
const STATUS_EVERY: Duration = Duration::from_secs(5);
/// What a chain that needs nobody else may take for its next block, in block intervals.
const BLOCK_PATIENCE_INTERVALS: u32 = 10;
/// But not less than this, whatever the interval.
const BLOCK_PATIENCE_MIN: Duration = Duration::from_secs(30);

pub struct Announcer {
    notifier: Notifier,
    is_ready: bool,
    status_due: Instant,
    /// When the watchdog is due next; `None` where systemd does not ask for it.
    watchdog_due: Option<Instant>,
    /// The watchdog gets no sign, and the log has said why.
    is_withheld: bool,
}

impl Announcer {
    pub fn from_env() -> Announcer {
        let (notifier, now) = (Notifier::from_env(), Instant::now());
        let watchdog_due = notifier.watchdog_interval().map(|every| now + every);
        Announcer {
            notifier,
            is_ready: false,
            status_due: now,
            watchdog_due,
            is_withheld: false,
        }
    }

    /// Whether readiness was announced.
    pub fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// The longest silence of a worker that still counts as progress: a whole watchdog period.
    pub fn silence_max(&self) -> Option<Duration> {
        self.notifier.watchdog_interval().map(|half| half * 2)
    }

    /// All APIs answer.
    pub fn ready(&mut self, state: &NodeState) {
        self.is_ready = true;
        let status = words(state);
        tracing::info!(status, "the node is ready: all APIs answer");
        told(self.notifier.ready(&status));
    }

    /// One turn of the main loop: status and watchdog, where they are due. `progress` says what
    /// does not progress.
    pub fn turn(&mut self, state: &NodeState, progress: impl FnOnce() -> Result<(), String>) {
        let now = Instant::now();
        if self.is_ready && now >= self.status_due {
            self.status_due = now + STATUS_EVERY;
            told(self.notifier.status(&words(state)));
        }
        let (due, interval) = (self.watchdog_due, self.notifier.watchdog_interval());
        let (Some(due), Some(interval)) = (due, interval) else {
            return;
        };
        if now < due {
            return;
        }
        match progress() {
            Ok(()) => {
                self.is_withheld = false;
                self.watchdog_due = Some(now + interval);
                told(self.notifier.watchdog());
            }
            Err(why) if !self.is_withheld => {
                self.is_withheld = true;
                tracing::error!(why, "no sign for the watchdog: systemd will end this node");
            }
            Err(_) => {}
        }
    }

    /// The orderly stop has begun and takes `deadline` at most. From here on systemd waits for the
    /// end and no longer for the watchdog.
    pub fn stopping(&mut self, deadline: Duration) {
        told(self.notifier.stopping("stopping", deadline));
    }
}

fn told(sent: io::Result<()>) {
    if let Err(error) = sent {
        tracing::warn!(%error, "systemd could not be told how the node is");
    }
}

/// Heights and workers on one line.
fn words(state: &NodeState) -> String {
    let word = |(plan, state): &(ChainPlan, ChainState)| {
        let (chain, worker) = (plan.chain, state.worker.name());
        format!("{chain} {worker} at height {}", state.height.unwrap_or(0))
    };
    let words: Vec<String> = state.chains().iter().map(word).collect();
    words.join(", ")
}

/// Whether each chain of a node that decides blocks alone has made one lately. A node that needs the
/// votes of others is not asked: no restart of it brings those back.
pub fn blocks_progress(state: &NodeState) -> Result<(), String> {
    for (plan, chain) in state.chains() {
        let patience = plan.block_interval.saturating_mul(BLOCK_PATIENCE_INTERVALS);
        let silence = chain.last_block.map_or(state.uptime(), |at| at.elapsed());
        if silence > patience.max(BLOCK_PATIENCE_MIN) {
            let seconds = silence.as_secs();
            return Err(format!("{}: no block for {seconds} s", plan.chain));
        }
    }
    Ok(())
}
