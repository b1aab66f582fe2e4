//! `wirelab report --format benchmark`: figures for tools that draw a benchmark's trend over commits.
//!
//! The form is `customSmallerIsBetter` of github-action-benchmark, which other tools read too: a list of objects with
//! `name`, `unit`, `value`, `range` and `extra`. For every figure of a report less is better. A cell without a valid run
//! has no entry: a trend must not rest on it.

use serde::Serialize;

use super::ReportError;
use super::aggregate::Group;
use super::figures::{Figure, Origin};
use super::summary::Summary;
use super::wording::{counted, digits};

#[derive(Serialize)]
struct Entry {
    name: String,
    unit: &'static str,
    value: f64,
    /// Interval of the median over runs, or the range of the runs; left out where there is one value only.
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<String>,
    /// What the value and its range are.
    extra: String,
}

/// Returns the list.
pub(super) fn render(summary: &Summary) -> Result<Vec<u8>, ReportError> {
    let groups = summary.aggregate.groups.iter();
    let entries = groups.flat_map(|group| Figure::ALL.into_iter().filter_map(|figure| entry(group, figure)));
    let entries: Vec<Entry> = entries.collect();
    let mut bytes =
        serde_json::to_vec_pretty(&entries).map_err(|error| ReportError::Page(error.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn entry(group: &Group, figure: Figure) -> Option<Entry> {
    let median = group.summary(figure)?;
    let spread = median.spread();
    let has_range = figure.origin() == Origin::EachRun && median.values.len() > 1;
    let what = match (has_range, median.interval) {
        (false, _) => "",
        (true, Some(_)) => ", with its 95 % interval",
        (true, None) => ", with their range",
    };
    Some(Entry {
        name: format!("{}: {}", group.label, figure.title()),
        unit: match figure.unit() {
            "" => "per line",
            unit => unit,
        },
        value: (median.median * 1e6).round() / 1e6,
        range: has_range.then(|| format!("{}–{}", digits(spread.low), digits(spread.high))),
        extra: format!("median of {}{what}", counted(median.values.len(), "valid run", "valid runs")),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::report::synthetic::{self, MadeUp};
    use crate::report::{TextFormat, report};

    fn entries(cells: &[MadeUp]) -> Vec<Value> {
        let bytes = report(&synthetic::folder(cells, 1), TextFormat::Benchmark).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn an_entry_per_cell_and_figure_has_what_trend_tools_read() {
        let cell = |transport, runs| MadeUp { noise_ratio: 0.0, ..MadeUp::of(transport, 0.5, runs) };
        let entries = entries(&[cell("sse", 6), cell("ndjson", 1).arm("gzip")]);
        let p50 = json!({
            "name": "sse: latency p50", "unit": "ms", "value": 0.5, "range": "0.500–0.500",
            "extra": "median of 6 valid runs, with its 95 % interval",
        });
        assert!(entries.contains(&p50), "{entries:#?}");
        let alone = entries.iter().find(|entry| entry["name"] == "ndjson (gzip): latency p50").unwrap();
        assert_eq!((&alone["range"], &alone["extra"]), (&Value::Null, &json!("median of 1 valid run")));
        for entry in &entries {
            assert!(entry["name"].is_string() && entry["value"].is_number(), "{entry}");
            assert!(entry["unit"].as_str().is_some_and(|unit| !unit.is_empty()), "{entry}");
        }
    }

    #[test]
    fn an_invalid_cell_has_no_entry() {
        let invalid = MadeUp { verdicts: vec!["invalid"], ..MadeUp::of("sse", 0.5, 1) };
        assert!(entries(&[invalid]).is_empty());
    }
}
