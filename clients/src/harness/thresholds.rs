//! Thresholds: limits that an experiment's results must keep, for example `sse.delivery_latency_us_p99 < 80000`.
//!
//! A plan lists them. `wirelab run` judges them when it has measured, and exits with 3 when one is missed. Pure: text
//! to threshold, threshold and runs to checks. Every matching run must keep the threshold by itself: a mean over runs
//! would hide a run that did not. A value that cannot be compared is a miss that says so, never a pass.

use std::fmt;
use std::str::FromStr;

use super::cell::Cell;
use super::rows::{Column, Row, RunRow, THRESHOLD, number_text};
use super::run_result::RunResult;
use super::run_result::{Check, CheckVerdict};
use crate::wire::{Transport, UnknownTransport};

/// Most column names that an error suggests for an unknown one.
const NEAREST_MAX: usize = 3;

/// A limit that a column must keep in every matching run.
#[derive(Debug, Clone)]
pub struct Threshold {
    transport: Wanted<Transport>,
    arm: Wanted<String>,
    column: &'static Column,
    comparison: Operator,
    limit: f64,
}

/// Value of a factor for which a threshold holds.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted<T> {
    Any,
    Only(T),
}

impl<T: PartialEq> Wanted<T> {
    fn includes(&self, there: Option<&T>) -> bool {
        match self {
            Self::Any => true,
            Self::Only(wanted) => there == Some(wanted),
        }
    }
}

/// Comparison of a value with the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    AtMost,
    AtLeast,
    Equal,
    Unequal,
    Below,
    Above,
}

impl Operator {
    /// Every comparison. Those of two characters come first, so that `<=` is not read as `<`.
    const ALL: [Self; 6] =
        [Self::AtMost, Self::AtLeast, Self::Equal, Self::Unequal, Self::Below, Self::Above];

    const fn text(self) -> &'static str {
        match self {
            Self::AtMost => "<=",
            Self::AtLeast => ">=",
            Self::Equal => "==",
            Self::Unequal => "!=",
            Self::Below => "<",
            Self::Above => ">",
        }
    }

    /// Returns whether the comparison holds. `==` compares exactly, since counts are whole numbers.
    fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::AtMost => value <= limit,
            Self::AtLeast => value >= limit,
            Self::Equal => value == limit,
            Self::Unequal => value != limit,
            Self::Below => value < limit,
            Self::Above => value > limit,
        }
    }
}

/// Thresholds are equal if their texts are equal.
impl PartialEq for Threshold {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

/// Error of a text that is not a threshold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidThreshold {
    /// The text has no comparison.
    #[error(
        "threshold {threshold:?} compares nothing; write it as \"sse.delivery_latency_us_p99 < 80000\", with one of \
         <, <=, >, >=, ==, !="
    )]
    NoComparison {
        /// Text of the threshold.
        threshold: String,
    },
    /// The limit is not a number.
    #[error(
        "threshold {threshold:?}: {limit:?} is not a number; write it without a unit, the column's name has it"
    )]
    NoNumber {
        /// Text of the threshold.
        threshold: String,
        /// Text in place of the limit.
        limit: String,
    },
    /// The text names a column and no transport.
    #[error(
        "threshold {threshold:?} names no transport; write sse.{column}, sse/ARM.{column}, or *.{column} for all"
    )]
    NoTransport {
        /// Text of the threshold.
        threshold: String,
        /// Column that the text names.
        column: String,
    },
    /// There is no such transport.
    #[error("threshold {threshold:?}: {error}, or * for all")]
    UnknownTransport {
        /// Text of the threshold.
        threshold: String,
        /// Error that names the unknown transport and the known ones.
        error: UnknownTransport,
    },
    /// The arm has no name, as in `sse/.x`.
    #[error("threshold {threshold:?}: the arm after / has no name; leave / out for every arm")]
    NoArm {
        /// Text of the threshold.
        threshold: String,
    },
    /// There is no such column, or the column holds no number with a unit.
    #[error(
        "threshold {threshold:?}: runs.csv has no number {column:?}; the nearest are {}. `wirelab dictionary` lists \
         them all", .nearest.join(", ")
    )]
    UnknownColumn {
        /// Text of the threshold.
        threshold: String,
        /// Column that the text names.
        column: String,
        /// Names of similar columns, the most similar first.
        nearest: Vec<&'static str>,
    },
}

impl FromStr for Threshold {
    type Err = InvalidThreshold;

