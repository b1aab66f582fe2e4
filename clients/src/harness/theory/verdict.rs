//! Rows of `theory.csv`: a prediction, what was measured, and what follows.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// What a measurement may differ by when everything else is certain.
pub const TOLERANCE_RATIO: f64 = 0.05;
/// Standard errors that a measurement may be off: of a thousand honest rows, three are not within.
pub const SIGMAS: f64 = 3.0;
/// With more tolerance than this a row would pass almost anything: it is reported and not judged.
pub const TOLERANCE_RATIO_MAX: f64 = 0.5;

/// What became of a prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TheoryVerdict {
    /// Measured within the tolerance.
    Pass,
    /// Measured outside it.
    Fail,
    /// The run broke what the formula assumes: it says nothing about the run.
    AssumptionBroken,
    /// Nothing to judge: not measured, too uncertain, or a number for the reader.
    Reported,
}

impl TheoryVerdict {
    /// Every verdict.
    pub const ALL: [Self; 4] = [Self::Pass, Self::Fail, Self::AssumptionBroken, Self::Reported];

    /// The name in CSV files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::AssumptionBroken => "assumption-broken",
            Self::Reported => "reported",
        }
    }
}

/// One prediction about one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TheoryRow {
    /// `F1`.
    pub formula: Cow<'static, str>,
    /// What is predicted.
    pub quantity: String,
    /// Of both numbers: `us`, `ms`, `1/s`, `ratio`, `count`, `bytes`.
    pub unit: Cow<'static, str>,
    /// By the formula, from the calibration.
    pub predicted: f64,
    /// By the run; `None`: it could not say.
    pub measured: Option<f64>,
    /// What the two may differ by, as a share of the predicted: 5 %, three standard errors, and the calibration's own
    /// uncertainty. `None` where nothing is judged.
    pub tolerance_ratio: Option<f64>,
    /// What follows.
    pub verdict: TheoryVerdict,
    /// What the run broke, if it did.
    pub assumption_broken: Option<String>,
}

impl TheoryRow {
    /// measured / predicted − 1.
    pub fn residual_ratio(&self) -> Option<f64> {
        Some(self.measured? / self.predicted - 1.0).filter(|ratio| ratio.is_finite())
    }
}

/// A number that a formula gives, and how uncertain it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Prediction {
    pub(super) value: f64,
    /// Standard error of what a run of this length measures.
    pub(super) error: f64,
    /// What the calibration leaves open.
    pub(super) calibration: f64,
}

impl Prediction {
    pub(super) fn exact(value: f64) -> Self {
        Self { value, error: 0.0, calibration: 0.0 }
    }

    pub(super) fn with_error(self, error: f64) -> Self {
        Self { error, ..self }
    }

    pub(super) fn with_calibration(self, calibration: f64) -> Self {
        Self { calibration, ..self }
    }

    fn times(self, factor: f64) -> Self {
        Self {
            value: self.value * factor,
            error: self.error * factor,
            calibration: self.calibration * factor,
        }
    }

    fn tolerance_ratio(&self) -> f64 {
        TOLERANCE_RATIO + (SIGMAS * self.error + self.calibration) / self.value.abs()
    }
}

/// What a quantity is counted in, and how many of it are in the SI unit that formulas use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Microseconds,
    Milliseconds,
    PerSecond,
    Ratio,
    Count,
    Bytes,
}

impl Unit {
    const fn name(self) -> &'static str {
        match self {
            Self::Microseconds => "us",
            Self::Milliseconds => "ms",
            Self::PerSecond => "1/s",
            Self::Ratio => "ratio",
            Self::Count => "count",
            Self::Bytes => "bytes",
        }
    }

    const fn per_si(self) -> f64 {
        match self {
            Self::Microseconds => 1e6,
            Self::Milliseconds => 1e3,
            Self::PerSecond | Self::Ratio | Self::Count | Self::Bytes => 1.0,
        }
    }
}

