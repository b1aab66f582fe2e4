//! The wall clock in the unit of the wire, for people only: nothing is ordered or resumed by it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Returns the time of day in µs since 1970. A clock that is set before 1970 reads 0.
pub(crate) fn now_us() -> u64 {
    let now_us = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
    #[cfg(test)]
    let now_us = now_us.saturating_add_signed(jump::us());
    now_us
}

/// Jumps of the wall clock, for tests: the clock of a machine cannot be set for one test.
#[cfg(test)]
pub(crate) mod jump {
    use std::cell::Cell;

    thread_local! {
        static JUMP_US: Cell<i64> = const { Cell::new(0) };
    }

    /// Sets the wall clock of this thread to the time of day plus `us`.
    pub(crate) fn by(us: i64) {
        JUMP_US.set(us);
    }

    pub(super) fn us() -> i64 {
        JUMP_US.get()
    }
}
