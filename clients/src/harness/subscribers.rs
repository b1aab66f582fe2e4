//! The subscribers of one run: a task, a connection and a recorder each.
//!
//! All run in this process and each over its own TCP connection. None knows of the others; what they share is the
//! schedule (when each line is due, what it says) and a count of what has arrived, so that the run can end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::recorder::{Delivery, DueTable, Recorder};
use crate::meter::Meter;
use crate::traffic::Traffic;
use crate::wire::{NewLine, Seq};
use crate::{SubscribeError, Subscriber};

/// Between two subscribers that connect: a thousand at once would measure the accept queue.
const STAGGER: Duration = Duration::from_micros(500);

/// What is to arrive.
#[derive(Debug)]
pub struct Expected {
    /// When each line is due.
    pub table: Arc<DueTable>,
    /// What each line says: the one with seq `s` is at `s − 1`.
    pub lines: Vec<NewLine>,
}

/// Subscribers that are running.
pub struct Subscribers {
    tasks: JoinSet<Followed>,
    meters: Vec<Arc<Meter>>,
    expected: Arc<OnceLock<Arc<Expected>>>,
    received: Arc<AtomicU64>,
    stop: watch::Sender<bool>,
}

/// What all subscribers of a run saw.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Deliveries, losses and latencies.
    pub delivery: Delivery,
    /// Lines whose text is not what was published.
    pub altered_count: u64,
    /// Subscribers that did not see the end of the log.
    pub unfinished_count: u64,
    /// Why subscribers gave up.
    pub errors: Vec<SubscribeError>,
    /// Bytes of text received, as the log has it.
    pub app_bytes: u64,
    /// All their traffic, from the first connection to the last.
    pub traffic: Traffic,
    /// Connections that a fault cut.
    pub connections_cut: u64,
}

impl Outcome {
    /// Adds what the subscribers of another deployment saw.
    pub fn join(&mut self, other: Self) {
        self.delivery.join(&other.delivery);
        self.altered_count += other.altered_count;
        self.unfinished_count += other.unfinished_count;
        self.errors.extend(other.errors);
        self.app_bytes += other.app_bytes;
        self.traffic += other.traffic;
        self.connections_cut += other.connections_cut;
    }
}

struct Followed {
    recorder: Option<Recorder>,
    cursor_after: Seq,
    altered_count: u64,
    app_bytes: u64,
    finished: bool,
    error: Option<SubscribeError>,
}

impl Subscribers {
    /// Starts `count` subscribers of one deployment, made by `connect`. They connect at once and must be told what to
    /// expect before the first line is published. Must be called inside a tokio runtime.
    pub fn start<C>(count: u32, connect: C) -> Self
    where
        C: Fn(Arc<Meter>) -> Box<dyn Subscriber> + Send + Sync + 'static,
    {
        let connect = Arc::new(connect);
        let meters: Vec<_> = (0..count).map(|_| Meter::new()).collect();
        let expected: Arc<OnceLock<Arc<Expected>>> = Arc::default();
        let received: Arc<AtomicU64> = Arc::default();
        let stop = watch::Sender::new(false);
        let mut tasks = JoinSet::new();
        for (i, meter) in meters.iter().enumerate() {
            let (connect, meter) = (connect.clone(), meter.clone());
            let (expected, received, stop) = (expected.clone(), received.clone(), stop.subscribe());
            tasks.spawn(async move {
                tokio::time::sleep(STAGGER * i as u32).await;
                // Made only now: a short poll's phase counts from here.
                follow(connect(meter), &expected, &received, stop).await
            });
        }
        Self { tasks, meters, expected, received, stop }
    }

    /// What counts each subscriber's traffic, and can cut its connection.
    pub fn meters(&self) -> Vec<Arc<Meter>> {
        self.meters.clone()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.meters.len()
    }

    /// Connections that were cut so far.
    pub fn connections_cut(&self) -> u64 {
        self.meters.iter().map(|meter| meter.connections_cut()).sum()
    }

