//! Sleeping and waking: a bounded spin, then the kernel.
//!
//! A sleep is never longer than [`BACKSTOP`], so that even a wake that was lost with the process
//! that owed it delays nobody by more. Never spin without bound: with two cores, a spinner may be
//! what keeps the other side from running.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};
use rustix::thread::futex;

use crate::error::ShmError;

/// Longest uninterrupted sleep in the kernel.
pub const BACKSTOP: Duration = Duration::from_millis(100);

/// Rounds of `pause` before the kernel is asked, unless a side is set otherwise; about 30 µs.
pub(crate) const SPIN_ROUNDS: u32 = 2_000;

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitOutcome {
    /// What was waited for is there.
    Ready,
    /// The time is over.
    TimedOut,
    /// This side has been replaced by another process.
    Fenced,
}

/// Spins for that many rounds until `ready` holds, and says whether it does.
#[inline]
pub(crate) fn spin(rounds: u32, mut ready: impl FnMut() -> bool) -> bool {
    for _ in 0..rounds {
        if ready() {
            return true;
        }
        std::hint::spin_loop();
    }
    false
}

/// Sleeps while `word` is `seen`, at most until `deadline` or for [`BACKSTOP`].
///
/// Returns early at will: the caller looks at its condition again in any case.
pub(crate) fn sleep_on(word: &AtomicU32, seen: u32, deadline: Instant) {
    let rest = deadline.saturating_duration_since(Instant::now());
    if rest.is_zero() {
        return;
    }
    let timeout = rest.min(BACKSTOP);
    let timespec = futex::Timespec {
        tv_sec: 0,
        tv_nsec: i64::from(timeout.subsec_nanos()),
    };
    // Not private: the waker is another process. All errors (woken by a signal, word changed, time
    // over) mean the same to the caller.
    let _ = futex::wait(word, futex::Flags::empty(), seen, Some(&timespec));
}

/// Wakes everyone who sleeps on `word`, in any process.
pub(crate) fn wake_all(word: &AtomicU32) {
    // The only error is a bad address, which a mapped word does not have.
    let _ = futex::wake(word, futex::Flags::empty(), i32::MAX as u32);
}

/// Rings a doorbell.
pub(crate) fn ring(doorbell: &OwnedFd) {
    // A full counter is readable already, and a broken doorbell is the sleeper's backstop's case.
    let _ = rustix::io::write(doorbell.as_fd(), &1u64.to_ne_bytes());
}

/// Makes a doorbell: an eventfd, non-blocking and closed on exec.
///
/// The supervisor keeps one copy for the side that rings, and hands another to the side that
/// sleeps; whoever needs it across an exec clears the close flag there.
pub fn new_doorbell() -> Result<OwnedFd, ShmError> {
    eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(|errno| ShmError::Os {
        operation: "eventfd",
        name: "doorbell".to_owned(),
        source: errno.into(),
    })
}
