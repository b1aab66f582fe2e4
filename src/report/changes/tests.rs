//! What is claimed of two folders, and what is not.

use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::report::render as files_of;
use wirelab_clients::harness::example;
use wirelab_clients::harness::network::emulated::{Network, NetworkKind};
use wirelab_clients::harness::results::ResultSet;
use wirelab_clients::harness::run_result::{RunResult, Verdict};
use wirelab_clients::latency::LatencyHistogram;
use wirelab_clients::link::Link;

/// Repeats the example; each run is changed by its number.
fn results(runs_count: u32, change: impl Fn(u32, &mut RunResult)) -> ResultSet {
    let mut results = example::result_set();
    let runs = std::mem::take(&mut results.runs);
    for n in 1..=runs_count {
        for mut run in runs.clone() {
            run.cell.run_id = format!("{}-{n}", run.cell.transport);
            (run.cell.block, run.cell.repetition) = (n, n);
            run.server.cpu = Some(Duration::from_micros(10_000 + u64::from(n) * 50));
            change(n, &mut run);
            results.runs.push(run);
        }
    }
    results.manifest.order = results.runs.iter().map(|run| run.cell.run_id.clone()).collect();
    results
}

fn same(_: u32, _: &mut RunResult) {}

fn cpu_times(factor: f64) -> impl Fn(u32, &mut RunResult) {
    move |_, run| run.server.cpu = run.server.cpu.map(|cpu| cpu.mul_f64(factor))
}

fn between(a: &ResultSet, b: &ResultSet) -> Changes {
    let (a, b) = (files_of(a).unwrap(), files_of(b).unwrap());
    Changes::between(("a", &a), ("b", &b)).unwrap()
}

fn finding(changes: &Changes, metric: &str) -> Finding {
    let of = |change: &&Change| change.transport == Transport::Sse && change.metric == metric;
    changes.changes.iter().find(of).unwrap().finding
}

const CPU: &str = "server_cpu_per_line_us";

#[test]
fn equal_runs_show_no_difference() {
    let changes = between(&results(6, same), &results(6, same));
    assert!(changes.differences.is_empty(), "{:?}", changes.differences);
    assert!(changes.changes.iter().all(|change| change.finding == Finding::NotShown), "{changes:?}");
    assert!(changes.changes.len() >= 2 * 8, "{}", changes.changes.len());
    let text = changes.render(Format::Markdown);
    assert!(
        text.contains("Commit, machine and plan are the same. Neither folder says which executable ran."),
        "{text}"
    );
    assert!(text.contains("No figure changed beyond the noise."), "{text}");
    assert!(changes.regressions("0%".parse().unwrap()).is_empty());
    assert!(changes.not_compared().is_empty() && changes.incomplete().is_empty());
    let mut built = results(6, same);
    built.manifest.executable_sha256 = Some("ab".into());
    let text = between(&built, &built).render(Format::Markdown);
    assert!(text.contains("Build, machine and plan are the same."), "{text}");
}

#[test]
fn a_change_beyond_the_noise_is_told_with_its_interval_and_fails_above_what_is_tolerated() {
    let changes = between(&results(6, same), &results(6, cpu_times(1.2)));
    assert_eq!(finding(&changes, CPU), Finding::MoreInB);
    assert_eq!(finding(&changes, "delivery_latency_us_p50"), Finding::NotShown);
    let [short_poll, sse] = &changes.regressions("10%".parse().unwrap())[..] else { panic!("not two") };
    assert!(sse.starts_with("sse server CPU per line (µs): 9.25 → 11.1, +20.0 % (95 % interval "), "{sse}");
    assert!(short_poll.starts_with("short-poll "), "{short_poll}");
    assert!(changes.regressions("30%".parse().unwrap()).is_empty());

    let better = between(&results(6, cpu_times(1.2)), &results(6, same));
    assert_eq!(finding(&better, CPU), Finding::LessInB);
    assert!(better.regressions("0%".parse().unwrap()).is_empty());
}