    /// Parses `TRANSPORT[/ARM].COLUMN OPERATOR NUMBER`, with `*` for every transport; spaces are optional.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let threshold = text.trim().to_owned();
        let parts = Operator::ALL.into_iter().find_map(|comparison| {
            let (left, right) = threshold.split_once(comparison.text())?;
            Some((left.trim(), comparison, right.trim()))
        });
        let Some((left, comparison, limit)) = parts else {
            return Err(InvalidThreshold::NoComparison { threshold });
        };
        let number = limit.parse::<f64>().ok().filter(|limit| limit.is_finite());
        let Some(number) = number else {
            return Err(InvalidThreshold::NoNumber { limit: limit.to_owned(), threshold });
        };
        // A column's name has no dot; an arm's may.
        let Some((runs, column)) = left.rsplit_once('.') else {
            return Err(InvalidThreshold::NoTransport { column: left.to_owned(), threshold });
        };
        let (transport, arm) = match runs.split_once('/') {
            Some((_, "")) => return Err(InvalidThreshold::NoArm { threshold }),
            Some((transport, arm)) => (transport, Wanted::Only(arm.to_owned())),
            None => (runs, Wanted::Any),
        };
        let transport = match transport {
            "*" => Wanted::Any,
            name => match name.parse() {
                Ok(transport) => Wanted::Only(transport),
                Err(error) => return Err(InvalidThreshold::UnknownTransport { threshold, error }),
            },
        };
        let Some(found) = numbers().find(|known| known.name == column) else {
            let nearest = nearest(column);
            return Err(InvalidThreshold::UnknownColumn { column: column.to_owned(), nearest, threshold });
        };
        Ok(Self { transport, arm, column: found, comparison, limit: number })
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.transport {
            Wanted::Any => f.write_str("*")?,
            Wanted::Only(transport) => write!(f, "{transport}")?,
        }
        if let Wanted::Only(arm) = &self.arm {
            write!(f, "/{arm}")?;
        }
        write!(f, ".{} {} {}", self.column.name, self.comparison.text(), self.limit)
    }
}

/// Judgement of one run by a threshold.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// Id of the run; `None`: no run matches the threshold.
    pub run_id: Option<String>,
    /// Check with the value on the left and the limit on the right. A miss says why in `said`.
    pub check: Check,
}

impl Threshold {
    /// Returns whether the threshold matches the runs of a cell. A plan refuses a threshold that matches none of its
    /// cells.
    pub fn concerns(&self, cell: &Cell) -> bool {
        self.transport.includes(Some(&cell.transport)) && self.arm.includes(cell.arm.as_ref())
    }

    /// Returns one judgement for each matching run, or one miss where no run matches.
    pub fn judge(&self, runs: &[RunResult]) -> Vec<Judgement> {
        let meant = runs.iter().filter(|run| self.concerns(&run.cell));
        let judgements: Vec<_> = meant
            .map(|run| Judgement { run_id: Some(run.cell.run_id.clone()), check: self.check(run) })
            .collect();
        if judgements.is_empty() {
            let said = format!("threshold {self}: no run matches");
            return vec![Judgement { run_id: None, check: self.checked(None, Some(said)) }];
        }
        judgements
    }

    fn check(&self, run: &RunResult) -> Check {
        let column = self.column.name;
        let value = RunRow::of(run).number(column);
        let missed = match value {
            None => Some(format!("{column} was not measured")),
            Some(value) if self.comparison.holds(value, self.limit) => None,
            Some(value) => Some(format!("{column} is {}", number_text(value))),
        };
        self.checked(value, missed.map(|missed| format!("threshold {self}: {missed}")))
    }

    fn checked(&self, value: Option<f64>, said: Option<String>) -> Check {
        Check {
            name: format!("{THRESHOLD}{self}").into(),
            left: value,
            right: Some(self.limit),
            unit: self.column.unit.into(),
            tolerance: Some(0.0),
            verdict: if said.is_some() { CheckVerdict::Fail } else { CheckVerdict::Pass },
            said,
        }
    }
}

/// Judges these runs by all thresholds, in the order of the thresholds.
pub fn judge(thresholds: &[Threshold], runs: &[RunResult]) -> Vec<Judgement> {
    thresholds.iter().flat_map(|threshold| threshold.judge(runs)).collect()
}

/// Lists the columns with a unit: what was measured or set, but no names, seeds or numbers of runs.
fn numbers() -> impl Iterator<Item = &'static Column> {
    RunRow::COLUMNS.iter().filter(|column| !column.unit.is_empty())
}

