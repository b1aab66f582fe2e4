//! The wall clock, as the wire tells time: for people only, nothing orders or resumes by it.

use std::time::{SystemTime, UNIX_EPOCH};

/// µs since 1970. A clock set before 1970 reads 0.
pub(crate) fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}
