//! The wall clock in the unit of the wire, for people only: nothing is ordered or resumed by it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Returns the time of day in µs since 1970. A clock that is set before 1970 reads 0.
pub(crate) fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}
