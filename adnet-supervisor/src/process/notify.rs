//! Telling systemd how we are: readiness, a status line, the watchdog, and stopping.
//! Protocol: `sd_notify(3)`; outside systemd (`NOTIFY_SOCKET` unset) every call does nothing.
//!
//! Invariant: whoever calls [`Notifier::watchdog`] vouches that the supervisor's own loop and its
//! workers progress. It must not be called from a timer that would tick on while they hang.

use std::io;
use std::time::Duration;

use sd_notify::NotifyState;

/// The connection to the service manager, if there is one.
#[derive(Debug)]
pub struct Notifier {
    is_active: bool,
    watchdog_interval: Option<Duration>,
    /// The last status sent, so that an unchanged one costs nothing.
    status: String,
}

impl Notifier {
    /// Reads `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    pub fn from_env() -> Notifier {
        Notifier {
            is_active: std::env::var_os("NOTIFY_SOCKET").is_some(),
            // Half of the limit, as sd_watchdog_enabled(3) recommends.
            watchdog_interval: sd_notify::watchdog_enabled().map(|limit| limit / 2),
            status: String::new(),
        }
    }

    /// Whether a service manager listens.
    pub fn is_active(&self) -> bool {
        self.is_active
    }

    /// How often [`Notifier::watchdog`] must be called; `None` when systemd does not ask for it.
    pub fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog_interval
    }

    /// Both APIs answer: the start is done.
    pub fn ready(&mut self, status: &str) -> io::Result<()> {
        status.clone_into(&mut self.status);
        self.send(&[NotifyState::Ready, NotifyState::Status(&one_line(status))])
    }

    /// One line for `systemctl status`; sent only when it differs from the last.
    pub fn status(&mut self, status: &str) -> io::Result<()> {
        if self.status == status {
            return Ok(());
        }
        status.clone_into(&mut self.status);
        self.send(&[NotifyState::Status(&one_line(status))])
    }

    /// The supervisor's loop and the workers progress.
    pub fn watchdog(&self) -> io::Result<()> {
        self.send(&[NotifyState::Watchdog])
    }

    /// The shutdown has begun and will be done within `deadline`, for which systemd is asked to
    /// wait.
    pub fn stopping(&mut self, status: &str, deadline: Duration) -> io::Result<()> {
        status.clone_into(&mut self.status);
        let extend_us = u32::try_from(deadline.as_micros()).unwrap_or(u32::MAX);
        self.send(&[
            NotifyState::Stopping,
            NotifyState::ExtendTimeoutUsec(extend_us),
            NotifyState::Status(&one_line(status)),
        ])
    }

    fn send(&self, states: &[NotifyState<'_>]) -> io::Result<()> {
        if self.is_active {
            sd_notify::notify(states)
        } else {
            Ok(())
        }
    }
}

/// A line break would end the assignment and begin another one of the protocol.
fn one_line(status: &str) -> String {
    status.replace(['\n', '\r'], " ")
}
