//! Each gate lets a good run pass and stops what it is there for: made-up results, one number changed.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::harness::cell::{Running, Server, Way};
use crate::harness::ending::Ending;
use crate::harness::network::Fault;
use crate::harness::network::emulated::{Network, NetworkKind, PublisherPlace};
use crate::harness::run_result::{Residual, TheoryVerdict};
use crate::harness::thresholds::Threshold;
use crate::harness::{distributions, example};
use crate::latency::LatencyHistogram;
use crate::link::{Link, Loss};
use crate::options::Compression;
use crate::traffic::{Packets, Traffic};
use crate::wire::Transport;

/// Makes a good run of the example's polls, as if they were held: 15 for a second each, in 10 s.
fn run() -> RunResult {
    let mut run = example::result_set().runs.remove(0);
    run.cell.transport = Transport::LongPoll;
    run.timing.hold = LatencyHistogram::default();
    run.timing.hold.record_n(Duration::from_secs(1), 15);
    run.waiters_mean = Some(1.5);
    run.packets = Some(Packets {
        bytes_up: run.traffic.up_bytes,
        bytes_down: run.traffic.down_bytes,
        ..Packets::default()
    });
    run.hiccup = LatencyHistogram::default();
    run.hiccup.record_n(Duration::from_micros(60), 10_000);
    run.harness.run_delay = Some(Duration::from_millis(1));
    run
}

fn verdict_after(change: impl FnOnce(&mut RunResult)) -> (Verdict, String) {
    let mut run = run();
    change(&mut run);
    judge(&mut run);
    (run.verdict, run.verdict_reasons.join("; "))
}

#[test]
fn a_run_whose_books_balance_is_ok() {
    assert_eq!(verdict_after(|_| ()), (Verdict::Ok, String::new()));
}

/// Change that spoils a good result.
type Break = fn(&mut RunResult);

/// Makes one count of the server differ from the clients'.
fn server_counts(run: &mut RunResult, change: fn(&mut Traffic)) {
    let mut seen = run.traffic;
    change(&mut seen);
    run.traffic_seen_by_server = Some(seen);
}

