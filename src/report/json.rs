//! `wirelab report --format json`: the finding and what it rests on, for programs.
//!
//! Figures have the names and units of `runs.csv`.

use serde::Serialize;
use wirelab_clients::harness::results::Manifest;
use wirelab_clients::harness::rows::RunRow;
use wirelab_clients::wire::Transport;

use super::ReportError;
use super::aggregate::{Group, GroupFigure};
use super::figures::Figure;
use super::finding::Sentence;
use super::links;
use super::long_csv::unit;
use super::reproductions::{self, Measured, Reproduced};
use super::summary::Summary;

/// Version of this document; raised when a member changes its meaning.
const REPORT_VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    report_version: u32,
    plan: &'a str,
    question: &'a str,
    prediction: Option<&'a str>,
    /// `full`, or `smoke`: too short to be cited.
    size: &'static str,
    finding: &'a [Sentence],
    /// What the verdicts of the runs mean, besides `ok`, for people.
    verdicts: Vec<&'static str>,
    cells: Vec<CellJson<'a>>,
    aa: Option<CellJson<'a>>,
    sweep: Option<SweepOf<'a>>,
    /// Printed figures and the verdict on them; null for a plan that reproduces nothing.
    reproduction: Option<ReproductionJson>,
    theory: Vec<TheoryJson<'a>>,
    checks: Vec<CheckJson<'a>>,
    manifest: &'a Manifest,
}

#[derive(Serialize)]
struct CellJson<'a> {
    label: &'a str,
    transport: Transport,
    arm: &'a str,
    /// Link between subscribers and server in a few words: `none`, or such as `line, 25 ms each way`.
    network: String,
    runs: Vec<RunJson<'a>>,
    figures: Vec<FigureOf<'a>>,
}

#[derive(Serialize)]
struct RunJson<'a> {
    run_id: &'a str,
    verdict: &'static str,
    verdict_reasons: &'a [String],
    lost_count: u64,
    duplicated_count: u64,
    censored_count: u64,
    out_of_order_count: u64,
}

#[derive(Serialize)]
struct FigureOf<'a> {
    figure: &'a str,
    unit: &'a str,
    median: f64,
    /// Lower end of the 95 % interval of the median over runs; null under six runs.
    ci_low: Option<f64>,
    ci_high: Option<f64>,
    /// Values, one per valid run, in the order of blocks.
    values: Vec<f64>,
}

#[derive(Serialize)]
struct SweepOf<'a> {
    factor: &'static str,
    series: Vec<SeriesOf<'a>>,
}

#[derive(Serialize)]
struct SeriesOf<'a> {
    label: &'a str,
    points: Vec<Point<'a>>,
}

#[derive(Serialize)]
struct Point<'a> {
    level: f64,
    cell: &'a str,
}

#[derive(Serialize)]
struct ReproductionJson {
    name: &'static str,
    source: String,
    law: &'static str,
    differs: &'static [&'static str],
    verdict: &'static str,
    why: String,
    figures: Vec<PrintedJson>,
}

/// A printed figure beside ours, with the names of `reproduction.csv`.
#[derive(Serialize)]
struct PrintedJson {
    figure: &'static str,
    unit: &'static str,
    printed: Option<f64>,
    printed_here: Option<f64>,
    predicted: Option<f64>,
    value: Option<f64>,
    ci_low: Option<f64>,
    ci_high: Option<f64>,
    over_printed_ratio: Option<f64>,
    values: Vec<f64>,
    asked: String,
    outcome: String,
}

#[derive(Serialize)]
struct TheoryJson<'a> {
    run_id: &'a str,
    formula: &'a str,
    quantity: &'a str,
    unit: &'a str,
    predicted: Option<f64>,
    measured: Option<f64>,
    residual_ratio: Option<f64>,
    tolerance_ratio: Option<f64>,
    verdict: &'static str,
    assumption_broken: &'a str,
}

