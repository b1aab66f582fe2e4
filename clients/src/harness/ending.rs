//! Ending of an experiment: the word from which the exit codes of `wirelab run` and `wirelab claims` follow.

use super::rows::{Rows, RunRow};
use super::run_result::TheoryVerdict;
use super::run_result::{CheckVerdict, RunResult, Verdict};
use super::thresholds::Judgement;

/// Ending of one or several runs; of several, the gravest, which is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// Every line arrived once and in order, and the numbers are valid.
    Good,
    /// A line was lost, censored, reordered or duplicated, or a threshold of the plan was missed.
    Delivery,
    /// A run contradicts the theory.
    Theory,
    /// A run is invalid.
    Invalid,
    /// The server or the environment failed.
    Environment,
}

impl Ending {
    /// Every ending, from the best to the gravest.
    pub const ALL: [Self; 5] = [Self::Good, Self::Delivery, Self::Theory, Self::Invalid, Self::Environment];

    /// Returns the exit code of `wirelab run` and `wirelab claims`. Code 2 is wrong usage.
    pub const fn code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Delivery => 3,
            Self::Theory => 4,
            Self::Invalid => 5,
            Self::Environment => 6,
        }
    }

    /// Returns what the exit code says about the runs.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Good => "every line arrived once and in order",
            Self::Delivery => {
                "a line was lost, censored (late or lost, the run cannot tell), reordered or duplicated, or a threshold \
                 of the plan was missed"
            }
            Self::Theory => "a run contradicts the theory",
            Self::Invalid => "a run is invalid: do not use its row",
            Self::Environment => "the server or the environment failed",
        }
    }

    /// Returns what these runs came to, and what the plan's thresholds said of them.
    pub fn of(runs: &[RunResult], thresholds: &[Judgement]) -> Self {
        let of_run = |run: &RunResult| {
            if run.problem.is_some() {
                Self::Environment
            } else if run.verdict == Verdict::Invalid {
                Self::Invalid
            } else if run.theory.iter().any(|row| row.verdict == TheoryVerdict::Fail) {
                Self::Theory
            } else if !run.delivery.whole.flawless() || !run.subscriber_problems.is_empty() {
                Self::Delivery
            } else {
                Self::Good
            }
        };
        let of_threshold = |judgement: &Judgement| match judgement.check.verdict {
            CheckVerdict::Pass => Self::Good,
            CheckVerdict::NotMeasured | CheckVerdict::Unresolved | CheckVerdict::Fail => Self::Delivery,
        };
        let endings = runs.iter().map(of_run).chain(thresholds.iter().map(of_threshold));
        endings.max().unwrap_or(Self::Good)
    }

    /// Returns what the runs of a folder came to, as far as its rows say it.
    pub fn of_rows(rows: &Rows) -> Self {
        let of_run = |run: &RunRow| match (run.is_believed(), run.defects_count(), run.warm_up_defects_count)
        {
            (false, _, _) => Self::Invalid,
            (true, 0, 0) => Self::Good,
            (true, _, _) => Self::Delivery,
        };
        let contradicted = rows.theory.iter().any(|row| row.verdict == TheoryVerdict::Fail);
        let of_theory = if contradicted { Self::Theory } else { Self::Good };
        // A folder without a run shows nothing, and nothing good.
        rows.runs.iter().map(of_run).max().unwrap_or(Self::Invalid).max(of_theory)
    }
}
