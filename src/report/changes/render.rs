//! Changes as text: a table for people, rows and an object for programs.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use wirelab_clients::harness::statistics::RUNS_MIN;

use wirelab_clients::harness::rows::csv_text;

use super::super::wording::{digits, grouped};
use super::{Change, Changes, Difference, Finding, Side};

/// Most points of one side in a cell; more are shown as a range.
const POINTS_MAX: usize = RUNS_MIN;

/// Headers of the CSV form.
const CSV_HEADER: [&str; 13] = [
    "transport",
    "arm",
    "metric",
    "a_runs_count",
    "b_runs_count",
    "a_median",
    "b_median",
    "ratio",
    "ci_low_ratio",
    "ci_high_ratio",
    "noise_ratio",
    "finding",
    "points",
];

impl Finding {
    /// Returns the finding in words.
    const fn told(self) -> &'static str {
        match self {
            Self::MoreInB => "more in B",
            Self::LessInB => "less in B",
            Self::NotShown => "no difference shown",
            Self::TooFewRuns => "too few runs for a claim",
            Self::MissingInARun => "missing in a run, no claim",
            Self::OneNumber => "one number of many runs, no claim",
            Self::OneSideOnly => "one side only",
        }
    }

    /// Tells whether both sides have the figure but nothing may be claimed of it.
    pub(super) const fn is_open(self) -> bool {
        match self {
            Self::TooFewRuns | Self::MissingInARun | Self::OneNumber => true,
            Self::MoreInB | Self::LessInB | Self::NotShown | Self::OneSideOnly => false,
        }
    }

    /// Returns the finding's name in CSV and JSON.
    const fn name(self) -> &'static str {
        match self {
            Self::MoreInB => "more-in-b",
            Self::LessInB => "less-in-b",
            Self::NotShown => "not-shown",
            Self::TooFewRuns => "too-few-runs",
            Self::MissingInARun => "missing-in-a-run",
            Self::OneNumber => "one-number",
            Self::OneSideOnly => "one-side-only",
        }
    }
}

pub(super) fn markdown(changes: &Changes) -> String {
    let mut text = format!("{}{}", side("A", &changes.a), side("B", &changes.b));
    if changes.differences.is_empty() {
        text += "\nMachine, commit and plan are the same.\n";
    } else {
        text += "\nThese differ between A and B and may be the cause of a change:\n\n";
        let line = |Difference { what, a, b }: &Difference| format!("- {what}: {a} → {b}\n");
        text.extend(changes.differences.iter().map(line));
    }
    text += &format!("\n{}\n", table(changes));
    if changes.changes.iter().any(|change| change.finding == Finding::TooFewRuns) {
        text += &format!(
            "\nA 95 % interval needs {RUNS_MIN} runs of each side. Where there are fewer, the points are shown and \
             nothing is claimed. Repeat the plan with repetitions = {RUNS_MIN} or more.\n"
        );
    }
    if changes.changes.iter().all(|change| change.noise_ratio.is_none()) {
        text += "\nNo A/A pair was measured in A or B, so the difference between equal runs is not known.\n";
    }
    let told: Vec<_> =
        changes.changes.iter().filter(|change| is_claim(change.finding)).map(sentence).collect();
    if !told.is_empty() {
        text += "\nChanged beyond the noise:\n\n";
        text.extend(told.iter().map(|sentence| format!("- {sentence}\n")));
    } else if changes.changes.iter().any(|change| change.finding == Finding::NotShown) {
        text += "\nNo figure changed beyond the noise.\n";
    }
    text
}

fn side(letter: &str, side: &Side) -> String {
    let Side { folder, plan, started_utc, commit, invalid_runs, only_here } = side;
    let mut text = format!("{letter}: {folder}: {plan}, {started_utc}, commit {commit}\n");
    if !invalid_runs.is_empty() {
        text += &format!("   left out as invalid: {}\n", invalid_runs.join(", "));
    }
    if !only_here.is_empty() {
        text += &format!("   only here: {}\n", only_here.join(", "));
    }
    text
}

