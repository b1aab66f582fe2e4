//! Runs over a link: the delay of its own direction counts, and what a link does besides is named.

use super::*;
use crate::link::{Jitter, Link, Loss, OneWay, Rate};

const MS: Duration = Duration::from_millis(1);
/// A link of two ways that differ: with d = R/2 every row of a latency would be off.
const FAR: Ways = Ways { up_s: 0.010, down_s: 0.040 };

fn far(kind: NetworkKind) -> Network {
    let way = |delay_s| OneWay { delay: Duration::from_secs_f64(delay_s), ..OneWay::default() };
    Network { kind, link: Link { up: way(FAR.up_s), down: way(FAR.down_s), seed: 0 }, ..Network::default() }
}

fn judged_far(
    transport: Transport,
    ways: Ways,
    change: impl FnOnce(&mut Setting, &mut Reading),
) -> Vec<Residual> {
    judged_over(far(NetworkKind::Tun), transport, POISSON, ways, change)
}

#[test]
fn a_run_over_a_link_is_judged_with_the_delay_of_each_direction() {
    let judged: [(Transport, &[(&str, &str)]); 4] = [
        (
            Transport::ShortPoll,
            &[("F1", "mean"), ("F1", "p50"), ("F1", "p99"), ("F2", "requests"), ("F15", "age")],
        ),
        (
            Transport::LongPoll,
            &[("F4", "requests"), ("F6", "mean"), ("F6", "p99"), ("F7", "held"), ("F15", "age")],
        ),
        (Transport::Sse, &[("F8", "requests"), ("F9", "l7"), ("F15", "age")]),
        (Transport::Websocket, &[("F8", "requests"), ("F15", "age")]),
    ];
    for (transport, expected) in judged {
        let rows = judged_far(transport, FAR, |_, _| ());
        for (formula, quantity) in expected {
            assert_eq!(
                of(&rows, formula, quantity).verdict,
                TheoryVerdict::Pass,
                "{transport} {formula}: {rows:#?}"
            );
        }
        assert!(rows.iter().all(|row| row.verdict != TheoryVerdict::Fail), "{transport}: {rows:#?}");
        // The same round trip, the other way round.
        let turned = Ways { up_s: FAR.down_s, down_s: FAR.up_s };
        let rows = judged_far(transport, turned, |_, _| ());
        let latency = rows.iter().find(|row| row.quantity == "delivery latency mean").unwrap();
        let expected = match latency.formula.as_ref() {
            "F8" => TheoryVerdict::Reported,
            _ => TheoryVerdict::Fail,
        };
        assert_eq!(latency.verdict, expected, "{transport}: {latency:#?}");
    }
}

#[test]
fn what_a_link_does_besides_its_delay_is_named_and_fails_nothing() {
    type Change = fn(&mut Link);
    let changes: [(Change, &str); 5] = [
        (|link| link.down.jitter = Jitter::Uniform { within: MS }, "jittered"),
        (|link| link.up.jitter = Jitter::Normal { deviation: MS }, "jittered"),
        (|link| link.up.loss = Loss::Independent { ratio: 0.01 }, "loses packets"),
        (|link| link.down.rate = Some(Rate { kbit_s: 64, queue_bytes: 65_536 }), "has a rate"),
        (|link| link.down.trace = Some("cell".to_owned()), "a trace says"),
    ];
    for (change, said) in changes {
        for transport in TRANSPORTS {
            let rows = judged_far(transport, FAR, |setting, reading| {
                change(&mut setting.network.link);
                reading.latency_mean_s = Some(9.0);
                reading.age_mean_s = Some(9.0);
            });
            assert!(rows.iter().all(|row| row.verdict != TheoryVerdict::Fail), "{said}: {rows:#?}");
            let latency = rows.iter().find(|row| row.quantity == "delivery latency mean").unwrap();
            // F8's row is for the reader, and no assumption decides about it.
            if latency.formula == "F8" {
                continue;
            }
            let broken = latency.assumption_broken.as_deref().unwrap_or_default();
            assert!(broken.contains(said), "{transport}: {latency:#?}");
        }
    }
}

/// A delay line stands above TCP, which sees the loopback: the row says so, and only there.
#[test]
fn bytes_on_a_wire_over_a_delay_line_say_whose_they_are() {
    for transport in TRANSPORTS {
        for (kind, is_said) in [(NetworkKind::Line, true), (NetworkKind::Tun, false)] {
            let rows = judged_over(far(kind), transport, POISSON, FAR, |_, _| ());
            let wire = of(&rows, "F9", "wire");
            assert_eq!(wire.verdict, TheoryVerdict::Reported);
            let said = wire.assumption_broken.as_deref().unwrap_or_default();
            assert_eq!(said.contains("loopback"), is_said, "{transport}: {wire:#?}");
        }
    }
}

