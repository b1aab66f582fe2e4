//! Claims as text: a table for people, rows for programs.

use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use wirelab_clients::harness::metrics::CLAIMS_COLUMNS;
use wirelab_clients::harness::statistics::RUNS_MIN;

use super::super::table::readable;
use super::runs::{Measured, Sample};
use super::{Answer, Claims, Ruling};

/// Points that a cell shows; with more there is an interval.
const POINTS_MAX: usize = RUNS_MIN;

pub(super) fn markdown(claims: &Claims) -> String {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(["claim", "about", "measured", "verdict", "runs"]);
    for answer in &claims.answers {
        table.add_row([
            format!("\"{}\"", answer.claim),
            answer.about.to_owned(),
            evidence(answer),
            answer.ruling.name().to_owned(),
            runs(answer),
        ]);
    }
    let count = |ruling: Ruling| claims.answers.iter().filter(|answer| answer.ruling == ruling).count();
    let counts: Vec<String> =
        Ruling::ALL.iter().map(|ruling| format!("{} {}", count(*ruling), ruling.name())).collect();
    let mut text = format!("{table}\n\n{}: {}.\n", claims.origin, counts.join(", "));
    text += NOTES;
    if !claims.invalid.is_empty() {
        text += &format!("\nLeft out as invalid: {}.\n", claims.invalid.join(", "));
    }
    text
}

const NOTES: &str = "
Holds: it was seen, and follows from how the transport is made. Holds here: it was measured on this machine over its
loopback. Figures are medians over runs with their 95 % interval in brackets, or the points where there are too few runs
for one; \"besides the text\" is all that went through the socket without the text of the lines. Memory per connection is
a slope over four numbers of connections, of the process alone: what the kernel keeps for a socket comes on top. Lines of
code are those of wirelab's own client halves, counted in the sources that this build carries, without comments, blank
lines and tests.
";

/// What decides, why nothing does, and what stands beside it.
fn evidence(answer: &Answer) -> String {
    let deciding: Vec<String> = answer.deciding.iter().map(told).collect();
    let mut parts = Vec::new();
    if answer.deciding.iter().any(|measured| !measured.points.is_empty()) {
        parts.push(deciding.join(" against "));
    }
    parts.extend(answer.why.clone());
    if !answer.beside.is_empty() {
        let beside: Vec<String> = answer.beside.iter().map(told).collect();
        parts.push(format!("beside it {}", beside.join(", ")));
    }
    parts.join("; ")
}

/// `short-poll empty answers 82.1 % [80.2, 84.0]`.
fn told(measured: &Measured) -> String {
    let Measured { what, unit, transport, points, median, interval, sample, .. } = measured;
    let number =
        |value: &f64| if *value < 0.0 { format!("−{}", readable(-value)) } else { readable(*value) };
    let Some(median) = median else { return format!("{transport} {what} not measured") };
    match (sample, interval) {
        (Sample::Exact, _) => format!("{transport} {what} {median:.0} {unit}"),
        // Equal in every run: a count.
        (Sample::Runs, _) if points.iter().all(|point| point == median) => {
            format!("{transport} {what} {} {unit}", number(median))
        }
        (Sample::Runs, Some(interval)) => {
            let ends = format!("[{}, {}]", number(&interval.low), number(&interval.high));
            format!("{transport} {what} {} {ends} {unit}", number(median))
        }
        (Sample::Runs, None) => {
            let shown: Vec<String> = points.iter().take(POINTS_MAX).map(number).collect();
            format!("{transport} {what} {} {unit}", shown.join(" "))
        }
    }
}

/// The runs by what they have in common, and how many: `quiet-sse-1 … 6` are `quiet-sse (6)`.
fn runs(answer: &Answer) -> String {
    let mut groups: Vec<(String, usize)> = Vec::new();
    for run_id in run_ids(answer) {
        let group = run_id.rsplit_once('-').map_or(run_id, |(group, _)| group);
        match groups.iter_mut().find(|(known, _)| known == group) {
            Some((_, count)) => *count += 1,
            None => groups.push((group.to_owned(), 1)),
        }
    }
    if groups.is_empty() && answer.deciding.iter().any(|measured| measured.sample == Sample::Exact) {
        return "this build's sources".to_owned();
    }
    let told: Vec<String> = groups.iter().map(|(group, count)| format!("{group} ({count})")).collect();
    told.join(", ")
}

/// Each once, those that decide first.
fn run_ids(answer: &Answer) -> Vec<&str> {
    let mut ids: Vec<&str> = Vec::new();
    for run_id in answer.deciding.iter().chain(&answer.beside).flat_map(|measured| &measured.runs) {
        if !ids.contains(&run_id.as_str()) {
            ids.push(run_id);
        }
    }
    ids
}

/// `claims.csv`: the header, and a row per claim.
pub(super) fn rows(claims: &Claims) -> impl Iterator<Item = Vec<String>> {
    let header = CLAIMS_COLUMNS.iter().map(|column| column.name.to_owned()).collect();
    std::iter::once(header).chain(claims.answers.iter().map(row))
}

fn row(answer: &Answer) -> Vec<String> {
    let cell = |number: Option<f64>| number.map_or(String::new(), |number| number.to_string());
    let figure = |measured: Option<&Measured>| {
        let of = |value: fn(&Measured) -> Option<f64>| cell(measured.and_then(value));
        let what =
            measured.map_or(String::new(), |measured| format!("{} {}", measured.transport, measured.what));
        [
            what,
            of(|measured| measured.median),
            of(|measured| Some(measured.interval?.low)),
            of(|measured| Some(measured.interval?.high)),
        ]
    };
    let mut row = vec![answer.claim.to_owned(), answer.about.to_owned()];
    row.extend(figure(answer.deciding.first()));
    row.extend(figure(answer.deciding.get(1)));
    row.push(answer.deciding.first().map_or(String::new(), |measured| measured.unit.to_owned()));
    row.push(evidence(answer));
    row.push(answer.ruling.name().to_owned());
    row.push(answer.why.clone().unwrap_or_default());
    row.push(run_ids(answer).join(" "));
    row
}
