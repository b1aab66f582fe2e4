//! Rulings: what the runs say about a claim.
//!
//! A ruling follows from figures and one test. There is no ruling from invalid runs, from too few runs, or from
//! overlapping intervals. Nor is there one from latencies that differ by less than the harness's own lateness, or
//! where a valid run lacks the figure. The reason is given instead.

use std::ops::RangeInclusive;

use wirelab_clients::harness::statistics::{Interval, Order, RUNS_MIN, order};

use super::runs::{Evidence, MILLISECONDS, Observations, PointKind, Quantity};

/// Ruling on a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    /// The claim was confirmed and follows from how the transport works: it holds on every machine.
    Holds,
    /// The claim was confirmed on this machine, over its loopback. It may be false elsewhere.
    HoldsHere,
    /// The runs show the opposite.
    DoesNotHold,
    /// No run on this machine can decide.
    NotMeasurableHere,
}

impl Ruling {
    /// All rulings.
    pub const ALL: [Self; 4] = [Self::Holds, Self::HoldsHere, Self::DoesNotHold, Self::NotMeasurableHere];

    /// Returns the name in tables and CSV files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::HoldsHere => "holds here",
            Self::DoesNotHold => "does not hold",
            Self::NotMeasurableHere => "not measurable here",
        }
    }
}

/// Reach of a confirmed claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// The claim follows from the protocol: every machine, network or program that keeps the protocol shows it.
    Anywhere,
    /// The claim depends on machines, networks and programs.
    Here,
}

