//! Starts the real binary and speaks to it as its users do: by processes, signals and HTTP.
//!
//! Invariants: every port is the system's choice and every directory temporary, so tests run side by
//! side; whatever a test does, its node is gone when the test ends, and a test whose node leaves a
//! process or a segment in /dev/shm behind fails.

mod accounts;
mod ending;
mod follower;
mod http;
mod listen;
mod manager;
mod network;
mod node;
mod outage;
mod processes;
mod report;
mod routed;
mod sentries;

use std::{
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

pub use accounts::{AlphaUser, DeltaUser};
pub use http::{Api, Failure};
pub use manager::{Notice, NotifySocket, PassedSocket, command_with};
pub use node::{Options, Signal, TestNode};
pub use outage::Outages;
pub use processes::{Process, segments_of, workers_of};
pub use routed::Dial;
pub use sentries::Sentried;

/// How long a test waits for something that takes a fraction of it on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);

/// The built `adnet`, which lies above the folder of this test's own executable.
///
/// # Panics
/// When it is not there: tests of the whole workspace build it first.
pub fn binary() -> PathBuf {
    let own = std::env::current_exe().expect("a running test has an executable");
    let folder = own
        .parent()
        .and_then(|deps| deps.parent())
        .expect("cargo puts tests into a folder `deps` below the profile's");
    let binary = folder.join("adnet");
    assert!(
        binary.exists(),
        "{} is missing: build it first, with `cargo build --release` or `make test`",
        binary.display()
    );
    binary
}

/// A call of it without the settings of whoever runs the test.
fn adnet() -> Command {
    without_settings(Command::new(binary()))
}

fn without_settings(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ADNET_") {
            command.env_remove(name);
        }
    }
    command
}

/// Asks until there is an answer.
///
/// # Panics
/// After [`PATIENCE`], naming `what`.
pub fn eventually<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    eventually_within(PATIENCE, what, ask)
}

/// The same for what may take another time.
///
/// # Panics
/// After `patience`, naming `what`.
pub fn eventually_within<T>(
    patience: Duration,
    what: &str,
    mut ask: impl FnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {patience:?}");
        thread::sleep(POLL);
    }
}