#[test]
fn a_freeze_over_a_link_ends_a_way_later() {
    // So long that a run of 4 000 lines can tell the way from none.
    let way = Duration::from_millis(800);
    let mut network = far(NetworkKind::Line);
    network.link.down.delay = way;
    let after = |way_s: f64| {
        judged_over(network.clone(), Transport::Sse, POISSON, FAR, |setting, reading| {
            setting.disturbance = Disturbance::Stop { stall_s: 2.0, after_s: 1.0 };
            let (lines, cohort_s) = (LinePattern::Poisson { rate_hz: 200.0 }, 20.0);
            let seen = simulation::stalled_stream(ONE_WAY_S + way_s, cohort_s, 5.0, 2.0, lines, 3);
            reading.cohort_s = cohort_s;
            reading.lines_count = seen.latencies_s.len() as u64;
            reading.latency_quantiles_s = [0.5, 0.9, 0.99, 1.0].map(|q| Some(seen.latency_quantile_s(q)));
            reading.window = None;
        })
    };
    let way_s = way.as_secs_f64();
    for (took_s, verdict) in
        [(way_s, TheoryVerdict::Pass), (0.0, TheoryVerdict::Fail), (2.0 * way_s, TheoryVerdict::Fail)]
    {
        let row = of(&after(took_s), "F11", "max").clone();
        assert_eq!(row.verdict, verdict, "{took_s}: {row:#?}");
    }
}

#[test]
fn one_latency_at_the_edge_of_the_interval_is_one_at_a_distance_too() {
    let lines = LinePattern::Periodic { period_s: 0.2 };
    let rows = judged_over(far(NetworkKind::Line), Transport::ShortPoll, lines, FAR, |setting, reading| {
        setting.options.polling.phase = PollPhase::Aligned;
        reading.latencies = LatencyHistogram::default();
        let (way, interval) = (Duration::from_secs_f64(FAR.down_s), setting.options.polling.interval);
        for at in [way + MS, way + interval - MS] {
            reading.latencies.record_n(at, 100);
        }
    });
    let row = of(&rows, "F12", "distinct");
    assert_eq!((row.predicted, row.measured), (1.0, Some(1.0)), "{row:#?}");
}

#[test]
fn one_latency_at_the_edge_of_the_interval_is_one_after_a_slow_append_too() {
    let lines = LinePattern::Periodic { period_s: 0.2 };
    let mut setting = Setting { network: far(NetworkKind::Line), ..setting(Transport::ShortPoll, lines) };
    setting.options.polling.phase = PollPhase::Aligned;
    let append = 80 * MS;
    let server = Calibration { visible_s: Spread::constant(append.as_secs_f64()), ..calibration(&setting) };
    let seen = simulation::short_poll(Asking::Fixed { interval_s: 0.2 }, FAR, 0.0, 0.07, lines, LINES, 1);
    let mut reading = reading(&setting, &seen);
    reading.latencies = LatencyHistogram::default();
    let earliest = append + Duration::from_secs_f64(server.one_way_s());
    for at in [earliest + MS, earliest + setting.options.polling.interval - MS] {
        reading.latencies.record_n(at, 100);
    }
    let rows = rows(&setting, &reading, &server, &server.arms[0]);
    let row = of(&rows, "F12", "distinct");
    assert_eq!((row.predicted, row.measured), (1.0, Some(1.0)), "{row:#?}");
}

/// A calibration whose constants come from elsewhere: only the link's delay down makes the prediction.
#[test]
fn a_link_with_twice_the_delay_down_fails_the_rows_of_latency() {
    let twice = Ways { down_s: 2.0 * FAR.down_s, ..FAR };
    for (transport, formula) in
        [(Transport::ShortPoll, "F1"), (Transport::LongPoll, "F6"), (Transport::Sse, "F8")]
    {
        let rows = judged_far(transport, twice, |_, _| ());
        for formula in [formula, "F15"].into_iter().filter(|formula| *formula != "F8") {
            let mean =
                rows.iter().find(|row| row.formula == formula && row.quantity.contains("mean")).unwrap();
            assert_eq!(mean.verdict, TheoryVerdict::Fail, "{transport}: {mean:#?}");
        }
    }
}

/// A hold so short that it expires now and then: the way there and back is part of the gap.
#[test]
fn timeouts_over_a_link_follow_from_a_gap_with_its_round_trip() {
    let verdict = |ways: Ways| {
        let mut setting =
            Setting { network: far(NetworkKind::Line), ..setting(Transport::LongPoll, POISSON) };
        setting.options.hold = 100 * MS;
        let poll = LongPoll {
            line_rate_hz: POISSON.rate_hz(),
            gap_s: setting.options.turn.as_secs_f64() + 2.0 * ONE_WAY_S + ways.round_trip_s(),
            hold_s: 0.1,
            one_way_s: ONE_WAY_S + VISIBLE_S + ways.down_s,
        };
        let seen = simulation::long_poll(&poll, POISSON, LINES, 1);
        let server = calibration(&setting);
        let rows = rows(&setting, &reading(&setting, &seen), &server, &server.arms[0]);
        of(&rows, "F5", "timeout").clone()
    };
    for (ways, expected) in [(FAR, TheoryVerdict::Pass), (Ways::equal(0.0), TheoryVerdict::Fail)] {
        let row = verdict(ways);
        assert_eq!(row.verdict, expected, "{row:#?}");
    }
}
