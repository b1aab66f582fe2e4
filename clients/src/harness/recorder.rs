//! The recorder: notes what arrived at one subscriber, and when.
//!
//! Each subscriber owns one and tells it the seqs of every batch with the instant at which the read returned. Delivery
//! latency is receipt − due time, first receipt only, and only for the cohort: lines due after the warm-up. A recorder
//! never reads the clock. There may be thousands of recorders, so each is small: all recorders of a log note latencies,
//! and what else they saw together, in a [`SharedRecord`].
//!
//! At the end every line is exactly one of delivered, lost (missing although the cursor passed it) or censored (beyond
//! the cursor): **expected = delivered + lost + censored**.

use derive_more::AddAssign;
use serde::{Deserialize, Serialize};

mod seqs;

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use self::seqs::{Bitmap, Received, intersection, length};
use super::due_table::DueTable;
use super::shared_record::{Part, SharedRecord};
use super::staleness::{Age, AgeSum, Staleness};
use crate::latency::LatencyHistogram;
use crate::wire::Seq;

/// Counts of what became of a set of lines, summed over subscribers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, AddAssign, Serialize, Deserialize)]
pub struct Counts {
    /// Lines × subscribers that should arrive.
    pub expected: u64,
    /// Lines that arrived at least once.
    pub delivered: u64,
    /// Lines that are missing although the subscriber's cursor passed them.
    pub lost: u64,
    /// Lines beyond the subscriber's cursor when the run ended.
    pub censored: u64,
    /// Receipts after the first of the same line.
    pub duplicated: u64,
    /// First receipts after a line with a larger seq.
    pub out_of_order: u64,
}

impl Counts {
    /// Returns whether every line arrived once, in order.
    pub fn flawless(&self) -> bool {
        self.delivered == self.expected && self.duplicated == 0 && self.out_of_order == 0
    }

    /// Counts the lines that did not arrive once and in order.
    pub fn defects(&self) -> u64 {
        self.lost + self.censored + self.duplicated + self.out_of_order
    }

    /// Returns these counts without those of `part`.
    pub fn without(&self, part: &Self) -> Self {
        Self {
            expected: self.expected.saturating_sub(part.expected),
            delivered: self.delivered.saturating_sub(part.delivered),
            lost: self.lost.saturating_sub(part.lost),
            censored: self.censored.saturating_sub(part.censored),
            duplicated: self.duplicated.saturating_sub(part.duplicated),
            out_of_order: self.out_of_order.saturating_sub(part.out_of_order),
        }
    }
}

/// Notes what one subscriber receives.
#[derive(Debug)]
pub struct Recorder {
    table: Arc<DueTable>,
    received: Received,
    largest: Seq,
    cohort: Counts,
    whole: Counts,
    negative_count: u64,
    unpublished_count: u64,
    age: Age,
    shared: Arc<SharedRecord>,
    part: Part,
}

impl Recorder {
    /// Creates a recorder that has received nothing, alone on its log.
    pub fn new(table: Arc<DueTable>) -> Self {
        let shared = Arc::new(SharedRecord::new(&table));
        Self::sharing(table, shared)
    }

    /// Creates a recorder that notes its first receipts in the record that all recorders of a log share.
    pub fn sharing(table: Arc<DueTable>, shared: Arc<SharedRecord>) -> Self {
        Self {
            received: Received::new(table.lines_count()),
            age: Age::new(table.window_since_start()),
            part: shared.part(),
            shared,
            table,
            largest: 0,
            cohort: Counts::default(),
            whole: Counts::default(),
            negative_count: 0,
            unpublished_count: 0,
        }
    }

    /// Notes the lines of one read, in the order in which they came. `received`: when the read returned that completed
    /// them, before parsing.
    pub fn record(&mut self, seqs: impl IntoIterator<Item = Seq>, received: Instant) {
        let Self { table, shared, part, .. } = self;
        let at = received.saturating_duration_since(table.start());
        let before_start = table.start().saturating_duration_since(received);
        let cohort = table.cohort();
        let mut noting = shared.noting(*part);
        let mut newest = None;
        for seq in seqs {
            let Some(due) = table.due_since_start(seq) else {
                self.unpublished_count += 1;
                continue;
            };
            let measured = cohort.contains(&seq);
            let first_receipt = self.received.insert(seq);
            let out_of_order = first_receipt && seq < self.largest;
            self.largest = self.largest.max(seq);
            let counts = if measured { Some(&mut self.cohort) } else { None };
            for counts in [Some(&mut self.whole), counts].into_iter().flatten() {
                if first_receipt {
                    counts.delivered += 1;
                } else {
                    counts.duplicated += 1;
                }
                counts.out_of_order += u64::from(out_of_order);
            }
            if first_receipt {
                newest = newest.max(Some(due));
                if measured && (at < due || !before_start.is_zero()) {
                    // Recorded as 0, so that samples and deliveries stay equal; the gates refuse such a run.
                    self.negative_count += 1;
                }
                noting.note(seq, due, at);
            }
        }
        if let Some(due) = newest {
            self.age.learn(due, at);
        }
    }

