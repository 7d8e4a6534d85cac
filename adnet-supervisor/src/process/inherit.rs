//! Taking over a descriptor that another process passed by number: a worker's grants and the
//! sockets of systemd.
//!
//! Invariant: a number is adopted at most once per process, so that no two owners close it.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{LazyLock, Mutex};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

/// Numbers that already have an owner in this process.
static ADOPTED: LazyLock<Mutex<BTreeSet<RawFd>>> = LazyLock::new(Mutex::default);

/// Why a passed descriptor could not be taken over.
#[derive(Debug, thiserror::Error)]
pub enum InheritError {
    /// The number names one of the standard streams or is negative.
    #[error("descriptor {0} is not one that can be passed to a process")]
    Reserved(RawFd),
    /// The number was taken over before; a second owner would close it under the first.
    #[error("descriptor {0} was already taken over")]
    Taken(RawFd),
    /// Nothing is open under this number.
    #[error("descriptor {fd} was announced but is not open: {source}")]
    NotOpen {
        /// The announced number.
        fd: RawFd,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Takes ownership of descriptor `fd`, which another process opened for this one, and marks it
/// close-on-exec so that it goes no further by accident.
pub fn adopt(fd: RawFd) -> Result<OwnedFd, InheritError> {
    if fd <= 2 {
        return Err(InheritError::Reserved(fd));
    }
    let mut adopted = ADOPTED
        .lock()
        .expect("no code panics while it holds this lock");
    if adopted.contains(&fd) {
        return Err(InheritError::Taken(fd));
    }
    // SAFETY: the number is not negative, and it is only lent to fcntl, which reports EBADF when
    // nothing is open under it.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    let not_open = |errno: rustix::io::Errno| InheritError::NotOpen {
        fd,
        source: errno.into(),
    };
    let flags = fcntl_getfd(borrowed).map_err(not_open)?;
    fcntl_setfd(borrowed, flags | FdFlags::CLOEXEC).map_err(not_open)?;
    adopted.insert(fd);
    // SAFETY: it is open (checked above) and nobody else in this process owns it: it was passed by
    // number at exec, and ADOPTED hands each number out once.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
