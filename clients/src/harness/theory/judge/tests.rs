//! The simulation plays runs, and the formulas judge them.

mod distance;

use std::time::Duration;

use super::{Disturbance, Reading, Setting, Window, rows};
use crate::harness::network::emulated::{Network, NetworkKind};
use crate::harness::run_result::{Residual, TheoryVerdict};
use crate::harness::theory::calibration::{ArmCalibration, CalibratedLink, Calibration, MessageBytes, Sizes};
use crate::harness::theory::long_poll::LongPoll;
use crate::harness::theory::simulation::{self, Asking, LinePattern, Seen, Ways};
use crate::harness::theory::spread::Spread;
use crate::latency::LatencyHistogram;
use crate::options::{Adaptation, Compression, Options, PollPhase, Polling};
use crate::traffic::{Requests, Traffic};
use crate::wire::Transport;

const LINES: usize = 4_000;
const POISSON: LinePattern = LinePattern::Poisson { rate_hz: 20.0 };
const ONE_WAY_S: f64 = 0.001;
const VISIBLE_S: f64 = 0.000_3;
const PAYLOAD_BYTES: u64 = 100;
const QUESTION: u64 = 200;
const ANSWER: u64 = 240;
const EMPTY: u64 = 120;
const LINE: u64 = 60;

fn setting(transport: Transport, lines: LinePattern) -> Setting {
    let options = Options {
        polling: Polling::every(Duration::from_millis(200)),
        hold: Duration::from_secs(1),
        turn: Duration::from_millis(20),
        ..Options::default()
    };
    Setting {
        server: "wirelab".to_owned(),
        network: Network::default(),
        transport,
        options,
        lines: Some(lines),
        payload_bytes: PAYLOAD_BYTES as f64,
        subscribers: 1.0,
        beside_count: 0,
        rungs_count: 0,
        linger: Duration::ZERO,
        disturbance: Disturbance::None,
    }
}

fn calibration(setting: &Setting) -> Calibration {
    let link = &setting.network.link;
    let round_trip_s = 2.0 * ONE_WAY_S + link.round_trip().as_secs_f64();
    let down_s = link.down.delay.as_secs_f64();
    let fixed = |bytes: u64| MessageBytes { plain: bytes as f64, seqs: 0.0 };
    let polled = setting.transport.waits().is_poll();
    let sizes = match polled {
        true => Sizes::Poll {
            question: fixed(QUESTION),
            answer: fixed(ANSWER),
            empty: fixed(EMPTY),
            line: fixed(LINE),
        },
        false => Sizes::Stream { line: fixed(LINE) },
    };
    let constant = |time_s| polled.then(|| Spread::constant(time_s));
    Calibration {
        server: setting.server.clone(),
        link: (setting.network.kind != NetworkKind::None)
            .then_some(CalibratedLink { up_s: link.up.delay.as_secs_f64(), down_s }),
        round_trip_s: Spread::constant(round_trip_s),
        connect_s: Spread::constant(0.0),
        timer_late_s: Spread::constant(0.0),
        visible_s: Spread::constant(VISIBLE_S),
        write_s: None,
        arms: vec![ArmCalibration {
            arm: setting.arm(),
            exchange_s: constant(round_trip_s),
            cycle_s: constant(round_trip_s),
            held_s: constant(VISIBLE_S),
            sizes,
        }],
    }
}

/// Makes the reading of a run from what a simulated subscriber saw.
fn reading(setting: &Setting, seen: &Seen) -> Reading {
    let mut latencies = LatencyHistogram::default();
    seen.latencies_s.iter().for_each(|&latency_s| latencies.record(Duration::from_secs_f64(latency_s)));
    let lines = seen.latencies_s.len() as u64;
    let (data, empty) = (seen.requests - seen.empty, seen.empty);
    let polled = setting.transport.waits().is_poll();
    let requests = match setting.transport {
        Transport::LongPoll => Requests { data, timeout: empty, ..Requests::default() },
        _ => Requests { data, empty, ..Requests::default() },
    };
    let head = if polled { data * ANSWER + empty * EMPTY } else { 0 };
    let traffic = Traffic {
        requests,
        up_bytes: if polled { seen.requests * QUESTION } else { 0 },
        down_bytes: head + lines * (LINE + PAYLOAD_BYTES),
        connections_opened: 1,
        reconnects: 0,
        ..Traffic::default()
    };
    Reading {
        invalid: None,
        cohort_s: seen.duration_s,
        lines_count: lines,
        digits_mean: 1.0,
        latency_mean_s: Some(seen.latency_mean_s()),
        latency_quantiles_s: [0.5, 0.9, 0.99, 1.0].map(|q| Some(seen.latency_quantile_s(q))),
        latencies,
        send_late_mean_s: Some(0.0),
        traffic,
        window: Some(Window { traffic, delivered: lines, length_s: seen.duration_s }),
        age_mean_s: Some(seen.age_mean_s),
        waiters_mean: Some(seen.held_s / seen.duration_s),
        server_cpu_s: Some(0.5),
        wire_per_line_bytes: None,
    }
}

