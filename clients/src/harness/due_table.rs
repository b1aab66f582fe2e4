//! Due tables: when each line of a run is due, by its seq.
//!
//! A run makes one of each schedule when it starts; the subscribers' recorders use it. Pure.

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::wire::Seq;

/// Due times of the lines of one log. Shared by every recorder of its subscribers.
///
/// The *cohort* is the lines that are measured: those due after the warm-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueTable {
    start: Instant,
    due: Vec<Duration>,
    cohort: Range<Seq>,
    window: Range<Duration>,
}

impl DueTable {
    /// Creates the table of a new log, whose first line gets seq 1. `due` counts from `start` and never decreases;
    /// lines due before `warm_up` are outside the cohort.
    pub fn new(start: Instant, due: Vec<Duration>, warm_up: Duration) -> Self {
        debug_assert!(due.is_sorted());
        let first = due.partition_point(|due| *due < warm_up) as Seq + 1;
        let cohort = first..due.len() as Seq + 1;
        let end = due.last().copied().unwrap_or_default();
        Self { start, due, cohort, window: warm_up..end.max(warm_up) }
    }

    /// Extends the measured time to `end`, counted from the start, for a schedule that goes on after its last line.
    pub fn until(mut self, end: Duration) -> Self {
        self.window.end = end.max(self.window.end);
        self
    }

    /// Returns the measured time: from the end of the warm-up to the end of the schedule.
    pub fn window(&self) -> Range<Instant> {
        self.start + self.window.start..self.start + self.window.end
    }

    /// Returns the measured time, counted from the start.
    pub(super) fn window_since_start(&self) -> Range<Duration> {
        self.window.clone()
    }

    /// Returns the instant that due times count from.
    pub fn start(&self) -> Instant {
        self.start
    }

    /// Returns when the line is due; `None` for a seq that the run does not have.
    pub fn due(&self, seq: Seq) -> Option<Instant> {
        self.due_since_start(seq).map(|due| self.start + due)
    }

    /// Returns when the line is due, counted from the start; `None` for a seq that the run does not have.
    pub(super) fn due_since_start(&self, seq: Seq) -> Option<Duration> {
        self.due.get(usize::try_from(seq.checked_sub(1)?).ok()?).copied()
    }

    /// Returns the seqs of the cohort.
    pub fn cohort(&self) -> Range<Seq> {
        self.cohort.clone()
    }

    /// Counts the lines of the whole run, warm-up included.
    pub fn lines_count(&self) -> u64 {
        self.due.len() as u64
    }
}