fn nearest(column: &str) -> Vec<&'static str> {
    let likeness = |known: &str| strsim::jaro_winkler(known, column);
    let mut names: Vec<_> = numbers().map(|known| known.name).collect();
    names.sort_by(|a, b| likeness(b).total_cmp(&likeness(a)));
    names.truncate(NEAREST_MAX);
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::example;

    fn threshold(text: &str) -> Threshold {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Judges the example's runs, short-poll-1 and sse-1.
    fn judged(text: &str) -> Vec<(Option<String>, CheckVerdict, Option<String>)> {
        let runs = example::result_set().runs;
        let judged = threshold(text).judge(&runs);
        judged.into_iter().map(|it| (it.run_id, it.check.verdict, it.check.said)).collect()
    }

    #[test]
    fn a_threshold_is_written_as_it_is_read() {
        for (text, told) in [
            ("sse.delivery_latency_us_p99 < 80000", "sse.delivery_latency_us_p99 < 80000"),
            ("*.lost_count==0", "*.lost_count == 0"),
            (" websocket/no.gzip.empty_ratio  >=  0.5 ", "websocket/no.gzip.empty_ratio >= 0.5"),
            ("*/held.harness_cpu_ratio<=1.5", "*/held.harness_cpu_ratio <= 1.5"),
            ("long-poll.requests_count != 3", "long-poll.requests_count != 3"),
            ("short-poll.published_count > -1", "short-poll.published_count > -1"),
        ] {
            assert_eq!(threshold(text).to_string(), told);
            assert_eq!(threshold(told), threshold(text));
        }
        assert_ne!(threshold("*.lost_count == 0"), threshold("*.lost_count == 1"));
    }

    #[test]
    fn what_is_wrong_is_named_with_the_remedy() {
        for (text, said) in [
            ("sse.lost_count", "compares nothing; write it as"),
            ("sse.lost_count = 0", "compares nothing"),
            ("", "threshold \"\" compares nothing"),
            ("sse.delivery_latency_us_p99 < 80ms", "\"80ms\" is not a number; write it without a unit"),
            ("sse.lost_count == NaN", "is not a number"),
            ("sse.lost_count == inf", "is not a number"),
            ("lost_count == 0", "write sse.lost_count, sse/ARM.lost_count, or *.lost_count"),
            ("socket.lost_count == 0", "unknown transport \"socket\"; one of short-poll, "),
            ("sse/.lost_count == 0", "the arm after / has no name"),
            ("*.lost_counts == 0", "no number \"lost_counts\"; the nearest are lost_count, "),
            ("*.delivery_latency_p99 < 1", "delivery_latency_us_p99"),
            ("*.verdict == 0", "runs.csv has no number \"verdict\""),
            ("*.seed == 0", "runs.csv has no number \"seed\""),
        ] {
            let error = text.parse::<Threshold>().map(|known| known.to_string()).unwrap_err().to_string();
            assert!(error.contains(said) && error.contains(text), "{error} instead of {said}");
        }
    }

    #[test]
    fn every_run_that_matches_must_keep_it() {
        let [short_poll, sse] = ["short-poll-1", "sse-1"].map(|run_id| Some(run_id.to_owned()));
        assert_eq!(
            judged("*.lost_count == 0"),
            [(short_poll.clone(), CheckVerdict::Pass, None), (sse.clone(), CheckVerdict::Pass, None)]
        );
        let missed = "threshold *.delivery_latency_us_p99 < 80000: delivery_latency_us_p99 is 198015";
        assert_eq!(
            judged("*.delivery_latency_us_p99 < 80000"),
            [
                (short_poll, CheckVerdict::Fail, Some(missed.to_owned())),
                (sse.clone(), CheckVerdict::Pass, None)
            ]
        );
        assert_eq!(judged("sse.delivery_latency_us_p99 < 80000"), [(sse, CheckVerdict::Pass, None)]);
    }

    #[test]
    fn a_limit_is_in_or_out_as_its_operator_says() {
        // short-poll has 200 requests.
        for (operator, limits) in [
            ("<", [false, false, true]),
            ("<=", [false, true, true]),
            (">", [true, false, false]),
            (">=", [true, true, false]),
            ("==", [false, true, false]),
            ("!=", [true, false, true]),
        ] {
            for (limit, holds) in [199, 200, 201].into_iter().zip(limits) {
                let text = format!("short-poll.requests_count {operator} {limit}");
                assert_eq!(judged(&text)[0].1 == CheckVerdict::Pass, holds, "{text}");
            }
        }
    }

    #[test]
    fn what_no_run_has_and_what_was_not_measured_is_a_miss_that_says_so() {
        let no_run = judged("ndjson.lost_count == 0");
        let said = Some("threshold ndjson.lost_count == 0: no run matches".to_owned());
        assert_eq!(no_run, [(None, CheckVerdict::Fail, said)]);
        assert!(judged("*/gzip.lost_count == 0")[0].2.as_ref().unwrap().ends_with("no run matches"));
        // 500 lines are too few for p99.9.
        let empty = judged("sse.delivery_latency_us_p999 < 1");
        assert_eq!(empty[0].1, CheckVerdict::Fail);
        assert!(empty[0].2.as_ref().unwrap().ends_with("delivery_latency_us_p999 was not measured"));
    }

    #[test]
    fn an_arm_is_matched_by_its_name() {
        let mut runs = example::result_set().runs;
        runs[1].cell.arm = Some("gzip".to_owned());
        let matches = |text: &str| threshold(text).judge(&runs)[0].run_id.clone();
        assert_eq!(matches("*/gzip.lost_count == 0").as_deref(), Some("sse-1"));
        assert_eq!(matches("sse.lost_count == 0").as_deref(), Some("sse-1"));
        assert_eq!(matches("sse/plain.lost_count == 0"), None);
    }
}