/// Per gate a change that it stops, the verdict of its check, and a part of its text.
const STOPPED: &[(&str, Break, CheckVerdict, &str)] = &[
    ("problem", |run| run.problem = Some("gone".into()), CheckVerdict::Fail, "gone"),
    (
        "cohort-books",
        |run| run.delivery.cohort.delivered -= 1,
        CheckVerdict::Fail,
        "cohort: 1000 expected ≠ 999 delivered + 0 lost + 0 censored",
    ),
    (
        "whole-run-books",
        |run| run.delivery.whole.expected += 1,
        CheckVerdict::Fail,
        "whole run: 1101 expected ≠ 1100 delivered",
    ),
    (
        "subscribers-reported",
        |run| run.delivery.subscribers_count = 1,
        CheckVerdict::Fail,
        "1 of 2 subscribers reported",
    ),
    (
        "published",
        |run| run.published_count -= 1,
        CheckVerdict::Fail,
        "499 lines published × 2 subscribers ≠ 1000 expected",
    ),
    (
        "received-before-due",
        |run| run.delivery.negative_count = 3,
        CheckVerdict::Fail,
        "3 lines were received before they were due",
    ),
    (
        "received-unpublished",
        |run| run.delivery.unpublished_count = 3,
        CheckVerdict::Fail,
        "3 lines were received that were never published",
    ),
    (
        "received-again",
        |run| run.delivery.whole.duplicated = 3,
        CheckVerdict::Fail,
        "3 lines were received again",
    ),
    (
        "missing",
        |run| {
            run.delivery.cohort.delivered -= 100;
            run.delivery.cohort.lost += 100;
        },
        CheckVerdict::Unresolved,
        "100 lines are missing",
    ),
    (
        "requests-data",
        |run| server_counts(run, |seen| seen.requests.data -= 1),
        CheckVerdict::Fail,
        "clients counted 110 requests with data, the server 109",
    ),
    (
        "requests-empty",
        |run| server_counts(run, |seen| seen.requests.empty += 1),
        CheckVerdict::Fail,
        "clients counted 90 empty requests, the server 91",
    ),
    (
        "requests-timeout",
        |run| server_counts(run, |seen| seen.requests.timeout += 1),
        CheckVerdict::Fail,
        "clients counted 0 timed-out requests, the server 1",
    ),
    (
        "requests-refused",
        |run| server_counts(run, |seen| seen.requests.refused += 1),
        CheckVerdict::Fail,
        "clients counted 0 refused requests, the server 1",
    ),
    (
        "requests-error",
        |run| server_counts(run, |seen| seen.requests.error += 1),
        CheckVerdict::Fail,
        "clients counted 0 failed requests, the server 1",
    ),
    (
        "l7-up",
        |run| server_counts(run, |seen| seen.up_bytes += 1),
        CheckVerdict::Fail,
        "clients counted 33000 bytes up, the server 33001",
    ),
    (
        "l7-down",
        |run| server_counts(run, |seen| seen.down_bytes -= 1),
        CheckVerdict::Fail,
        "clients counted 220000 bytes down, the server 219999",
    ),
    (
        "tls-up",
        |run| server_counts(run, |seen| seen.tls_up_bytes += 1),
        CheckVerdict::Fail,
        "clients counted 0 bytes of TLS up, the server 1",
    ),
    (
        "tls-down",
        |run| server_counts(run, |seen| seen.tls_down_bytes += 1 + 24 * seen.connections_opened.max(2)),
        CheckVerdict::Fail,
        "clients counted 0 bytes of TLS down, the server 49",
    ),
    (
        "send-lateness",
        |run| run.send_lateness.record_n(Duration::from_secs(1), 500),
        CheckVerdict::Fail,
        "send lateness p99 1000447 µs exceeds delivery latency p50",
    ),
    (
        // The example's delivery latencies lie between 1 and 200 ms.
        "send-lateness-share",
        |run| run.send_lateness.record_n(Duration::from_millis(30), 500),
        CheckVerdict::Unresolved,
        "exceeds 10 % of delivery latency p99",
    ),
    (
        "tcp-up",
        |run| run.packets.as_mut().unwrap().bytes_up += 1,
        CheckVerdict::Fail,
        "clients counted 33000 bytes up, TCP_INFO 33001",
    ),
    (
        "tcp-down",
        |run| run.packets.as_mut().unwrap().bytes_down -= 1,
        CheckVerdict::Fail,
        "clients counted 220000 bytes down, TCP_INFO 219999",
    ),
    (
        "delivered",
        |run| {
            run.delivery.whole.censored += run.delivery.whole.delivered;
            run.delivery.whole.delivered = 0;
            run.unmatched = Some("the event \"news\" with the data \"1 a\"".to_owned());
        },
        CheckVerdict::Fail,
        "none came; the profile takes nothing that the server sent for a line, first the event \"news\"",
    ),
    (
        "layers",
        |run| run.app_bytes = 253_001,
        CheckVerdict::Fail,
        "text of lines (253001 bytes) is larger than l7 (253000 bytes), which carries it",
    ),
    (
        "waiters",
        |run| run.waiters_mean = Some(0.5),
        CheckVerdict::Fail,
        "the server held 0.50 polls on average, but the clients' times say 1.50 ± 0.61",
    ),
    (
        "hiccup",
        |run| run.hiccup.record_n(Duration::from_secs(1), 500),
        CheckVerdict::Fail,
        "hiccup p99 1000447 µs exceeds delivery latency p50",
    ),
    (
        "hiccup-share",
        |run| run.hiccup.record_n(Duration::from_millis(30), 500),
        CheckVerdict::Unresolved,
        "hiccup p99 30015 µs exceeds 10 % of delivery latency p99",
    ),
    (
        // 2 cores for 11 s.
        "harness-cores",
        |run| run.harness.cpu = Some(Duration::from_secs(20)),
        CheckVerdict::Fail,
        "the harness is saturated: 1.82 of its threads were ready at a time, for 1.80 cores",
    ),
    (
        "harness-run-delay",
        |run| run.harness.run_delay = Some(Duration::from_secs(1)),
        CheckVerdict::Unresolved,
        "threads of the harness waited 1000000 µs for a processor and ran 550000 µs",
    ),
];

