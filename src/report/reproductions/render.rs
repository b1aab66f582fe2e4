//! A reproduction as text: a table for people, rows for programs and for the page.

use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use wirelab_clients::harness::plan::Size;
use wirelab_clients::harness::rows::{Field, REPRODUCTION_COLUMNS};
use wirelab_clients::harness::statistics::{Interval, RUNS_MIN};

use super::Reproduced;
use super::figure::{Asks, Measured, Outcome};
use crate::report::wording::digits;

/// Most points in a cell; with more there is an interval.
const POINTS_MAX: usize = RUNS_MIN;
/// Text of what is not known.
const UNKNOWN: &str = "–";

/// Header of the table.
pub(in crate::report) const HEADER: [&str; 7] =
    ["figure", "printed", "predicted here", "measured", "over printed", "asked", "outcome"];

/// Returns the cells of the table, one row per figure in the order of [`HEADER`].
pub(in crate::report) fn rows(reproduced: &Reproduced) -> Vec<[String; 7]> {
    reproduced.figures.iter().map(row).collect()
}

fn row(figure: &Measured) -> [String; 7] {
    let number = |number: Option<f64>| number.map_or(UNKNOWN.to_owned(), digits);
    [
        format!("{} ({})", figure.what, figure.unit),
        printed(figure),
        number(figure.predicted),
        measured(figure),
        number(figure.ratio()),
        asked(figure),
        outcome(figure),
    ]
}

fn printed(figure: &Measured) -> String {
    match (figure.printed, figure.printed_here()) {
        (Some(printed), Some(here)) if printed.scale != 1.0 => {
            format!("{}, here {}", digits(printed.value), digits(here))
        }
        (Some(printed), _) => digits(printed.value),
        (None, _) => UNKNOWN.to_owned(),
    }
}

/// Returns the median with its interval, or the points where there is none.
fn measured(figure: &Measured) -> String {
    match (figure.value, figure.interval) {
        (None, _) => UNKNOWN.to_owned(),
        (Some(value), Some(Interval { low, high })) => {
            format!("{} [{}, {}]", digits(value), digits(low), digits(high))
        }
        (Some(_), None) => {
            let shown = figure.points.iter().take(POINTS_MAX).map(|point| digits(point.ours));
            shown.collect::<Vec<_>>().join(" ")
        }
    }
}

/// Returns what the figure is asked, in words.
pub(in crate::report) fn asked(figure: &Measured) -> String {
    let percent = |within: f64| format!("{:.0}", within * 100.0);
    match figure.asks {
        Asks::Law { within } => format!("law: within {} % of the prediction", percent(within)),
        Asks::Below { limit } => format!("law: below {}", digits(limit)),
        Asks::Above { limit } => format!("law: above {}", digits(limit)),
        Asks::Constant { within } => format!("constant: within {} % of the printed", percent(within)),
        Asks::Nothing => "shown".to_owned(),
    }
}

/// Returns the answer of the runs, in words.
pub(in crate::report) fn outcome(figure: &Measured) -> String {
    match &figure.outcome {
        Outcome::Agrees => "agrees".to_owned(),
        Outcome::Differs => "differs".to_owned(),
        Outcome::CannotTell(why) => format!("cannot tell: {why}"),
        Outcome::Shown => UNKNOWN.to_owned(),
    }
}

/// Returns the verdict with its reason, as a sentence.
pub(in crate::report) fn sentence(reproduced: &Reproduced) -> String {
    match reproduced.why.as_str() {
        "" => format!("Verdict: {}.", reproduced.verdict.name()),
        why => format!("Verdict: {} ({why}).", reproduced.verdict.name()),
    }
}

pub(super) fn markdown(reproduced: &Reproduced) -> String {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(HEADER);
    for row in rows(reproduced) {
        table.add_row(row);
    }
    let size = match reproduced.size {
        Size::Smoke => "size: smoke, not for citing\n\n",
        Size::Full => "",
    };
    let reproduction = reproduced.reproduction;
    let mut text = format!("{size}{table}\n\n{}\n{}\n", sentence(reproduced), reproduced.origin);
    text +=
        &format!("\nLaw: {}\nSource: {}.\n\nWhat differs:\n", reproduction.law, reproduction.source.cited());
    for difference in reproduction.differs {
        text += &format!("- {difference}\n");
    }
    text += NOTES;
    if !reproduced.invalid.is_empty() {
        text += &format!("\nLeft out as invalid: {}.\n", reproduced.invalid.join(", "));
    }
    text
}

const NOTES: &str = "
Measured figures are medians over runs with their 95 % interval in brackets; where there are too few runs for an
interval, the points. A figure agrees where the whole interval lies within the limits, and differs where it lies outside.
Reproduced: every law and every constant agrees. Same law, other constant: every law agrees. Contradicted: a law differs.
Cannot be shown here: these runs cannot tell, for the reason beside the verdict.
";

/// Returns the lines of `reproduction.csv`: the header, and a row per figure.
pub(super) fn csv_rows(reproduced: &Reproduced) -> impl Iterator<Item = Vec<String>> {
    let header = REPRODUCTION_COLUMNS.iter().map(|column| column.name.to_owned()).collect();
    std::iter::once(header).chain(reproduced.figures.iter().map(|figure| csv_row(reproduced, figure)))
}

fn csv_row(reproduced: &Reproduced, figure: &Measured) -> Vec<String> {
    let cell = |number: Option<f64>| number.rounded().text();
    let reproduction = reproduced.reproduction;
    vec![
        reproduction.name.to_owned(),
        figure.what.to_owned(),
        figure.unit.to_owned(),
        cell(figure.printed.map(|printed| printed.value)),
        cell(figure.printed_here()),
        cell(figure.predicted),
        cell(figure.value),
        cell(figure.interval.map(|interval| interval.low)),
        cell(figure.interval.map(|interval| interval.high)),
        cell(figure.ratio()),
        asked(figure),
        outcome(figure),
        reproduced.verdict.name().to_owned(),
        reproduced.why.clone(),
        reproduction.differs.join(" "),
        reproduction.source.cited(),
        figure.runs().join(" "),
    ]
}
