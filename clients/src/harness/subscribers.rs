//! The subscribers of one deployment: a task, a connection and a recorder each.
//!
//! All run in this process, each over its own TCP connection, and none knows of the others. They share the schedule
//! (when each line is due, and its text) and a count of what has arrived, so that the run can end.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::due_table::DueTable;
use super::receipts::SubscriberReceipts;
use super::recorder::{Delivery, Recorder};
use super::shared_record::{SharedRecord, Timeline};
use crate::latency::LatencyHistogram;
use crate::meter::Meter;
use crate::route::Route;
use crate::spare;
use crate::timing::{SharedTiming, Timing};
use crate::traffic::{Packets, Traffic};
use crate::wire::{Line, NewLine, Seq};
use crate::{Received, SubscribeError, Subscriber};

/// Time between two subscribers that connect: a thousand at once would measure the accept queue.
const STAGGER: Duration = Duration::from_micros(500);

/// Lines that subscribers expect.
#[derive(Debug)]
pub struct Expected {
    /// Due times of the lines.
    pub table: Arc<DueTable>,
    /// Texts of the lines: the line with seq `s` is at `s − 1`. Shared with the publisher.
    pub lines: Arc<[(Duration, NewLine)]>,
}

/// The lines that every subscriber expects, and the record that all share.
struct Told {
    expected: Arc<Expected>,
    shared: Arc<SharedRecord>,
    /// Receipts that each subscriber keeps at most; `None` if none are kept.
    receipts_max: Option<usize>,
}

impl Told {
    fn recorder(&self) -> Recorder {
        Recorder::sharing(self.expected.table.clone(), self.shared.clone())
    }

    fn receipts(&self, subscriber: u32) -> Option<SubscriberReceipts> {
        self.receipts_max.map(|max| SubscriberReceipts::new(subscriber, self.expected.table.clone(), max))
    }
}

/// Subscribers of one deployment that are running.
pub struct Subscribers {
    tasks: JoinSet<Followed>,
    meters: Vec<Arc<Meter>>,
    timing: Arc<SharedTiming>,
    expected: Arc<OnceLock<Told>>,
    received: Arc<AtomicU64>,
    app_bytes: Arc<AtomicU64>,
    /// Newest seq of each subscriber.
    newest: Arc<[AtomicU64]>,
    stop: watch::Sender<bool>,
    receipts_max: Option<usize>,
}

/// Outcome of all subscribers of a run.
#[derive(Debug, Default)]
pub struct SubscribersOutcome {
    /// Deliveries, losses and latencies.
    pub delivery: Delivery,
    /// Lines whose text is not what was published.
    pub altered_count: u64,
    /// Number of subscribers that did not see the end of the log.
    pub unfinished_count: u64,
    /// Errors with which subscribers gave up.
    pub errors: Vec<SubscribeError>,
    /// Bytes of text received, as the log has it.
    pub app_bytes: u64,
    /// Traffic of the subscribers, from the first connection to the last.
    pub traffic: Traffic,
    /// Packets of that traffic as the kernel counted them; `None` where it does not tell.
    pub packets: Option<Packets>,
    /// Times of the subscribers' requests.
    pub timing: Timing,
    /// Time to the first line of each subscriber that got one. It counts from the start of connecting, or from the
    /// first due time if that was later.
    pub first_line: LatencyHistogram,
    /// Last − first receipt of each line of the cohort.
    pub fanout_skew: LatencyHistogram,
    /// Deliveries by due time.
    pub timeline: Timeline,
    /// Connections that a fault cut.
    pub connections_cut: u64,
    /// Every receipt of each subscriber, if they were kept.
    pub receipts: Vec<SubscriberReceipts>,
}

impl SubscribersOutcome {
    /// Adds the outcome of another deployment's subscribers. Receipts are left out: they belong to one deployment.
    pub fn join(&mut self, other: Self) {
        self.delivery.join(&other.delivery);
        self.altered_count += other.altered_count;
        self.unfinished_count += other.unfinished_count;
        self.errors.extend(other.errors);
        self.app_bytes += other.app_bytes;
        self.traffic += other.traffic;
        self.packets = self.packets.zip(other.packets).map(|(sum, more)| sum + more);
        self.timing.merge(&other.timing);
        self.first_line.merge(&other.first_line);
        self.fanout_skew.merge(&other.fanout_skew);
        self.timeline.merge(&other.timeline);
        self.connections_cut += other.connections_cut;
    }
}

struct Followed {
    recorder: Option<Recorder>,
    receipts: Option<SubscriberReceipts>,
    cursor_after: Seq,
    altered_count: u64,
    first_line: Option<Duration>,
    finished: bool,
    error: Option<SubscribeError>,
}

