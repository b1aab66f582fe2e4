//! The rows of the files beside `runs.csv`: percentiles, theory, checks and time series.

use super::csv_file::CsvFile;
use super::folder::FolderError;

/// One row of `percentiles.csv`.
#[derive(Debug)]
pub(super) struct PercentileRow {
    pub(super) run_id: String,
    pub(super) metric: String,
    pub(super) quantile: f64,
    /// Empty with too few distinct lines.
    pub(super) value_us: Option<f64>,
    pub(super) samples: Option<u64>,
}

/// What became of a prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TheoryVerdict {
    /// Within the tolerance.
    Pass,
    /// Outside it.
    Fail,
    /// The run broke an assumption of the formula, so that it was not judged.
    AssumptionBroken,
    /// Told without being judged.
    Reported,
}

impl TheoryVerdict {
    /// As files write it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::AssumptionBroken => "assumption-broken",
            Self::Reported => "reported",
        }
    }

    const ALL: [Self; 4] = [Self::Pass, Self::Fail, Self::AssumptionBroken, Self::Reported];
}

/// One row of `theory.csv`.
#[derive(Debug)]
pub(super) struct TheoryRow {
    pub(super) run_id: String,
    pub(super) formula: String,
    pub(super) quantity: String,
    pub(super) unit: String,
    pub(super) predicted: Option<f64>,
    pub(super) measured: Option<f64>,
    pub(super) residual_ratio: Option<f64>,
    pub(super) tolerance_ratio: Option<f64>,
    pub(super) verdict: TheoryVerdict,
    pub(super) assumption_broken: String,
}

/// What a gate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CheckVerdict {
    /// The two sides agree.
    Pass,
    /// They agree too little to claim small differences.
    Unresolved,
    /// They contradict each other: the run is invalid.
    Fail,
    /// One side is unknown here.
    NotMeasured,
}

impl CheckVerdict {
    /// As files write it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Unresolved => "unresolved",
            Self::Fail => "fail",
            Self::NotMeasured => "not-measured",
        }
    }

    const ALL: [Self; 4] = [Self::Pass, Self::Unresolved, Self::Fail, Self::NotMeasured];
}

/// One row of `checks.csv`.
#[derive(Debug)]
pub(super) struct CheckRow {
    pub(super) run_id: String,
    pub(super) check: String,
    pub(super) left: Option<f64>,
    pub(super) right: Option<f64>,
    pub(super) unit: String,
    pub(super) tolerance: Option<f64>,
    pub(super) verdict: CheckVerdict,
}

/// One row of `timeseries.csv`.
#[derive(Debug)]
pub(super) struct SeriesRow {
    pub(super) run_id: String,
    /// Since the first due time.
    pub(super) t_s: f64,
    pub(super) metric: String,
    pub(super) value: f64,
    pub(super) unit: String,
}

pub(super) fn percentiles(csv: &str) -> Result<Vec<PercentileRow>, FolderError> {
    let needed = ["run_id", "metric", "quantile", "value_us", "samples_count"];
    let table = CsvFile::read("percentiles.csv", csv, &needed)?;
    let mut rows = Vec::new();
    for row in table.rows() {
        let quantile = row.number("quantile")?.filter(|quantile| *quantile <= 1.0);
        rows.push(PercentileRow {
            run_id: row.text("run_id")?.to_owned(),
            metric: row.text("metric")?.to_owned(),
            quantile: quantile.ok_or_else(|| row.garbled("quantile is not between 0 and 1".to_owned()))?,
            value_us: row.number("value_us")?,
            samples: row.count("samples_count")?,
        });
    }
    Ok(rows)
}

pub(super) fn theory(csv: &str) -> Result<Vec<TheoryRow>, FolderError> {
    let needed = ["run_id", "formula", "quantity", "unit", "predicted", "measured", "verdict"];
    let table = CsvFile::read("theory.csv", csv, &needed)?;
    let verdicts = TheoryVerdict::ALL.map(|verdict| (verdict.name(), verdict));
    let mut rows = Vec::new();
    for row in table.rows() {
        rows.push(TheoryRow {
            run_id: row.text("run_id")?.to_owned(),
            formula: row.text("formula")?.to_owned(),
            quantity: row.text("quantity")?.to_owned(),
            unit: row.text("unit")?.to_owned(),
            predicted: row.signed("predicted")?,
            measured: row.signed("measured")?,
            residual_ratio: row.signed("residual_ratio")?,
            tolerance_ratio: row.number("tolerance_ratio")?,
            verdict: row.word("verdict", &verdicts)?,
            assumption_broken: row.text("assumption_broken")?.to_owned(),
        });
    }
    Ok(rows)
}

pub(super) fn checks(csv: &str) -> Result<Vec<CheckRow>, FolderError> {
    let needed = ["run_id", "check", "left", "right", "unit", "tolerance", "verdict"];
    let table = CsvFile::read("checks.csv", csv, &needed)?;
    let verdicts = CheckVerdict::ALL.map(|verdict| (verdict.name(), verdict));
    let mut rows = Vec::new();
    for row in table.rows() {
        rows.push(CheckRow {
            run_id: row.text("run_id")?.to_owned(),
            check: row.text("check")?.to_owned(),
            left: row.signed("left")?,
            right: row.signed("right")?,
            unit: row.text("unit")?.to_owned(),
            tolerance: row.signed("tolerance")?,
            verdict: row.word("verdict", &verdicts)?,
        });
    }
    Ok(rows)
}

pub(super) fn series(csv: &str) -> Result<Vec<SeriesRow>, FolderError> {
    let table = CsvFile::read("timeseries.csv", csv, &["run_id", "t_s", "metric", "value", "unit"])?;
    let mut rows = Vec::new();
    for row in table.rows() {
        // What was not measured at that moment has no point.
        if let (Some(t_s), Some(value)) = (row.signed("t_s")?, row.signed("value")?) {
            rows.push(SeriesRow {
                run_id: row.text("run_id")?.to_owned(),
                t_s,
                metric: row.text("metric")?.to_owned(),
                value,
                unit: row.text("unit")?.to_owned(),
            });
        }
    }
    Ok(rows)
}