#[test]
fn each_gate_stops_what_it_is_there_for_and_says_why() {
    for (gate, change, verdict, said) in STOPPED {
        let mut run = run();
        change(&mut run);
        judge(&mut run);
        let check = run.checks.iter().find(|check| check.name == *gate).unwrap();
        assert_eq!(check.verdict, *verdict, "{gate}: {check:?}");
        let reason = check.said.as_deref().unwrap_or_default();
        assert!(reason.contains(said), "{gate}: {reason:?} instead of {said:?}");
        assert!(run.verdict_reasons.iter().any(|told| told == reason), "{gate}: not told");
        let expected = if *verdict == CheckVerdict::Fail { Verdict::Invalid } else { Verdict::Unresolved };
        assert_eq!(run.verdict, expected, "{gate}");
    }
    let tried: BTreeSet<_> = STOPPED.iter().map(|(gate, ..)| *gate).collect();
    assert_eq!(tried, gates().map(|gate| gate.name).collect(), "a gate that nothing tries, or tried twice");
}

#[test]
fn each_gate_lets_a_good_run_pass_and_compares_two_numbers_of_one_unit() {
    let mut run = run();
    judge(&mut run);
    for check in &run.checks {
        assert_eq!((check.verdict, &check.said), (CheckVerdict::Pass, &None), "{check:?}");
        assert!(check.left.is_some() && check.right.is_some() && check.tolerance.is_some(), "{check:?}");
    }
    let names: BTreeSet<_> = gates().map(|gate| gate.name).collect();
    assert_eq!(names.len(), gates().count(), "a name is there twice");
    for gate in gates() {
        assert!(gate.definition.ends_with('.') && !gate.unit.is_empty(), "{} is not explained", gate.name);
    }
}

#[test]
fn what_was_not_measured_stops_nothing_and_is_no_zero() {
    let mut run = run();
    (run.harness.cpu, run.harness.run_delay, run.cores_count) = (None, None, None);
    (run.packets, run.waiters_mean, run.hiccup) = (None, None, LatencyHistogram::default());
    judge(&mut run);
    assert_eq!(run.verdict, Verdict::Ok, "{:?}", run.verdict_reasons);
    let not_measured =
        ["harness-cores", "harness-run-delay", "waiters", "hiccup", "hiccup-share", "tcp-up", "tcp-down"];
    for gate in not_measured {
        let check = run.checks.iter().find(|check| check.name == gate).unwrap();
        assert_eq!(check.verdict, CheckVerdict::NotMeasured, "{gate}");
        assert!(check.left.is_none() || check.right.is_none(), "{gate}");
    }
}

#[test]
fn threads_that_wait_saturate_a_harness_as_those_that_run() {
    let cores = |run_delay_s: u64| {
        let mut run = run();
        run.harness.cpu = Some(Duration::from_secs(10));
        run.harness.run_delay = Some(Duration::from_secs(run_delay_s));
        judge(&mut run);
        run.checks.iter().find(|check| check.name == "harness-cores").unwrap().verdict
    };
    assert_eq!((cores(9), cores(10)), (CheckVerdict::Pass, CheckVerdict::Fail));
}

#[test]
fn littles_law_says_nothing_where_the_cohort_is_too_short_or_others_wait_too() {
    let verdict = |change: Break| {
        let mut run = run();
        run.waiters_mean = Some(0.1);
        change(&mut run);
        judge(&mut run);
        run.checks.iter().find(|check| check.name == "waiters").unwrap().verdict
    };
    assert_eq!(verdict(|_| ()), CheckVerdict::Fail);
    // A hold as long as the cohort: every poll crosses one of its ends.
    assert_eq!(verdict(|run| run.timing.hold.record(Duration::from_secs(10))), CheckVerdict::NotMeasured);
    assert_eq!(verdict(|run| run.cell.server = running()), CheckVerdict::NotMeasured);
    assert_eq!(verdict(|run| run.cell.transport = Transport::Sse), CheckVerdict::NotMeasured);
    assert_eq!(verdict(|run| run.measured = Duration::ZERO), CheckVerdict::NotMeasured);
}