impl Subscribers {
    /// Starts `count` subscribers of one deployment, made by `connect`, over `route`. They connect at once and must be told what to
    /// expect before the first line is published. Must be called inside a tokio runtime.
    pub fn start<C>(count: u32, route: &Route, connect: C) -> Self
    where
        C: Fn(Arc<Meter>) -> Box<dyn Subscriber> + Send + Sync + 'static,
    {
        let connect = Arc::new(connect);
        let timing = SharedTiming::new();
        let meters: Vec<_> = (0..count).map(|_| Meter::timed(timing.clone(), route.clone())).collect();
        let expected: Arc<OnceLock<Told>> = Arc::default();
        let newest: Arc<[AtomicU64]> = (0..count).map(|_| AtomicU64::new(0)).collect();
        let (received, app_bytes): (Arc<AtomicU64>, Arc<AtomicU64>) = Default::default();
        let stop = watch::Sender::new(false);
        let mut tasks = JoinSet::new();
        for (i, meter) in meters.iter().enumerate() {
            let (connect, meter) = (connect.clone(), meter.clone());
            let (expected, stop, newest) = (expected.clone(), stop.subscribe(), newest.clone());
            let (received, app_bytes) = (received.clone(), app_bytes.clone());
            tasks.spawn(async move {
                tokio::time::sleep(STAGGER * i as u32).await;
                // The subscriber is made only now: a short poll's phase counts from here.
                let number = i as u32 + 1;
                let counts =
                    SharedCounts { received: &received, app_bytes: &app_bytes, newest: &newest[i], number };
                follow(connect(meter), &expected, counts, stop).await
            });
        }
        Self { tasks, meters, timing, expected, received, app_bytes, newest, stop, receipts_max: None }
    }

    /// Lets each subscriber keep its receipts, at most `receipts_max`. Called before [`Self::expect`].
    pub fn keeping(self, receipts_max: usize) -> Self {
        Self { receipts_max: Some(receipts_max), ..self }
    }

    /// Returns the meters, which count each subscriber's traffic and can cut its connection.
    pub fn meters(&self) -> Vec<Arc<Meter>> {
        self.meters.clone()
    }

    /// Counts the subscribers.
    pub fn count(&self) -> usize {
        self.meters.len()
    }

    /// Counts the connections that were cut so far.
    pub fn connections_cut(&self) -> u64 {
        self.meters.iter().map(|meter| meter.connections_cut()).sum()
    }

    /// Counts the subscribers that have had a connection.
    pub fn connected_count(&self) -> usize {
        self.meters.iter().filter(|meter| meter.traffic().connections_opened > 0).count()
    }

    /// Tells the subscribers which lines to expect. Called once, before the first line is published.
    pub fn expect(&self, expected: Arc<Expected>) {
        self.timing.measure(expected.table.window());
        let shared = Arc::new(SharedRecord::new(&expected.table));
        let told = self.expected.set(Told { expected, shared, receipts_max: self.receipts_max });
        assert!(told.is_ok(), "a run has one schedule");
    }

    /// Returns how old the newest lines are at `now`, mean over subscribers. Without a line, a subscriber's age counts
    /// from the first due time. `None` before that.
    pub fn staleness(&self, now: Instant) -> Option<Duration> {
        let table = &self.expected.get()?.expected.table;
        let due = |newest: &AtomicU64| table.due(newest.load(Ordering::Relaxed)).unwrap_or(table.start());
        let age = |newest| now.saturating_duration_since(due(newest));
        now.checked_duration_since(table.start())?;
        self.newest.iter().map(age).sum::<Duration>().checked_div(self.newest.len() as u32)
    }

    /// Counts the connections that are open now.
    pub fn connections_open(&self) -> u64 {
        self.meters.iter().map(|meter| meter.connections_open()).sum()
    }

    /// Returns the packets of all subscribers so far, as the kernel counted them; `None` where it does not tell.
    pub fn packets(&self) -> Option<Packets> {
        self.meters.iter().try_fold(Packets::default(), |sum, meter| Some(sum + meter.packets()?))
    }

