//! Signals as events on a descriptor, so that the loop waits for them together with the pidfds.
//!
//! Supervisor: the first SIGTERM, SIGINT or SIGHUP asks for the orderly shutdown, the second for an
//! end at once. SIGHUP is left alone when it was ignored at the start, which is what `nohup` does.
//! Should the loop be stuck so badly that it cannot even act on the second, the third ends the
//! process from within the signal handler; the workers follow by PDEATHSIG.
//!
//! Worker: SIGINT is ignored (from birth, see [`super::spawn`]); SIGTERM is a hint to end in order,
//! which the supervisor normally gives by a control message.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::exit_code;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopRequest {
    /// Stop accepting, drain, flush, exit 0.
    Orderly,
    /// Kill the workers, release the shared memory, exit with
    /// [`ENDED_AT_ONCE`](super::exit_code::ENDED_AT_ONCE).
    AtOnce,
}

/// The signals of this process. Make one, in the main thread, before others start.
#[derive(Debug)]
pub struct Signals {
    /// One byte per signal, written by the handler.
    pipe: UnixStream,
    seen: usize,
    /// Set once the second signal was handed out: a third then exits from the handler.
    exit_in_handler: Arc<AtomicBool>,
    names: Vec<(&'static str, Arc<AtomicBool>)>,
}

impl Signals {
    /// Handlers for a supervisor.
    pub fn supervisor() -> io::Result<Signals> {
        let mut signals = vec![("SIGTERM", SIGTERM), ("SIGINT", SIGINT)];
        if !is_ignored("SigIgn", SIGHUP)? {
            signals.push(("SIGHUP", SIGHUP));
        }
        Signals::install(&signals)
    }

    /// Handlers for a worker. Call it after the sandbox is entered: it opens descriptors.
    pub fn worker() -> io::Result<Signals> {
        Signals::install(&[("SIGTERM", SIGTERM)])
    }

    fn install(signals: &[(&'static str, i32)]) -> io::Result<Signals> {
        let (pipe, handler_end) = UnixStream::pair()?;
        pipe.set_nonblocking(true)?;
        let exit_in_handler = Arc::new(AtomicBool::new(false));
        let mut names = Vec::with_capacity(signals.len());
        for &(name, number) in signals {
            // Actions of one signal run in this order: the name is set before the byte arrives.
            signal_hook::flag::register_conditional_shutdown(
                number,
                exit_code::ENDED_AT_ONCE,
                Arc::clone(&exit_in_handler),
            )?;
            let arrived = Arc::new(AtomicBool::new(false));
            signal_hook::flag::register(number, Arc::clone(&arrived))?;
            signal_hook::low_level::pipe::register(number, handler_end.try_clone()?)?;
            names.push((name, arrived));
        }
        Ok(Signals {
            pipe,
            seen: 0,
            exit_in_handler,
            names,
        })
    }

    /// The strongest request since the last call, if any signal came. Never blocks; call it when
    /// the descriptor is readable.
    pub fn take(&mut self) -> io::Result<Option<StopRequest>> {
        let mut bytes = [0_u8; 16];
        let mut came = 0_usize;
        loop {
            match self.pipe.read(&mut bytes) {
                Ok(0) => break,
                Ok(count) => came = came.saturating_add(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if came == 0 {
            return Ok(None);
        }
        self.seen = self.seen.saturating_add(came);
        for (signal, arrived) in &self.names {
            if arrived.swap(false, Ordering::Relaxed) {
                tracing::info!(signal, "stop requested");
            }
        }
        if self.seen == 1 {
            return Ok(Some(StopRequest::Orderly));
        }
        self.exit_in_handler.store(true, Ordering::Relaxed);
        Ok(Some(StopRequest::AtOnce))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// Whether `signal` is in the set that `/proc/self/status` shows under `field`.
fn is_ignored(field: &str, signal: i32) -> io::Result<bool> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .ok_or_else(|| io::Error::other("/proc/self/status names no ignored signals"))?;
    let bit = u32::try_from(signal)
        .ok()
        .and_then(|number| number.checked_sub(1));
    Ok(bit
        .and_then(|bit| mask.checked_shr(bit))
        .is_some_and(|mask| mask & 1 == 1))
}