    /// Counts the distinct lines received so far, warm-up included.
    pub fn delivered_count(&self) -> u64 {
        self.whole.delivered
    }

    /// Returns the largest seq received so far; 0 before the first.
    pub fn newest_seq(&self) -> Seq {
        self.largest
    }

    /// Closes the books. `cursor_after`: the last seq of the subscriber's cursor. Lines that are missing up to it are
    /// lost; lines beyond it are censored.
    pub fn finish(mut self, cursor_after: Seq) -> SubscriberDelivery {
        let cohort = self.table.cohort();
        let all = 1..self.table.lines_count() + 1;
        let passed = 1..cursor_after.saturating_add(1);
        for (counts, lines) in [(&mut self.whole, &all), (&mut self.cohort, &cohort)] {
            let missing = |lines: &Range<Seq>| length(lines) - self.received.count_within(lines);
            counts.expected = length(lines);
            counts.lost = missing(&intersection(lines, &passed));
            counts.censored = missing(lines) - counts.lost;
        }
        SubscriberDelivery {
            cohort: self.cohort,
            whole: self.whole,
            negative_count: self.negative_count,
            unpublished_count: self.unpublished_count,
            age: self.age.finish(),
            received: self.received,
            lines_count: self.table.lines_count(),
            cohort_seqs: cohort,
        }
    }
}

/// Deliveries of one subscriber. Its latencies are in the record that it shares.
#[derive(Debug, Clone)]
pub struct SubscriberDelivery {
    /// Counts of the measured lines.
    pub cohort: Counts,
    /// Counts of all lines, warm-up included.
    pub whole: Counts,
    /// Measured lines received before they were due.
    pub negative_count: u64,
    /// Receipts of a seq that was never published.
    pub unpublished_count: u64,
    age: AgeSum,
    received: Received,
    lines_count: u64,
    cohort_seqs: Range<Seq>,
}

/// Deliveries of all subscribers of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// Subscribers whose deliveries were added.
    pub subscribers_count: u64,
    /// Counts of the measured lines.
    pub cohort: Counts,
    /// Counts of all lines, warm-up included: a line lost early is lost too.
    pub whole: Counts,
    /// Delivery latency, receipt − due time, of the measured lines.
    pub latency: LatencyHistogram,
    /// Measured lines received before they were due.
    pub negative_count: u64,
    /// Receipts of a seq that was never published.
    pub unpublished_count: u64,
    age: AgeSum,
    received_by_any: Option<Bitmap>,
    cohort_seqs: Range<Seq>,
    /// Distinct lines of the logs that were joined.
    distinct_elsewhere: u64,
}

impl Delivery {
    /// Returns the counts of the warm-up lines.
    pub fn warm_up(&self) -> Counts {
        self.whole.without(&self.cohort)
    }

    /// Adds one subscriber of the same log, but for its latencies.
    pub fn merge(&mut self, subscriber: &SubscriberDelivery) {
        self.subscribers_count += 1;
        self.cohort += subscriber.cohort;
        self.whole += subscriber.whole;
        self.negative_count += subscriber.negative_count;
        self.unpublished_count += subscriber.unpublished_count;
        self.age.add(&subscriber.age);
        self.cohort_seqs = subscriber.cohort_seqs.clone();
        let lines_count = subscriber.lines_count;
        self.received_by_any.get_or_insert_with(|| Bitmap::new(lines_count)).unite(&subscriber.received);
    }

    /// Adds the latencies of all subscribers of a log.
    pub fn add_latencies(&mut self, shared: &SharedRecord) {
        self.latency.merge(&shared.latency());
    }

    /// Returns how old the newest lines of all subscribers were, over the measured time. `None` without subscribers.
    pub fn staleness(&self) -> Option<Staleness> {
        self.age.staleness()
    }

