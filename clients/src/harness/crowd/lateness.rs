//! How late a line came, by its time stamp and the wall clock: only while that clock keeps its pace.
//!
//! Each subscriber of a crowd has one. Pure: the caller reads the clocks.

use std::time::{Duration, Instant};

/// A wall clock that differs by more than this from a clock that nobody sets was set itself, or the computer slept.
/// Between two looks NTP's slow corrections stay far below.
const JUMP: Duration = Duration::from_millis(250);

/// Tells latencies of lines that were appended since the subscriber began, or since the wall clock last jumped.
#[derive(Debug)]
pub(super) struct Lateness {
    /// Lines with an earlier time stamp have no latency.
    since: Duration,
    /// The last look at both clocks.
    looked: (Duration, Instant),
}

impl Lateness {
    /// Begins at this time of day, which counts from 1970.
    pub(super) fn begin(wall: Duration, now: Instant) -> Self {
        Self { since: wall, looked: (wall, now) }
    }

    /// Looks at both clocks again. After a jump the lines that are under way have no latency.
    pub(super) fn look(&mut self, wall: Duration, now: Instant) {
        let (wall_before, before) = self.looked;
        let expected = wall_before + now.saturating_duration_since(before);
        if wall.abs_diff(expected) > JUMP {
            self.since = wall;
        }
        self.looked = (wall, now);
    }

    /// Returns how late a line came, or `None` if the clock does not tell: the line is from before, or it would have come
    /// before it was appended.
    pub(super) fn of(&self, appended: Duration, received: Duration) -> Option<Duration> {
        if appended >= self.since { received.checked_sub(appended) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_clock_that_jumps_gives_no_latency_and_then_true_ones() {
        let (day, start) = (Duration::from_secs(1_800_000_000), Instant::now());
        let mut lateness = Lateness::begin(day, start);
        assert_eq!(lateness.of(day - MS, day + MS), None, "from before");
        lateness.look(day + 10 * MS, start + 10 * MS);
        assert_eq!(lateness.of(day + 8 * MS, day + 10 * MS), Some(2 * MS));
        for (jumped, at) in [(day + HOUR, 20), (day - HOUR, 30)] {
            // Appended just before the jump, received just after it.
            let before = lateness.looked.0 + MS;
            lateness.look(jumped, start + at * MS);
            assert_eq!(lateness.of(before, jumped), None, "across the jump");
            let after = jumped + 5 * MS;
            lateness.look(after, start + (at + 5) * MS);
            assert_eq!(lateness.of(after - 3 * MS, after), Some(3 * MS));
        }
    }

    #[test]
    fn a_line_from_the_future_has_no_latency() {
        let (day, start) = (Duration::from_secs(1_800_000_000), Instant::now());
        let lateness = Lateness::begin(day, start);
        assert_eq!(lateness.of(day + MS, day), None);
        assert_eq!(lateness.of(day, day), Some(Duration::ZERO));
    }
}