    /// Subscribers that have a connection.
    pub fn connected_count(&self) -> usize {
        self.meters.iter().filter(|meter| meter.traffic().connections_opened > 0).count()
    }

    /// Says what is to arrive. Once, before the first line is published.
    pub fn expect(&self, expected: Arc<Expected>) {
        let told = self.expected.set(expected);
        assert!(told.is_ok(), "a run has one schedule");
    }

    /// Distinct lines received so far, summed over subscribers.
    pub fn received_count(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// What all of them asked so far, and what went through their sockets.
    pub fn traffic(&self) -> Traffic {
        self.meters.iter().fold(Traffic::default(), |sum, meter| sum + meter.traffic())
    }

    /// Waits until every subscriber has seen the end, at most `time_limit`; then closes the books.
    pub async fn finish(mut self, time_limit: Duration) -> Outcome {
        let mut outcome = Outcome::default();
        let deadline = tokio::time::Instant::now() + time_limit;
        let mut stopped = false;
        loop {
            let joined = tokio::select! {
                joined = self.tasks.join_next() => joined,
                () = tokio::time::sleep_until(deadline), if !stopped => {
                    // Whoever has not seen the end by now: what is missing beyond its cursor is censored.
                    self.stop.send_replace(true);
                    stopped = true;
                    continue;
                }
            };
            let Some(joined) = joined else { break };
            let followed = joined.expect("a subscriber's task does not panic");
            outcome.altered_count += followed.altered_count;
            outcome.app_bytes += followed.app_bytes;
            outcome.unfinished_count += u64::from(!followed.finished);
            outcome.errors.extend(followed.error);
            let recorder = followed.recorder.or_else(|| self.recorder());
            if let Some(recorder) = recorder {
                outcome.delivery.merge(&recorder.finish(followed.cursor_after));
            }
        }
        outcome.traffic = self.traffic();
        outcome.connections_cut = self.connections_cut();
        outcome
    }

    /// For a subscriber that never received anything: all of its lines are missing.
    fn recorder(&self) -> Option<Recorder> {
        self.expected.get().map(|expected| Recorder::new(expected.table.clone()))
    }
}

async fn follow(
    mut subscriber: Box<dyn Subscriber>,
    expected: &OnceLock<Arc<Expected>>,
    received: &AtomicU64,
    mut stop: watch::Receiver<bool>,
) -> Followed {
    let mut followed = Followed {
        recorder: None,
        cursor_after: 0,
        altered_count: 0,
        app_bytes: 0,
        finished: false,
        error: None,
    };
    loop {
        let next = tokio::select! {
            next = subscriber.next_batch() => next,
            // An error means that the run itself is gone.
            _ = stop.wait_for(|stop| *stop) => return followed,
        };
        let (batch, at) = match next {
            Ok(received) => (received.batch, received.at),
            // A lost subscriber is data: its missing lines are counted.
            Err(error) => return Followed { error: Some(error), ..followed },
        };
        if let Some(expected) = expected.get() {
            let recorder = followed.recorder.get_or_insert_with(|| Recorder::new(expected.table.clone()));
            let delivered_before = recorder.delivered_count();
            recorder.record(batch.lines.iter().map(|line| line.seq), at);
            // What comes again brings nobody nearer to the end.
            let new_count = recorder.delivered_count() - delivered_before;
            let altered = batch.lines.iter().filter(|line| {
                let index = usize::try_from(line.seq).unwrap_or(usize::MAX).wrapping_sub(1);
                expected.lines.get(index).is_some_and(|published| *published != line.line)
            });
            followed.altered_count += altered.count() as u64;
            followed.app_bytes += batch.lines.iter().map(|line| line.line.text.len() as u64).sum::<u64>();
            received.fetch_add(new_count, Ordering::Relaxed);
        }
        followed.cursor_after = batch.next.after;
        if batch.finished {
            return Followed { finished: true, ..followed };
        }
    }
}
