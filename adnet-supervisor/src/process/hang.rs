//! Whether a worker hangs: a pure judgement over its heartbeat and what the kernel says about it.
//!
//! A worker's loop counts up `progress` each time round, at least every 100 ms when idle. Silence
//! is the time without a new count:
//! - 250 ms (configurable): warn, and begin to look at the process;
//! - 2 s (configurable): kill, if the worker could have gone on and did not. That is so when it used CPU time in
//!   the silence (it spins), when all its threads sleep (it is deadlocked: nothing that runs would
//!   wake it), or when it is stopped (SIGSTOP; only a kill and restart heals it). A worker that
//!   wants to run and gets no CPU is starved, not hung: killing it would make the overload worse.
//!
//! What a worker writes into its heartbeat is not trusted: its time only refines, within two looks
//! of ours, when the count changed. A worker can thus claim to be alive by counting, which it could
//! anyway, but not by writing a time in the future.
//!
//! If the supervisor itself did not look for a while (host suspended, the terminal's Ctrl-Z), the
//! silence in between proves nothing and the count begins anew.

/// A pause of the judge itself after which its own view is worth nothing.
pub const JUDGE_PAUSE_NS_MAX: u64 = 1_000_000_000;
/// CPU time within the silence that shows a worker was scheduled. Two ticks of the kernel's
/// accounting, so that one rounding does not convict.
pub const SCHEDULED_CPU_NS: u64 = 20_000_000;

/// How long a silence may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HangLimits {
    /// Silence after which a warning is due, nanoseconds.
    pub warn_ns: u64,
    /// Silence after which a worker that could have gone on is killed; above `warn_ns`.
    pub kill_ns: u64,
}

impl Default for HangLimits {
    fn default() -> HangLimits {
        HangLimits {
            warn_ns: 250_000_000,
            kill_ns: 2_000_000_000,
        }
    }
}

/// A worker's heartbeat, as read from its line in shared memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// Counts up with every turn of the worker's loop.
    pub progress: u64,
    /// CLOCK_MONOTONIC when it last counted, nanoseconds, as the worker claims.
    pub beat_ns: u64,
}

/// What the threads of a process are doing, as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// Stopped by a signal or a debugger.
    Stopped,
    /// At least one thread runs, waits for a CPU, or waits for the disk (swap).
    Runnable,
    /// Every thread sleeps until something wakes it.
    Asleep,
}

/// What the kernel says about a worker; see [`super::proc_stat`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessSample {
    /// User and system time of all its threads since its start, nanoseconds.
    pub cpu_ns: u64,
    /// What it is doing.
    pub state: RunState,
}

/// Why a silent worker is to be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HangKind {
    /// It uses CPU time and gets nowhere.
    Spinning,
    /// All its threads wait for something that does not come.
    Deadlocked,
    /// It was stopped and nobody continues it.
    Stopped,
}

/// The judgement over one look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It beats.
    Fine,
    /// It has been silent for a while, or is starved of CPU.
    Warn {
        /// Length of the silence.
        silent_ns: u64,
    },
    /// End it.
    Kill {
        /// Length of the silence.
        silent_ns: u64,
        /// What kind of hang it is.
        kind: HangKind,
    },
}

/// The judge of one incarnation of one worker.
#[derive(Debug)]
pub struct HangJudge {
    limits: HangLimits,
    progress: u64,
    /// When the count last changed, on our clock.
    changed_ns: u64,
    looked_ns: u64,
    /// CPU time at the first look of this silence.
    silence_cpu_ns: Option<u64>,
}

impl HangJudge {
    /// A judge who starts counting silence at `now_ns` (CLOCK_MONOTONIC). Make a new one when a
    /// worker reports that its start is done: a start may legitimately be silent for longer.
    pub fn new(limits: HangLimits, beat: Beat, now_ns: u64) -> HangJudge {
        HangJudge {
            limits,
            progress: beat.progress,
            changed_ns: now_ns,
            looked_ns: now_ns,
            silence_cpu_ns: None,
        }
    }

    /// Since when the count has not changed (CLOCK_MONOTONIC).
    pub fn silent_since_ns(&self) -> u64 {
        self.changed_ns
    }

    /// Looks at the worker; call it every 50 to 100 ms. `sample` asks the kernel and is called only
    /// in a silence, so a healthy worker costs no system call. When it fails (the process is just
    /// ending) nobody is convicted: the pidfd will tell.
    pub fn look<E>(
        &mut self,
        beat: Beat,
        now_ns: u64,
        sample: impl FnOnce() -> Result<ProcessSample, E>,
    ) -> Verdict {
        let looked_before_ns = self.looked_ns;
        self.looked_ns = now_ns;
        if beat.progress != self.progress {
            self.progress = beat.progress;
            self.changed_ns = beat.beat_ns.max(looked_before_ns).min(now_ns);
            self.silence_cpu_ns = None;
        }
        if now_ns.saturating_sub(looked_before_ns) > JUDGE_PAUSE_NS_MAX {
            self.changed_ns = now_ns;
            self.silence_cpu_ns = None;
        }
        let silent_ns = now_ns.saturating_sub(self.changed_ns);
        if silent_ns < self.limits.warn_ns {
            return Verdict::Fine;
        }
        let Ok(sample) = sample() else {
            return Verdict::Warn { silent_ns };
        };
        let cpu_before_ns = *self.silence_cpu_ns.get_or_insert(sample.cpu_ns);
        if silent_ns < self.limits.kill_ns {
            return Verdict::Warn { silent_ns };
        }
        let used_cpu_ns = sample.cpu_ns.saturating_sub(cpu_before_ns);
        let kind = match sample.state {
            RunState::Stopped => Some(HangKind::Stopped),
            _ if used_cpu_ns >= SCHEDULED_CPU_NS => Some(HangKind::Spinning),
            RunState::Asleep => Some(HangKind::Deadlocked),
            RunState::Runnable => None,
        };
        match kind {
            Some(kind) => Verdict::Kill { silent_ns, kind },
            None => Verdict::Warn { silent_ns },
        }
    }
}

#[cfg(test)]
mod tests;
