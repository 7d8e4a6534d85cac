//! The clocks of a process: the only place where chain code's time comes from.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the UNIX epoch.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let ms = since.expect("the clock is set later than 1970").as_millis();
    u64::try_from(ms).expect("five hundred million years fit")
}

/// CLOCK_MONOTONIC in nanoseconds: comparable between processes of one machine.
pub fn monotonic_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let (s, ns) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    s * 1_000_000_000 + ns
}
