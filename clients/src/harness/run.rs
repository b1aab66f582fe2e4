//! One run: starts a server, deployments, subscribers and publishers, and collects their results.
//!
//! The server is a process of its own, ours or not, and the subscribers use real sockets. Only the publisher and the
//! subscribers share this process, since they share a clock. The plan decides everything; nothing is decided here.

use std::ops::Add;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::cell::Cell;
use super::due_table::DueTable;
use super::followers::Followers;
use super::gates;
use super::kernel_memory::KernelMemory;
use super::link_check::{Effort, check_link};
use super::machine::cores_count;
use super::network::Reach;
use super::process_sampler::{ProcessReading, ThreadCost};
use super::publisher::{Publication, Published, Publisher};
use super::receipts::{Keeps, Receipts};
use super::run_error::RunError;
use super::run_result::{CohortTraffic, Flow, RunResult, Verdict};
use super::schedule::Schedule;
use super::server_under_test::{Lines, ServerUnderTest};
use super::statistics::merged;
use super::subscribers::{Expected, Subscribers, SubscribersOutcome};
use super::watch::Watch;
use crate::SubscribeError;
use crate::traffic::{IpTraffic, Packets, Traffic};

/// Longest time until all subscribers are connected, beyond a short poll's first interval.
const CONNECT_MAX: Duration = Duration::from_secs(60);
/// Time between two looks at a run's progress.
const LOOK: Duration = Duration::from_millis(20);

/// Progress of a run.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Lines × subscribers that have arrived.
    pub received: u64,
    /// Lines × subscribers that should arrive.
    pub expected: u64,
}

/// Makes one run. `schedules` are the due times of each deployment. `look` is called with the progress many times a
/// second. When `interrupted` is ready the run ends with [`RunError::Interrupted`].
///
/// When the run returns, a server that it started has ended, and a running one keeps nothing of the run. A run that is
/// only dropped ends the server that it started, and cleans up nothing else.
pub async fn run(
    plan: &str,
    program: PathBuf,
    cell: &Cell,
    schedules: &[Schedule],
    look: impl Fn(Progress),
    interrupted: impl Future<Output = ()>,
) -> Result<RunResult, RunError> {
    let mut interrupted = pin!(interrupted);
    let mut measured = tokio::select! {
        started = ServerUnderTest::start(plan, program, cell) => started?,
        () = &mut interrupted => return Err(RunError::Interrupted),
    };
    let ran = tokio::select! {
        ran = measure(plan, &mut measured, cell, schedules, look) => ran,
        () = &mut interrupted => Err(RunError::Interrupted),
    };
    let left = measured.leave().await;
    let mut result = ran?;
    result.problem = result.problem.or(left);
    gates::judge(&mut result);
    Ok(result)
}