    /// Adds the subscribers of another log.
    pub fn join(&mut self, other: &Self) {
        self.subscribers_count += other.subscribers_count;
        self.cohort += other.cohort;
        self.whole += other.whole;
        self.latency.merge(&other.latency);
        self.age.add(&other.age);
        self.negative_count += other.negative_count;
        self.unpublished_count += other.unpublished_count;
        self.distinct_elsewhere += other.distinct_lines_count();
    }

    /// Counts the measured lines that arrived at one subscriber at least: the n of every quantile.
    pub fn distinct_lines_count(&self) -> u64 {
        let here = self.received_by_any.as_ref().map_or(0, |any| any.count_within(&self.cohort_seqs));
        self.distinct_elsewhere + here
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::time::Duration;

    const MS: Duration = Duration::from_millis(1);

    /// Every expected line became exactly one of delivered, lost, censored.
    fn conserved(counts: &Counts) -> bool {
        counts.expected == counts.delivered + counts.lost + counts.censored
    }

    /// Makes a table of `lines` lines, one per ms from 0; those due before `warm_up_ms` are outside the cohort.
    fn table(lines: u64, warm_up_ms: u64) -> Arc<DueTable> {
        let due = (0..lines).map(Duration::from_millis).collect();
        Arc::new(DueTable::new(Instant::now(), due, Duration::from_millis(warm_up_ms)))
    }

    /// Makes a recorder that received each seq `latency` after it was due.
    fn received(table: &Arc<DueTable>, seqs: &[Seq], latency: Duration) -> Recorder {
        let mut recorder = Recorder::new(table.clone());
        for &seq in seqs {
            recorder.record([seq], table.due(seq).unwrap() + latency);
        }
        recorder
    }

    #[test]
    fn the_cohort_is_what_is_due_after_the_warm_up() {
        assert_eq!(table(10, 0).cohort(), 1..11);
        assert_eq!(table(10, 3).cohort(), 4..11, "a line due exactly at the end of the warm-up is measured");
        assert_eq!(table(10, 99).cohort(), 11..11);
    }

    #[test]
    fn latency_starts_at_the_due_time() {
        let table = table(3, 0);
        let latency = received(&table, &[1, 2, 3], 7 * MS).shared.latency();
        assert_eq!(latency.len(), 3);
        for quantile in [0.0, 1.0] {
            let us = latency.quantile_us(quantile).unwrap();
            assert!((7_000..=7_007).contains(&us), "{us}");
        }
    }

    #[test]
    fn warm_up_lines_have_no_latency_but_their_loss_is_seen() {
        let recorder = received(&table(10, 5), &[1, 3, 6, 7, 8, 9, 10], MS);
        assert_eq!(recorder.shared.latency().len(), 5);
        let delivery = recorder.finish(10);
        assert_eq!((delivery.cohort.expected, delivery.cohort.delivered, delivery.cohort.lost), (5, 5, 0));
        assert_eq!((delivery.whole.expected, delivery.whole.delivered, delivery.whole.lost), (10, 7, 3));
        assert!(delivery.cohort.flawless() && !delivery.whole.flawless());
    }

    #[test]
    fn what_the_cursor_passed_is_lost_and_what_lies_beyond_is_censored() {
        let counts = received(&table(6, 0), &[1, 3], MS).finish(4).whole;
        assert_eq!((counts.delivered, counts.lost, counts.censored), (2, 2, 2));
    }

    #[test]
    fn a_second_receipt_is_a_duplicate_and_gives_no_latency() {
        let recorder = received(&table(3, 0), &[1, 2, 2, 1, 3], MS);
        assert_eq!(recorder.shared.latency().len(), 3);
        let delivery = recorder.finish(3);
        assert_eq!(
            (delivery.whole.delivered, delivery.whole.duplicated, delivery.whole.out_of_order),
            (3, 2, 0)
        );
    }

    #[test]
    fn a_line_after_a_later_one_is_out_of_order() {
        let delivery = received(&table(4, 0), &[2, 1, 4, 3], MS).finish(4);
        assert_eq!((delivery.whole.out_of_order, delivery.whole.duplicated, delivery.whole.lost), (2, 0, 0));
    }

    #[test]
    fn a_receipt_before_the_due_time_is_counted_as_negative() {
        let table = table(3, 0);
        let mut recorder = Recorder::new(table.clone());
        recorder.record([1, 2, 3], table.due(2).unwrap());
        assert_eq!(recorder.shared.latency().len(), 3);
        assert_eq!(recorder.finish(3).negative_count, 1);
        let mut recorder = Recorder::new(table.clone());
        recorder.record([1], table.start() - MS);
        assert_eq!(recorder.shared.latency().quantile_us(1.0), Some(0));
        assert_eq!(recorder.finish(1).negative_count, 1, "before the first line was due");
    }

    #[test]
    fn staleness_counts_from_the_due_time_of_the_newest_line_to_the_end_of_the_schedule() {
        let due = vec![Duration::ZERO, 100 * MS];
        let table = Arc::new(DueTable::new(Instant::now(), due, 50 * MS).until(200 * MS));
        assert_eq!(table.window(), table.start() + 50 * MS..table.start() + 200 * MS);
        let mut delivery = Delivery::default();
        assert_eq!(delivery.staleness(), None);
        // From 50 to 110 ms the first line is the newest, then the second: 80 × 60 + 55 × 90 ms² over 150 ms.
        delivery.merge(&received(&table, &[1, 2, 1], 10 * MS).finish(2));
        assert_eq!(delivery.staleness(), Some(Staleness { mean: 65 * MS, max: 110 * MS }));
    }

    #[test]
    fn a_seq_that_nobody_published_is_counted_apart() {
        let table = table(3, 0);
        let mut recorder = Recorder::new(table.clone());
        recorder.record([0, 4, Seq::MAX, 1], table.start() + MS);
        let delivery = recorder.finish(1);
        assert_eq!((delivery.unpublished_count, delivery.whole.delivered), (3, 1));
    }

    #[test]
    fn distinct_lines_are_the_measured_lines_that_anybody_got() {
        let table = table(200, 50);
        let mut delivery = Delivery::default();
        assert_eq!(delivery.distinct_lines_count(), 0);
        delivery.merge(&received(&table, &[1, 51, 52], MS).finish(200));
        delivery.merge(&received(&table, &[52, 200], MS).finish(200));
        assert_eq!(delivery.distinct_lines_count(), 3);
        assert_eq!(
            (delivery.subscribers_count, delivery.cohort.expected, delivery.cohort.delivered),
            (2, 300, 4)
        );
    }

    proptest! {
        /// The books balance and agree with a set, whatever arrives in whatever order.
        #[test]
        fn every_line_is_delivered_lost_or_censored(
            lines in 1..150u64, warm_up_ms in 0..200u64,
            receipts in proptest::collection::vec((1..160u64, 0..5_000u64), 0..400), cursor in 0..200u64,
        ) {
            let table = table(lines, warm_up_ms);
            let mut recorder = Recorder::new(table.clone());
            for (seq, at_us) in &receipts {
                recorder.record([*seq], table.start() + Duration::from_micros(*at_us));
            }
            let shared = recorder.shared.clone();
            let delivery = recorder.finish(cursor);

            let known: Vec<Seq> = receipts.iter().map(|(seq, _)| *seq).filter(|seq| *seq <= lines).collect();
            for (counts, seqs) in [(delivery.whole, 1..lines + 1), (delivery.cohort, table.cohort())] {
                let here: Vec<Seq> = known.iter().copied().filter(|seq| seqs.contains(seq)).collect();
                let distinct: BTreeSet<Seq> = here.iter().copied().collect();
                prop_assert!(conserved(&counts), "{:?}", counts);
                prop_assert_eq!(counts.expected, seqs.end - seqs.start);
                prop_assert_eq!(counts.delivered, distinct.len() as u64);
                prop_assert_eq!(counts.duplicated, (here.len() - distinct.len()) as u64);
                let missing = seqs.filter(|seq| !distinct.contains(seq) && *seq <= cursor).count() as u64;
                prop_assert_eq!(counts.lost, missing);
            }
            prop_assert_eq!(delivery.unpublished_count, (receipts.len() - known.len()) as u64);
            prop_assert_eq!(shared.latency().len(), delivery.cohort.delivered);

            let mut merged = Delivery::default();
            merged.merge(&delivery);
            merged.merge(&delivery);
            prop_assert!(conserved(&merged.whole) && conserved(&merged.cohort));
            merged.add_latencies(&shared);
            prop_assert_eq!(merged.latency.len(), delivery.cohort.delivered);
            prop_assert_eq!(merged.distinct_lines_count(), delivery.cohort.delivered);
        }
    }
}
