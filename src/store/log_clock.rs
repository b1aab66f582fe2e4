//! The times of one log: the wall clock, except that they never run backwards.
//!
//! The wall clock may be set back at any moment. A deployment that ended before it began, or a line that is older than
//! the one before it, would be read as a fault of the log. Used by both stores under a log's lock.

use super::now_us;

/// The newest time of one log.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LogClock {
    newest_us: u64,
}

impl LogClock {
    /// Makes the clock of a log whose newest time is `newest_us`.
    pub(super) fn at(newest_us: u64) -> Self {
        Self { newest_us }
    }

    /// Returns the time of day, or the newest time of the log while the wall clock is behind it.
    pub(super) fn now_us(&mut self) -> u64 {
        self.newest_us = self.newest_us.max(now_us());
        self.newest_us
    }
}