/// Makes the run itself; the result is not judged yet.
async fn measure(
    plan: &str,
    measured: &mut ServerUnderTest,
    cell: &Cell,
    schedules: &[Schedule],
    look: impl Fn(Progress),
) -> Result<RunResult, RunError> {
    // A link that is off would be measured instead of a transport. Its figures stand in the manifest, from the calibration.
    check_link(&cell.network, measured.laid(), Effort::Run).await?;
    let kernel_before = KernelMemory::take();
    let mut followers: Vec<Followers> =
        (0..schedules.len()).map(|deployment| Followers::start(deployment, cell, measured)).collect();
    let first_poll = cell.options.polling.interval;
    connected(&followers, CONNECT_MAX + first_poll).await?;

    let harness = std::process::id();
    let before = (measured.sample(), ProcessReading::take(harness), Instant::now());
    // A connection is counted before it has crossed the link, and then its request crosses it.
    let settle = measured.settle() + cell.network.link.round_trip() * 2;
    let start = Instant::now() + settle;
    let cohort_started = SystemTime::now() + settle + cell.warm_up;
    let mut window = start + cell.warm_up..start + cell.warm_up;
    let mut publishers = Vec::new();
    for (follower, schedule) in followers.iter_mut().zip(schedules) {
        let lines: Vec<_> = schedule.lines().collect();
        let due: Vec<_> = lines.iter().map(|(due, _)| *due).collect();
        let Lines { sent, expected } = measured.lines(lines);
        let table = DueTable::new(start, due, cell.warm_up).until(schedule.duration());
        window.end = window.end.max(table.window().end);
        let table = Arc::new(table);
        follower.expect(Arc::new(Expected { table, lines: expected }));
        let publication = Publication { lines: sent, start, warm_up: cell.warm_up };
        let target = measured.publisher(follower.deployment);
        publishers.push(Publisher::start(target, publication).map_err(RunError::Publisher)?);
    }
    let expected: u64 = followers.iter().map(Followers::expected_count).sum();
    let reach = Reach {
        meters: followers.iter().flat_map(|follower| follower.measured.meters()).collect(),
        server: measured.pid(),
    };
    let _injected = cell.fault.as_ref().map(|fault| fault.inject(start, reach));

    let mut watch = Watch::start(start, window.clone(), kernel_before, measured.waiters(window));
    let mut look = |followers: &mut [Followers]| {
        followers.iter_mut().for_each(|follower| follower.at(start, measured));
        let received = followers.iter().map(|follower| follower.measured.received_count()).sum();
        look(Progress { received, expected });
        watch.look(followers, || measured.cpu());
        received
    };
    let mut cohort_began = None;
    while !publishers.iter().all(Publisher::is_finished) {
        look(&mut followers);
        if cohort_began.is_none() && Instant::now() >= start + cell.warm_up {
            cohort_began = Some(Counted::at_the_beginning(&followers));
        }
        tokio::time::sleep(LOOK).await;
    }
    let cohort_traffic = cohort_began.map(|began| Counted::at_the_end(&followers).since(&began));
    let published: Vec<Published> = publishers.into_iter().map(Publisher::join).collect();
    let drained_by = Instant::now() + cell.drain;
    while look(&mut followers) < expected && Instant::now() < drained_by {
        tokio::time::sleep(LOOK).await;
    }
    let complete = look(&mut followers) >= expected;
    let watched = watch.finish().await;
    let after = (measured.sample(), ProcessReading::take(harness), Instant::now());

    let mut problem = measured.died();
    // Subscribers learn of the end in the same way as of the lines.
    for follower in &followers {
        let finished = measured.finish(follower.deployment, follower.lines_count()).await;
        problem = problem.or(finished);
    }
    let end_limit = if complete { cell.drain } else { measured.end_limit() };
    let mut outcome =
        SubscribersOutcome { packets: Some(Packets::default()), ..SubscribersOutcome::default() };
    let mut subscriber_problems = Vec::new();
    let mut published_count = 0;
    let mut receipts = Receipts::default();
    let mut traffic_beside = Traffic::default();
    for (follower, published) in followers.into_iter().zip(&published) {
        published_count += published.lines_acknowledged.saturating_sub(follower.warm_up_count());
        let (mut measured, beside) = follower.finish(end_limit, cell.drain).await;
        receipts.add(std::mem::take(&mut measured.receipts));
        outcome.join(measured);
        traffic_beside += beside.traffic;
        subscriber_problems.extend(beside.problems);
    }
    let traffic_seen_by_server = measured.counts().await;
    problem = problem.or(measured.network_problem());
    subscriber_problems.extend(problems(&outcome));

    let threads = published.iter().map(|published| published.cost).chain([watched.hiccups.cost]);
    let ended = threads.flatten().fold(ThreadCost::default(), Add::add);
    let cohort = |schedule: &Schedule| schedule.duration().saturating_sub(cell.warm_up);
    Ok(RunResult {
        plan: plan.to_owned(),
        cell: cell.clone(),
        verdict: Verdict::default(),
        verdict_reasons: Vec::new(),
        checks: Vec::new(),
        // No machine's clock stands before 1970.
        cohort_started_us: cohort_started.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64,
        measured: schedules.iter().map(cohort).max().unwrap_or_default(),
        published_count,
        subscriber_problems,
        problem: published
            .iter()
            .find_map(|published| published.problem.clone())
            .or(problem)
            .or(misspoken(&outcome)),
        staleness: outcome.delivery.staleness(),
        delivery: outcome.delivery,
        traffic: outcome.traffic,
        traffic_beside,
        cohort_traffic,
        connections_cut: outcome.connections_cut,
        traffic_seen_by_server,
        app_bytes: outcome.app_bytes,
        send_lateness: merged(published.iter().map(|published| &published.send_lateness)),
        append: merged(published.iter().map(|published| &published.append)),
        server: after.0.since(&before.0),
        harness: after.1.since_with(&before.1, ended),
        server_pss_anon_per_connection_bytes: None,
        timing: outcome.timing,
        hiccup: watched.hiccups.lateness,
        first_line: outcome.first_line,
        fanout_skew: outcome.fanout_skew,
        packets: outcome.packets,
        kernel: watched.kernel,
        waiters_mean: watched.waiters_mean,
        series: [outcome.timeline.points(), watched.series].concat(),
        sampled: Some(after.2 - before.2),
        theory: Vec::new(),
        unmatched: measured.unmatched(),
        proxy: measured.proxy(),
        cores_count: cores_count(),
        receipts: (cell.keeps == Keeps::Receipts).then_some(receipts),
    })
}