/// Over a link the way is part of the client's time of a poll, and no part of the server's.
#[test]
fn littles_law_takes_the_links_round_trip_off_the_clients_time() {
    let check = |waiters: f64, change: Break| {
        let mut run = run();
        // 100 polls of 120 ms in 10 s, of which 100 ms are the way.
        run.timing.hold = LatencyHistogram::default();
        run.timing.hold.record_n(Duration::from_millis(120), 100);
        run.delivery.latency = LatencyHistogram::default();
        run.delivery.latency.record_n(Duration::from_millis(51), 1_000);
        run.cell.network = Network {
            kind: NetworkKind::Line,
            link: Link::distance(Duration::from_millis(50)),
            ..Network::default()
        };
        run.waiters_mean = Some(waiters);
        change(&mut run);
        judge(&mut run);
        run.checks.iter().find(|check| check.name == "waiters").unwrap().clone()
    };
    let held = check(0.2, |_| ());
    assert_eq!(held.verdict, CheckVerdict::Pass, "{held:?}");
    assert!((held.right.unwrap() - 0.2).abs() < 0.001, "{held:?}");
    let tolerance = held.tolerance.unwrap();
    // 1.2 polls are what the clients say with the way, and 0 what a server says that holds none.
    assert_eq!(check(1.2, |_| ()).verdict, CheckVerdict::Fail);
    assert_eq!(check(0.2 + 1.01 * tolerance, |_| ()).verdict, CheckVerdict::Fail);
    // The way is left out of the tolerance too: the same run without a link tolerates a delivery latency more.
    let near = check(0.2, |run| run.cell.network = Network::default());
    assert!(near.tolerance.unwrap() > tolerance + 0.4, "{near:?} {held:?}");
    // An append across the link holds its round trip, and the line's latency its way up: both are left out, too.
    let across = check(0.2, |run| {
        let way = Duration::from_millis(50);
        run.cell.network.publisher = PublisherPlace::Across;
        let append_us = run.append.mean_us().unwrap() as u64;
        run.append = LatencyHistogram::default();
        run.append.record_n(2 * way + Duration::from_micros(append_us), 1_000);
        run.delivery.latency = LatencyHistogram::default();
        run.delivery.latency.record_n(way + Duration::from_millis(51), 1_000);
    });
    assert!((across.tolerance.unwrap() - tolerance).abs() < 0.01, "{across:?} {held:?}");
}

/// What TCP sends again is in the client's time alone: a smaller gauge may be right, and may be dead.
#[test]
fn littles_law_over_loss_says_nothing_of_a_gauge_that_is_too_small() {
    let check = |waiters: f64| {
        let mut run = run();
        run.timing.hold = LatencyHistogram::default();
        run.timing.hold.record_n(Duration::from_millis(120), 100);
        run.delivery.latency = LatencyHistogram::default();
        run.delivery.latency.record_n(Duration::from_millis(51), 1_000);
        let link = Link::distance(Duration::from_millis(50));
        run.cell.network = Network { kind: NetworkKind::Line, link, ..Network::default() };
        run.cell.network.link.up.loss = Loss::Independent { ratio: 0.05 };
        run.timing.hold.record_n(Duration::from_millis(900), 100);
        run.waiters_mean = Some(waiters);
        judge(&mut run);
        run.checks.iter().find(|check| check.name == "waiters").unwrap().clone()
    };
    // 20 polls a second, which take 510 ms less a way of 100 ms on average.
    let held = check(8.2);
    assert_eq!(held.verdict, CheckVerdict::Pass, "{held:?}");
    for too_small in [0.0, 0.2, 8.2 - 1.02 * held.tolerance.unwrap()] {
        assert_eq!(check(too_small).verdict, CheckVerdict::NotMeasured, "{too_small} {held:?}");
    }
    // The server holds no poll longer than its client asks.
    assert_eq!(check(8.2 + 1.02 * held.tolerance.unwrap()).verdict, CheckVerdict::Fail, "{held:?}");
}

#[test]
fn the_gravest_reason_comes_first_and_each_once() {
    let mut run = run();
    run.send_lateness.record_n(Duration::from_millis(30), 500);
    run.delivery.negative_count = 1;
    run.traffic_seen_by_server = None;
    judge(&mut run);
    let [first, rest @ ..] = run.verdict_reasons.as_slice() else { panic!("nothing was said") };
    assert!(first.contains("before they were due"), "{first}");
    assert_eq!(rest.iter().filter(|reason| reason.contains("could not be read")).count(), 1, "{rest:?}");
}

#[test]
fn figures_that_agree_with_the_server_stay_ok() {
    let (verdict, reasons) = verdict_after(|run| run.traffic_seen_by_server = Some(run.traffic));
    assert_eq!((verdict, reasons.as_str()), (Verdict::Ok, ""));
}