/// Test that decides a claim.
#[derive(Clone, Copy)]
pub(super) enum Test {
    /// Holds if each run has a value in the range. For counts, which are not estimates: one run is enough.
    Each { figure: Quantity, low: f64, high: f64, reach: Reach },
    /// Holds if no run has any of what is counted. The figure with the most is named first.
    NoneOf { figures: &'static [Quantity], reach: Reach },
    /// Holds if the median and its interval lie above the limit.
    Above { figure: Quantity, limit: f64, reach: Reach },
    /// Holds if the median and its interval lie below the limit.
    Below { figure: Quantity, limit: f64, reach: Reach },
    /// Holds if the first is smaller than the second and the intervals do not overlap.
    Smaller { first: Quantity, second: Quantity, reach: Reach },
    /// Cannot be tested here, with the reason.
    Nothing(&'static str),
}

/// Result of a test: figures, a ruling, and the reason if there is no plain ruling.
pub(super) struct Ruled {
    pub(super) figures: Vec<Evidence>,
    pub(super) ruling: Ruling,
    pub(super) why: Option<String>,
}

impl Test {
    /// Returns the ruling of these runs.
    pub(super) fn rule(&self, runs: &Observations) -> Ruled {
        match self {
            Self::Each { figure, low, high, reach } => {
                let measured = figure.measure(runs);
                let ruled = each(&[&measured], *low..=*high, *reach);
                Ruled::of(vec![measured], ruled)
            }
            Self::NoneOf { figures, reach } => {
                let mut measured: Vec<Evidence> = figures.iter().map(|figure| figure.measure(runs)).collect();
                let most = |measured: &Evidence| measured.value.unwrap_or_default();
                measured.sort_by(|one, other| most(other).total_cmp(&most(one)));
                let ruled = each(&measured.iter().collect::<Vec<_>>(), 0.0..=0.0, *reach);
                Ruled::of(measured, ruled)
            }
            Self::Above { figure, limit, reach } => {
                let measured = figure.measure(runs);
                let ruled = interval_of(&measured).and_then(|interval| {
                    let clear = (interval.low > *limit, interval.high < *limit);
                    beside_limit(clear, *limit, &measured, *reach)
                });
                Ruled::of(vec![measured], ruled)
            }
            Self::Below { figure, limit, reach } => {
                let measured = figure.measure(runs);
                let ruled = interval_of(&measured).and_then(|interval| {
                    let clear = (interval.high < *limit, interval.low > *limit);
                    beside_limit(clear, *limit, &measured, *reach)
                });
                Ruled::of(vec![measured], ruled)
            }
            Self::Smaller { first, second, reach } => {
                let pair = [first.measure(runs), second.measure(runs)];
                let ruled = compared(&pair, *reach);
                Ruled::of(pair.into(), ruled)
            }
            Self::Nothing(why) => Ruled::of(Vec::new(), Err((*why).to_owned())),
        }
    }
}

impl Ruled {
    fn of(figures: Vec<Evidence>, ruled: Result<Ruling, String>) -> Self {
        match ruled {
            Ok(ruling) => Self { figures, ruling, why: None },
            Err(why) => Self { figures, ruling: Ruling::NotMeasurableHere, why: Some(why) },
        }
    }
}

const fn seen(reach: Reach) -> Ruling {
    match reach {
        Reach::Anywhere => Ruling::Holds,
        Reach::Here => Ruling::HoldsHere,
    }
}

/// Returns the ruling of [`Test::Each`]: one value outside the range decides against the claim, whatever the others
/// are.
fn each(figures: &[&Evidence], range: RangeInclusive<f64>, reach: Reach) -> Result<Ruling, String> {
    if figures.iter().flat_map(|measured| &measured.points).any(|point| !range.contains(point)) {
        return Ok(Ruling::DoesNotHold);
    }
    figures.iter().try_for_each(|measured| known(measured))?;
    Ok(seen(reach))
}

fn beside_limit(
    (as_claimed, opposite): (bool, bool),
    limit: f64,
    measured: &Evidence,
    reach: Reach,
) -> Result<Ruling, String> {
    let distance = measured.value.map(|value| (value - limit).abs());
    match (as_claimed, opposite) {
        (true, _) | (_, true) if is_lateness(&[measured], distance) => Err(LATE.to_owned()),
        (true, _) => Ok(seen(reach)),
        (false, true) => Ok(Ruling::DoesNotHold),
        (false, false) => Err(format!("the interval contains the limit, {limit} {}", measured.unit)),
    }
}

fn compared([first, second]: &[Evidence; 2], reach: Reach) -> Result<Ruling, String> {
    let intervals = (interval_of(first)?, interval_of(second)?);
    let order = order(Some(intervals.0), Some(intervals.1));
    let difference = first.value.zip(second.value).map(|(first, second)| (second - first).abs());
    match order {
        Order::Unresolved => Err("the intervals overlap".to_owned()),
        Order::FirstIsSmaller | Order::SecondIsSmaller if is_lateness(&[first, second], difference) => {
            Err(LATE.to_owned())
        }
        Order::FirstIsSmaller => Ok(seen(reach)),
        Order::SecondIsSmaller => Ok(Ruling::DoesNotHold),
    }
}

const LATE: &str = "the difference is smaller than the harness's own error";

/// Tells whether a difference may be the harness's own. Only latencies contain the harness's lateness.
fn is_lateness(figures: &[&Evidence], difference: Option<f64>) -> bool {
    let error_us = figures.iter().filter_map(|measured| measured.error_us).reduce(f64::max);
    let in_ms = figures.iter().all(|measured| measured.unit == MILLISECONDS);
    in_ms && difference.zip(error_us).is_some_and(|(difference_ms, error_us)| difference_ms * 1e3 <= error_us)
}

/// Checks that there is evidence, and in every valid run: a latency that is withheld because lines are missing would
/// be long.
fn known(measured: &Evidence) -> Result<(), String> {
    if measured.points.is_empty() {
        return Err(no_run(measured));
    }
    match measured.lacking_count {
        0 => Ok(()),
        lacking => {
            let (what, transport) = (measured.what, measured.transport);
            Err(format!("{lacking} valid {transport} runs lack the figure: {what}"))
        }
    }
}

/// Returns the interval of a figure. A figure of the sources has one exact value.
fn interval_of(measured: &Evidence) -> Result<Interval, String> {
    if let ([point], PointKind::Exact) = (measured.points.as_slice(), measured.sample) {
        return Ok(Interval { low: *point, high: *point });
    }
    known(measured)?;
    measured.interval.ok_or_else(|| {
        let count = measured.points.len();
        format!("too few runs: {count} of the {RUNS_MIN} that an interval needs")
    })
}

fn no_run(measured: &Evidence) -> String {
    match measured.invalid.len() {
        0 => format!("no valid run measured the figure: {}", measured.what),
        count => format!("no valid run measured the figure: {}, {count} invalid left out", measured.what),
    }
}
