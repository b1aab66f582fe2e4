//! Whether the writer waits a moment before its next flush, so that more appends share it.
//!
//! Publishers that send one append after the other fall into two halves by themselves: one half is flushed while the
//! other is answered, and each flush carries half of what it could. So after a batch the writer waits until as many
//! appends have come as it has just answered, for a part of the time that the flush took. Where they do not come, as
//! from publishers far away or by a timetable, it stops waiting. Pure: the log's writer waits.

use std::time::Duration;

/// Longest wait. Publishers on the same machine or in the same building answer within it; others are not waited for.
const WAIT_MAX: Duration = Duration::from_millis(1);
/// Shortest wait: less is over before a thread has slept and woken.
const WAIT_MIN: Duration = Duration::from_micros(50);
/// Most batches that are written without a wait after waits that were in vain.
const PAUSE_MAX: u32 = 64;

/// What the last waits of one log came to.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    /// Batches that are written without a wait, after the last wait in vain.
    pause: u32,
    /// Batches of that pause that are still to come.
    pausing: u32,
}

impl Gathering {
    /// Returns how long to wait after a batch of so many appends, whose flush took `took`, while so many others are
    /// pending already.
    pub(super) fn wait(&mut self, answered: usize, pending: usize, took: Duration) -> Option<Duration> {
        let wait = (took / 2).min(WAIT_MAX);
        if answered + pending < 2 || wait < WAIT_MIN {
            return None;
        }
        if self.pausing > 0 {
            self.pausing -= 1;
            return None;
        }
        Some(wait)
    }

    /// Notes whether all that were waited for came in time.
    pub(super) fn waited(&mut self, all_came: Came) {
        self.pause = match all_came {
            Came::All => 0,
            Came::NotAll => (2 * self.pause).clamp(1, PAUSE_MAX),
        };
        self.pausing = self.pause;
    }
}

/// What a wait came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// As many appends came as had been answered.
    All,
    /// The time was over first.
    NotAll,
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLUSH: Duration = Duration::from_micros(400);

    #[test]
    fn a_single_publisher_and_a_fast_disk_are_never_waited_for() {
        let mut gathering = Gathering::default();
        assert_eq!(gathering.wait(1, 0, FLUSH), None);
        assert_eq!(gathering.wait(16, 16, Duration::from_micros(20)), None);
        assert_eq!(gathering.wait(1, 1, FLUSH), Some(FLUSH / 2));
        assert_eq!(gathering.wait(16, 0, Duration::from_secs(3)), Some(WAIT_MAX));
    }

    #[test]
    fn waits_in_vain_become_rare_and_one_that_was_not_makes_them_usual_again() {
        let mut gathering = Gathering::default();
        let waits = (0..1_000).filter(|_| {
            let waits = gathering.wait(8, 8, FLUSH).is_some();
            if waits {
                gathering.waited(Came::NotAll);
            }
            waits
        });
        let waits = waits.count();
        assert!((10..30).contains(&waits), "{waits} of 1,000");
        while gathering.wait(8, 8, FLUSH).is_none() {}
        gathering.waited(Came::All);
        assert!((0..100).all(|_| gathering.wait(8, 8, FLUSH).is_some()));
    }
}
