//! Due tables: when each line of a run is due, by its seq.
//!
//! Made of a schedule when the run starts; publisher's lines and subscribers' recorders go by it. Pure.

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::wire::Seq;

/// When each line of a run is due. Shared by the publisher and every recorder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueTable {
    start: Instant,
    due: Vec<Duration>,
    cohort: Range<Seq>,
    window: Range<Duration>,
}

impl DueTable {
    /// The table of a new log, whose first line gets seq 1. `due` counts from `start` and never decreases; lines due
    /// before `warm_up` are outside the cohort.
    pub fn new(start: Instant, due: Vec<Duration>, warm_up: Duration) -> Self {
        debug_assert!(due.is_sorted());
        let first = due.partition_point(|due| *due < warm_up) as Seq + 1;
        let cohort = first..due.len() as Seq + 1;
        let end = due.last().copied().unwrap_or_default();
        Self { start, due, cohort, window: warm_up..end.max(warm_up) }
    }

    /// The same table of a schedule that goes on to `end` after its last line; counts from the start.
    pub fn until(mut self, end: Duration) -> Self {
        self.window.end = end.max(self.window.end);
        self
    }

    /// The time that is measured: from the end of the warm-up to the end of the schedule.
    pub fn window(&self) -> Range<Instant> {
        self.start + self.window.start..self.start + self.window.end
    }

    /// The measured time, counted from the start.
    pub(super) fn window_since_start(&self) -> Range<Duration> {
        self.window.clone()
    }

    /// The instant that due times count from.
    pub fn start(&self) -> Instant {
        self.start
    }

    /// When the line is due; `None` for a seq that the run does not have.
    pub fn due(&self, seq: Seq) -> Option<Instant> {
        let index = usize::try_from(seq.checked_sub(1)?).ok()?;
        self.due.get(index).map(|due| self.start + *due)
    }

    /// Seqs of the lines that are measured.
    pub fn cohort(&self) -> Range<Seq> {
        self.cohort.clone()
    }

    /// Lines of the whole run, warm-up included.
    pub fn lines_count(&self) -> u64 {
        self.due.len() as u64
    }
}