#[test]
fn of_five_runs_nothing_is_claimed_and_the_points_are_shown() {
    let changes = between(&results(5, same), &results(6, cpu_times(3.0)));
    assert_eq!(finding(&changes, CPU), Finding::TooFewRuns);
    assert!(changes.regressions("0%".parse().unwrap()).is_empty());
    let text = changes.render(Format::Markdown);
    assert!(text.contains("9.14, 9.18, 9.23, 9.27, 9.32"), "{text}");
    assert!(text.contains("too few runs for a claim") && text.contains("repetitions = 6"), "{text}");
    assert!(changes.unclaimed_count() > 0);
}

#[test]
fn what_equal_runs_differ_by_is_no_change() {
    // The twin of each run costs a third more: so does B.
    let with_twins = |factor: f64| {
        let mut results = results(6, cpu_times(factor));
        let twins = results.runs.clone();
        for mut twin in twins {
            twin.cell.run_id = format!("{}-aa", twin.cell.run_id);
            twin.cell.is_aa = true;
            cpu_times(1.3)(0, &mut twin);
            results.runs.push(twin);
        }
        files_of(&results).unwrap()
    };
    let changes = |factor: f64| {
        let (a, b) = (with_twins(1.0), with_twins(factor));
        Changes::between(("a", &a), ("b", &b)).unwrap()
    };
    let noise = changes(1.2);
    assert_eq!(finding(&noise, CPU), Finding::NotShown);
    assert!(noise.render(Format::Markdown).contains("± 30.0 %"));
    assert_eq!(finding(&changes(1.5), CPU), Finding::MoreInB);
}

#[test]
fn memory_per_connection_is_one_number_of_many_runs_and_shown_without_a_claim() {
    let slope = |bytes: f64| {
        results(6, move |_, run: &mut RunResult| run.server_pss_anon_per_connection_bytes = Some(bytes))
    };
    let changes = between(&slope(2_000.0), &slope(3_000.0));
    const METRIC: &str = "server_pss_anon_per_connection_bytes";
    assert_eq!(finding(&changes, METRIC), Finding::OneNumber);
    let change = changes.changes.iter().find(|change| change.metric == METRIC).unwrap();
    assert_eq!((change.a.as_slice(), change.b.as_slice()), (&[2_000.0][..], &[3_000.0][..]));
    assert_eq!((change.ratio, change.ci_low_ratio, change.ci_high_ratio), (Some(1.5), None, None));
    assert!(changes.regressions("0%".parse().unwrap()).is_empty());
    let text = changes.render(Format::Markdown);
    assert!(text.contains("one number of many runs, no claim"), "{text}");
}

/// Makes runs whose 500 lines took this long, with a harness that was late by `late_us`.
fn timed(us: u64, late_us: u64) -> ResultSet {
    results(6, move |n, run: &mut RunResult| {
        let histogram = |us: u64| {
            let mut histogram = LatencyHistogram::default();
            (0..1_000).for_each(|_| histogram.record(Duration::from_micros(us)));
            histogram
        };
        run.delivery.latency = histogram(us + u64::from(n));
        (run.send_lateness, run.hiccup) = (histogram(late_us), histogram(1));
    })
}

#[test]
fn a_latency_that_changed_by_less_than_the_harness_was_late_is_not_claimed() {
    const P50: &str = "delivery_latency_us_p50";
    assert_eq!(finding(&between(&timed(500, 20), &timed(600, 20)), P50), Finding::MoreInB);
    assert_eq!(finding(&between(&timed(500, 20), &timed(600, 150)), P50), Finding::NotShown);
    assert_eq!(finding(&between(&timed(600, 150), &timed(500, 20)), P50), Finding::NotShown);
}

