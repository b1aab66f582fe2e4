//! One run: a server, a deployment, subscribers, a publisher, and what became of it all.
//!
//! The server is a process of its own, ours or not, and the subscribers use real sockets; only the publisher and the
//! subscribers share this process, since they share a clock. Nothing is decided here that the plan does not say.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::measured::{Lines, Measured};
use super::plan::Cell;
use super::process_sampler::ProcessReading;
use super::publisher::{Publication, Publisher};
use super::recorder::DueTable;
use super::results::{CohortTraffic, RunResult, Verdict};
use super::schedule::Schedule;
use super::server_process::ServerProcessError;
use super::subscribers::{Expected, Outcome, Subscribers};
use crate::api::ApiError;
use crate::traffic::Traffic;

/// How long all subscribers together may take to connect, beyond a short poll's first interval.
const CONNECT_MAX: Duration = Duration::from_secs(60);
/// How often progress is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// How far a run is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Lines × subscribers that arrived.
    pub received: u64,
    /// Lines × subscribers that should.
    pub expected: u64,
}

/// Why there is no result at all.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No server.
    #[error(transparent)]
    Server(#[from] ServerProcessError),
    /// The server did not do what the run needs.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The server lacks the transport.
    #[error("the server has no transport {wanted}; it has {}", .offered.join(", "))]
    NoTransport {
        /// What the plan wants.
        wanted: &'static str,
        /// What there is.
        offered: Vec<String>,
    },
    /// Not everybody got a connection.
    #[error("{connected} of {wanted} subscribers have a connection after {} s", limit.as_secs())]
    NotConnected {
        /// How many have.
        connected: usize,
        /// How many should.
        wanted: u32,
        /// How long they were waited for.
        limit: Duration,
    },
    /// The publisher could not start.
    #[error("the publisher cannot start: {0}")]
    Publisher(std::io::Error),
    /// A server that somebody else runs has no address.
    #[error("{server} cannot be reached: {error}")]
    Unreachable {
        /// Which server.
        server: String,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// Somebody wants an end of it.
    #[error("interrupted")]
    Interrupted,
}

/// Makes one run. `look` is told how far it is, many times a second. When `interrupted` is ready the run ends with
/// [`RunError::Interrupted`].
///
/// However it ends, a server that it started is gone and one that it found keeps nothing of it. Merely dropped, it
/// only takes a started server with it.
pub async fn run(
    plan: &str,
    program: PathBuf,
    cell: &Cell,
    schedule: &Schedule,
    look: impl Fn(Progress),
    interrupted: impl Future<Output = ()>,
) -> Result<RunResult, RunError> {
    let mut interrupted = pin!(interrupted);
    let mut measured = tokio::select! {
        started = Measured::start(plan, program, cell) => started?,
        () = &mut interrupted => return Err(RunError::Interrupted),
    };
    let ran = tokio::select! {
        ran = measure(plan, &mut measured, cell, schedule, look) => ran,
        () = &mut interrupted => Err(RunError::Interrupted),
    };
    let left = measured.leave().await;
    let mut result = ran?;
    result.problem = result.problem.or(left);
    result.judge();
    Ok(result)
}

/// The run itself; the result is not judged yet.
async fn measure(
    plan: &str,
    measured: &mut Measured,
    cell: &Cell,
    schedule: &Schedule,
    look: impl Fn(Progress),
) -> Result<RunResult, RunError> {
    let subscribers = Subscribers::start(cell.subscribers, measured.subscriber());
    connected(&subscribers, cell.subscribers, CONNECT_MAX + cell.poll_interval).await?;

    let harness = std::process::id();
    let before = (measured.sample(), ProcessReading::take(harness), Instant::now());
    let lines: Vec<_> = schedule.lines().collect();
    let due: Vec<_> = lines.iter().map(|(due, _)| *due).collect();
    let Lines { sent, expected: texts } = measured.lines(lines);
    let start = Instant::now() + measured.settle();
    let cohort_started = SystemTime::now() + measured.settle() + cell.warm_up;
    let table = Arc::new(DueTable::new(start, due, cell.warm_up));
    let lines_count = table.lines_count();
    let expected = lines_count * u64::from(cell.subscribers);
    let warm_up_count = table.cohort().start - 1;
    subscribers.expect(Expected { table, lines: texts });
    let publication = Publication { lines: sent, start, warm_up: cell.warm_up };
    let publisher = Publisher::start(measured.publisher(), publication).map_err(RunError::Publisher)?;
    let _injected = cell.fault.as_ref().map(|fault| fault.inject(start, subscribers.meters()));

    let look = || look(Progress { received: subscribers.received_count(), expected });
    let cohort_begins = start + cell.warm_up;
    let mut begun = None;
    while !publisher.is_finished() {
        look();
        if begun.is_none() && Instant::now() >= cohort_begins {
            begun = Some(CountersRead::now(&subscribers));
        }
        tokio::time::sleep(LOOK).await;
    }
    let cohort_traffic = begun.map(|begun| CountersRead::now(&subscribers).since(&begun));
    let published = publisher.join();
    let drained_by = Instant::now() + cell.drain;
    while subscribers.received_count() < expected && Instant::now() < drained_by {
        look();
        tokio::time::sleep(LOOK).await;
    }
    look();
    let after = (measured.sample(), ProcessReading::take(harness), Instant::now());

    let died = measured.died();
    // Subscribers learn the end as they learned the lines.
    let finished = measured.finish(lines_count).await;
    let complete = subscribers.received_count() >= expected;
    let outcome = subscribers.finish(if complete { cell.drain } else { measured.end_limit() }).await;
    let traffic_seen_by_server = measured.counts().await;

    Ok(RunResult {
        plan: plan.to_owned(),
        cell: cell.clone(),
        verdict: Verdict::default(),
        verdict_reasons: Vec::new(),
        // A clock before 1970 is nobody's.
        cohort_started_us: cohort_started.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64,
        measured: schedule.duration().saturating_sub(cell.warm_up),
        published_count: published.lines_acknowledged.saturating_sub(warm_up_count),
        subscriber_problems: subscriber_problems(&outcome),
        problem: died.or(published.problem.clone()).or(finished),
        delivery: outcome.delivery,
        traffic: outcome.traffic,
        cohort_traffic,
        connections_cut: outcome.connections_cut,
        traffic_seen_by_server,
        app_bytes: Some(outcome.app_bytes),
        send_lateness: published.send_lateness,
        append: published.append,
        server: after.0.since(&before.0),
        harness: after.1.since(&before.1),
        sampled: Some(after.2 - before.2),
    })
}

/// What the subscribers had counted at a moment.
struct CountersRead {
    at: Instant,
    traffic: Traffic,
    delivered_count: u64,
}

impl CountersRead {
    fn now(subscribers: &Subscribers) -> Self {
        Self {
            at: Instant::now(),
            traffic: subscribers.traffic(),
            delivered_count: subscribers.received_count(),
        }
    }

    fn since(&self, earlier: &Self) -> CohortTraffic {
        CohortTraffic {
            traffic: self.traffic - earlier.traffic,
            delivered_count: self.delivered_count - earlier.delivered_count,
            length: self.at - earlier.at,
        }
    }
}

async fn connected(subscribers: &Subscribers, wanted: u32, limit: Duration) -> Result<(), RunError> {
    let until = Instant::now() + limit;
    loop {
        let connected = subscribers.connected_count();
        if connected == wanted as usize {
            return Ok(());
        }
        if Instant::now() > until {
            return Err(RunError::NotConnected { connected, wanted, limit });
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Each kind once, with how many it happened to.
fn subscriber_problems(outcome: &Outcome) -> Vec<String> {
    let mut problems = Vec::new();
    if outcome.altered_count > 0 {
        problems.push(format!("{} lines arrived with another text", outcome.altered_count));
    }
    if outcome.unfinished_count > 0 {
        problems.push(format!("{} subscribers did not see the end of the log", outcome.unfinished_count));
    }
    if let Some(error) = outcome.errors.first() {
        problems.push(format!("{} subscribers gave up, the first because {error}", outcome.errors.len()));
    }
    problems
}