/// Plays a run and judges it, after `change` has changed the setting and the reading.
fn judged_after(
    transport: Transport,
    lines: LinePattern,
    change: impl FnOnce(&mut Setting, &mut Reading),
) -> Vec<Residual> {
    judged_over(Network::default(), transport, lines, Ways::equal(0.0), change)
}

/// Plays a run whose lines take these ways besides the machine's own, and judges it as a run over `network`.
fn judged_over(
    network: Network,
    transport: Transport,
    lines: LinePattern,
    ways: Ways,
    change: impl FnOnce(&mut Setting, &mut Reading),
) -> Vec<Residual> {
    let mut setting = Setting { network, ..setting(transport, lines) };
    // The wait for the append passes at the server, before any client can see the line.
    let arriving_s = ONE_WAY_S + VISIBLE_S + ways.down_s;
    let seen = match transport {
        Transport::ShortPoll => {
            let asking = Asking::Fixed { interval_s: 0.2 };
            let ways = Ways { up_s: ONE_WAY_S + ways.up_s, down_s: arriving_s };
            simulation::short_poll(asking, ways, 0.0, 0.07, lines, LINES, 1)
        }
        Transport::LongPoll => {
            let poll = LongPoll {
                line_rate_hz: lines.rate_hz(),
                gap_s: 0.02 + 2.0 * ONE_WAY_S + ways.round_trip_s(),
                hold_s: 1.0,
                one_way_s: arriving_s,
            };
            simulation::long_poll(&poll, lines, LINES, 1)
        }
        _ => simulation::stream(arriving_s, 0.0, 0, lines, LINES, 1),
    };
    let mut reading = reading(&setting, &seen);
    let server = calibration(&setting);
    change(&mut setting, &mut reading);
    rows(&setting, &reading, &server, &server.arms[0])
}

fn judged(transport: Transport) -> Vec<Residual> {
    judged_after(transport, POISSON, |_, _| ())
}

fn of<'a>(rows: &'a [Residual], formula: &str, quantity: &str) -> &'a Residual {
    let found = rows.iter().find(|row| row.formula == formula && row.quantity.contains(quantity));
    found.unwrap_or_else(|| panic!("no {formula} {quantity} in {rows:#?}"))
}

const TRANSPORTS: [Transport; 4] =
    [Transport::ShortPoll, Transport::LongPoll, Transport::Sse, Transport::Websocket];

#[test]
fn a_run_that_did_what_it_should_fails_no_row() {
    for transport in TRANSPORTS {
        let rows = judged(transport);
        let passed = rows.iter().filter(|row| row.verdict == TheoryVerdict::Pass).count();
        for row in &rows {
            assert!(
                matches!(row.verdict, TheoryVerdict::Pass | TheoryVerdict::Reported),
                "{transport}: {row:#?}"
            );
        }
        assert!(passed >= 3, "{transport}: {rows:#?}");
    }
}

#[test]
fn each_transport_answers_to_its_own_formulas() {
    let formulas = |transport| {
        let mut formulas: Vec<_> =
            judged(transport).into_iter().map(|row| row.formula.into_owned()).collect();
        formulas.dedup();
        formulas
    };
    assert_eq!(formulas(Transport::ShortPoll), ["F1", "F2", "F3", "F9", "F10", "F15", "F16"]);
    assert_eq!(formulas(Transport::LongPoll), ["F4", "F5", "F6", "F7", "F9", "F15"]);
    assert_eq!(formulas(Transport::Sse), ["F8", "F9", "F15"]);
}