#[test]
fn a_figure_that_a_valid_run_lacks_is_not_claimed() {
    const P99: &str = "delivery_latency_us_p99";
    let (slow, mut fast) = (timed(900, 20), results(1, same));
    // Seven runs, of which one has so many lines missing that its p99 is withheld.
    fast.runs = timed(500, 20).runs;
    let mut lossy: Vec<RunResult> = fast.runs[..2].to_vec();
    for run in &mut lossy {
        run.cell.run_id = format!("{}-7", run.cell.transport);
        run.cell.block = 7;
        (run.delivery.cohort.delivered, run.delivery.cohort.lost) = (900, 100);
    }
    assert_eq!(finding(&between(&slow, &fast), P99), Finding::LessInB);
    fast.runs.extend(lossy);
    assert_eq!(finding(&between(&slow, &fast), P99), Finding::MissingInARun);
    assert_eq!(finding(&between(&fast, &slow), P99), Finding::MissingInARun);
    // Of both transports, which share the histogram.
    assert_eq!(between(&slow, &fast).unclaimed_count(), 2);
    assert_eq!(finding(&between(&slow, &fast), "delivery_latency_us_p50"), Finding::LessInB);
}

#[test]
fn a_lost_line_where_none_was_lost_is_a_regression_however_few_the_runs() {
    let lossy = |n: u32, run: &mut RunResult| {
        if n == 1 {
            (run.delivery.cohort.delivered, run.delivery.cohort.lost) = (999, 1);
        }
    };
    let changes = between(&results(2, same), &results(2, lossy));
    assert_eq!(finding(&changes, "lost_count"), Finding::MoreInB);
    let regressions = changes.regressions("50%".parse().unwrap());
    assert!(regressions[0].contains("lost lines: 0 → 1 in all runs together"), "{regressions:?}");
    // Two runs cannot show that nothing is lost any more.
    assert_eq!(finding(&between(&results(2, lossy), &results(2, same)), "lost_count"), Finding::TooFewRuns);
    assert_eq!(finding(&between(&results(6, lossy), &results(6, same)), "lost_count"), Finding::LessInB);
    assert_eq!(finding(&between(&results(6, lossy), &results(6, lossy)), "lost_count"), Finding::NotShown);
}

#[test]
fn one_lost_line_is_shown_beside_none() {
    let lossy = |n: u32, run: &mut RunResult| {
        if n == 1 {
            (run.delivery.cohort.delivered, run.delivery.cohort.lost) = (999, 1);
        }
    };
    let changes = between(&results(6, same), &results(6, lossy));
    let text = changes.render(Format::Markdown);
    let row = text.lines().find(|line| line.contains("sse ") && line.contains("lost lines")).unwrap();
    let cells: Vec<&str> = row.split('|').map(str::trim).collect();
    assert_eq!((cells[3], cells[4], cells[8]), ("0 in 6 runs", "1 in 6 runs", "more in B"), "{row}");
    let csv = changes.render(Format::Csv);
    let row = csv.lines().find(|line| line.starts_with("sse,,lost_count,")).unwrap();
    assert_eq!(row, "sse,,lost_count,6,6,,,,,,,more-in-b,0 0 0 0 0 0 / 1 0 0 0 0 0,0,1");
}

/// Runs that are worthless for a latency, with these counts of lines.
fn invalid(lost: u64, duplicated: u64, out_of_order: u64) -> impl Fn(u32, &mut RunResult) {
    move |_, run| {
        run.verdict = Verdict::Invalid;
        let cohort = &mut run.delivery.cohort;
        (cohort.delivered, cohort.lost) = (1_000 - lost, lost);
        (cohort.duplicated, cohort.out_of_order) = (duplicated, out_of_order);
    }
}

#[test]
fn lines_count_whatever_the_verdict_for_latency() {
    let changes = between(&results(6, same), &results(6, invalid(100, 7, 3)));
    for (metric, sums) in
        [("lost_count", (0.0, 600.0)), ("duplicated_count", (0.0, 42.0)), ("out_of_order_count", (0.0, 18.0))]
    {
        assert_eq!(finding(&changes, metric), Finding::MoreInB, "{metric}");
        let of = |change: &&Change| change.transport == Transport::Sse && change.metric == metric;
        let change = changes.changes.iter().find(of).unwrap();
        assert_eq!(change.a_sum.zip(change.b_sum), Some(sums), "{metric}");
    }
    let regressions = changes.regressions("50%".parse().unwrap()).join("\n");
    assert!(regressions.contains("sse lost lines: 0 → 600 in all runs together"), "{regressions}");
    assert!(regressions.contains("sse duplicated lines: 0 → 42 in all"), "{regressions}");
    // Of the latency nothing is said.
    assert!(changes.changes.iter().all(|change| change.metric != "delivery_latency_us_p50"));
}

