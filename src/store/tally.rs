//! What a store counts at the moment of a commit: lines that became readable, and logs that run.
//!
//! A caller that has left hears of no commit, so nothing that waits for an answer could count. Each store and its logs
//! share one tally; `/metrics` and the bound on running deployments read it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus_client::metrics::counter::Counter;

/// The counts of one store. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    appended: Counter,
    running: Arc<AtomicUsize>,
}

impl Tally {
    /// Returns the counter of the lines that were appended since the store was opened.
    pub fn lines_appended(&self) -> Counter {
        self.appended.clone()
    }

    /// Returns how many logs have neither ended nor been deleted.
    pub fn running_count(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }

    /// Counts lines that have just become readable.
    pub(super) fn appended(&self, line_count: usize) {
        self.appended.inc_by(line_count as u64);
    }

    /// Counts a log that runs from now on.
    pub(super) fn began(&self) {
        self.running.fetch_add(1, Ordering::SeqCst);
    }

    /// Counts a running log that has just ended or been deleted.
    pub(super) fn ended(&self) {
        self.running.fetch_sub(1, Ordering::SeqCst);
    }
}
