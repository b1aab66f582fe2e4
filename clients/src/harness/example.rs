//! A small, made-up result set: what renderers and gates are tested with.
//!
//! Nothing in it was measured. Two subscribers, 550 lines of which 50 are warm-up, two transports; always the same.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::latency::LatencyHistogram;
use super::plan::{AdHoc, Cell, Given, LineProcess, Plan};
use super::process_sampler::ProcessSample;
use super::recorder::{Delivery, DueTable, Recorder};
use super::results::{Machine, Manifest, ResultSet, RunResult, SCHEMA_VERSION, Verdict};
use super::schedule::Generated;
use crate::traffic::{Requests, Traffic};
use crate::wire::Transport;

const LINES: u64 = 550;
const WARM_UP: Duration = Duration::from_secs(1);

/// The plan `ad-hoc` on `short-poll` and `sse`, everything delivered.
pub fn result_set() -> ResultSet {
    let lines = Generated { rate_hz: 50.0, duration: Duration::from_secs(11), payload_bytes: 100 };
    let plan = Plan::ad_hoc(AdHoc {
        factors: Given {
            transports: Some(vec![Transport::ShortPoll, Transport::Sse]),
            subscribers: Some(2),
            lines: Some(LineProcess::Periodic(lines)),
            ..Given::default()
        },
        ..AdHoc::default()
    })
    .expect("the example is a good plan");
    let mut cells = plan.cells();
    cells.sort_by_key(|cell| Transport::ALL.iter().position(|transport| *transport == cell.transport));
    let runs: Vec<RunResult> = cells.into_iter().map(run).collect();
    let mut manifest = Manifest {
        schema_version: SCHEMA_VERSION,
        plan: plan.name.clone(),
        seed: plan.seed,
        argv: vec!["wirelab".to_owned(), "run".to_owned()],
        commit: Some("0123abc".to_owned()),
        rustc: None,
        wirelab_version: "0.1.0".to_owned(),
        started_utc: "2026-01-02T03:04:05Z".to_owned(),
        machine: Machine { os: "linux".to_owned(), ..Machine::default() },
        order: runs.iter().map(|run| run.cell.run_id.clone()).collect(),
        calibrations: Vec::new(),
        not_measured: Vec::new(),
        not_measured_of: Default::default(),
    };
    manifest.note_what_was_not_measured(&runs);
    ResultSet { plan, manifest, runs }
}

fn run(cell: Cell) -> RunResult {
    let polled = cell.transport == Transport::ShortPoll;
    let requests = if polled {
        Requests { data: 110, empty: 90, ..Requests::default() }
    } else {
        Requests { data: 2, ..Requests::default() }
    };
    let (up_bytes, down_bytes) = if polled { (33_000, 220_000) } else { (400, 165_000) };
    // Short poll: evenly spread over the interval. SSE: about a millisecond.
    let latency =
        |seq: u64| Duration::from_micros(if polled { 1_000 + seq % 200 * 1_000 } else { 900 + seq });
    let traffic = Traffic { requests, connections_opened: 2, reconnects: 0, up_bytes, down_bytes };
    let mut run = RunResult {
        plan: "ad-hoc".to_owned(),
        verdict: Verdict::Ok,
        verdict_reasons: Vec::new(),
        checks: Vec::new(),
        cohort_started_us: 1_767_323_046_500_000,
        measured: Duration::from_secs(10),
        published_count: LINES - 50,
        delivery: delivery(cell.subscribers, latency),
        traffic,
        cohort_traffic: None,
        connections_cut: 0,
        traffic_seen_by_server: Some(traffic),
        app_bytes: Some(LINES * 2 * 100),
        send_lateness: histogram(|n| Duration::from_micros(20 + n % 10)),
        append: histogram(|n| Duration::from_micros(150 + n)),
        server: ProcessSample {
            cpu: Some(Duration::from_micros(if polled { 44_000 } else { 11_000 })),
            run_delay: Some(Duration::from_micros(700)),
            context_switches: Some(1_234),
            pss_anon_bytes: Some(3 << 20),
        },
        harness: ProcessSample {
            cpu: Some(Duration::from_millis(550)),
            run_delay: None,
            context_switches: None,
            pss_anon_bytes: None,
        },
        sampled: Some(Duration::from_secs(11)),
        cores_count: Some(2),
        problem: None,
        subscriber_problems: Vec::new(),
        theory: Vec::new(),
        cell,
    };
    run.judge();
    run
}

fn delivery(subscribers: u32, latency: impl Fn(u64) -> Duration) -> Delivery {
    let due = (0..LINES).map(|n| Duration::from_millis(20 * n)).collect();
    // Where the example begins does not matter: only differences are kept.
    let table = Arc::new(DueTable::new(Instant::now(), due, WARM_UP));
    let mut delivery = Delivery::default();
    for _ in 0..subscribers {
        let mut recorder = Recorder::new(table.clone());
        for seq in 1..=LINES {
            let due = table.due(seq).expect("a line of the table");
            recorder.record([seq], due + latency(seq));
        }
        delivery.merge(&recorder.finish(LINES));
    }
    delivery
}

fn histogram(latency: impl Fn(u64) -> Duration) -> LatencyHistogram {
    let mut histogram = LatencyHistogram::default();
    (50..LINES).for_each(|n| histogram.record(latency(n)));
    histogram
}
