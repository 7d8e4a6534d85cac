//! What a worker's heartbeat says, and how often.

/// The longest sleep: the supervisor hears a beat at least this often.
pub(super) const BEAT_EVERY_MS: u64 = 100;

/// State of a worker as its heartbeat says it.
pub const STATE_STARTING: u32 = 1;
pub const STATE_RUNNING: u32 = 2;
pub const STATE_STOPPING: u32 = 3;
/// The chain's thread waits for an answer of the supervisor: a slow disk, for instance.
pub const STATE_WAITING: u32 = 4;
