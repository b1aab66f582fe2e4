//! Claims as text: a table for people, rows for programs.

use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use wirelab_clients::harness::plan::Size;
use wirelab_clients::harness::rows::{CLAIMS_COLUMNS, Field};
use wirelab_clients::harness::statistics::{Interval, RUNS_MIN};

use super::super::wording::{digits, grouped};
use super::runs::{Evidence, PointKind};
use super::{Answer, Claims, Ruling};

/// Most points in a cell; with more there is an interval.
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
    let size = match claims.size {
        Size::Smoke => "size: smoke, not for citing\n\n",
        Size::Full => "",
    };
    let mut text = format!("{size}{table}\n\n{}: {}.\n", claims.origin, counts.join(", "));
    text += NOTES;
    if !claims.invalid.is_empty() {
        text += &format!("\nLeft out as invalid: {}.\n", claims.invalid.join(", "));
    }
    text
}

const NOTES: &str = "
Holds: the runs confirm the claim, and it follows from how the transport works. Holds here: the runs confirm it on this
machine over its loopback; elsewhere it may be false. Figures are medians over runs with their 95 % interval in brackets;
where there are too few runs for an interval, the points. Lines missed, repeated or out of order are those of the worst
run, invalid or not. \"Besides the text\" counts everything that went through the socket except the text of the lines.
Memory per connection is a slope over four numbers of connections, for the server's process alone. Kernel memory of
sockets comes on top; it covers both ends, because both are on this machine. Lines of code are those of wirelab's own
client halves, counted in the sources that this build carries, without comments, blank lines and tests.
";

/// Returns the evidence as text: the deciding figures, the reason if there is no ruling, and the other figures.
pub(super) fn evidence(answer: &Answer) -> String {
    let mut parts = Vec::new();
    if answer.deciding.iter().any(|measured| !measured.points.is_empty()) {
        let between = match answer.deciding.as_slice() {
            [_, _] => " against ",
            _ => ", ",
        };
        parts.push(told(&answer.deciding, between));
    }
    parts.extend(answer.why.clone());
    // A figure of several transports is named once.
    for same in answer.beside.chunk_by(|one, other| one.what == other.what) {
        parts.push(told(same, ", "));
    }
    parts.join("; ")
}

/// Returns figures of one kind as text, such as `empty answers: short-poll 82.1 [80.2, 84.0] %`.
fn told(measured: &[Evidence], between: &str) -> String {
    let values: Vec<String> =
        measured.iter().map(|measured| format!("{} {}", measured.transport, value(measured))).collect();
    let named = measured.first().map(|first| (first.what, first.unit)).unwrap_or_default();
    format!("{}: {} {}", named.0, values.join(between), named.1)
}

/// Returns the median with its interval, or the points where there is none. For counts of the worst run, returns its
/// count and the number of runs that have any.
fn value(measured: &Evidence) -> String {
    let Some(known) = measured.value else { return "(not measured)".to_owned() };
    // Equal in every run: an exact count.
    if measured.points.iter().all(|point| *point == known) {
        return number(known);
    }
    if measured.sample == PointKind::Worst {
        let with_count = measured.points.iter().filter(|point| **point > 0.0).count();
        return format!("{} (in {with_count} of {} runs)", number(known), measured.points.len());
    }
    match measured.interval {
        Some(Interval { low, high }) => format!("{} [{}, {}]", number(known), number(low), number(high)),
        None => {
            let shown: Vec<String> = measured.points.iter().take(POINTS_MAX).copied().map(number).collect();
            shown.join(" ")
        }
    }
}

/// Returns a number as text; whole numbers have no decimals.
fn number(value: f64) -> String {
    let size = value.abs();
    let told = if size.fract() == 0.0 { grouped(size as u64) } else { digits(size) };
    if value < 0.0 { format!("−{told}") } else { told }
}

/// Returns the runs grouped by their common name, with their number: `quiet-sse-1` to `quiet-sse-6` are `quiet-sse
/// (6)`.
fn runs(answer: &Answer) -> String {
    let mut groups: Vec<(String, usize)> = Vec::new();
    for run_id in run_ids(answer) {
        let group = run_id.rsplit_once('-').map_or(run_id, |(group, _)| group);
        match groups.iter_mut().find(|(known, _)| known == group) {
            Some((_, count)) => *count += 1,
            None => groups.push((group.to_owned(), 1)),
        }
    }
    if let (true, [measured, ..]) = (groups.is_empty(), answer.deciding.as_slice()) {
        return measured.origin.to_owned();
    }
    let told: Vec<String> = groups.iter().map(|(group, count)| format!("{group} ({count})")).collect();
    told.join(", ")
}

/// Returns each `run_id` once, those that decide first.
fn run_ids(answer: &Answer) -> Vec<&str> {
    let mut ids: Vec<&str> = Vec::new();
    for run_id in answer.deciding.iter().chain(&answer.beside).flat_map(|measured| &measured.runs) {
        if !ids.contains(&run_id.as_str()) {
            ids.push(run_id);
        }
    }
    ids
}

/// Returns the lines of `claims.csv`: the header, and a row per claim.
pub(super) fn rows(claims: &Claims) -> impl Iterator<Item = Vec<String>> {
    let header = CLAIMS_COLUMNS.iter().map(|column| column.name.to_owned()).collect();
    std::iter::once(header).chain(claims.answers.iter().map(row))
}

fn row(answer: &Answer) -> Vec<String> {
    let cell = |number: Option<f64>| number.rounded().text();
    let figure = |measured: Option<&Evidence>| {
        let of = |value: fn(&Evidence) -> Option<f64>| cell(measured.and_then(value));
        let what =
            measured.map_or(String::new(), |measured| format!("{} {}", measured.transport, measured.what));
        [
            what,
            of(|measured| measured.value),
            of(|measured| Some(measured.interval?.low)),
            of(|measured| Some(measured.interval?.high)),
        ]
    };
    let mut row = vec![answer.claim.to_owned(), answer.about.to_owned()];
    // Only two figures are compared; of more, the first is the worst.
    let other = match answer.deciding.as_slice() {
        [_, other] => Some(other),
        _ => None,
    };
    row.extend(figure(answer.deciding.first()));
    row.extend(figure(other));
    row.push(answer.deciding.first().map_or(String::new(), |measured| measured.unit.to_owned()));
    row.push(evidence(answer));
    row.push(answer.ruling.name().to_owned());
    row.push(answer.why.clone().unwrap_or_default());
    row.push(run_ids(answer).join(" "));
    row
}
