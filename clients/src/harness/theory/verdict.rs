//! Rows of `theory.csv`: a prediction, the measured value, and the verdict.

use crate::harness::run_result::{Residual, TheoryVerdict};

/// Allowed difference of a measurement, as a share of the prediction, when everything else is certain.
pub const TOLERANCE_RATIO: f64 = 0.05;
/// Standard errors that a measurement may be off: about three in a thousand correct rows are outside.
pub const SIGMAS: f64 = 3.0;
/// Largest tolerance of a row that is judged: with more, a row would pass almost anything, so it is only reported.
pub const TOLERANCE_RATIO_MAX: f64 = 0.5;

/// Value that a formula gives, with its uncertainty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Prediction {
    pub(super) value: f64,
    /// Standard error of the value that a run of this length measures.
    pub(super) error: f64,
    /// Uncertainty that the calibration leaves.
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

/// Unit of a quantity in `theory.csv`; formulas use SI units.
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

/// Makes a row that is judged, unless an assumption is broken or the prediction is too uncertain. Both numbers are in
/// SI units.
pub(super) fn judged(
    formula: &'static str,
    quantity: impl Into<String>,
    unit: Unit,
    predicted: Prediction,
    measured: Option<f64>,
    broken: &[String],
) -> Residual {
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
            // Written so that a NaN fails the row: its comparison is false.
            match (measured - predicted.value).abs() <= tolerance * predicted.value.abs() {
                true => TheoryVerdict::Pass,
                false => TheoryVerdict::Fail,
            }
        }
    };
    Residual {
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

/// Makes a row that is reported and not judged. Both numbers are in SI units.
pub(super) fn reported(
    formula: &'static str,
    quantity: impl Into<String>,
    unit: Unit,
    predicted: f64,
    measured: Option<f64>,
) -> Residual {
    Residual {
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

/// Names an assumption that a row which is only reported has broken.
pub(super) fn noting(row: Residual, broken: Option<String>) -> Residual {
    Residual { assumption_broken: broken, ..row }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(measured: Option<f64>, error: f64, calibration: f64, broken: &[String]) -> Residual {
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