#[derive(Serialize)]
struct CheckJson<'a> {
    run_id: &'a str,
    check: &'a str,
    left: Option<f64>,
    right: Option<f64>,
    unit: &'a str,
    tolerance: Option<f64>,
    verdict: &'static str,
}

fn reproduction(reproduced: Reproduced) -> ReproductionJson {
    let Reproduced { reproduction, figures, verdict, why, .. } = reproduced;
    ReproductionJson {
        name: reproduction.name,
        source: reproduction.source.cited(),
        law: reproduction.law,
        differs: reproduction.differs,
        verdict: verdict.name(),
        why,
        figures: figures.iter().map(printed).collect(),
    }
}

fn printed(figure: &Measured) -> PrintedJson {
    PrintedJson {
        figure: figure.what,
        unit: figure.unit,
        printed: figure.printed.map(|printed| printed.value),
        printed_here: figure.printed_here(),
        predicted: figure.predicted,
        value: figure.value,
        ci_low: figure.interval.map(|interval| interval.low),
        ci_high: figure.interval.map(|interval| interval.high),
        over_printed_ratio: figure.ratio(),
        values: figure.points.iter().map(|point| point.ours).collect(),
        asked: reproductions::asked(figure),
        outcome: reproductions::outcome(figure),
    }
}

/// Returns the document.
pub(super) fn render(summary: &Summary) -> Result<Vec<u8>, ReportError> {
    let folder = summary.folder;
    let document = Document {
        report_version: REPORT_VERSION,
        plan: &folder.plan.name,
        question: &folder.plan.question,
        prediction: folder.plan.prediction.as_deref(),
        size: folder.plan.size.name(),
        finding: &summary.finding,
        verdicts: summary.meanings(),
        cells: summary.aggregate.groups.iter().map(|group| cell(summary, group)).collect(),
        aa: summary.aggregate.pair.as_ref().map(|(_, twin)| cell(summary, twin)),
        reproduction: Reproduced::of(folder).map(reproduction),
        sweep: sweep(summary),
        theory: theory(summary),
        checks: checks(summary),
        manifest: &folder.manifest,
    };
    let mut bytes =
        serde_json::to_vec_pretty(&document).map_err(|error| ReportError::Page(error.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn cell<'a>(summary: &Summary, group: &'a Group<'a>) -> CellJson<'a> {
    let run = |run: &&'a RunRow| RunJson {
        run_id: &run.run_id,
        verdict: run.verdict.name(),
        verdict_reasons: &run.verdict_reasons,
        lost_count: run.lost_count,
        duplicated_count: run.duplicated_count,
        censored_count: run.censored_count,
        out_of_order_count: run.out_of_order_count,
    };
    let figures = Figure::ALL.into_iter();
    CellJson {
        label: &group.label,
        transport: group.transport,
        arm: group.arm,
        network: links::in_short(&links::network_of(summary.folder, group.runs[0])),
        runs: group.runs.iter().map(run).collect(),
        figures: figures.filter_map(|figure| Some(figure_of(figure, group.summary(figure)?))).collect(),
    }
}

fn figure_of(figure: Figure, median: &GroupFigure) -> FigureOf<'static> {
    // Values are those of `runs.csv`, rounded to six decimals as there: converting units leaves tiny errors.
    let raw = |value: f64| (value / figure.scale() * 1e6).round() / 1e6;
    FigureOf {
        figure: figure.name(),
        unit: unit(figure),
        median: raw(median.median),
        ci_low: median.interval.map(|interval| raw(interval.low)),
        ci_high: median.interval.map(|interval| raw(interval.high)),
        values: median.values.iter().copied().map(raw).collect(),
    }
}

fn sweep<'a>(summary: &'a Summary) -> Option<SweepOf<'a>> {
    let sweep = summary.sweep.as_ref()?;
    let series = sweep.series.iter().map(|series| SeriesOf {
        label: &series.label,
        points: series
            .points
            .iter()
            .map(|(level, group)| Point { level: *level, cell: &group.label })
            .collect(),
    });
    Some(SweepOf { factor: sweep.factor.column(), series: series.collect() })
}