/// A row that is judged, unless something was broken or is too uncertain. Both numbers in SI units.
pub(super) fn judged(
    formula: &'static str,
    quantity: impl Into<String>,
    unit: Unit,
    predicted: Prediction,
    measured: Option<f64>,
    broken: &[String],
) -> TheoryRow {
    let predicted = predicted.times(unit.per_si());
    let measured = measured.map(|measured| measured * unit.per_si()).filter(|measured| measured.is_finite());
    let tolerance = Some(predicted.tolerance_ratio()).filter(|tolerance| tolerance.is_finite());
    let mut broken = broken.to_vec();
    if predicted.calibration > TOLERANCE_RATIO * predicted.value.abs() {
        broken.push(format!(
            "what the calibration leaves open ({:.3} {}) is above {:.0} % of what is predicted",
            predicted.calibration,
            unit.name(),
            TOLERANCE_RATIO * 100.0
        ));
    }
    let verdict = match (measured, tolerance) {
        _ if !broken.is_empty() => TheoryVerdict::AssumptionBroken,
        (None, _) | (_, None) => TheoryVerdict::Reported,
        (Some(_), Some(tolerance)) if tolerance > TOLERANCE_RATIO_MAX => TheoryVerdict::Reported,
        (Some(measured), Some(tolerance)) => {
            // Not below one: that would fail a NaN's row silently the other way round.
            match (measured - predicted.value).abs() <= tolerance * predicted.value.abs() {
                true => TheoryVerdict::Pass,
                false => TheoryVerdict::Fail,
            }
        }
    };
    TheoryRow {
        formula: formula.into(),
        quantity: quantity.into(),
        unit: unit.name().into(),
        predicted: predicted.value,
        measured,
        tolerance_ratio: match verdict {
            TheoryVerdict::Pass | TheoryVerdict::Fail => tolerance,
            TheoryVerdict::AssumptionBroken | TheoryVerdict::Reported => None,
        },
        verdict,
        assumption_broken: (!broken.is_empty()).then(|| broken.join("; ")),
    }
}

/// A row for the reader.
pub(super) fn reported(
    formula: &'static str,
    quantity: impl Into<String>,
    unit: Unit,
    predicted: f64,
    measured: Option<f64>,
) -> TheoryRow {
    TheoryRow {
        formula: formula.into(),
        quantity: quantity.into(),
        unit: unit.name().into(),
        predicted: predicted * unit.per_si(),
        measured: measured.map(|measured| measured * unit.per_si()).filter(|measured| measured.is_finite()),
        tolerance_ratio: None,
        verdict: TheoryVerdict::Reported,
        assumption_broken: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(measured: Option<f64>, error: f64, calibration: f64, broken: &[String]) -> TheoryRow {
        let predicted = Prediction::exact(0.1).with_error(error).with_calibration(calibration);
        judged("F1", "x", Unit::Milliseconds, predicted, measured, broken)
    }

    #[test]
    fn a_row_passes_within_its_tolerance_and_fails_outside() {
        let verdict = |measured| row(Some(measured), 0.0, 0.0, &[]).verdict;
        assert_eq!([0.1, 0.104, 0.096].map(verdict), [TheoryVerdict::Pass; 3]);
        assert_eq!([0.106, 0.094, 0.0, -0.1].map(verdict), [TheoryVerdict::Fail; 4]);
        let row = row(Some(0.106), 0.0, 0.0, &[]);
        assert_eq!((row.predicted, row.measured, row.unit.as_ref()), (100.0, Some(106.0), "ms"));
        assert!((row.residual_ratio().unwrap() - 0.06).abs() < 1e-9);
    }

    #[test]
    fn few_lines_widen_the_tolerance_and_too_few_leave_nothing_to_judge() {
        let wide = row(Some(0.11), 0.002, 0.0, &[]);
        assert_eq!(wide.verdict, TheoryVerdict::Pass);
        assert!((wide.tolerance_ratio.unwrap() - 0.11).abs() < 1e-9);
        assert_eq!(row(Some(0.3), 0.02, 0.0, &[]).verdict, TheoryVerdict::Reported);
        assert_eq!(row(None, 0.0, 0.0, &[]).verdict, TheoryVerdict::Reported);
    }

    #[test]
    fn a_broken_assumption_never_fails_and_says_its_name() {
        let row = row(Some(9.0), 0.0, 0.0, &["jitter".to_owned(), "adaptive".to_owned()]);
        assert_eq!(row.verdict, TheoryVerdict::AssumptionBroken);
        assert_eq!(row.assumption_broken.as_deref(), Some("jitter; adaptive"));
    }

    #[test]
    fn what_the_machine_cannot_resolve_is_not_judged() {
        let row = row(Some(9.0), 0.0, 0.006, &[]);
        assert_eq!(row.verdict, TheoryVerdict::AssumptionBroken);
        assert!(row.assumption_broken.unwrap().contains("leaves open (6.000 ms)"));
    }

    #[test]
    fn nothing_predicted_is_judged_by_no_ratio() {
        let row = judged("F5", "x", Unit::Ratio, Prediction::exact(0.0), Some(0.0), &[]);
        assert_eq!((row.verdict, row.residual_ratio()), (TheoryVerdict::Reported, None));
    }
}
