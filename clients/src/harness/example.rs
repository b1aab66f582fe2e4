//! A small, made-up result set: renderers and gates are tested with it.
//!
//! Nothing in it was measured. It has two subscribers, 550 lines of which 50 are warm-up, and two transports, and is
//! always the same.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cell::{Cell, Given, LineProcess};
use super::due_table::DueTable;
use super::kernel_memory::KernelMemory;
use super::machine::Machine;
use super::plan::{AdHoc, Plan};
use super::process_sampler::ProcessSample;
use super::recorder::{Delivery, Recorder};
use super::results::{Manifest, ResultSet};
use super::rows::SCHEMA_VERSION;
use super::run_result::{Residual, TheoryVerdict};
use super::run_result::{RunResult, Verdict};
use super::schedule::Generated;
use super::series::{Sample, Sampler, SeriesPoint};
use super::shared_record::SharedRecord;
use super::theory::calibration::{ArmCalibration, CalibratedArm, Calibration, MessageBytes, Sizes};
use super::theory::spread::Spread;
use crate::latency::LatencyHistogram;
use crate::options::{Compression, Condition, HttpVersion, PollConnections};
use crate::timing::Timing;
use crate::traffic::{Packets, Requests, Traffic};
use crate::wire::{Transport, Waits};

const LINES: u64 = 550;
const WARM_UP: Duration = Duration::from_secs(1);

/// Returns the results of a plan `ad-hoc` on `short-poll` and `sse`, with every line delivered.
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
        executable_sha256: None,
        rustc: None,
        wirelab_version: "0.1.0".to_owned(),
        started_utc: "2026-01-02T03:04:05Z".to_owned(),
        machine: Machine { os: "linux".to_owned(), ..Machine::default() },
        store_file_system: None,
        load: None,
        order: runs.iter().map(|run| run.cell.run_id.clone()).collect(),
        links: Vec::new(),
        calibrations: Vec::new(),
        forecast: Vec::new(),
        calibration_problem: None,
        network_choice: None,
        not_measured: Vec::new(),
        not_measured_of: Default::default(),
    };
    manifest.note_what_was_not_measured(&runs);
    ResultSet { plan, manifest, runs }
}

fn run(cell: Cell) -> RunResult {
    let polled = cell.transport.waits() == Waits::Client;
    let requests = if polled {
        Requests { data: 110, empty: 90, ..Requests::default() }
    } else {
        Requests { data: 2, ..Requests::default() }
    };
    let (up_bytes, down_bytes) = if polled { (33_000, 220_000) } else { (400, 165_000) };
    // Short poll: evenly spread over the interval. SSE: about a millisecond.
    let latency =
        |seq: u64| Duration::from_micros(if polled { 1_000 + seq % 200 * 1_000 } else { 900 + seq });
    let (delivery, shared) = delivery(cell.subscribers, latency);
    let traffic = Traffic { requests, connections_opened: 2, up_bytes, down_bytes, ..Traffic::default() };
    let mut run = RunResult {
        plan: "ad-hoc".to_owned(),
        verdict: Verdict::Ok,
        verdict_reasons: Vec::new(),
        checks: Vec::new(),
        cohort_started_us: 1_767_323_046_500_000,
        measured: Duration::from_secs(10),
        published_count: LINES - 50,
        staleness: delivery.staleness(),
        fanout_skew: histogram(|n| Duration::from_micros(100 + n % 100)),
        // More samples than there are subscribers, so that their median can be told.
        first_line: histogram_of(20, |n| latency(n + 1)),
        series: series(&shared, requests.total(), up_bytes + down_bytes),
        delivery,
        traffic,
        traffic_beside: Traffic::default(),
        cohort_traffic: None,
        connections_cut: 0,
        traffic_seen_by_server: Some(traffic),
        app_bytes: LINES * 2 * 100,
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
            run_delay: Some(Duration::from_micros(900)),
            context_switches: Some(4_321),
            pss_anon_bytes: None,
        },
        server_pss_anon_per_connection_bytes: None,
        timing: if polled {
            timing()
        } else {
            Timing { handshake: histogram_of(2, handshake), ..Timing::default() }
        },
        hiccup: histogram_of(10_000, |n| Duration::from_micros(10 + n % 50)),
        packets: Some(packets(up_bytes, down_bytes, if polled { 400 } else { 1_106 })),
        kernel: KernelMemory { slab_bytes: Some(13_312), socket_bytes: Some(8_192) },
        waiters_mean: Some(if polled { 0.0 } else { 2.0 }),
        sampled: Some(Duration::from_secs(11)),
        cores_count: Some(2),
        problem: None,
        subscriber_problems: Vec::new(),
        unmatched: None,
        proxy: None,
        theory: Vec::new(),
        receipts: None,
        cell,
    };
    crate::harness::gates::judge(&mut run);
    run
}

