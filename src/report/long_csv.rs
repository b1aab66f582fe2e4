//! `wirelab report --format csv`: one long, tidy table, a row per transport, arm and figure.

use super::aggregate::Group;
use super::figures::Figure;
use super::summary::Summary;
use super::{ReportError, csv_of};

const HEADER: [&str; 11] = [
    "plan",
    "transport",
    "arm",
    "is_aa",
    "figure",
    "unit",
    "median",
    "low",
    "high",
    "interval",
    "runs_count",
];

/// The table. Numbers are in the unit beside them; without a believed run there is no row.
pub(super) fn render(summary: &Summary) -> Result<Vec<u8>, ReportError> {
    let aggregate = summary.aggregate;
    let plain = aggregate.groups.iter().map(|group| (group, "false"));
    let twin = aggregate.pair.iter().map(|(_, twin)| (twin, "true"));
    let figures = Figure::ALL.into_iter();
    let rows = plain.chain(twin).flat_map(|(group, is_aa)| {
        figures.clone().filter_map(move |figure| row(summary, group, is_aa, figure))
    });
    let files = csv_of("report.csv", std::iter::once(HEADER.map(str::to_owned).into()).chain(rows))?;
    Ok(files.into_iter().flat_map(|file| file.bytes).collect())
}

fn row(summary: &Summary, group: &Group, is_aa: &str, figure: Figure) -> Option<Vec<String>> {
    let median = group.summary(figure)?;
    let spread = median.spread();
    let interval = if median.interval.is_some() { "ci95" } else { "range" };
    let texts = [&summary.folder.plan, group.transport, group.arm, is_aa, figure.name(), unit(figure)];
    let numbers = [median.median, spread.low, spread.high].map(|value| number(value / figure.scale()));
    let texts = texts.into_iter().map(str::to_owned);
    Some(texts.chain(numbers).chain([interval.to_owned(), median.values.len().to_string()]).collect())
}

/// Of the column in `runs.csv`, so that both files can be joined.
pub(super) const fn unit(figure: Figure) -> &'static str {
    match figure {
        Figure::LatencyP50 | Figure::LatencyP90 | Figure::LatencyP99 | Figure::LatencyMax => "µs",
        Figure::StalenessMean => "ms",
        Figure::Requests => "ratio",
        Figure::AppBytes | Figure::L7Bytes | Figure::IpBytes | Figure::WireBytes => "bytes",
        Figure::Cpu => "µs",
        Figure::Memory | Figure::MemoryPerConnection => "bytes",
    }
}

/// Six decimals are more than anything here resolves.
fn number(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