fn is_claim(finding: Finding) -> bool {
    match finding {
        Finding::MoreInB | Finding::LessInB => true,
        Finding::NotShown | Finding::TooFewRuns | Finding::OneSideOnly => false,
        Finding::MissingInARun | Finding::OneNumber => false,
    }
}

fn table(changes: &Changes) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header([
        "transport",
        "figure",
        "A",
        "B",
        "B / A",
        "95 % interval",
        "A/A noise",
        "finding",
    ]);
    for column in table.column_iter_mut().skip(2).take(5) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for change in &changes.changes {
        let interval = change.ci_low_ratio.zip(change.ci_high_ratio);
        table.add_row([
            group(change),
            change.title.to_owned(),
            values(change, &change.a, change.a_median),
            values(change, &change.b, change.b_median),
            change.ratio.map_or(String::new(), |ratio| format!("{ratio:.3}")),
            interval.map_or(String::new(), |(low, high)| format!("{low:.3} to {high:.3}")),
            change.noise_ratio.map_or(String::new(), |noise| format!("± {:.1} %", noise * 100.0)),
            change.finding.told().to_owned(),
        ]);
    }
    table
}

fn group(change: &Change) -> String {
    super::name(change.transport, &change.arm)
}

/// Returns the median where a claim may be made, the points where not.
fn values(change: &Change, values: &[f64], median: Option<f64>) -> String {
    let is_pointwise = change.finding.is_open() && values.len() <= POINTS_MAX;
    match median {
        Some(_) if is_pointwise => values.iter().map(|value| told(*value)).collect::<Vec<_>>().join(", "),
        Some(median) => told(median),
        None => String::new(),
    }
}

/// Returns a number as text; counts have no decimals.
fn told(value: f64) -> String {
    if value.fract() == 0.0 { grouped(value as u64) } else { digits(value) }
}

/// Returns the sentence about a claimed change.
pub(super) fn sentence(change: &Change) -> String {
    let median = |median: Option<f64>| median.map_or(String::new(), told);
    let of = format!("{} {}", group(change), change.title);
    match (change.ratio, change.ci_low_ratio.zip(change.ci_high_ratio)) {
        (Some(ratio), Some((low, high))) => format!(
            "{of}: {} → {}, {} (95 % interval {} to {})",
            median(change.a_median),
            median(change.b_median),
            percent(ratio),
            percent(low),
            percent(high)
        ),
        (Some(_) | None, Some(_) | None) => {
            let sum = |values: &[f64]| told(values.iter().sum());
            format!("{of}: {} → {} in all runs together", sum(&change.a), sum(&change.b))
        }
    }
}

/// Returns a ratio as a change in percent: `+12.3 %` for 1.123.
fn percent(ratio: f64) -> String {
    format!("{:+.1} %", (ratio - 1.0) * 100.0)
}

pub(super) fn csv(changes: &Changes) -> String {
    let number = |number: Option<f64>| number.map_or(String::new(), |number| number.to_string());
    let points = |values: &[f64]| values.iter().map(f64::to_string).collect::<Vec<_>>().join(" ");
    let row = |change: &Change| {
        vec![
            change.transport.to_string(),
            change.arm.clone(),
            change.metric.to_owned(),
            change.a.len().to_string(),
            change.b.len().to_string(),
            number(change.a_median),
            number(change.b_median),
            number(change.ratio),
            number(change.ci_low_ratio),
            number(change.ci_high_ratio),
            number(change.noise_ratio),
            change.finding.name().to_owned(),
            format!("{} / {}", points(&change.a), points(&change.b)),
        ]
    };
    let header = CSV_HEADER.map(str::to_owned).to_vec();
    let bytes = csv_text(std::iter::once(header).chain(changes.changes.iter().map(row)));
    String::from_utf8(bytes).expect("it is made of texts")
}

pub(super) fn json(changes: &Changes) -> String {
    serde_json::to_string_pretty(changes).expect("changes have no key that JSON refuses") + "\n"
}
