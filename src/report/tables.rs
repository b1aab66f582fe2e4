//! The tables of the report: rows of text, which each format presents in its own way.

use serde_json::Value;
use wirelab_clients::harness::results::Manifest;
use wirelab_clients::harness::rows::{CheckRow, PercentileRow, RunRow, TheoryRow};
use wirelab_clients::harness::run_result::TheoryVerdict;
use wirelab_clients::harness::run_result::{CheckVerdict, Verdict};
use wirelab_clients::harness::statistics::{distinct_lines_needed, median};
use wirelab_clients::harness::theory::calibration::{ArmCalibration, CalibratedArm, MessageBytes, Sizes};
use wirelab_clients::harness::theory::spread::Spread;
use wirelab_clients::options::{Compression, Condition};

use super::aggregate::{Group, GroupFigure};
use super::figures::Figure;
use super::folder::Folder;
use super::links;
use super::reproductions::{self, Reproduced};
use super::summary::Summary;
use super::wording::{digits, grouped, percent_signed, plain};

/// Text of an unknown value.
pub(super) const UNKNOWN: &str = "–";

/// Table with a header.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) header: Vec<String>,
    pub(super) rows: Vec<TableRow>,
}

/// Row of a table; its first cell names it.
#[derive(Debug)]
pub(super) struct TableRow {
    pub(super) name: String,
    pub(super) cells: Vec<TableCell>,
    pub(super) mark: RowMark,
}

/// Cell of a table, and whether it is bad news.
#[derive(Debug)]
pub(super) struct TableCell {
    pub(super) text: String,
    /// Spread of the value: the interval in square brackets, the range in round ones; empty for exact values.
    pub(super) spread: String,
    pub(super) look: Look,
}

/// Look of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// A number.
    Number,
    /// Number of defects, above 0.
    Defect,
    /// Text.
    Words,
}

/// Mark of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowMark {
    /// The row may be used.
    None,
    /// The row is hatched: it must not be used.
    Invalid,
}

/// Reasons for a run's verdict.
#[derive(Debug)]
pub(super) struct Reasons {
    pub(super) run_id: String,
    pub(super) verdict: &'static str,
    pub(super) reasons: Vec<String>,
}

/// A reproduction as the page shows it.
#[derive(Debug)]
pub(super) struct Judged {
    /// Verdict with its reason, as a sentence.
    pub(super) verdict: String,
    pub(super) law: &'static str,
    pub(super) figures: Table,
    pub(super) source: String,
    pub(super) differs: &'static [&'static str],
}

impl Table {
    /// Tells whether a column holds words, as its first row does.
    pub(super) fn is_words(&self, column: &usize) -> bool {
        let cell = |row: &TableRow| column.checked_sub(1).and_then(|i| Some(row.cells.get(i)?.look));
        self.rows.first().and_then(cell) == Some(Look::Words)
    }
}

fn number(text: impl Into<String>) -> TableCell {
    TableCell { text: text.into(), spread: String::new(), look: Look::Number }
}

fn words(text: impl Into<String>) -> TableCell {
    TableCell { text: text.into(), spread: String::new(), look: Look::Words }
}

fn header(names: impl IntoIterator<Item = impl Into<String>>) -> Vec<String> {
    names.into_iter().map(Into::into).collect()
}

/// Returns a table with one row per transport and arm: medians over runs with their interval, or their range.
pub(super) fn cells(summary: &Summary) -> Table {
    let figures = summary.figures();
    let titles = figures.iter().map(|figure| figure.title_with_unit());
    // One link of all is told above the table.
    let differ = links::links(summary.folder, summary.aggregate).len() > 1;
    let network = |group: &Group| {
        differ.then(|| words(links::in_short(&links::network_of(summary.folder, group.runs[0]))))
    };
    let first =
        ["cell".to_owned(), "valid runs".to_owned()].into_iter().chain(differ.then(|| "network".to_owned()));
    let header = header(first.chain(titles));
    let twin = summary.aggregate.pair.as_ref().map(|(_, twin)| twin);
    let groups = summary.aggregate.groups.iter().chain(twin);
    let row = |group: &Group| {
        let count = format!("{} of {}", group.believed().count(), group.runs.len());
        let told = figures.iter().map(|figure| match group.shown(*figure) {
            Some(median) => with_spread(median),
            None => number(missing(group, *figure)),
        });
        TableRow {
            name: group.label.clone(),
            cells: std::iter::once(number(count)).chain(network(group)).chain(told).collect(),
            mark: if group.is_believed() { RowMark::None } else { RowMark::Invalid },
        }
    };
    Table { header, rows: groups.map(row).collect() }
}

