//! The table at the end of a run: one row per transport, and per target where there are several.
//!
//! A plan that compares servers or cuts connections asks which lines were lost, so its table has other columns.
//!
//! The table is for people in a terminal. It is valid Markdown, so that it can be pasted. With repetitions there is
//! one row per run: under six runs no 95 % interval exists, and percentiles are never averaged.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use wirelab_clients::harness::cell::{Cell, Server};
use wirelab_clients::harness::distributions::delivery_quantile_us;
use wirelab_clients::harness::gates::LATENESS;
use wirelab_clients::harness::network::Fault;
use wirelab_clients::harness::results::ResultSet;
use wirelab_clients::harness::run_result::{Check, Flow, RunResult, Verdict};
use wirelab_clients::harness::statistics::distinct_lines_needed;
use wirelab_clients::harness::thresholds;

use super::aggregate::Aggregate;
use super::folder::Folder;
use super::summary::unchecked;
use super::sweep::Sweep;
use super::wording::{digits, grouped, meanings};
use super::{finding, links};

/// Column of the table: its header, and the text of its cell in a run's row.
type Column = (&'static str, fn(&RunResult) -> String);

const COLUMNS: &[Column] = &[
    ("transport", |run| run.cell.transport.to_string()),
    REQUESTS,
    ("requests per line", |run| steady_per_line(run, |flow| flow.traffic.requests.total())),
    P50,
    ("p90 (ms)", |run| latency_ms(run, 0.9)),
    P99,
    ("max (ms)", |run| latency_ms(run, 1.0)),
    BYTES,
    ("lost / censored / duplicated", |run| {
        let cohort = &run.delivery.cohort;
        [cohort.lost, cohort.censored, cohort.duplicated].map(grouped).join(" / ")
    }),
    CPU,
    VERDICT,
];

/// Column that names the plan's arm; shown where the plan has arms.
const ARM: Column = ("arm", |run| run.cell.arm.clone().unwrap_or_default());

const COMPARISON: &[Column] = &[
    ("target", |run| run.cell.arm.clone().unwrap_or_else(|| "wirelab".to_owned())),
    ("transport", |run| run.cell.transport.to_string()),
    ("lines", |run| grouped(run.published_count)),
    ("lost", |run| grouped(run.delivery.cohort.lost)),
    ("censored", |run| grouped(run.delivery.cohort.censored)),
    ("duplicated", |run| grouped(run.delivery.cohort.duplicated)),
    ("out of order", |run| grouped(run.delivery.cohort.out_of_order)),
    P50,
    P99,
    REQUESTS,
    BYTES,
    CPU,
    ("reconnects", |run| grouped(run.traffic.reconnects)),
    VERDICT,
];

const REQUESTS: Column = ("requests", |run| grouped(run.traffic.requests.total()));
const P50: Column = ("p50 (ms)", |run| latency_ms(run, 0.5));
const P99: Column = ("p99 (ms)", |run| latency_ms(run, 0.99));
const BYTES: Column = ("bytes per line", |run| steady_per_line(run, Flow::l7_bytes));
const CPU: Column = ("server CPU (µs per line)", |run| {
    run.server.cpu.map_or(String::new(), |cpu| per_line(run, cpu.as_secs_f64() * 1e6))
});
const VERDICT: Column = ("verdict", |run| run.verdict.name().to_owned());

const LATENESS_TOLD: &str = "\
Send lateness is how late our own publisher sent, and a hiccup how late this machine woke a thread. Both are timing errors
of the measurement, not of the transport.
";

/// Returns the link of the runs, the table, the remarks on its runs, what their verdicts mean, and the finding.
pub fn render(results: &ResultSet) -> String {
    let folder = Folder::of(results);
    let aggregate = Aggregate::of(&folder);
    let links: String = links::told(&folder, &aggregate).iter().map(|told| format!("{told}\n")).collect();
    let verdicts = results.runs.iter().map(|run| run.verdict);
    let below: String = meanings(verdicts).into_iter().map(|told| format!("{told}\n")).collect();
    let finding = match results.runs.is_empty() {
        true => String::new(),
        false => {
            let found = finding::in_short(&folder, &aggregate, Sweep::of(&aggregate).as_ref());
            format!("Finding: {found}\n")
        }
    };
    let unchecked =
        unchecked(&folder).map_or(String::new(), |told| format!("The server's certificate was {told}.\n"));
    let hidden = links::hidden(&folder, &aggregate).map_or(String::new(), |told| told + "\n");
    links + &table(results) + &below + &finding + &unchecked + &hidden
}

/// Returns the table, and below it the remarks on its runs.
fn table(results: &ResultSet) -> String {
    let columns = columns(results);
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(columns.iter().map(|(header, _)| *header));
    for (column, (header, _)) in table.column_iter_mut().zip(&columns) {
        if !matches!(*header, "target" | "transport" | "arm") {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let name = |run: &RunResult| match results.plan.repetitions {
        1 if run.cell.arm.is_none() => run.cell.transport.to_string(),
        _ => run.cell.run_id.clone(),
    };
    for run in in_plan_order(results) {
        let mut row: Vec<String> = columns.iter().map(|(_, cell)| cell(run)).collect();
        if results.plan.repetitions > 1 {
            row[0] = name(run);
        }
        table.add_row(row);
    }
    let mut text = format!("{table}\n");
    // Runs with the same remark share one line.
    let mut said: Vec<(String, Vec<String>)> = Vec::new();
    for run in in_plan_order(results).into_iter().filter(|run| has_remarks(run)) {
        let remark = remarks(run).join("; ");
        match said.iter_mut().find(|(known, _)| *known == remark) {
            Some((_, names)) => names.push(name(run)),
            None => said.push((remark, vec![name(run)])),
        }
    }
    text.extend(said.iter().map(|(remark, names)| format!("{}: {remark}\n", names.join(", "))));
    let judged = thresholds::judge(&results.plan.thresholds, &results.runs);
    text.extend(judged.into_iter().filter_map(|judgement| {
        let said = judgement.check.said?;
        let run_id = judgement.run_id.map_or(String::new(), |run_id| format!("{run_id}: "));
        Some(format!("{run_id}{said}\n"))
    }));
    let is_late = |check: &Check| LATENESS.contains(&&*check.name) && check.said.is_some();
    if results.runs.iter().any(|run| run.checks.iter().any(is_late)) {
        text += LATENESS_TOLD;
    }
    text
}

/// Returns the columns of the table. Plans that compare servers or cut connections have other columns; plans with
/// arms have one more.
fn columns(results: &ResultSet) -> Vec<Column> {
    let cut = |run: &RunResult| matches!(run.cell.fault, Some(Fault::Cut(_)));
    if results.plan.targets != [Server::Wirelab] || results.runs.iter().any(cut) {
        return COMPARISON.to_vec();
    }
    let arm = (!results.plan.arms.is_empty()).then_some(ARM);
    arm.into_iter().chain(COLUMNS.iter().copied()).collect()
}

/// Returns the runs in the order of the plan, not in the random order in which they were made.
fn in_plan_order(results: &ResultSet) -> Vec<&RunResult> {
    let order = results.plan.in_plan_order();
    let place = |run: &RunResult| {
        let same = |cell: &Cell| cell.arm == run.cell.arm && cell.transport == run.cell.transport;
        (order.iter().position(same).unwrap_or(usize::MAX), run.cell.repetition, run.cell.is_aa)
    };
    let mut runs: Vec<_> = results.runs.iter().collect();
    runs.sort_by_key(|run| place(run));
    runs
}

fn steady_per_line(run: &RunResult, amount: fn(&Flow) -> u64) -> String {
    let steady = run.steady();
    match steady.delivered_count {
        0 => String::new(),
        _ => digits(steady.per_line(amount(&steady))),
    }
}

fn per_line(run: &RunResult, amount: f64) -> String {
    match run.delivery.whole.delivered {
        0 => String::new(),
        delivered => digits(amount / delivered as f64),
    }
}

fn latency_ms(run: &RunResult, quantile: f64) -> String {
    match delivery_quantile_us(run, &run.delivery.latency, quantile) {
        Some(us) => digits(us as f64 / 1e3),
        // Lines are missing, and they would be the slowest.
        None if run.delivery.distinct_lines_count() >= distinct_lines_needed(quantile) => "–".to_owned(),
        None => format!("n < {}", distinct_lines_needed(quantile)),
    }
}

fn has_remarks(run: &RunResult) -> bool {
    run.verdict != Verdict::Ok || !remarks(run).is_empty()
}

fn remarks(run: &RunResult) -> Vec<String> {
    let cohort = &run.delivery.cohort;
    let defects = [
        (cohort.censored, "lines had not arrived when the drain ended, late or lost"),
        (cohort.out_of_order, "lines came out of order"),
    ];
    let told = defects
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", grouped(*count)));
    run.verdict_reasons.iter().cloned().chain(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use wirelab_clients::harness::example;
    use wirelab_clients::harness::network::emulated::{Network, NetworkKind, PublisherPlace};
    use wirelab_clients::link::Link;

    const EXPECTED: &str = "\
| transport  | requests | requests per line | p50 (ms) | p90 (ms) | p99 (ms) | max (ms) | bytes per line | lost / censored / duplicated | server CPU (µs per line) | verdict |
|------------|----------|-------------------|----------|----------|----------|----------|----------------|------------------------------|--------------------------|---------|
| short-poll |      200 |             0.182 |      101 |      175 |      198 |      200 |            230 |                    0 / 0 / 0 |                     40.0 |      ok |
| sse        |        2 |           0.00182 |     1.20 |     1.40 |     1.45 |     1.45 |            150 |                    0 / 0 / 0 |                     10.0 |      ok |
";

    #[test]
    fn a_row_per_transport() {
        assert_eq!(table(&example::result_set()), EXPECTED);
    }

    const COMPARED: &str = "\
| target    | transport  | lines | lost | censored | duplicated | out of order | p50 (ms) | p99 (ms) | requests | bytes per line | server CPU (µs per line) | reconnects | verdict |
|-----------|------------|-------|------|----------|------------|--------------|----------|----------|----------|----------------|--------------------------|------------|---------|
| wirelab   | short-poll |   500 |    0 |        0 |          0 |            0 |      101 |      198 |      200 |            230 |                     40.0 |          0 |      ok |
| flask-sse | sse        |   500 |   20 |        0 |          3 |            1 |     1.20 |        – |        2 |            150 |                     10.0 |          4 |      ok |
";

    #[test]
    fn a_row_per_target_where_servers_are_compared_and_shared_remarks_once() {
        let mut results = example::result_set();
        results.plan.targets.push(Server::parse("http://localhost:1", |_| unreachable!("a URL")).unwrap());
        results.runs[0].cell.arm = Some("wirelab".into());
        let run = &mut results.runs[1];
        run.cell.arm = Some("flask-sse".into());
        let cohort = &mut run.delivery.cohort;
        (cohort.lost, cohort.duplicated, cohort.out_of_order) = (20, 3, 1);
        cohort.delivered = 980;
        // The warm-up's defects are told by the run's reasons, and stand in no column of the cohort's lines.
        run.delivery.whole.duplicated = 5;
        run.traffic.reconnects = 4;
        let text = table(&results);
        assert_eq!(text, format!("{COMPARED}sse-1: 1 lines came out of order\n"));
        for run in &mut results.runs {
            run.verdict_reasons = vec!["cause unknown".into()];
            run.delivery.cohort.out_of_order = 0;
        }
        assert!(table(&results).ends_with("\nshort-poll-1, sse-1: cause unknown\n"));
    }

    #[test]
    fn a_threshold_that_was_missed_is_told_with_its_run() {
        let mut results = example::result_set();
        results.plan.thresholds =
            ["*.lost_count == 0", "*.delivery_latency_us_p99 < 80000", "ndjson.lost_count == 0"]
                .map(|text| text.parse().unwrap())
                .into();
        let text = table(&results);
        let said: Vec<&str> = text.lines().skip(4).collect();
        assert_eq!(
            said,
            [
                "short-poll-1: threshold *.delivery_latency_us_p99 < 80000: delivery_latency_us_p99 is 198015",
                "threshold ndjson.lost_count == 0: no run matches"
            ]
        );
    }

    #[test]
    fn below_the_table_stands_the_finding_and_above_it_no_link_where_there_is_none() {
        let text = render(&example::result_set());
        let below = text.strip_prefix(EXPECTED).expect("the table comes first");
        assert_eq!(
            below,
            "Finding: Typical latency (p50): sse 1.20 ms, short-poll 101 ms. A 95 % interval needs at least 6 runs. Here is \
             one valid run of each cell: their figures are points, and no winner is named. The same command with \
             --repetitions 6 gives intervals.\n"
        );
    }

    #[test]
    fn above_the_table_stands_how_far_the_subscribers_are_and_below_it_what_that_explains() {
        let mut results = example::result_set();
        let network = Network {
            kind: NetworkKind::Line,
            link: Link::distance(Duration::from_millis(25)),
            publisher: PublisherPlace::Beside,
        };
        results.plan.base.network = network.clone();
        results.runs.iter_mut().for_each(|run| run.cell.network = network.clone());
        let text = render(&results);
        let above = "Network: every subscriber is 25 ms away, each way (a delay line in its socket); the publisher stands \
                     beside the server.\n";
        let below = text.strip_prefix(above).expect("the link comes first").strip_prefix(EXPECTED).unwrap();
        assert!(below.starts_with("Finding: Typical latency (p50): sse 1.20 ms"), "{below}");
        let share = " Distance alone gives short-poll 125 ms (half its interval and one way) and sse 25 ms (one way). ";
        assert!(below.contains(share), "{below}");
        assert!(below.ends_with("congestion windows, delayed ACKs.\n"), "{below}");
    }

    #[test]
    fn a_verdict_is_explained_in_one_line_where_a_row_has_it_and_nowhere_else() {
        let mut results = example::result_set();
        let explained = |results: &ResultSet| {
            let text = render(results);
            let lines =
                text.lines().filter(|line| line.starts_with("unresolved: ") || line.starts_with("invalid: "));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert!(explained(&results).is_empty());
        results.runs[0].verdict = Verdict::Unresolved;
        let [unresolved] = &explained(&results)[..] else { panic!("not one line") };
        assert!(unresolved.contains("Do not rank the row by latency."), "{unresolved}");
        results.runs[1].verdict = Verdict::Invalid;
        let [_, invalid] = &explained(&results)[..] else { panic!("not two lines") };
        assert!(invalid.contains("Do not use its figures") && invalid.contains("run again"), "{invalid}");
    }

    #[test]
    fn too_few_lines_are_told_instead_of_a_percentile() {
        let mut results = example::result_set();
        results.runs[0].delivery = Default::default();
        let text = table(&results);
        assert!(text.contains(" n < 6 ") && text.contains(" n < 368 "), "{text}");
    }

    #[test]
    fn what_the_columns_do_not_show_is_told_below() {
        let mut results = example::result_set();
        results.plan.repetitions = 2;
        let run = &mut results.runs[1];
        (run.delivery.cohort.censored, run.delivery.cohort.out_of_order) = (1_234, 2);
        (run.verdict, run.verdict_reasons) = (Verdict::Invalid, vec!["the server went away".into()]);
        let text = table(&results);
        let last = text.lines().last().unwrap();
        assert_eq!(
            last,
            "sse-1: the server went away; 1,234 lines had not arrived when the drain ended, late or lost; 2 lines came out of order"
        );
    }
}