fn theory<'a>(summary: &'a Summary) -> Vec<TheoryJson<'a>> {
    let rows = summary.folder.rows.theory.iter();
    rows.map(|row| TheoryJson {
        run_id: &row.run_id,
        formula: &row.formula,
        quantity: &row.quantity,
        unit: &row.unit,
        predicted: row.predicted,
        measured: row.measured,
        residual_ratio: row.residual_ratio,
        tolerance_ratio: row.tolerance_ratio,
        verdict: row.verdict.name(),
        assumption_broken: &row.assumption_broken,
    })
    .collect()
}

fn checks<'a>(summary: &'a Summary) -> Vec<CheckJson<'a>> {
    let rows = summary.folder.rows.checks.iter();
    rows.map(|row| CheckJson {
        run_id: &row.run_id,
        check: &row.check,
        left: row.left,
        right: row.right,
        unit: &row.unit,
        tolerance: row.tolerance,
        verdict: row.verdict.name(),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::report::synthetic::{self, MadeUp};
    use crate::report::{Folder, TextFormat, report};

    fn document(cells: &[MadeUp]) -> Value {
        serde_json::from_slice(&report(&synthetic::folder(cells, 1), TextFormat::Json).unwrap()).unwrap()
    }

    #[test]
    fn the_document_holds_the_finding_and_what_it_rests_on() {
        let cell = |transport, p50| MadeUp { noise_ratio: 0.0, ..MadeUp::of(transport, p50, 6) };
        let document = document(&[cell("sse", 0.5), cell("short-poll", 100.0)]);
        assert_eq!(document["question"], "What does a shorter interval buy?");
        assert_eq!(document["finding"][0]["topic"], "latency");
        let text = document["finding"][0]["text"].as_str().unwrap();
        assert!(text.starts_with("Fastest was sse"), "{text}");
        let short = &document["cells"][0];
        assert_eq!((&short["label"], &short["runs"][0]["verdict"]), (&json!("short-poll"), &json!("ok")));
        assert_eq!(
            short["figures"][0],
            json!({
                "figure": "delivery_latency_us_p50", "unit": "µs", "median": 100_000.0,
                "ci_low": 100_000.0, "ci_high": 100_000.0, "values": vec![100_000.0; 6],
            })
        );
        assert_eq!((document["theory"].as_array().unwrap().len(), &document["sweep"]), (48, &Value::Null));
        assert_eq!(document["manifest"]["seed"], 7);
    }

    #[test]
    fn a_smoke_run_says_that_it_is_one() {
        let mut files = synthetic::files(&[MadeUp::of("sse", 0.5, 1)], 1);
        let document = |files: &[crate::report::File]| -> Value {
            serde_json::from_slice(&report(&Folder::read(files).unwrap(), TextFormat::Json).unwrap()).unwrap()
        };
        assert_eq!(document(&files)["size"], "full");
        let plan = files.iter_mut().find(|file| file.path == "plan.toml").unwrap();
        plan.bytes.extend(b"size = \"smoke\"\n");
        let document = document(&files);
        assert_eq!(
            (&document["size"], &document["finding"][0]["topic"]),
            (&json!("smoke"), &json!("caution"))
        );
    }

    #[test]
    fn what_is_not_known_is_null() {
        let document = document(&[MadeUp { verdicts: vec!["invalid"], ..MadeUp::of("sse", 0.5, 1) }]);
        assert_eq!(document["cells"][0]["figures"], json!([]));
        assert_eq!(document["aa"], Value::Null);
    }

    #[test]
    fn a_sweep_names_its_factor_and_its_cells() {
        let document = document(&MadeUp::sweep(1));
        assert_eq!(document["sweep"]["factor"], "poll_interval_ms");
        let point = &document["sweep"]["series"][0]["points"][0];
        assert_eq!((&point["level"], &point["cell"]), (&json!(50.0), &json!("short-poll (fixed-50ms)")));
    }
}
