//! Sleeping until a worker dies or something else needs the supervisor's loop.
//!
//! The pidfd is the authority on death: it becomes readable when the process has ended and not
//! before. Everything else that can wake the loop (signals, a control socket, another thread) is a
//! descriptor as well, so one `poll` waits for all of them.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

/// Waits until one of `fds` is readable (a pidfd: its process has ended; a pipe: also its end of
/// file) or `timeout` has passed; `None` waits for ever. Returns the indices of those that are
/// ready, in order; none after a timeout.
///
/// The cost is one system call whatever the number of descriptors; an interrupting signal does not
/// end the wait early.
pub fn wait_readable(fds: &[BorrowedFd<'_>], timeout: Option<Duration>) -> io::Result<Vec<usize>> {
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let mut polled: Vec<PollFd<'_>> = fds
        .iter()
        .map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN))
        .collect();
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let left = left.map(|left| {
            Timespec::try_from(left).unwrap_or(Timespec {
                tv_sec: i64::from(i32::MAX),
                tv_nsec: 0,
            })
        });
        match poll(&mut polled, left.as_ref()) {
            Ok(_) => break,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        }
    }
    let ready = polled
        .iter()
        .enumerate()
        .filter(|(_, fd)| !fd.revents().is_empty());
    Ok(ready.map(|(index, _)| index).collect())
}

/// Wakes a loop that sleeps in [`wait_readable`], from any thread.
#[derive(Debug)]
pub struct Waker {
    eventfd: OwnedFd,
}

impl Waker {
    /// A waker that nobody has rung yet.
    pub fn new() -> io::Result<Waker> {
        let eventfd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Waker { eventfd })
    }

    /// Makes the descriptor readable. Many calls before the loop looks count as one.
    pub fn wake(&self) -> io::Result<()> {
        match rustix::io::write(&self.eventfd, &1_u64.to_ne_bytes()) {
            // EAGAIN: the counter is full, so the loop is bound to wake anyway.
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Clears the wake-up; call it before looking at what there is to do, so that none is lost.
    pub fn clear(&self) -> io::Result<()> {
        match rustix::io::read(&self.eventfd, &mut [0_u8; 8]) {
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waker_wakes_the_poll_once_and_names_its_index() {
        let (quiet, waker) = (Waker::new().unwrap(), Waker::new().unwrap());
        let fds = [quiet.as_fd(), waker.as_fd()];
        assert!(
            wait_readable(&fds, Some(Duration::ZERO))
                .unwrap()
                .is_empty()
        );
        waker.wake().unwrap();
        waker.wake().unwrap();
        assert_eq!(
            wait_readable(&fds, Some(Duration::from_secs(5))).unwrap(),
            [1]
        );
        waker.clear().unwrap();
        assert!(
            wait_readable(&fds, Some(Duration::ZERO))
                .unwrap()
                .is_empty()
        );
        waker.clear().expect("clearing twice is harmless");
    }

    #[test]
    fn a_poll_from_another_thread_is_woken_long_before_its_timeout() {
        let waker = Waker::new().unwrap();
        let started = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| waker.wake().unwrap());
            let ready = wait_readable(&[waker.as_fd()], Some(Duration::from_secs(30))).unwrap();
            assert_eq!(ready, [0]);
        });
        assert!(started.elapsed() < Duration::from_secs(20));
    }
}
