//! The clock by which blocks are stamped.

use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since the UNIX epoch.
pub fn unix_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let us = since.expect("the clock is set later than 1970").as_micros();
    u64::try_from(us).expect("half a million years fit")
}