fn delivery(subscribers: u32, latency: impl Fn(u64) -> Duration) -> (Delivery, Arc<SharedRecord>) {
    let due = (0..LINES).map(|n| Duration::from_millis(20 * n)).collect();
    // The instant at which the example begins does not matter: only differences are kept.
    let table = Arc::new(DueTable::new(Instant::now(), due, WARM_UP).until(Duration::from_secs(11)));
    let shared = Arc::new(SharedRecord::new(&table));
    let mut delivery = Delivery::default();
    for _ in 0..subscribers {
        let mut recorder = Recorder::sharing(table.clone(), shared.clone());
        for seq in 1..=LINES {
            let due = table.due(seq).expect("a line of the table");
            recorder.record([seq], due + latency(seq));
        }
        delivery.merge(&recorder.finish(LINES));
    }
    delivery.add_latencies(&shared);
    (delivery, shared)
}

/// Makes a sample each second, with counters that grow evenly.
fn series(shared: &SharedRecord, requests: u64, bytes: u64) -> Vec<SeriesPoint> {
    let mut sampler = Sampler::default();
    for second in 0..=11 {
        let sample = Sample {
            requests_count: requests * second / 11,
            l7_bytes: bytes * second / 11,
            server_cpu: Some(Duration::from_millis(4 * second)),
            connections_open_count: 2,
            staleness: Some(Duration::from_millis(15)),
        };
        sampler.note(second as f64, sample);
    }
    [shared.timeline().points(), sampler.into_points()].concat()
}

/// Makes the timing of polls that are answered within a millisecond and, one in a hundred, sent 5 ms late.
fn timing() -> Timing {
    let service = |n: u64| Duration::from_micros(400 + n % 100);
    let late = |n: u64| if n.is_multiple_of(100) { Duration::from_millis(5) } else { Duration::ZERO };
    Timing {
        request_service: histogram_of(180, service),
        request_response: histogram_of(180, |n| service(n) + late(n)),
        handshake: histogram_of(2, handshake),
        ..Timing::default()
    }
}

fn handshake(n: u64) -> Duration {
    Duration::from_micros(300 + n)
}

fn packets(bytes_up: u64, bytes_down: u64, segments: u64) -> Packets {
    Packets {
        connections: 2,
        segments_up: segments,
        segments_down: segments,
        bytes_up,
        bytes_down,
        ..Packets::default()
    }
}

fn histogram(latency: impl Fn(u64) -> Duration) -> LatencyHistogram {
    histogram_of(LINES - 50, |n| latency(n + 50))
}

fn histogram_of(samples: u64, latency: impl Fn(u64) -> Duration) -> LatencyHistogram {
    let mut histogram = LatencyHistogram::default();
    (0..samples).for_each(|n| histogram.record(latency(n)));
    histogram
}

/// Returns a made-up calibration of wirelab's own server, of short polls only.
pub fn calibration() -> Calibration {
    let spread = |s| Spread::of(vec![s; 20]).expect("there are samples");
    let arm = CalibratedArm {
        transport: Transport::ShortPoll,
        http: HttpVersion::Http1,
        connections: PollConnections::KeepAlive,
        compression: Compression::Identity,
        condition: Condition::IfNoneMatch,
    };
    Calibration {
        server: "wirelab".to_owned(),
        link: None,
        round_trip_s: spread(0.000_1),
        connect_s: spread(0.000_2),
        timer_late_s: spread(0.000_5),
        visible_s: spread(0.000_3),
        write_s: None,
        arms: vec![ArmCalibration {
            arm,
            exchange_s: Some(spread(0.000_4)),
            cycle_s: None,
            held_s: None,
            sizes: Sizes::Poll {
                question: MessageBytes { plain: 120.0, seqs: 1.0 },
                answer: MessageBytes { plain: 310.0, seqs: 2.0 },
                empty: MessageBytes { plain: 190.0, seqs: 1.0 },
                line: MessageBytes { plain: 50.0, seqs: 1.0 },
            },
        }],
    }
}

/// Returns a made-up prediction that holds.
pub fn prediction() -> Residual {
    Residual {
        formula: "F1".into(),
        quantity: "delivery latency p50".to_owned(),
        unit: "us".into(),
        predicted: 100_300.0,
        measured: Some(101_303.0),
        tolerance_ratio: Some(0.062_5),
        verdict: TheoryVerdict::Pass,
        assumption_broken: None,
    }
}
