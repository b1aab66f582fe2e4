//! A figure: what was printed, what is measured beside it, and what it is asked.
//!
//! The answer comes from the 95 % interval of the median over runs, never from the median alone. An interval that holds
//! the limit of what agrees says nothing; nor does a latency that misses it by less than the harness was late.

use wirelab_clients::harness::statistics::{Interval, RUNS_MIN, median, median_interval};

use super::point::Point;
use super::seen::Seen;

/// A printed number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::report) struct Printed {
    /// Number as it was printed.
    pub(in crate::report) value: f64,
    /// Factor by which our set-up is smaller.
    pub(in crate::report) scale: f64,
}

/// What a figure is asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::report) enum Asks {
    /// Whether the law holds: ours differs from its prediction here by at most this share.
    Law { within: f64 },
    /// Whether the law holds, as an upper limit.
    Below { limit: f64 },
    /// Whether the law holds, as a lower limit.
    Above { limit: f64 },
    /// Whether the constant is the printed one: ours differs from it by at most this share.
    Constant { within: f64 },
    /// Nothing: the figure is shown and decides nothing.
    Nothing,
}

/// A figure of a reproduction.
pub(in crate::report) struct Figure {
    /// What is counted, and of which cell; short enough for a plot.
    pub(super) what: &'static str,
    pub(super) unit: &'static str,
    /// Number that the source prints; `None` where the source gives a law alone.
    pub(super) printed: Option<Printed>,
    pub(super) asks: Asks,
    /// Returns a point per run, or per block for a ratio of two cells.
    pub(super) points: fn(&Seen<'_>) -> Vec<Point>,
}

/// Answer of the runs to a figure's question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::report) enum Outcome {
    /// The whole interval lies within the limits.
    Agrees,
    /// The whole interval lies outside.
    Differs,
    /// The runs cannot tell, with the reason.
    CannotTell(String),
    /// The figure is asked nothing.
    Shown,
}

/// A figure as it was measured.
#[derive(Debug)]
pub(in crate::report) struct Measured {
    pub(in crate::report) what: &'static str,
    pub(in crate::report) unit: &'static str,
    pub(in crate::report) printed: Option<Printed>,
    pub(in crate::report) asks: Asks,
    pub(in crate::report) points: Vec<Point>,
    /// Median over runs; `None` where no valid run has the figure.
    pub(in crate::report) value: Option<f64>,
    /// 95 % interval of the median; `None` under 6 runs.
    pub(in crate::report) interval: Option<Interval>,
    /// Median of what the law predicts here.
    pub(in crate::report) predicted: Option<f64>,
    pub(in crate::report) outcome: Outcome,
}

impl Figure {
    /// Returns the figure as these runs show it.
    pub(super) fn measured(self, seen: &Seen<'_>) -> Measured {
        let Self { what, unit, printed, asks, points } = self;
        let points = points(seen);
        let ours: Vec<f64> = points.iter().map(|point| point.ours).collect();
        let predicted: Vec<f64> = points.iter().filter_map(|point| point.predicted).collect();
        Measured {
            what,
            unit,
            printed,
            asks,
            value: median(&ours),
            interval: median_interval(&ours, seen.seed()),
            predicted: median(&predicted),
            outcome: outcome(asks, printed, &points, seen.seed()),
            points,
        }
    }
}

impl Measured {
    /// Returns the printed number at our scale.
    pub(in crate::report) fn printed_here(&self) -> Option<f64> {
        self.printed.map(|printed| printed.value * printed.scale)
    }

    /// Returns ours over the printed number at our scale.
    pub(in crate::report) fn ratio(&self) -> Option<f64> {
        Some(self.value? / self.printed_here().filter(|printed| *printed > 0.0)?)
    }

    /// Tells whether the figure has a part in the verdict.
    pub(super) fn decides(&self) -> bool {
        match self.asks {
            Asks::Law { .. } | Asks::Below { .. } | Asks::Above { .. } | Asks::Constant { .. } => true,
            Asks::Nothing => false,
        }
    }

    /// Returns the runs behind the points, each once.
    pub(super) fn runs(&self) -> Vec<&str> {
        let mut ids: Vec<&str> = Vec::new();
        for run_id in self.points.iter().flat_map(|point| &point.runs) {
            if !ids.contains(&run_id.as_str()) {
                ids.push(run_id);
            }
        }
        ids
    }
}

pub(super) fn outcome(asks: Asks, printed: Option<Printed>, points: &[Point], seed: u64) -> Outcome {
    let around = |within: f64| (1.0 - within, 1.0 + within);
    let (low, high) = match asks {
        Asks::Law { within } | Asks::Constant { within } => around(within),
        Asks::Below { limit } => (f64::NEG_INFINITY, limit),
        Asks::Above { limit } => (limit, f64::INFINITY),
        Asks::Nothing => return Outcome::Shown,
    };
    // Ratios to what is expected, each with the harness's lateness as such a ratio.
    let over = |expected: f64| (expected > 0.0).then_some(expected);
    let values: Option<Vec<(f64, f64)>> = points
        .iter()
        .map(|point| {
            let expected = match asks {
                Asks::Law { .. } => over(point.predicted?)?,
                Asks::Constant { .. } => over(printed?.value * printed?.scale)?,
                Asks::Below { .. } | Asks::Above { .. } | Asks::Nothing => 1.0,
            };
            Some((point.ours / expected, point.error / expected))
        })
        .collect();
    match values {
        None => Outcome::CannotTell("the theory predicts nothing for a run".to_owned()),
        Some(values) => match within(&values, low, high, seed) {
            // A machine without a processor to spare makes any latency. Counts and bytes have no such error.
            Outcome::Differs if points.iter().any(|point| point.unresolved && point.error > 0.0) => {
                Outcome::CannotTell("it differs in runs whose latencies are unresolved".to_owned())
            }
            outcome => outcome,
        },
    }
}

fn within(values: &[(f64, f64)], low: f64, high: f64, seed: u64) -> Outcome {
    if values.is_empty() {
        return Outcome::CannotTell("no valid run measured it".to_owned());
    }
    let ratios: Vec<f64> = values.iter().map(|(ratio, _)| *ratio).collect();
    let Some(interval) = median_interval(&ratios, seed) else {
        let count = values.len();
        return Outcome::CannotTell(format!(
            "too few runs: {count} of the {RUNS_MIN} that an interval needs"
        ));
    };
    let error = values.iter().map(|(_, error)| *error).fold(0.0, f64::max);
    if interval.low >= low && interval.high <= high {
        Outcome::Agrees
    } else if interval.high < low - error || interval.low > high + error {
        Outcome::Differs
    } else if interval.high < low || interval.low > high {
        Outcome::CannotTell("it misses the limit by less than the harness was late".to_owned())
    } else {
        Outcome::CannotTell("its interval holds the limit of what agrees".to_owned())
    }
}