#[test]
fn a_line_that_a_twin_lost_is_lost() {
    let with_twin = |lost: u64| {
        let mut results = results(1, same);
        let mut twin = results.runs[1].clone();
        (twin.cell.run_id, twin.cell.is_aa) = ("sse-1-aa".to_owned(), true);
        (twin.delivery.cohort.delivered, twin.delivery.cohort.lost) = (1_000 - lost, lost);
        results.runs.push(twin);
        results
    };
    assert_eq!(finding(&between(&with_twin(0), &with_twin(1)), "lost_count"), Finding::MoreInB);
}

#[test]
fn a_group_without_a_valid_run_on_one_side_is_named_and_nothing_is_said_to_be_unchanged() {
    let only_sse = |verdict: Verdict| {
        move |_: u32, run: &mut RunResult| {
            if run.cell.transport == Transport::Sse {
                run.verdict = verdict;
            }
        }
    };
    let (good, bad) = (results(6, same), results(6, only_sse(Verdict::Invalid)));
    let said = "no valid run (6 invalid)";
    for (a, b, told) in [
        (&good, &bad, format!("sse: 6 valid runs in A, {said} in B")),
        (&bad, &good, format!("sse: {said} in A, 6 valid runs in B")),
        (&bad, &bad, format!("sse: {said} in A, {said} in B")),
    ] {
        let changes = between(a, b);
        assert_eq!(changes.not_compared().join("\n"), told);
        let text = changes.render(Format::Markdown);
        assert!(text.contains(&format!("Not compared:\n\n- {told}\n")), "{text}");
        let row = text.lines().find(|line| line.ends_with("| not compared        |"));
        assert!(row.is_some_and(|row| row.contains("sse") && row.contains("every figure")), "{text}");
        assert!(!text.contains("No figure changed"), "{text}");
        assert!(
            text.contains("show no change beyond the noise, but not everything could be compared"),
            "{text}"
        );
        let json: Value = serde_json::from_str(&changes.render(Format::Json)).unwrap();
        assert_eq!(json["not_compared"][0]["transport"], "sse");
    }
    let csv = between(&good, &bad).render(Format::Csv);
    assert!(csv.lines().any(|line| line == "sse,,all,6,0,,,,,,,not-compared,,,"), "{csv}");
}

#[test]
fn where_nothing_can_be_said_of_a_figure_it_is_not_said_to_be_unchanged() {
    let text = between(&results(5, same), &results(5, same)).render(Format::Markdown);
    assert!(!text.contains("No figure changed"), "{text}");
    assert!(text.contains("figures show no change beyond the noise. Of "), "{text}");
}

#[test]
fn runs_that_were_not_made_are_named() {
    let mut half = results(6, same);
    half.runs.truncate(8);
    let changes = between(&results(6, same), &half);
    let [told] = &changes.incomplete()[..] else { panic!("{:?}", changes.incomplete()) };
    assert_eq!(
        told,
        "B is not complete: 4 runs of its plan are missing (short-poll-5, sse-5, short-poll-6, sse-6)"
    );
    assert!(changes.render(Format::Markdown).contains(told.as_str()));
}

#[test]
fn invalid_runs_are_left_out_and_named() {
    let one_invalid = |n: u32, run: &mut RunResult| {
        if n == 6 {
            run.verdict = Verdict::Invalid;
        }
    };
    let changes = between(&results(6, one_invalid), &results(6, same));
    assert_eq!(finding(&changes, CPU), Finding::TooFewRuns);
    let text = changes.render(Format::Markdown);
    assert!(text.contains("left out as invalid: short-poll-6, sse-6"), "{text}");
}

