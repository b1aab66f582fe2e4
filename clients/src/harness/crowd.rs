//! A crowd: many subscribers of one deployment that is fed by another program, for `wirelab crowd`.
//!
//! Each subscriber has a task, a connection and a [`Sequence`]. A crowd does not know what is published. So a lost line
//! is a seq that was passed over, and latency counts from the line's own time stamp. That needs a server on this
//! machine: one clock. A run measures better ([`super::subscribers`]); a crowd is there to be watched while it grows.

mod lateness;
mod sequence;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use self::lateness::Lateness;
pub use self::sequence::{Seen, Sequence};
use crate::latency::LatencyHistogram;
use crate::meter::Meter;
use crate::spare;
use crate::wire::{Line, Seq};
use crate::{Received, SubscribeError, Subscriber};

/// Most subscribers of one crowd, which shares a machine with its server. A few lines per second to each keep a laptop
/// busy. With more subscribers the figures would say how busy the machine is, not what a transport does.
pub const SUBSCRIBERS_MAX: u32 = 2_000;
/// Time between two subscribers that connect: all at once would measure the accept queue.
const STAGGER: Duration = Duration::from_micros(500);
/// Histograms of a crowd. With one, all subscribers would wait for each other; one each would cost more than their
/// connections.
const HISTOGRAMS_COUNT: usize = 16;

/// Figures of a crowd so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Figures {
    /// Subscribers of the crowd.
    pub subscribers: u64,
    /// Subscribers with an open connection.
    pub connected: u64,
    /// Lines that came for the first time, summed over subscribers.
    pub lines: u64,
    /// Lines that were passed over, summed over subscribers.
    pub lost: u64,
    /// Lines that came again, summed over subscribers.
    pub duplicated: u64,
    /// Lines that came after a later one, summed over subscribers.
    pub out_of_order: u64,
    /// Subscribers that gave up.
    pub gave_up: u64,
    /// Reason why the first subscriber gave up, or that the deployment was deleted.
    pub problem: Option<String>,
    /// Latency, receipt − time stamp, of lines appended after their subscriber began. `None` without such a line. Lines
    /// across a jump of the clock have none.
    pub latency_ms: Option<LatencyMs>,
    /// Whether nothing more can come: the log has ended or was deleted, all subscribers gave up, or the crowd was
    /// stopped.
    pub ended: bool,
}

impl Figures {
    /// Returns whether every line came once and in order, as far as a crowd can see.
    pub fn flawless(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.out_of_order == 0
    }
}

/// Quantiles of the latency over lines × subscribers, since the crowd began, ms.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LatencyMs {
    /// Median: half of the lines took at most this, ms.
    pub p50: f64,
    /// 99th percentile, ms.
    pub p99: f64,
    /// Longest latency, ms.
    pub max: f64,
}

impl LatencyMs {
    fn of(latency: &LatencyHistogram) -> Option<Self> {
        let ms = |quantile| Some(latency.quantile_us(quantile)? as f64 / 1_000.0);
        Some(Self { p50: ms(0.5)?, p99: ms(0.99)?, max: ms(1.0)? })
    }
}

/// Counters to which all subscribers of a crowd add.
#[derive(Debug)]
struct Notes {
    lines: AtomicU64,
    lost: AtomicI64,
    duplicated: AtomicU64,
    out_of_order: AtomicU64,
    latency: [Mutex<LatencyHistogram>; HISTOGRAMS_COUNT],
}

impl Notes {
    fn new() -> Self {
        let latency = std::array::from_fn(|_| Mutex::default());
        Self {
            lines: AtomicU64::new(0),
            lost: AtomicI64::new(0),
            duplicated: AtomicU64::new(0),
            out_of_order: AtomicU64::new(0),
            latency,
        }
    }

    fn add(&self, seen: Seen) {
        self.lines.fetch_add(seen.lines, Ordering::Relaxed);
        self.lost.fetch_add(seen.lost_change, Ordering::Relaxed);
        self.duplicated.fetch_add(seen.duplicated, Ordering::Relaxed);
        self.out_of_order.fetch_add(seen.out_of_order, Ordering::Relaxed);
    }
}

