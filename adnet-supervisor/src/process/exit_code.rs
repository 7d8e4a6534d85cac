//! Every exit code of the binary, in one place, so that the service file, the operating page and
//! the code agree. Values follow `sysexits.h` where it has a fitting name.
//!
//! Invariant: a code that a restart cannot cure (configuration, missing sandbox) is listed in
//! `RestartPreventExitStatus` of `systemd/adnet.service`.

/// An orderly end: everything was flushed.
pub const OK: i32 = 0;
/// An error that has no code of its own; the log says which.
pub const FAILURE: i32 = 1;
/// The command line was not understood (clap's code).
pub const USAGE: i32 = 2;
/// A worker was refused because its ring schema or build differs from the supervisor's.
pub const SCHEMA_MISMATCH: i32 = 65;
/// A worker lost its supervisor and ended itself.
pub const SUPERVISOR_LOST: i32 = 69;
/// The shutdown was cut short, by a second signal or by its deadline.
pub const ENDED_AT_ONCE: i32 = 70;
/// The operating system refused something the start needs: a socket, a process, shared memory.
pub const OS_REFUSED: i32 = 71;
/// The store reported a full disk or a failed fsync; nothing unacknowledged was acknowledged.
pub const STORE_FAILED: i32 = 74;
/// A worker died too often in a short time; the service manager decides what to do.
pub const RESTART_LIMIT: i32 = 75;
/// `--require-sandbox` was given and the kernel lacks a part of the sandbox.
pub const SANDBOX_REFUSED: i32 = 77;
/// The configuration has mistakes; all of them were reported.
pub const CONFIG: i32 = 78;
