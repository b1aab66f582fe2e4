//! The shared record of all subscribers of a log: latencies, how far apart a line reached them, deliveries over time.
//!
//! Every recorder notes its first receipts here. The size grows with the lines and the seconds of a run, never with its
//! subscribers: a histogram for each would be larger than its connection. Reads no clock.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::due_table::DueTable;
use super::series::{self, SeriesPoint};
use crate::latency::LatencyHistogram;
use crate::wire::Seq;

/// Length of a bin of the time series. A second holds enough lines for a mean, and an hour is 3 600 rows.
pub const BIN: Duration = Duration::from_secs(1);

/// Histograms of a log. With one, all recorders would wait for each other.
const HISTOGRAMS_COUNT: usize = 16;

/// Counters that every recorder of a log adds to.
#[derive(Debug)]
pub struct SharedRecord {
    cohort: Range<Seq>,
    /// Latencies of the cohort; each recorder adds to one of the histograms. Made with the first latency: there may be
    /// thousands of logs with one recorder each.
    latencies: [Mutex<Option<LatencyHistogram>>; HISTOGRAMS_COUNT],
    recorders_count: AtomicUsize,
    /// Receipts of each line of the cohort.
    spreads: Vec<LineReceipts>,
    bins: Vec<SharedBin>,
}

/// Which of the histograms a recorder adds to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part(usize);

/// The lines of one read, while they are noted.
pub(super) struct Noting<'a> {
    shared: &'a SharedRecord,
    latencies: MutexGuard<'a, Option<LatencyHistogram>>,
    /// Deliveries of lines that were due in one bin, which are added to it together.
    bin: usize,
    sum: Bin,
}

/// Times at which a line reached the first and the last of its subscribers, ns since the first due time.
#[derive(Debug)]
struct LineReceipts {
    first_ns: AtomicU64,
    last_ns: AtomicU64,
    receipts_count: AtomicU32,
}

#[derive(Debug, Default)]
struct SharedBin {
    count: AtomicU64,
    sum_us: AtomicU64,
    max_us: AtomicU64,
}

impl SharedRecord {
    /// Creates a record in which nothing of the table's lines was received.
    pub fn new(table: &DueTable) -> Self {
        let cohort = table.cohort();
        let spread = |_| LineReceipts {
            first_ns: AtomicU64::new(u64::MAX),
            last_ns: AtomicU64::new(0),
            receipts_count: AtomicU32::new(0),
        };
        let last_due = table.due_since_start(table.lines_count()).unwrap_or_default();
        let bins_count = if table.lines_count() == 0 { 0 } else { bin_of(last_due) + 1 };
        Self {
            latencies: Default::default(),
            recorders_count: AtomicUsize::new(0),
            spreads: cohort.clone().map(spread).collect(),
            cohort,
            bins: (0..bins_count).map(|_| SharedBin::default()).collect(),
        }
    }

    /// Chooses the histogram of a new recorder.
    pub(super) fn part(&self) -> Part {
        Part(self.recorders_count.fetch_add(1, Ordering::Relaxed) % HISTOGRAMS_COUNT)
    }

    /// Begins to note the lines of one read.
    pub(super) fn noting(&self, part: Part) -> Noting<'_> {
        let latencies = self.latencies[part.0].lock().expect("no holder panics");
        Noting { shared: self, latencies, bin: 0, sum: Bin::default() }
    }

    /// Returns the latencies of the cohort so far, over all recorders.
    pub fn latency(&self) -> LatencyHistogram {
        let mut all = LatencyHistogram::default();
        for part in &self.latencies {
            part.lock().expect("no holder panics").iter().for_each(|part| all.merge(part));
        }
        all
    }

    /// Returns last − first receipt of each line of the cohort that two subscribers or more received.
    pub fn fanout_skew(&self) -> LatencyHistogram {
        let mut skew = LatencyHistogram::default();
        let several = |spread: &&LineReceipts| spread.receipts_count.load(Ordering::Relaxed) >= SEVERAL;
        for spread in self.spreads.iter().filter(several) {
            let (first_ns, last_ns) =
                (spread.first_ns.load(Ordering::Relaxed), spread.last_ns.load(Ordering::Relaxed));
            skew.record(Duration::from_nanos(last_ns.saturating_sub(first_ns)));
        }
        skew
    }

    /// Returns the deliveries over time.
    pub fn timeline(&self) -> Timeline {
        let bins = self.bins.iter().map(|bin| Bin {
            count: bin.count.load(Ordering::Relaxed),
            sum_us: bin.sum_us.load(Ordering::Relaxed),
            max_us: bin.max_us.load(Ordering::Relaxed),
        });
        Timeline { bins: bins.collect() }
    }
}

impl Noting<'_> {
    /// Notes that a subscriber received the line for the first time. Times count from the start.
    pub(super) fn note(&mut self, seq: Seq, due: Duration, received: Duration) {
        let latency = received.saturating_sub(due);
        if self.shared.cohort.contains(&seq) {
            self.latencies.get_or_insert_default().record(latency);
            self.shared.spreads[(seq - self.shared.cohort.start) as usize].note(received);
        }
        let bin = bin_of(due);
        if bin != self.bin {
            self.add_sum();
            self.bin = bin;
        }
        let us = latency.as_micros() as u64;
        self.sum.count += 1;
        self.sum.sum_us += us;
        self.sum.max_us = self.sum.max_us.max(us);
    }

    fn add_sum(&mut self) {
        let sum = std::mem::take(&mut self.sum);
        if let Some(bin) = self.shared.bins.get(self.bin).filter(|_| sum.count > 0) {
            bin.count.fetch_add(sum.count, Ordering::Relaxed);
            bin.sum_us.fetch_add(sum.sum_us, Ordering::Relaxed);
            bin.max_us.fetch_max(sum.max_us, Ordering::Relaxed);
        }
    }
}

