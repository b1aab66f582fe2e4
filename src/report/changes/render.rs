//! Changes as text: a table for people, rows and an object for programs.

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use wirelab_clients::harness::statistics::RUNS_MIN;

use wirelab_clients::harness::rows::csv_text;

use super::super::wording::{counted, digits, grouped};
use super::{Change, Changes, Difference, Finding, NotCompared, Presence, Side};

/// Most points of one side in a cell; more are shown as a range.
const POINTS_MAX: usize = RUNS_MIN;
/// Most missing runs that are named: a plan may have hundreds.
const NAMED_MAX: usize = 8;

/// Headers of the CSV form.
const CSV_HEADER: [&str; 15] = [
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
    "a_sum",
    "b_sum",
];

/// Finding of a group that cannot be compared, in CSV.
const NOT_COMPARED: &str = "not-compared";

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

    /// Tells whether nothing may be claimed of the figure, not even that no difference was shown.
    pub(super) const fn is_open(self) -> bool {
        match self {
            Self::TooFewRuns | Self::MissingInARun | Self::OneNumber | Self::OneSideOnly => true,
            Self::MoreInB | Self::LessInB | Self::NotShown => false,
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
    text += &circumstances(changes);
    text += &format!("\n{}\n", table(changes));
    text += "\nCounts of lines are sums over all runs, invalid ones too. Other figures are medians over the valid runs.\n";
    if changes.changes.iter().any(|change| change.finding == Finding::TooFewRuns) {
        text += &format!(
            "\nA 95 % interval needs {RUNS_MIN} runs of each side. Where there are fewer, the points are shown and \
             nothing is claimed. Repeat the plan with repetitions = {RUNS_MIN} or more.\n"
        );
    }
    if changes.changes.iter().all(|change| change.noise_ratio.is_none()) {
        text += "\nNo A/A pair was measured in A or B, so the difference between equal runs is not known.\n";
    }
    if !changes.not_compared.is_empty() {
        text += "\nNot compared:\n\n";
        text.extend(changes.not_compared.iter().map(|group| format!("- {}\n", not_compared(group))));
    }
    text += &conclusion(changes);
    text
}

fn circumstances(changes: &Changes) -> String {
    if !changes.differences.is_empty() {
        let line = |Difference { what, a, b }: &Difference| format!("- {what}: {a} → {b}\n");
        let lines: String = changes.differences.iter().map(line).collect();
        return format!("\nThese differ between A and B and may be the cause of a change:\n\n{lines}");
    }
    match changes.a.executable_sha256.is_some() {
        true => "\nBuild, machine and plan are the same.\n".to_owned(),
        false => {
            "\nCommit, machine and plan are the same. Neither folder says which executable ran.\n".to_owned()
        }
    }
}

/// Returns what is claimed. That nothing changed is said only where everything was compared.
fn conclusion(changes: &Changes) -> String {
    let count = |is_meant: fn(Finding) -> bool| {
        changes.changes.iter().filter(|change| is_meant(change.finding)).count()
    };
    let told: Vec<_> =
        changes.changes.iter().filter(|change| is_claim(change.finding)).map(sentence).collect();
    if !told.is_empty() {
        let lines: String = told.iter().map(|sentence| format!("- {sentence}\n")).collect();
        return format!("\nChanged beyond the noise:\n\n{lines}");
    }
    let figures = |count: usize| counted(count, "figure", "figures");
    let sides = [&changes.a, &changes.b];
    let is_whole = changes.not_compared.is_empty() && sides.iter().all(|side| side.missing_runs.is_empty());
    match (count(|finding| finding == Finding::NotShown), count(Finding::is_open)) {
        (0, _) => String::new(),
        (_, 0) if is_whole => "\nNo figure changed beyond the noise.\n".to_owned(),
        (compared, 0) => format!(
            "\n{} show no change beyond the noise, but not everything could be compared.\n",
            figures(compared)
        ),
        (compared, open) => format!(
            "\n{} show no change beyond the noise. Of {} nothing can be said.\n",
            figures(compared),
            figures(open)
        ),
    }
}

/// Returns the sentence about a group that cannot be compared.
pub(super) fn not_compared(group: &NotCompared) -> String {
    let NotCompared { transport, arm, a, b, networks } = group;
    let name = super::name(*transport, arm);
    match networks {
        Some([in_a, in_b]) => format!("{name}: the networks differ: {in_a} in A; {in_b} in B"),
        None => format!("{name}: {} in A, {} in B", there(*a), there(*b)),
    }
}

fn there(presence: Presence) -> String {
    match presence {
        Presence::NoRun => "no run".to_owned(),
        Presence::NoValidRun { invalid_count } => format!("no valid run ({invalid_count} invalid)"),
        Presence::Valid { runs_count } => counted(runs_count, "valid run", "valid runs"),
    }
}

/// Returns the sentence about a folder that lacks runs of its experiment; `None` where it has them all.
pub(super) fn incomplete(letter: &str, side: &Side) -> Option<String> {
    let missing = side.missing_runs.as_slice();
    let more = missing.len().saturating_sub(NAMED_MAX);
    let mut names = missing.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 {
        names += &format!(" and {more} more");
    }
    let runs = counted(missing.len(), "run of its plan is", "runs of its plan are");
    (!missing.is_empty()).then(|| format!("{letter} is not complete: {runs} missing ({names})"))
}

fn side(letter: &str, side: &Side) -> String {
    let Side { folder, plan, started_utc, commit, executable_sha256: _, invalid_runs, missing_runs: _ } =
        side;
    let mut text = format!("{letter}: {folder}: {plan}, {started_utc}, commit {commit}\n");
    if !invalid_runs.is_empty() {
        text += &format!("   left out as invalid: {}\n", invalid_runs.join(", "));
    }
    text.extend(incomplete(letter, side).map(|sentence| format!("   {sentence}\n")));
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
    for NotCompared { transport, arm, a, b, networks } in &changes.not_compared {
        let group = super::name(*transport, arm);
        let empty = String::new;
        let [in_a, in_b] = networks.clone().unwrap_or_else(|| [there(*a), there(*b)]);
        let cells = [in_a, in_b, empty(), empty(), empty(), "not compared".to_owned()];
        table.add_row([group, "every figure".to_owned()].into_iter().chain(cells));
    }
    for change in &changes.changes {
        let interval = change.ci_low_ratio.zip(change.ci_high_ratio);
        table.add_row([
            group(change),
            change.title.to_owned(),
            values(change, &change.a, (change.a_median, change.a_sum)),
            values(change, &change.b, (change.b_median, change.b_sum)),
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

/// Returns the sum of a count with its runs. Of another figure, returns the median where a claim may be made, and the
/// points where not.
fn values(change: &Change, values: &[f64], (median, sum): (Option<f64>, Option<f64>)) -> String {
    let is_pointwise = change.finding.is_open() && values.len() <= POINTS_MAX;
    match (sum, median) {
        (Some(sum), _) => format!("{} in {}", told(sum), counted(values.len(), "run", "runs")),
        (None, Some(_)) if is_pointwise => {
            values.iter().map(|value| told(*value)).collect::<Vec<_>>().join(", ")
        }
        (None, Some(median)) => told(median),
        (None, None) => String::new(),
    }
}

/// Returns a number as text; counts have no decimals.
fn told(value: f64) -> String {
    if value.fract() == 0.0 { grouped(value as u64) } else { digits(value) }
}

/// Returns the sentence about a claimed change.
pub(super) fn sentence(change: &Change) -> String {
    let number = |number: Option<f64>| number.map_or(String::new(), told);
    let of = format!("{} {}", group(change), change.title);
    match (change.ratio, change.ci_low_ratio.zip(change.ci_high_ratio)) {
        (Some(ratio), Some((low, high))) => format!(
            "{of}: {} → {}, {} (95 % interval {} to {})",
            number(change.a_median),
            number(change.b_median),
            percent(ratio),
            percent(low),
            percent(high)
        ),
        (Some(_) | None, Some(_) | None) => {
            format!("{of}: {} → {} in all runs together", number(change.a_sum), number(change.b_sum))
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
            number(change.a_sum),
            number(change.b_sum),
        ]
    };
    let group = |group: &NotCompared| {
        let runs = |presence: Presence| match presence {
            Presence::NoRun | Presence::NoValidRun { .. } => "0".to_owned(),
            Presence::Valid { runs_count } => runs_count.to_string(),
        };
        CSV_HEADER.map(|column| match column {
            "transport" => group.transport.to_string(),
            "arm" => group.arm.clone(),
            "metric" => "all".to_owned(),
            "a_runs_count" => runs(group.a),
            "b_runs_count" => runs(group.b),
            "finding" => NOT_COMPARED.to_owned(),
            _empty => String::new(),
        })
    };
    let header = CSV_HEADER.map(str::to_owned).to_vec();
    let groups = changes.not_compared.iter().map(|not_compared| group(not_compared).to_vec());
    let bytes = csv_text(std::iter::once(header).chain(groups).chain(changes.changes.iter().map(row)));
    String::from_utf8(bytes).expect("it is made of texts")
}

pub(super) fn json(changes: &Changes) -> String {
    serde_json::to_string_pretty(changes).expect("changes have no key that JSON refuses") + "\n"
}