/// Counts of the measured subscribers at one moment.
///
/// A byte is counted by the kernel first, then by the socket's wrapper, then as part of a line. Lines come while the
/// counts are read. So the beginning is read in that order and the end in the opposite order: the window of an outer layer
/// holds that of the layer inside it, and no inner layer has more bytes only because of when it was read.
struct Counted {
    at: Instant,
    flow: Flow,
}

impl Counted {
    fn at_the_beginning(followers: &[Followers]) -> Self {
        let ip = ip(followers);
        let traffic = traffic(followers);
        let (app_bytes, delivered_count) = lines(followers);
        Self { at: Instant::now(), flow: Flow { traffic, ip, app_bytes, delivered_count } }
    }

    fn at_the_end(followers: &[Followers]) -> Self {
        let at = Instant::now();
        let (app_bytes, delivered_count) = lines(followers);
        let traffic = traffic(followers);
        Self { at, flow: Flow { traffic, ip: ip(followers), app_bytes, delivered_count } }
    }

    fn since(&self, earlier: &Self) -> CohortTraffic {
        let (now, then) = (&self.flow, &earlier.flow);
        let flow = Flow {
            traffic: now.traffic - then.traffic,
            ip: now.ip.zip(then.ip).map(|(now, then)| now.since(&then)),
            app_bytes: now.app_bytes - then.app_bytes,
            delivered_count: now.delivered_count - then.delivered_count,
        };
        CohortTraffic { flow, length: self.at - earlier.at }
    }
}

fn measured(followers: &[Followers]) -> impl Iterator<Item = &Subscribers> {
    followers.iter().map(|follower| &follower.measured)
}

fn ip(followers: &[Followers]) -> Option<IpTraffic> {
    let packets: Option<Packets> = measured(followers)
        .try_fold(Packets::default(), |sum, subscribers| Some(sum + subscribers.packets()?));
    packets.map(|packets| packets.ip())
}

fn traffic(followers: &[Followers]) -> Traffic {
    measured(followers).map(Subscribers::traffic).sum()
}

/// Returns the bytes of line text and the distinct lines × subscribers.
fn lines(followers: &[Followers]) -> (u64, u64) {
    let app_bytes = measured(followers).map(Subscribers::app_bytes).sum();
    (app_bytes, measured(followers).map(Subscribers::received_count).sum())
}

async fn connected(followers: &[Followers], limit: Duration) -> Result<(), RunError> {
    let until = Instant::now() + limit;
    loop {
        let connected = followers.iter().map(Followers::connected_count).sum();
        let wanted: usize = followers.iter().map(Followers::wanted_count).sum();
        if connected == wanted {
            return Ok(());
        }
        if Instant::now() > until {
            return Err(RunError::NotConnected { connected, wanted, limit });
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Returns why a subscriber could not follow at all: what answered speaks another protocol. Then missing lines are not the
/// server's losses.
fn misspoken(outcome: &SubscribersOutcome) -> Option<String> {
    outcome.errors.iter().find_map(|error| match error {
        SubscribeError::OtherAnswer { .. } | SubscribeError::Mistrusted { .. } => Some(error.to_string()),
        SubscribeError::Refused { .. }
        | SubscribeError::Contract(_)
        | SubscribeError::Gap(_)
        | SubscribeError::Deleted
        | SubscribeError::Unreachable { .. } => None,
    })
}

/// Lists each kind of problem once, with the number of lines or subscribers.
fn problems(outcome: &SubscribersOutcome) -> Vec<String> {
    let mut problems = Vec::new();
    if outcome.altered_count > 0 {
        problems.push(format!("{} lines arrived with a text that was not published", outcome.altered_count));
    }
    if outcome.unfinished_count > 0 {
        problems.push(format!("{} subscribers did not see the end of the log", outcome.unfinished_count));
    }
    if let Some(error) = outcome.errors.first() {
        problems.push(format!("{} subscribers gave up, the first because {error}", outcome.errors.len()));
    }
    problems
}