/// Returns the median with its interval or its range. A value that is equal in all runs needs neither.
fn with_spread(median: &GroupFigure) -> TableCell {
    let spread = median.spread();
    let ends = format!("{}–{}", digits(spread.low), digits(spread.high));
    let spread = match (spread.low < spread.high, median.interval) {
        (false, _) => String::new(),
        (true, Some(_)) => format!("[{ends}]"),
        (true, None) => format!("({ends})"),
    };
    TableCell { text: digits(median.median), spread, look: Look::Number }
}

/// Returns why a group lacks a figure: too few lines, or not measured.
fn missing(group: &Group, figure: Figure) -> String {
    let Some(quantile) = figure.quantile() else { return UNKNOWN.to_owned() };
    let needed = distinct_lines_needed(quantile);
    let is_short = |run: &&RunRow| run.distinct_lines_count < needed;
    if group.runs.iter().any(is_short) { format!("n < {}", grouped(needed)) } else { UNKNOWN.to_owned() }
}

/// Returns a table with one row per run, as `runs.csv` has them.
pub(super) fn runs(summary: &Summary) -> Table {
    const FIGURES: [Figure; 7] = [
        Figure::LatencyP50,
        Figure::LatencyP90,
        Figure::LatencyP99,
        Figure::LatencyMax,
        Figure::Requests,
        Figure::L7Bytes,
        Figure::Cpu,
    ];
    let titles = FIGURES.iter().map(|figure| figure.title_with_unit());
    let defects = ["lost", "duplicated", "censored", "out of order", "verdict"].map(str::to_owned);
    let header = header(["run".to_owned(), "requests".to_owned()].into_iter().chain(titles).chain(defects));
    let row = |run: &RunRow| {
        let told = FIGURES.iter().map(|figure| {
            number(match figure.of(run) {
                Some(value) => digits(value),
                None => missing_in_run(run, *figure),
            })
        });
        let defects = [run.lost_count, run.duplicated_count, run.censored_count, run.out_of_order_count];
        let defects = defects.map(|defect| TableCell {
            text: grouped(defect),
            spread: String::new(),
            look: if defect == 0 { Look::Number } else { Look::Defect },
        });
        let cells = std::iter::once(number(grouped(run.requests_count))).chain(told).chain(defects);
        TableRow {
            name: run.run_id.clone(),
            cells: cells.chain([words(run.verdict.name())]).collect(),
            mark: mark(run),
        }
    };
    Table { header, rows: summary.folder.rows.runs.iter().map(row).collect() }
}

fn missing_in_run(run: &RunRow, figure: Figure) -> String {
    let Some(quantile) = figure.quantile() else { return UNKNOWN.to_owned() };
    let needed = distinct_lines_needed(quantile);
    if run.distinct_lines_count < needed { format!("n < {}", grouped(needed)) } else { UNKNOWN.to_owned() }
}

fn mark(run: &RunRow) -> RowMark {
    match run.verdict {
        Verdict::Ok | Verdict::Unresolved => RowMark::None,
        Verdict::Invalid => RowMark::Invalid,
    }
}

/// Returns the runs whose verdict has reasons.
pub(super) fn reasons(folder: &Folder) -> Vec<Reasons> {
    let with = folder.rows.runs.iter().filter(|run| !run.verdict_reasons.is_empty());
    with.map(|run| Reasons {
        run_id: run.run_id.clone(),
        verdict: run.verdict.name(),
        reasons: run.verdict_reasons.clone(),
    })
    .collect()
}

/// Returns the printed figures beside ours, with the verdict.
pub(super) fn reproduction(reproduced: &Reproduced) -> Judged {
    let row = |cells: [String; 7]| {
        let [name, printed, predicted, measured, ratio, asked, outcome] = cells;
        let numbers = [printed, predicted, measured, ratio].map(number);
        let cells = numbers.into_iter().chain([words(asked), words(outcome)]).collect();
        TableRow { name, cells, mark: RowMark::None }
    };
    let rows = reproductions::table_rows(reproduced).into_iter().map(row).collect();
    let reproduction = reproduced.reproduction;
    Judged {
        verdict: reproductions::sentence(reproduced),
        law: reproduction.law,
        figures: Table { header: header(reproductions::HEADER), rows },
        source: reproduction.source.cited(),
        differs: reproduction.differs,
    }
}