#[test]
fn a_p99_that_the_files_leave_out_is_told_to_be_of_too_few_lines() {
    let reasons = |change: fn(&mut RunResult)| {
        let (_, reasons) = verdict_after(|run| {
            run.send_lateness.record_n(Duration::from_millis(30), 500);
            change(run);
        });
        reasons
    };
    let few = reasons(|run| {
        let latency = run.delivery.latency.clone();
        run.delivery = Default::default();
        run.delivery.latency = latency;
    });
    assert!(few.contains("(of 0 lines, too few for the p99 of the files)"), "{few}");
    assert!(!reasons(|_| {}).contains("too few"));
}

#[test]
fn missing_lines_leave_a_run_unresolved_and_their_quantiles_out() {
    let mut run = run();
    run.delivery.cohort.delivered -= 100;
    run.delivery.cohort.censored += 100;
    judge(&mut run);
    assert_eq!(run.verdict, Verdict::Unresolved, "{:?}", run.verdict_reasons);
    assert!(run.verdict_reasons[0].starts_with("100 lines are missing"), "{:?}", run.verdict_reasons);
    // A tenth never came: the slowest tenth of what should have come is not known.
    let quantile = |quantile| distributions::delivery_quantile_us(&run, &run.delivery.latency, quantile);
    assert!(quantile(0.5).is_some() && quantile(0.9).is_some());
    assert_eq!((quantile(0.99), quantile(1.0)), (None, None));
}

#[test]
fn a_server_that_tells_no_counts_leaves_a_run_unresolved() {
    let (verdict, reasons) = verdict_after(|run| run.traffic_seen_by_server = None);
    assert_eq!(verdict, Verdict::Unresolved);
    assert_eq!(reasons, "the server's own counts could not be read");
}

fn running() -> Server {
    Server::Running(Running { url: "http://127.0.0.1:1".parse().unwrap(), way: Way::Direct })
}

fn profile() -> Server {
    let text = "about = \"x\"\nurl = \"http://x\"\npublish = { path = \"/\", body = \"{text}\" }\n\
        subscribe = { wire = \"sse\", path = \"/\" }";
    Server::Profile(std::sync::Arc::new(crate::targets::profile::Profile::parse("x", text).unwrap()))
}

#[test]
fn somebody_else_on_a_running_server_leaves_a_run_unresolved_and_too_few_counts_make_it_invalid() {
    let with = |change: i64| {
        verdict_after(|run| {
            run.cell.server = running();
            let down_bytes = run.traffic.down_bytes.saturating_add_signed(change);
            run.traffic_seen_by_server = Some(Traffic { down_bytes, ..run.traffic });
        })
    };
    assert_eq!(with(0), (Verdict::Ok, String::new()));
    let (verdict, reasons) = with(7);
    assert_eq!(verdict, Verdict::Unresolved);
    let said = "another client uses the server too: clients counted 220000 bytes down, the server 220007";
    assert_eq!(reasons, said);
    assert_eq!(with(-7).0, Verdict::Invalid);
}

#[test]
fn behind_a_proxy_requests_are_compared_and_bytes_are_not() {
    let with = |change: fn(&mut RunResult)| {
        verdict_after(|run| {
            run.cell.server = running();
            run.proxy = Some("nginx/1.22.1".to_owned());
            change(run);
        })
    };
    let (verdict, reasons) = with(|run| {
        let up_bytes = run.traffic.up_bytes - 900;
        run.traffic_seen_by_server = Some(Traffic { up_bytes, ..run.traffic });
    });
    assert_eq!(verdict, Verdict::Ok);
    assert!(reasons.starts_with("nginx/1.22.1 stands between the subscribers and the server"), "{reasons}");
    let (verdict, _) = with(|run| {
        let mut seen = run.traffic;
        seen.requests.data -= 1;
        run.traffic_seen_by_server = Some(seen);
    });
    assert_eq!(verdict, Verdict::Invalid);
}

