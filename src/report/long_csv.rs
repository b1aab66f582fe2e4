//! `wirelab report --format csv`: one long, tidy table, a row per transport, arm and figure.

use wirelab_clients::harness::rows::csv_text;

use super::aggregate::Group;
use super::figures::{Figure, Origin};
use super::summary::Summary;

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

/// Returns the table. Numbers are in the unit beside them. A cell without a valid run has no row.
pub(super) fn render(summary: &Summary) -> Vec<u8> {
    let aggregate = summary.aggregate;
    let plain = aggregate.groups.iter().map(|group| (group, "false"));
    let twin = aggregate.pair.iter().map(|(_, twin)| (twin, "true"));
    let figures = Figure::ALL.into_iter();
    let rows = plain.chain(twin).flat_map(|(group, is_aa)| {
        figures.clone().filter_map(move |figure| row(summary, group, is_aa, figure))
    });
    csv_text(std::iter::once(HEADER.map(str::to_owned).into()).chain(rows))
}

fn row(summary: &Summary, group: &Group, is_aa: &str, figure: Figure) -> Option<Vec<String>> {
    let median = group.summary(figure)?;
    let spread = median.spread();
    // A number that many runs share has no spread, however often it appears.
    let (ends, interval) = match (figure.origin(), median.interval) {
        (Origin::ManyRuns, _) => (None, ""),
        (Origin::EachRun, Some(_)) => (Some(spread), "ci95"),
        (Origin::EachRun, None) => (Some(spread), "range"),
    };
    let texts =
        [&summary.folder.plan.name, group.transport.name(), group.arm, is_aa, figure.name(), unit(figure)];
    let numbers = [Some(median.median), ends.map(|ends| ends.low), ends.map(|ends| ends.high)]
        .map(|value| value.map_or(String::new(), |value| number(value / figure.scale())));
    let texts = texts.into_iter().map(str::to_owned);
    Some(texts.chain(numbers).chain([interval.to_owned(), median.values.len().to_string()]).collect())
}

/// Returns the unit of the figure's column in `runs.csv`, so that both files can be joined.
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

/// Returns a number with six decimals, which is more than anything here resolves.
fn number(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use crate::report::synthetic::{self, MadeUp};
    use crate::report::{TextFormat, report};

    fn rows(cells: &[MadeUp]) -> Vec<String> {
        let text = String::from_utf8(report(&synthetic::folder(cells, 1), TextFormat::Csv).unwrap()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_row_per_cell_and_figure_with_its_unit_and_its_interval() {
        let cell = |transport, runs| MadeUp { noise_ratio: 0.0, ..MadeUp::of(transport, 0.5, runs) };
        let rows =
            rows(&[cell("sse", 6), MadeUp { is_aa: true, ..cell("sse", 6) }, cell("ndjson", 2).arm("gzip")]);
        assert_eq!(rows[0], "plan,transport,arm,is_aa,figure,unit,median,low,high,interval,runs_count");
        for expected in [
            "made-up,sse,,false,delivery_latency_us_p50,µs,500,500,500,ci95,6",
            "made-up,sse,,true,delivery_latency_us_p50,µs,500,500,500,ci95,6",
            "made-up,ndjson,gzip,false,requests_per_line_ratio,ratio,0.001,0.001,0.001,range,2",
            "made-up,ndjson,gzip,false,wire_per_line_bytes,bytes,240,240,240,range,2",
        ] {
            assert!(rows.iter().any(|row| row == expected), "{expected} is not in {rows:#?}");
        }
    }

    #[test]
    fn one_number_of_many_runs_has_no_interval() {
        let rows = rows(&[MadeUp::of("sse", 0.5, 6).with("server_pss_anon_per_connection_bytes", 2_048)]);
        let expected = "made-up,sse,,false,server_pss_anon_per_connection_bytes,bytes,2048,,,,6";
        assert!(rows.iter().any(|row| row == expected), "{rows:#?}");
    }

    #[test]
    fn an_invalid_cell_has_no_row() {
        let invalid = MadeUp { verdicts: vec!["invalid"], ..MadeUp::of("sse", 0.5, 1) };
        let rows = rows(&[invalid, MadeUp::of("ndjson", 0.5, 1)]);
        assert!(
            rows.len() > 5 && rows[1..].iter().all(|row| row.starts_with("made-up,ndjson,")),
            "{rows:#?}"
        );
    }
}