#[test]
fn a_measurement_that_contradicts_a_formula_fails_its_row_and_no_other() {
    type Change = fn(&mut Reading);
    let contradictions: [(Transport, Change, &str, &str); 7] = [
        (
            Transport::ShortPoll,
            |read| read.latency_mean_s = read.latency_mean_s.map(|s| s * 1.2),
            "F1",
            "mean",
        ),
        (Transport::ShortPoll, |read| read.latency_quantiles_s[2] = Some(0.3), "F1", "p99"),
        (Transport::ShortPoll, |read| read.age_mean_s = Some(0.2), "F15", "age"),
        (Transport::LongPoll, |read| read.latency_quantiles_s[2] = Some(0.03), "F6", "p99"),
        (Transport::LongPoll, |read| read.waiters_mean = Some(0.5), "F7", "held"),
        (Transport::LongPoll, |read| read.age_mean_s = Some(0.08), "F15", "age"),
        (
            Transport::Sse,
            |read| {
                if let Some(window) = &mut read.window {
                    window.traffic.down_bytes += window.delivered * 20;
                }
            },
            "F9",
            "l7",
        ),
    ];
    for (transport, change, formula, quantity) in contradictions {
        let rows = judged_after(transport, POISSON, |_, reading| change(reading));
        assert_eq!(of(&rows, formula, quantity).verdict, TheoryVerdict::Fail, "{transport} {formula}");
        let failed = rows.iter().filter(|row| row.verdict == TheoryVerdict::Fail).count();
        assert_eq!(failed, 1, "{rows:#?}");
    }
}

#[test]
fn twice_the_requests_fail_all_rows_that_count_them() {
    for (transport, formula, quantity) in
        [(Transport::ShortPoll, "F2", "requests"), (Transport::LongPoll, "F4", "requests")]
    {
        let rows = judged_after(transport, POISSON, |_, reading| {
            if let Some(window) = &mut reading.window {
                window.traffic.requests.data *= 2;
                window.traffic.requests.empty *= 2;
                window.traffic.requests.timeout *= 2;
            }
        });
        assert_eq!(of(&rows, formula, quantity).verdict, TheoryVerdict::Fail);
    }
}

#[test]
fn what_a_run_breaks_names_itself_and_never_fails() {
    type Change = fn(&mut Setting, &mut Reading);
    let broken: [(Transport, Change, &str); 14] = [
        (Transport::ShortPoll, |set, _| set.options.polling.jitter_ratio = 0.5, "jittered"),
        (Transport::ShortPoll, |set, _| set.options.polling.adaptation = Adaptation::Server, "adaptive"),
        (Transport::ShortPoll, |set, _| set.options.polling.phase = PollPhase::Aligned, "aligned"),
        (
            Transport::ShortPoll,
            |set, _| set.options.polling.interval = Duration::from_millis(1),
            "an exchange takes longer",
        ),
        (Transport::ShortPoll, |set, _| set.payload_bytes = 100_000.0, "`more`"),
        (Transport::ShortPoll, |set, _| set.lines = None, "replayed"),
        (Transport::ShortPoll, |_, read| read.invalid = Some("late".to_owned()), "the run is invalid: late"),
        (Transport::ShortPoll, |_, read| read.send_late_mean_s = Some(0.1), "the publisher was late"),
        (Transport::LongPoll, |set, _| set.linger = Duration::from_millis(50), "lingers"),
        (Transport::LongPoll, |set, _| set.disturbance = Disturbance::Cut, "connections were cut"),
        (Transport::Sse, |_, read| read.traffic.requests.error = 3, "3 requests failed"),
        (Transport::Sse, |set, _| set.options.compression = Compression::Gzip, "compressed"),
        (Transport::Websocket, |set, _| set.options.compression = Compression::Deflate, "compressed"),
        (
            Transport::Websocket,
            |set, _| set.options.compression = Compression::DeflateNoContextTakeover,
            "compressed",
        ),
    ];
    for (transport, change, said) in broken {
        let rows = judged_after(transport, POISSON, |setting, reading| {
            change(setting, reading);
            // With a broken assumption, no measured number contradicts a formula.
            reading.latency_mean_s = Some(9.0);
        });
        let named: Vec<_> = rows.iter().filter_map(|row| row.assumption_broken.as_deref()).collect();
        assert!(named.iter().any(|broken| broken.contains(said)), "{said}: {rows:#?}");
        for row in rows.iter().filter(|row| row.assumption_broken.is_some()) {
            assert_eq!(row.verdict, TheoryVerdict::AssumptionBroken);
        }
        let failed: Vec<_> = rows.iter().filter(|row| row.verdict == TheoryVerdict::Fail).collect();
        let is_stream = matches!(transport, Transport::Sse | Transport::Websocket);
        assert!(failed.is_empty() || is_stream, "{said}: {failed:#?}");
    }
}