#[test]
fn a_server_without_counts_is_unresolved_for_that_reason_and_may_repeat_lines() {
    let (verdict, reasons) = verdict_after(|run| {
        run.cell.server = profile();
        run.traffic_seen_by_server = None;
        run.delivery.whole.duplicated = 3;
    });
    assert_eq!(verdict, Verdict::Unresolved, "{reasons}");
    assert!(reasons.starts_with("the server has no /metrics"), "{reasons}");
    assert!(!reasons.contains("were received again"), "{reasons}");
    let mut run = run();
    (run.cell.server, run.delivery.whole.duplicated) = (profile(), 3);
    judge(&mut run);
    assert_eq!(Ending::of(&[run], &[]), Ending::Delivery);
}

#[test]
fn counts_that_a_cut_made_differ_are_not_compared_and_that_is_told() {
    let (verdict, reasons) = verdict_after(|run| {
        run.cell.fault = Some(Fault::Cut(crate::harness::network::cut::Cut { at: Vec::new() }));
        run.traffic_seen_by_server = Some(Traffic { down_bytes: 1, ..run.traffic });
    });
    assert_eq!(verdict, Verdict::Ok);
    assert!(reasons.contains("not compared"), "{reasons}");
}

#[test]
fn a_lost_warm_up_line_is_told_in_an_ok_row() {
    let (verdict, reasons) = verdict_after(|run| {
        run.delivery.whole.delivered -= 1;
        run.delivery.whole.lost += 1;
    });
    assert_eq!((verdict, reasons.as_str()), (Verdict::Ok, "1 warm-up lines lost"));
}

fn with_theory(verdict: TheoryVerdict) -> RunResult {
    let row = Residual {
        formula: "F1".into(),
        quantity: "x".to_owned(),
        unit: "us".into(),
        predicted: 1.0,
        measured: Some(2.0),
        tolerance_ratio: Some(0.05),
        verdict,
        assumption_broken: None,
    };
    let mut run = RunResult { theory: vec![row], ..run() };
    judge(&mut run);
    run
}

#[test]
fn the_gravest_ending_wins() {
    let judged = |change: fn(&mut RunResult)| {
        let mut run = run();
        change(&mut run);
        judge(&mut run);
        run
    };
    let fine = judged(|_| ());
    let lossy = judged(|run| {
        run.delivery.whole.delivered -= 1;
        run.delivery.whole.lost += 1;
    });
    let reordered = judged(|run| run.delivery.whole.out_of_order = 1);
    let invalid = judged(|run| run.delivery.negative_count = 1);
    let broken = judged(|run| run.problem = Some("gone".into()));
    assert_eq!(Ending::of(&[], &[]), Ending::Good);
    assert_eq!(Ending::of(std::slice::from_ref(&fine), &[]), Ending::Good);
    assert_eq!(Ending::of(&[fine.clone(), lossy.clone()], &[]), Ending::Delivery);
    assert_eq!(Ending::of(&[reordered, fine.clone()], &[]), Ending::Delivery);
    assert_eq!(Ending::of(&[invalid.clone(), lossy.clone()], &[]), Ending::Invalid);
    let forgiven = [TheoryVerdict::AssumptionBroken, TheoryVerdict::Reported].map(with_theory);
    assert_eq!(Ending::of(&forgiven, &[]), Ending::Good);
    let contradicting = with_theory(TheoryVerdict::Fail);
    assert_eq!(Ending::of(&[contradicting.clone(), lossy], &[]), Ending::Theory);
    assert_eq!(Ending::of(&[contradicting, invalid.clone()], &[]), Ending::Invalid);
    assert_eq!(Ending::of(&[fine.clone(), invalid.clone(), broken], &[]), Ending::Environment);
    let judged = |text: &str| text.parse::<Threshold>().unwrap().judge(std::slice::from_ref(&fine));
    let (kept, missed) = (judged("*.lost_count == 0"), judged("*.lost_count > 0"));
    assert_eq!(Ending::of(std::slice::from_ref(&fine), &kept), Ending::Good);
    assert_eq!(Ending::of(std::slice::from_ref(&fine), &missed), Ending::Delivery);
    assert_eq!(Ending::of(&[invalid], &missed), Ending::Invalid);
}

#[test]
fn the_text_of_lines_may_be_more_than_what_carries_it_where_it_is_compressed() {
    for compression in Compression::ALL.into_iter().filter(|given| *given != Compression::Identity) {
        let compressed = |run: &mut RunResult| {
            run.cell.options.compression = compression;
            run.app_bytes = 253_001;
        };
        assert_eq!(verdict_after(compressed), (Verdict::Ok, String::new()), "{compression}");
    }
}
