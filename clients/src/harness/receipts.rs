//! Receipts: every delivery of a run one by one, for `run --raw`.
//!
//! Subscribers note them in memory while the run goes on; they are written after it, so that neither a disk nor a
//! compressor takes part in what is measured. [`RECEIPTS_MAX`] bounds the memory. Reads no clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::due_table::DueTable;
use crate::wire::Seq;

/// Most receipts that a run keeps: 16 bytes each, so 64 MiB. It is room for 2 000 subscribers that receive 2 000 lines
/// each; a run that expects more is refused before it starts.
pub const RECEIPTS_MAX: u64 = 4 << 20;

/// What a run keeps of its deliveries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Keeps {
    /// Counts and histograms.
    #[default]
    Figures,
    /// Every receipt too.
    Receipts,
}

/// One receipt of one subscriber: a line of `raw/<run_id>.ndjson.gz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Deployment, from 1.
    pub deployment: u32,
    /// Measured subscriber of that deployment, from 1.
    pub subscriber: u32,
    /// Position of the line in its log.
    pub seq: Seq,
    /// Due time of the line, µs since the start of the schedule; `None` for a seq that was never published.
    pub due_us: Option<u64>,
    /// Receipt of the line, µs since the start of the schedule.
    pub received_us: u64,
}

/// Receipts of one subscriber, in the order in which they came.
#[derive(Debug, Clone, PartialEq)]
pub struct SubscriberReceipts {
    /// Number of the subscriber, from 1.
    pub subscriber: u32,
    table: Arc<DueTable>,
    /// Seq and time of receipt, µs since the start.
    kept: Vec<(Seq, u64)>,
    kept_max: usize,
    left_out_count: u64,
}

impl SubscriberReceipts {
    /// Makes an empty list of at most `kept_max` receipts. It takes the memory of one receipt per line at once.
    pub fn new(subscriber: u32, table: Arc<DueTable>, kept_max: usize) -> Self {
        let expected = usize::try_from(table.lines_count()).unwrap_or(usize::MAX);
        Self {
            subscriber,
            table,
            kept: Vec::with_capacity(expected.min(kept_max)),
            kept_max,
            left_out_count: 0,
        }
    }

    /// Notes lines that one read completed. What exceeds the bound is only counted.
    pub fn note(&mut self, seqs: impl IntoIterator<Item = Seq>, received: Instant) {
        let received_us = us(received.saturating_duration_since(self.table.start()));
        for seq in seqs {
            if self.kept.len() < self.kept_max {
                self.kept.push((seq, received_us));
            } else {
                self.left_out_count += 1;
            }
        }
    }

    fn rows(&self, deployment: u32) -> impl Iterator<Item = Receipt> + '_ {
        self.kept.iter().map(move |&(seq, received_us)| Receipt {
            deployment,
            subscriber: self.subscriber,
            seq,
            due_us: self.table.due(seq).map(|due| us(due - self.table.start())),
            received_us,
        })
    }
}

/// Receipts of all measured subscribers of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Receipts {
    /// Receipts that were kept.
    pub kept_count: u64,
    /// Receipts beyond the bound, of which only the number is known.
    pub left_out_count: u64,
    /// Receipts of each deployment. Not saved: they have a file of their own.
    #[serde(skip)]
    of_deployments: Vec<Vec<SubscriberReceipts>>,
}

impl Receipts {
    /// Adds the subscribers of the next deployment.
    pub fn add(&mut self, mut subscribers: Vec<SubscriberReceipts>) {
        self.kept_count += subscribers.iter().map(|of| of.kept.len() as u64).sum::<u64>();
        self.left_out_count += subscribers.iter().map(|of| of.left_out_count).sum::<u64>();
        // They come in the order in which they ended, which differs from run to run.
        subscribers.sort_by_key(|of| of.subscriber);
        self.of_deployments.push(subscribers);
    }

    /// Returns every receipt that is in memory, by deployment and subscriber, in the order in which they came.
    pub fn rows(&self) -> impl Iterator<Item = Receipt> + '_ {
        let numbered = (1..).zip(&self.of_deployments);
        numbered.flat_map(|(deployment, of)| of.iter().flat_map(move |of| of.rows(deployment)))
    }

    /// Tells whether the receipts are in memory, and not only their numbers.
    pub fn are_in_memory(&self) -> bool {
        !self.of_deployments.is_empty()
    }

    /// Gives the memory back. The numbers stay.
    pub fn forget(&mut self) {
        self.of_deployments = Vec::new();
    }
}

/// Returns how many receipts each of a run's subscribers may keep.
pub fn kept_max(subscribers_total: u32) -> usize {
    (RECEIPTS_MAX / u64::from(subscribers_total.max(1))) as usize
}

fn us(duration: Duration) -> u64 {
    duration.as_micros() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Arc<DueTable> {
        let due = [0, 10, 20].map(Duration::from_millis);
        Arc::new(DueTable::new(Instant::now(), due.to_vec(), Duration::ZERO))
    }

    #[test]
    fn every_receipt_is_kept_as_it_came_a_repeated_and_an_unknown_one_too() {
        let table = table();
        let at = |us| table.start() + Duration::from_micros(us);
        let of = |subscriber| SubscriberReceipts::new(subscriber, table.clone(), 10);
        let (mut first, mut second) = (of(1), of(2));
        second.note([1, 2], at(10_250));
        second.note([2, 9], at(30_000));
        first.note([3], at(20_001));
        let mut receipts = Receipts::default();
        receipts.add(vec![second, first]);
        receipts.add(Vec::new());
        let rows: Vec<_> = receipts
            .rows()
            .map(|row| (row.deployment, row.subscriber, row.seq, row.due_us, row.received_us))
            .collect();
        let expected = [
            (1, 1, 3, Some(20_000), 20_001),
            (1, 2, 1, Some(0), 10_250),
            (1, 2, 2, Some(10_000), 10_250),
            (1, 2, 2, Some(10_000), 30_000),
            (1, 2, 9, None, 30_000),
        ];
        assert_eq!(rows, expected);
        assert_eq!((receipts.kept_count, receipts.left_out_count), (5, 0));
    }

    #[test]
    fn what_exceeds_the_bound_is_counted_and_not_kept() {
        let table = table();
        let mut one = SubscriberReceipts::new(1, table.clone(), 2);
        one.note([1, 2, 3], table.start());
        one.note([3], table.start());
        let mut receipts = Receipts::default();
        receipts.add(vec![one]);
        assert_eq!((receipts.kept_count, receipts.left_out_count, receipts.rows().count()), (2, 2, 2));
    }

    #[test]
    fn forgotten_receipts_leave_their_numbers() {
        let table = table();
        let mut one = SubscriberReceipts::new(1, table.clone(), 9);
        one.note([1], table.start());
        let mut receipts = Receipts::default();
        receipts.add(vec![one]);
        assert!(receipts.are_in_memory());
        receipts.forget();
        assert!(!receipts.are_in_memory());
        assert_eq!((receipts.kept_count, receipts.rows().count()), (1, 0));
    }

    #[test]
    fn all_subscribers_together_keep_no_more_than_the_bound() {
        for subscribers in [1, 3, 2_000] {
            assert!(kept_max(subscribers) as u64 * u64::from(subscribers) <= RECEIPTS_MAX);
        }
        assert_eq!(kept_max(0) as u64, RECEIPTS_MAX);
    }
}