/// Returns a table of every distribution: the median over valid runs of each percentile, ms.
pub(super) fn percentiles(summary: &Summary) -> Table {
    let rows = &summary.folder.rows.percentiles;
    let mut quantiles: Vec<f64> = rows.iter().map(|row| row.quantile).collect();
    quantiles.sort_by(f64::total_cmp);
    quantiles.dedup();
    let mut metrics: Vec<&str> = Vec::new();
    for row in rows {
        if !metrics.contains(&row.metric.as_str()) {
            metrics.push(&row.metric);
        }
    }
    let names = quantiles.iter().map(|quantile| match *quantile {
        maximum if maximum >= 1.0 => "max (ms)".to_owned(),
        quantile => format!("p{} (ms)", plain(quantile * 100.0)),
    });
    let header = header(["cell".to_owned(), "distribution".to_owned()].into_iter().chain(names));
    let mut table = Table { header, rows: Vec::new() };
    for group in &summary.aggregate.groups {
        let of_group = |row: &&PercentileRow| group.believed().any(|run| run.run_id == row.run_id);
        let of_group: Vec<&PercentileRow> = rows.iter().filter(of_group).collect();
        for metric in metrics.iter().filter(|_| group.is_believed()) {
            let cells = quantiles.iter().map(|quantile| {
                let here = |row: &&&PercentileRow| row.metric == *metric && row.quantile == *quantile;
                let values: Option<Vec<f64>> =
                    of_group.iter().filter(here).map(|row| Some(row.value_us? as f64)).collect();
                // Runs without it had too few lines, so the others do not speak for them.
                let middle = values.and_then(|values| median(&values));
                number(middle.map_or(UNKNOWN.to_owned(), |us| digits(us / 1e3)))
            });
            let name = words(metric.replace('_', " "));
            let cells = std::iter::once(name).chain(cells).collect();
            table.rows.push(TableRow { name: group.label.clone(), cells, mark: RowMark::None });
        }
    }
    table
}

/// Returns a table of every prediction that was judged; `None` where there are none.
pub(super) fn theory(summary: &Summary) -> Option<Table> {
    predictions(summary, TheoryRow::is_judged, ["residual", "tolerance", "verdict"], |row| {
        let mark = if row.verdict == TheoryVerdict::Fail { "✗ " } else { "" };
        [
            number(row.residual_ratio.map_or(UNKNOWN.to_owned(), percent_signed)),
            number(row.tolerance_ratio.map_or(UNKNOWN.to_owned(), |ratio| {
                format!("± {} %", plain((ratio * 1_000.0).round() / 10.0))
            })),
            words(format!("{mark}{}", row.verdict.name())),
        ]
    })
}

/// Returns a table of every prediction that was not judged, with the reason; `None` where there are none. It has no
/// residuals: how far a formula is off says nothing about it where it does not apply.
pub(super) fn theory_not_judged(summary: &Summary) -> Option<Table> {
    predictions(
        summary,
        |row| !row.is_judged(),
        ["why it was not judged"],
        |row| {
            [words(match row.assumption_broken.as_str() {
                "" => "reported for the reader only, or not measured",
                assumption => assumption,
            })]
        },
    )
}

