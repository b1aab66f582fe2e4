//! One run: a fresh server, a deployment, subscribers, a publisher, and what became of it all.
//!
//! The server is a process of its own and the subscribers use real sockets; only the publisher and the subscribers
//! share this process, since they share a clock. Nothing is decided here that the plan does not say.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::plan::Cell;
use super::process_sampler::ProcessSample;
use super::publisher::{Publication, Publisher, PublisherTarget};
use super::recorder::DueTable;
use super::results::{RunResult, Verdict};
use super::schedule::Schedule;
use super::server_counts::server_traffic;
use super::server_process::{ServerCommand, ServerProcess, ServerProcessError};
use super::subscribers::{Expected, Outcome, Subscribers};
use crate::api::{Api, ApiError};
use crate::wire::{From as Position, Status};
use crate::{Options, Target};

/// How long all subscribers together may take to connect, beyond a short poll's first interval.
const CONNECT_MAX: Duration = Duration::from_secs(60);
/// Connections of a run besides its subscribers': publisher, API, and reconnects while the old ones close.
const OTHER_CONNECTIONS: u32 = 64;
/// Between the last connection and the first due time: requests in flight arrive, caches warm up.
const SETTLE: Duration = Duration::from_millis(300);
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
}

/// Makes one run. `look` is told how far it is, many times a second.
///
/// Cancelled, it takes its server with it.
pub async fn run(
    plan: &str,
    program: PathBuf,
    cell: &Cell,
    schedule: &Schedule,
    look: impl Fn(Progress),
) -> Result<RunResult, RunError> {
    let connections_max = (cell.subscribers + OTHER_CONNECTIONS).to_string();
    let arguments = vec!["--connections-max".to_owned(), connections_max];
    let command = ServerCommand { program, store: cell.store, arguments };
    let mut server = ServerProcess::spawn(&command).await?;
    let url = format!("http://{}", server.addr()).parse().expect("a socket address is host and port");
    let mut api = Api::new(url);
    let offered: Vec<_> = api.transports().await?.into_iter().map(|transport| transport.name).collect();
    if !offered.iter().any(|name| name == cell.transport.name()) {
        return Err(RunError::NoTransport { wanted: cell.transport.name(), offered });
    }
    let deployment = api.create(plan, None).await?.id;

    let target =
        Target { server: api.server().clone(), deployment: deployment.clone(), from: Position::Start };
    let options = Options { poll_interval: cell.poll_interval, hold: cell.hold, ..Options::default() };
    let subscribers = Subscribers::start(cell.transport, &target, &options, cell.subscribers);
    connected(&subscribers, cell.subscribers, CONNECT_MAX + cell.poll_interval).await?;

    let harness = std::process::id();
    let before = (ProcessSample::take(server.pid()), ProcessSample::take(harness), Instant::now());
    let lines: Vec<_> = schedule.lines().collect();
    let (due, texts): (Vec<_>, Vec<_>) = lines.iter().cloned().unzip();
    let start = Instant::now() + SETTLE;
    let cohort_started = SystemTime::now() + SETTLE + cell.warm_up;
    let table = Arc::new(DueTable::new(start, due, cell.warm_up));
    let expected = table.lines_count() * u64::from(cell.subscribers);
    let warm_up_count = table.cohort().start - 1;
    subscribers.expect(Expected { table, lines: texts });
    let publication = Publication { lines, start, warm_up: cell.warm_up };
    let publisher_target = PublisherTarget {
        addr: server.addr(),
        host: server.addr().to_string(),
        path: format!("/api/deployments/{deployment}/lines"),
    };
    let publisher = Publisher::start(publisher_target, publication).map_err(RunError::Publisher)?;

    let look = || look(Progress { received: subscribers.received_count(), expected });
    while !publisher.is_finished() {
        look();
        tokio::time::sleep(LOOK).await;
    }
    let published = publisher.join();
    let drained_by = Instant::now() + cell.drain;
    while subscribers.received_count() < expected && Instant::now() < drained_by {
        look();
        tokio::time::sleep(LOOK).await;
    }
    look();
    let after = (ProcessSample::take(server.pid()), ProcessSample::take(harness), Instant::now());

    let died = server
        .has_ended()
        .map(|status| format!("the server ended during the run ({status}){}", server.said()));
    // Subscribers learn the end from their transports, as they learned the lines.
    let finished = api.finish(&deployment, Status::Succeeded).await.err().map(|error| error.to_string());
    // What has not arrived when the drain ends is censored, also if it would come now.
    let complete = subscribers.received_count() >= expected;
    let outcome = subscribers.finish(if complete { cell.drain } else { Duration::ZERO }).await;
    let traffic_seen_by_server = server_traffic(&mut api, cell.transport).await;
    let stopped = server.stop().await;
    let obstinate = match stopped {
        Ok(stopped) => stopped.killed.then(|| "the server did not stop when it was told to".to_owned()),
        Err(error) => Some(format!("the server could not be stopped: {error}")),
    };

    let mut result = RunResult {
        plan: plan.to_owned(),
        cell: cell.clone(),
        verdict: Verdict::default(),
        verdict_reasons: Vec::new(),
        // A clock before 1970 is nobody's.
        cohort_started_us: cohort_started.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64,
        measured: schedule.duration().saturating_sub(cell.warm_up),
        published_count: published.lines_acknowledged.saturating_sub(warm_up_count),
        subscriber_problems: subscriber_problems(&outcome),
        problem: died.or(published.problem.clone()).or(finished).or(obstinate),
        delivery: outcome.delivery,
        traffic: outcome.traffic,
        traffic_seen_by_server,
        app_bytes: Some(outcome.app_bytes),
        send_lateness: published.send_lateness,
        append: published.append,
        server: after.0.since(&before.0),
        harness: after.1.since(&before.1),
        sampled: Some(after.2 - before.2),
    };
    result.judge();
    Ok(result)
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