    /// Counts the distinct lines received so far, summed over subscribers.
    pub fn received_count(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Counts the bytes of line text in all receipts so far, repeated ones included.
    pub fn app_bytes(&self) -> u64 {
        self.app_bytes.load(Ordering::Relaxed)
    }

    /// Returns the traffic of all subscribers so far.
    pub fn traffic(&self) -> Traffic {
        self.meters.iter().map(|meter| meter.traffic()).sum()
    }

    /// Waits until every subscriber has seen the end, at most `time_limit`. Then closes the books and returns the
    /// outcome.
    pub async fn finish(mut self, time_limit: Duration) -> SubscribersOutcome {
        let mut outcome = SubscribersOutcome::default();
        let deadline = tokio::time::Instant::now() + time_limit;
        let mut stopped = false;
        loop {
            let joined = tokio::select! {
                joined = self.tasks.join_next() => joined,
                () = tokio::time::sleep_until(deadline), if !stopped => {
                    // For a subscriber that has not seen the end by now, lines beyond its cursor are censored.
                    self.stop.send_replace(true);
                    stopped = true;
                    continue;
                }
            };
            let Some(joined) = joined else { break };
            let followed = joined.expect("a subscriber's task does not panic");
            outcome.altered_count += followed.altered_count;
            outcome.unfinished_count += u64::from(!followed.finished);
            outcome.errors.extend(followed.error);
            outcome.receipts.extend(followed.receipts);
            followed.first_line.into_iter().for_each(|took| outcome.first_line.record(took));
            // A subscriber that never received anything has no recorder: all of its lines are missing.
            let recorder = followed.recorder.or_else(|| Some(self.expected.get()?.recorder()));
            if let Some(recorder) = recorder {
                outcome.delivery.merge(&recorder.finish(followed.cursor_after));
            }
        }
        if let Some(told) = self.expected.get() {
            outcome.delivery.add_latencies(&told.shared);
            (outcome.fanout_skew, outcome.timeline) = (told.shared.fanout_skew(), told.shared.timeline());
        }
        // The subscribers' connections ended with their tasks.
        (outcome.traffic, outcome.packets) = (self.traffic(), self.packets());
        outcome.app_bytes = self.app_bytes();
        outcome.timing = self.timing.timing();
        outcome.connections_cut = self.connections_cut();
        outcome
    }
}

/// Counts of a subscriber that the run reads while it goes on, and its number.
struct SharedCounts<'a> {
    /// Distinct lines received by all subscribers together.
    received: &'a AtomicU64,
    /// Bytes of line text received by all subscribers together.
    app_bytes: &'a AtomicU64,
    /// Newest seq of this subscriber.
    newest: &'a AtomicU64,
    /// Number of this subscriber, from 1.
    number: u32,
}

async fn follow(
    mut subscriber: Box<dyn Subscriber>,
    told: &OnceLock<Told>,
    counts: SharedCounts<'_>,
    stop: watch::Receiver<bool>,
) -> Followed {
    let began = Instant::now();
    let mut followed = Followed {
        recorder: None,
        receipts: None,
        cursor_after: 0,
        altered_count: 0,
        first_line: None,
        finished: false,
        error: None,
    };
    let mut stop_later = stop.clone();
    // Made once: it waits in a list that all subscribers share. An error means that the run itself is gone.
    let mut stopped = pin!(async move { drop(stop_later.wait_for(|stop| *stop).await) });
    // A subscriber that always has something to read is stopped too.
    while let Ok(false) = stop.has_changed() {
        let next = tokio::select! {
            biased;
            next = subscriber.next_batch() => next,
            () = &mut stopped => return followed,
        };
        let Received { batch, at } = match next {
            Ok(received) => received,
            // A lost subscriber is data: its missing lines are counted.
            Err(error) => return Followed { error: Some(error), ..followed },
        };
        if let Some(told) = told.get() {
            followed.note(&batch.lines, at, told, &counts, began);
        }
        spare::give_back(batch.lines);
        followed.cursor_after = batch.next.after;
        if batch.finished {
            return Followed { finished: true, ..followed };
        }
    }
    followed
}

impl Followed {
    /// Notes the lines of one read.
    fn note(&mut self, lines: &[Line], at: Instant, told: &Told, counts: &SharedCounts<'_>, began: Instant) {
        let expected = &told.expected;
        let recorder = self.recorder.get_or_insert_with(|| told.recorder());
        let delivered_before = recorder.delivered_count();
        recorder.record(lines.iter().map(|line| line.seq), at);
        if self.receipts.is_none() {
            self.receipts = told.receipts(counts.number);
        }
        if let Some(receipts) = &mut self.receipts {
            receipts.note(lines.iter().map(|line| line.seq), at);
        }
        // A line that comes again does not count towards the end.
        let new_count = recorder.delivered_count() - delivered_before;
        let altered = lines.iter().filter(|line| {
            let index = usize::try_from(line.seq).unwrap_or(usize::MAX).wrapping_sub(1);
            expected.lines.get(index).is_some_and(|(_, published)| *published != line.line)
        });
        self.altered_count += altered.count() as u64;
        let app_bytes = lines.iter().map(|line| line.line.text.len() as u64).sum();
        counts.app_bytes.fetch_add(app_bytes, Ordering::Relaxed);
        counts.received.fetch_add(new_count, Ordering::Relaxed);
        counts.newest.store(recorder.newest_seq(), Ordering::Relaxed);
        if self.first_line.is_none() && new_count > 0 {
            let there = expected.table.due(1).map_or(began, |due| began.max(due));
            self.first_line = Some(at.saturating_duration_since(there));
        }
    }
}