/// Returns a table of the `wanted` predictions, with these columns at the end and their cells.
fn predictions<const N: usize>(
    summary: &Summary,
    wanted: fn(&TheoryRow) -> bool,
    last: [&'static str; N],
    cells: fn(&TheoryRow) -> [TableCell; N],
) -> Option<Table> {
    let rows: Vec<_> = summary.folder.rows.theory.iter().filter(|row| wanted(row)).collect();
    let first = ["run", "formula", "quantity", "predicted", "measured", "unit"];
    let row = |row: &TheoryRow| {
        let first = [
            words(&row.formula),
            words(row.quantity.replace('_', " ")),
            number(row.predicted.map_or(UNKNOWN.to_owned(), digits)),
            number(row.measured.map_or(UNKNOWN.to_owned(), digits)),
            words(&row.unit),
        ];
        TableRow {
            name: row.run_id.clone(),
            cells: first.into_iter().chain(cells(row)).collect(),
            mark: summary.folder.run(&row.run_id).map_or(RowMark::None, mark),
        }
    };
    (!rows.is_empty()).then(|| Table {
        header: header(first.into_iter().chain(last)),
        rows: rows.into_iter().map(row).collect(),
    })
}

/// Returns a table of every gate; `None` where there are none.
pub(super) fn checks(summary: &Summary) -> Option<Table> {
    let rows = &summary.folder.rows.checks;
    if rows.is_empty() {
        return None;
    }
    let header = header(["run", "check", "left", "right", "tolerance", "unit", "verdict"]);
    let row = |row: &CheckRow| {
        let run = summary.folder.run(&row.run_id);
        let value = |value: Option<f64>| number(value.map_or(UNKNOWN.to_owned(), plain_or_long));
        let verdict = match row.verdict {
            CheckVerdict::Fail => format!("✗ {}", row.verdict.name()),
            CheckVerdict::Pass | CheckVerdict::Unresolved | CheckVerdict::NotMeasured => {
                row.verdict.name().to_owned()
            }
        };
        TableRow {
            name: row.run_id.clone(),
            cells: vec![
                words(row.check.replace('_', " ")),
                value(row.left),
                value(row.right),
                value(row.tolerance),
                words(&row.unit),
                words(verdict),
            ],
            mark: run.map_or(RowMark::None, mark),
        }
    };
    Some(Table { header, rows: rows.iter().map(row).collect() })
}

/// Returns a count in full, so that the two sides of a gate can be told apart; other numbers with three digits.
fn plain_or_long(number: f64) -> String {
    if number.fract() == 0.0 && (0.0..1e15).contains(&number) {
        grouped(number as u64)
    } else {
        digits(number)
    }
}

/// Returns every member of the manifest with its path. Calibrations have a table of their own, and forecasts stand
/// beside what came in that of theory.
pub(super) fn manifest(manifest: &Manifest) -> Vec<(String, String)> {
    let manifest = Manifest { calibrations: Vec::new(), forecast: Vec::new(), ..manifest.clone() };
    let mut rows = Vec::new();
    flatten("", &serde_json::to_value(manifest).expect("a manifest has no key that JSON refuses"), &mut rows);
    rows.retain(|(name, _)| name != "calibrations");
    rows
}

/// Returns every calibrated constant, per server and way to ask it.
pub(super) fn calibrations(manifest: &Manifest) -> Vec<(String, String)> {
    let time = |spread: &Spread| {
        let (mean, error) = (digits(spread.mean_s * 1e3), digits(spread.error_s * 1e3));
        format!("{mean} ms on average (standard error {error} ms, {} samples)", grouped(spread.samples_count))
    };
    let mut rows = Vec::new();
    for calibration in &manifest.calibrations {
        let server = &calibration.server;
        for (what, spread) in [
            ("round trip", &calibration.round_trip_s),
            ("connecting", &calibration.connect_s),
            ("lateness of a timer", &calibration.timer_late_s),
            ("due time until visible", &calibration.visible_s),
        ] {
            rows.push((format!("{server}: {what}"), time(spread)));
        }
        let write = calibration.write_s.map(|seconds| format!("{} µs", digits(seconds * 1e6)));
        rows.push((format!("{server}: one more subscriber"), write.unwrap_or_else(|| UNKNOWN.to_owned())));
        for ArmCalibration { arm, exchange_s, cycle_s, held_s, sizes } in &calibration.arms {
            let asked = asked(arm);
            let times = [("a poll", exchange_s), ("from poll to poll", cycle_s), ("a held line", held_s)];
            let times = times.into_iter().filter_map(|(what, spread)| Some((what, time(spread.as_ref()?))));
            rows.extend(times.map(|(what, told)| (format!("{server}, {asked}: {what}"), told)));
            let bytes = |what: &str, size: &MessageBytes| {
                (format!("{server}, {asked}: {what}"), format!("{} bytes beside seqs", digits(size.plain)))
            };
            match sizes {
                Sizes::Poll { question, answer, empty, line } => rows.extend([
                    bytes("a question", question),
                    bytes("an answer without its lines", answer),
                    bytes("an empty answer", empty),
                    bytes("a line without its text", line),
                ]),
                Sizes::Stream { line } => rows.push(bytes("a line without its text", line)),
            }
        }
    }
    rows
}

/// Returns how an arm asks: `short-poll over HTTP/1.1, kept alive, with If-None-Match`.
fn asked(arm: &CalibratedArm) -> String {
    let CalibratedArm { transport, http, connections, compression, condition } = arm;
    let mut text = format!("{transport} over HTTP/{http}, {connections}");
    if *compression != Compression::Identity {
        text += &format!(", {compression}");
    }
    if *condition == Condition::IfNoneMatch {
        text += ", conditional";
    }
    text
}

/// Returns every value below `value` with its path.
fn flatten(path: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(&path, value, rows);
            }
        }
        Value::Array(values) => {
            rows.push((path.to_owned(), values.iter().map(text_of).collect::<Vec<_>>().join(", ")));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            rows.push((path.to_owned(), text_of(value)));
        }
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => UNKNOWN.to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}
