//! The lifetime pipe: how a worker notices that its supervisor is gone.
//!
//! The supervisor holds the only write end and never writes. When it dies, however it dies, the
//! kernel closes that end and the worker reads the end of file. PDEATHSIG says the same and is
//! usually faster; the pipe also covers a supervisor that dies while PDEATHSIG is cleared by a
//! change of user.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use rustix::pipe::{PipeFlags, pipe_with};

use super::death;
use super::exit_code;
use super::inherit::{self, InheritError};

/// Number under which every worker finds the read end of its lifetime pipe.
pub const LIFETIME_FD: RawFd = 3;

/// A fresh pipe, `(read end for the worker, write end for the supervisor)`, both close-on-exec.
pub(super) fn lifetime_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(pipe_with(PipeFlags::CLOEXEC)?)
}

/// The worker's end of the pipe.
#[derive(Debug)]
pub struct SupervisorWatch {
    read_end: OwnedFd,
}

impl SupervisorWatch {
    /// Takes over the inherited read end. Call it once, in a worker.
    pub fn inherited() -> Result<SupervisorWatch, InheritError> {
        Ok(SupervisorWatch {
            read_end: inherit::adopt(LIFETIME_FD)?,
        })
    }

    /// Whether the supervisor is gone, now.
    pub fn is_supervisor_gone(&self) -> io::Result<bool> {
        let ready =
            death::wait_readable(&[self.read_end.as_fd()], Some(std::time::Duration::ZERO))?;
        Ok(!ready.is_empty())
    }

    /// Starts a thread that sleeps on the pipe and ends this process with
    /// [`exit_code::SUPERVISOR_LOST`] once the supervisor is gone. No destructor of the other
    /// threads runs: what a worker holds belongs to the supervisor, and that is gone. Call it
    /// after the sandbox is entered, which wants a single thread.
    pub fn exit_with_supervisor(self) -> io::Result<()> {
        std::thread::Builder::new()
            .name("lifetime".to_owned())
            .spawn(move || {
                match death::wait_readable(&[self.read_end.as_fd()], None) {
                    Ok(_) => tracing::error!("the supervisor is gone; this worker ends"),
                    Err(error) => {
                        tracing::error!(%error, "cannot watch the supervisor; this worker ends")
                    }
                }
                std::process::exit(exit_code::SUPERVISOR_LOST)
            })?;
        Ok(())
    }
}

impl AsFd for SupervisorWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read_end.as_fd()
    }
}