impl Drop for Noting<'_> {
    fn drop(&mut self) {
        self.add_sum();
    }
}

impl LineReceipts {
    fn note(&self, received: Duration) {
        let at_ns = received.as_nanos() as u64;
        // Looked at before they are changed: of thousands of receipts, few change the first, and few the number.
        if at_ns < self.first_ns.load(Ordering::Relaxed) {
            self.first_ns.fetch_min(at_ns, Ordering::Relaxed);
        }
        if at_ns > self.last_ns.load(Ordering::Relaxed) {
            self.last_ns.fetch_max(at_ns, Ordering::Relaxed);
        }
        if self.receipts_count.load(Ordering::Relaxed) < SEVERAL {
            self.receipts_count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Receipts from which on the first and the last may differ. They are not counted any further.
const SEVERAL: u32 = 2;

fn bin_of(due: Duration) -> usize {
    (due.as_secs() / BIN.as_secs()) as usize
}

/// Deliveries by due time, warm-up included: one bin per [`BIN`], from the first due time on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    bins: Vec<Bin>,
}

/// Deliveries of the lines that were due within one bin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Bin {
    count: u64,
    sum_us: u64,
    max_us: u64,
}

impl Timeline {
    /// Adds the deliveries of another log of the same run.
    pub fn merge(&mut self, other: &Self) {
        self.bins.resize(self.bins.len().max(other.bins.len()), Bin::default());
        for (bin, other) in self.bins.iter_mut().zip(&other.bins) {
            bin.count += other.count;
            bin.sum_us += other.sum_us;
            bin.max_us = bin.max_us.max(other.max_us);
        }
    }

    /// Returns the points of the time series, each at the start of its bin. A bin in which nothing arrived has a count
    /// and no latency.
    pub fn points(&self) -> Vec<SeriesPoint> {
        let mut points = Vec::new();
        for (i, bin) in self.bins.iter().enumerate() {
            let t_s = i as f64 * BIN.as_secs_f64();
            points.push(series::LINES_DELIVERED.point(t_s, bin.count as f64));
            if bin.count > 0 {
                points.push(series::LATENCY_MEAN.point(t_s, bin.sum_us as f64 / bin.count as f64));
                points.push(series::LATENCY_MAX.point(t_s, bin.max_us as f64));
            }
        }
        points
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::*;
    use crate::harness::recorder::Recorder;

    const MS: Duration = Duration::from_millis(1);

    /// Makes five lines, due at 0, 500, 1 000, 1 500 and 3 000 ms; the first is warm-up.
    fn table() -> Arc<DueTable> {
        let due = [0, 500, 1_000, 1_500, 3_000].map(|ms| ms * MS);
        Arc::new(DueTable::new(Instant::now(), due.to_vec(), 500 * MS))
    }

    /// Lets one subscriber receive each (seq, ms after it was due).
    fn receives(table: &Arc<DueTable>, shared: &Arc<SharedRecord>, receipts: &[(Seq, u32)]) {
        let mut recorder = Recorder::sharing(table.clone(), shared.clone());
        for (seq, late_ms) in receipts {
            recorder.record([*seq], table.due(*seq).unwrap() + *late_ms * MS);
        }
    }

    #[test]
    fn skew_is_from_the_first_to_the_last_first_receipt_of_a_line_of_the_cohort() {
        let table = table();
        let shared = Arc::new(SharedRecord::new(&table));
        receives(&table, &shared, &[(1, 1), (2, 10), (3, 4), (4, 1), (4, 900)]);
        receives(&table, &shared, &[(1, 99), (2, 3), (4, 5)]);
        receives(&table, &shared, &[(2, 7)]);
        let skew = shared.fanout_skew();
        // Line 2: 3 to 10 ms, line 4: 1 to 5 ms. Line 1 is warm-up, line 3 came to one subscriber, line 5 to none.
        let us: Vec<_> = [0.0, 1.0].iter().map(|q| skew.quantile_us(*q).unwrap() / 10).collect();
        assert_eq!((skew.len(), us), (2, vec![400, 700]));
    }

    #[test]
    fn a_line_counts_in_the_second_in_which_it_was_due() {
        let table = table();
        let shared = Arc::new(SharedRecord::new(&table));
        receives(&table, &shared, &[(1, 2), (2, 4_000), (3, 5)]);
        receives(&table, &shared, &[(2, 1), (3, 7), (4, 3)]);
        let mut timeline = shared.timeline();
        let of = |timeline: &Timeline, t_s: f64| {
            let points = timeline.points().into_iter().filter(|point| point.t_s == t_s);
            points.map(|point| (point.metric.to_string(), point.value)).collect::<Vec<_>>()
        };
        let named = |count: f64, mean: f64, max: f64| {
            let names = ["lines_delivered", "delivery_latency_mean", "delivery_latency_max"];
            names.map(str::to_owned).into_iter().zip([count, mean, max]).collect::<Vec<_>>()
        };
        assert_eq!(of(&timeline, 0.0), named(3.0, 4_003_000.0 / 3.0, 4_000_000.0));
        assert_eq!(of(&timeline, 1.0), named(3.0, 5_000.0, 7_000.0));
        for empty in [2.0, 3.0] {
            assert_eq!(of(&timeline, empty), [("lines_delivered".to_owned(), 0.0)]);
        }
        timeline.merge(&shared.timeline());
        assert_eq!(of(&timeline, 1.0), named(6.0, 5_000.0, 7_000.0));
        assert!(of(&timeline, 4.0).is_empty());
    }
}