/// A crowd that is running.
#[derive(Debug)]
pub struct RunningCrowd {
    tasks: JoinSet<Result<(), SubscribeError>>,
    meters: Vec<Arc<Meter>>,
    notes: Arc<Notes>,
    gave_up: u64,
    problem: Option<String>,
}

impl RunningCrowd {
    /// Starts `count` subscribers, made by `connect`, which all begin after the line `after`. Must be called inside a
    /// tokio runtime.
    pub fn start<C>(count: u32, after: Seq, connect: C) -> Self
    where
        C: Fn(Arc<Meter>) -> Box<dyn Subscriber> + Send + Sync + 'static,
    {
        let connect = Arc::new(connect);
        let meters: Vec<_> = (0..count).map(|_| Meter::new()).collect();
        let notes = Arc::new(Notes::new());
        let mut tasks = JoinSet::new();
        for (i, meter) in meters.iter().enumerate() {
            let (connect, meter, notes) = (connect.clone(), meter.clone(), notes.clone());
            tasks.spawn(async move {
                tokio::time::sleep(STAGGER * i as u32).await;
                // The subscriber is made only now: a short poll's phase counts from here.
                follow(connect(meter), after, &notes, &notes.latency[i % HISTOGRAMS_COUNT]).await
            });
        }
        Self { tasks, meters, notes, gave_up: 0, problem: None }
    }

    /// Waits until nothing more can come. Cancel-safe.
    pub async fn ended(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            let Err(error) = ended.expect("a subscriber's task does not panic") else { continue };
            // A deleted deployment is an end that was asked for: the subscriber did not give up.
            if !matches!(error, SubscribeError::Deleted) {
                self.gave_up += 1;
            }
            self.problem.get_or_insert_with(|| error.to_string());
        }
    }

    /// Returns the figures so far.
    pub fn figures(&self) -> Figures {
        let Notes { lines, lost, duplicated, out_of_order, latency } = &*self.notes;
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let mut together = LatencyHistogram::default();
        for part in latency {
            together.merge(&*part.lock().expect("no holder panics"));
        }
        Figures {
            subscribers: self.meters.len() as u64,
            connected: self.meters.iter().filter(|meter| meter.connections_open() > 0).count() as u64,
            lines: count(lines),
            // A line that comes late was counted as lost before, by the same subscriber, so the sum does not fall below
            // 0.
            lost: lost.load(Ordering::Relaxed).max(0).cast_unsigned(),
            duplicated: count(duplicated),
            out_of_order: count(out_of_order),
            gave_up: self.gave_up,
            problem: self.problem.clone(),
            latency_ms: LatencyMs::of(&together),
            ended: self.tasks.is_empty(),
        }
    }
}

async fn follow(
    mut subscriber: Box<dyn Subscriber>,
    after: Seq,
    notes: &Notes,
    latency: &Mutex<LatencyHistogram>,
) -> Result<(), SubscribeError> {
    let mut lateness = Lateness::begin(since_epoch(SystemTime::now()), Instant::now());
    let mut sequence = Sequence::after(after);
    loop {
        let Received { batch, at } = subscriber.next_batch().await?;
        let (wall, now) = (since_epoch(SystemTime::now()), Instant::now());
        lateness.look(wall, now);
        let received = wall.saturating_sub(now - at);
        let mut latency = latency.lock().expect("no holder panics");
        for Line { seq, at_us, .. } in &batch.lines {
            let seen = sequence.see(*seq);
            notes.add(seen);
            // Lines from before the subscriber began are only caught up with: they have no latency.
            let late = lateness.of(Duration::from_micros(*at_us), received);
            if let Some(late) = late.filter(|_| seen.lines > 0) {
                latency.record(late);
            }
        }
        drop(latency);
        notes.add(sequence.end_at(batch.next.after));
        spare::give_back(batch.lines);
        if batch.finished {
            return Ok(());
        }
    }
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}