#[test]
fn periodic_lines_in_step_with_aligned_polls_have_one_latency() {
    let lines = LinePattern::Periodic { period_s: 0.1 };
    let rows = judged_after(Transport::ShortPoll, lines, |setting, _| {
        setting.options.polling.phase = PollPhase::Aligned;
    });
    let row = of(&rows, "F12", "distinct");
    assert_eq!((row.predicted, row.measured, row.verdict), (2.0, Some(2.0), TheoryVerdict::Pass), "{row:#?}");
    // Now the polls have another interval than the setting says.
    let rows = judged_after(Transport::ShortPoll, lines, |setting, _| {
        setting.options.polling.interval = Duration::from_millis(100);
    });
    assert_eq!(of(&rows, "F12", "distinct").verdict, TheoryVerdict::Fail);
}

#[test]
fn a_stopped_server_answers_to_the_freeze_alone() {
    let stalled = |stall_s: f64| {
        judged_after(Transport::Sse, POISSON, |setting, reading| {
            setting.disturbance = Disturbance::Stop { stall_s, after_s: 1.0 };
            let (lines, cohort_s) = (LinePattern::Poisson { rate_hz: 200.0 }, 20.0);
            let seen = simulation::stalled_stream(ONE_WAY_S, cohort_s, 5.0, 2.0, lines, 3);
            reading.cohort_s = cohort_s;
            reading.lines_count = seen.latencies_s.len() as u64;
            reading.latency_quantiles_s = [0.5, 0.9, 0.99, 1.0].map(|q| Some(seen.latency_quantile_s(q)));
            reading.window = None;
        })
    };
    let rows = stalled(2.0);
    for quantity in ["p99", "max"] {
        assert_eq!(of(&rows, "F11", quantity).verdict, TheoryVerdict::Pass, "{rows:#?}");
    }
    assert_eq!(of(&rows, "F15", "age").verdict, TheoryVerdict::AssumptionBroken);
    assert_eq!(of(&stalled(3.0), "F11", "p99").verdict, TheoryVerdict::Fail);
    // A stall that began before the cohort, or outlasts it, breaks the formula's assumption.
    for after_s in [-0.1, 18.5] {
        let rows = judged_after(Transport::Sse, POISSON, |setting, reading| {
            setting.disturbance = Disturbance::Stop { stall_s: 2.0, after_s };
            reading.cohort_s = 20.0;
        });
        let row = of(&rows, "F11", "p99");
        assert_eq!(row.verdict, TheoryVerdict::AssumptionBroken, "{row:#?}");
    }
}

#[test]
fn one_latency_at_the_edge_of_the_interval_is_one_and_not_two() {
    let rows =
        judged_after(Transport::ShortPoll, LinePattern::Periodic { period_s: 0.2 }, |setting, reading| {
            setting.options.polling.phase = PollPhase::Aligned;
            let mut latencies = crate::latency::LatencyHistogram::default();
            let interval = setting.options.polling.interval;
            for at in [Duration::from_millis(1), interval - Duration::from_millis(1)] {
                latencies.record_n(at, 100);
            }
            reading.latencies = latencies;
        });
    let row = of(&rows, "F12", "distinct");
    assert_eq!((row.predicted, row.measured), (1.0, Some(1.0)), "{row:#?}");
}

#[test]
fn too_few_lines_are_reported_and_not_judged() {
    let rows = judged_after(Transport::LongPoll, POISSON, |_, reading| {
        reading.lines_count = 3;
        reading.latency_quantiles_s = [None; 4];
    });
    assert_eq!(of(&rows, "F6", "p50").verdict, TheoryVerdict::Reported);
    assert_eq!(of(&rows, "F15", "age").verdict, TheoryVerdict::Reported);
}