#[test]
fn what_is_not_the_same_is_named_before_any_figure() {
    let a = results(1, same);
    let mut b = results(1, same);
    b.manifest.commit = Some("fedcba9".into());
    b.manifest.machine.cpu_model = Some("Another CPU".into());
    b.manifest.machine.cpu_governor = Some("powersave".into());
    b.manifest.machine.virtualisation = Some("kvm".into());
    b.manifest.machine.sysctls.insert("net.ipv4.tcp_congestion_control".into(), "bbr".into());
    b.manifest.executable_sha256 = Some("ab12".into());
    b.manifest.store_file_system = Some("tmpfs".into());
    b.plan.base.subscribers = 3;
    let text = between(&a, &b).render(Format::Markdown);
    for line in [
        "- commit: 0123abc → fedcba9",
        "- executable_sha256: – → ab12",
        "- machine.cpu_model: – → Another CPU",
        "- machine.cpu_governor: – → powersave",
        "- machine.virtualisation: – → kvm",
        "- machine.sysctls.net.ipv4.tcp_congestion_control: – → bbr",
        "- store_file_system: – → tmpfs",
        "- plan.subscribers: 2 → 3",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
        assert!(text.find(line) < text.find("| transport"), "{text}");
    }
}

#[test]
fn a_transport_of_one_side_only_is_named_and_nothing_in_common_is_refused() {
    let a = results(1, same);
    let mut b = results(1, same);
    b.runs.remove(0);
    let changes = between(&a, &b);
    assert!(changes.changes.iter().all(|change| change.transport == Transport::Sse));
    assert_eq!(changes.not_compared(), ["short-poll: 1 valid run in A, no run in B"]);
    let text = changes.render(Format::Markdown);
    assert!(
        text.contains("- short-poll: 1 valid run in A, no run in B") && !text.contains("No figure"),
        "{text}"
    );
    let mut c = results(1, same);
    c.runs.remove(1);
    let (b, c) = (files_of(&b).unwrap(), files_of(&c).unwrap());
    let error = Changes::between(("b", &b), ("c", &c)).unwrap_err().to_string();
    assert!(error.contains("the first has sse, the second short-poll"), "{error}");
}

#[test]
fn programs_get_every_point() {
    let changes = between(&results(2, same), &results(2, cpu_times(2.0)));
    let csv = changes.render(Format::Csv);
    let row = csv.lines().find(|line| line.starts_with("sse,,server_cpu_per_line_us,")).unwrap();
    assert!(row.starts_with("sse,,server_cpu_per_line_us,2,2,9.1"), "{row}");
    let json: Value = serde_json::from_str(&changes.render(Format::Json)).unwrap();
    let change = json["changes"].as_array().unwrap().iter().find(|change| change["metric"] == CPU).unwrap();
    assert_eq!((change["a"].as_array().unwrap().len(), &change["finding"]), (2, &"too-few-runs".into()));
    assert_eq!(change["ci_low_ratio"], Value::Null);
}

#[test]
fn what_is_tolerated_is_a_share_in_percent() {
    assert_eq!("10%".parse(), Ok(Tolerated { ratio: 0.1 }));
    assert_eq!("2.5 %".parse(), Ok(Tolerated { ratio: 0.025 }));
    for wrong in ["10", "-1%", "%", "inf%", "a lot"] {
        assert!(wrong.parse::<Tolerated>().unwrap_err().contains("10%"), "{wrong}");
    }
}

#[test]
fn runs_over_different_networks_are_named_and_not_compared() {
    let away = |ms: u64| {
        move |_, run: &mut RunResult| {
            let link = Link::distance(Duration::from_millis(ms));
            run.cell.network = Network { kind: NetworkKind::Line, link, ..Network::default() };
        }
    };
    let changes = between(&results(6, same), &results(6, away(25)));
    assert_eq!(
        changes.not_compared(),
        [
            "short-poll: the networks differ: none in A; line, 25 ms each way in B",
            "sse: the networks differ: none in A; line, 25 ms each way in B"
        ]
    );
    assert!(changes.changes.iter().all(|change| change.metric.ends_with("_count")), "{changes:?}");
    let text = changes.render(Format::Markdown);
    assert!(text.contains("line, 25 ms each way") && text.contains("not compared"), "{text}");
    assert_eq!(between(&results(6, away(25)), &results(6, away(40))).not_compared().len(), 2);
    assert!(between(&results(6, away(25)), &results(6, away(25))).not_compared().is_empty());
}
