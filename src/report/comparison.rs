//! Which group has least of a figure, as far as the runs can tell.
//!
//! Two groups are told apart where their 95 % intervals do not overlap, where they differ by more than the A/A pair
//! does, and, in latencies, by more than the harness's own lateness. All else is a tie, or points.

use wirelab_clients::harness::statistics::{Order, RUNS_MIN, order};

use super::aggregate::{Aggregate, Group, GroupFigure};
use super::figures::Figure;

/// Group with its figure.
pub(super) type Placed<'g, 'a> = (&'g Group<'a>, &'g GroupFigure);

/// Order of a folder's groups by one figure.
#[derive(Debug)]
pub(super) enum Comparison<'g, 'a> {
    /// No group has the figure.
    Unknown,
    /// Only one group has the figure.
    Single(Placed<'g, 'a>),
    /// Fewer than two groups have enough runs for an interval. Least first.
    Points(Vec<Placed<'g, 'a>>),
    /// No group can be told from the one with the least. Least first.
    Level {
        /// Groups with an interval.
        tied: Vec<Placed<'g, 'a>>,
        /// Groups without an interval.
        apart: Vec<Placed<'g, 'a>>,
    },
    /// Some groups can be told from the one with the least.
    Ordered(Ordered<'g, 'a>),
}

/// Order of the groups, as far as it can be told.
#[derive(Debug)]
pub(super) struct Ordered<'g, 'a> {
    /// The group with the least, and those that cannot be told from it.
    pub(super) least: Vec<Placed<'g, 'a>>,
    /// The group with the most, last, after those that cannot be told from it. All of them can be told from the
    /// least.
    pub(super) most: Vec<Placed<'g, 'a>>,
    /// Whether every other group can be told from `most`.
    pub(super) end: End,
    /// Number of groups between the two ends.
    pub(super) middle_count: usize,
    /// Groups without an interval.
    pub(super) apart: Vec<Placed<'g, 'a>>,
}

/// Whether the groups with the most can be told from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Every other group has less.
    Clear,
    /// A group that cannot be told from the least cannot be told from the most either.
    Blurred,
}

/// Returns the least difference that counts in this figure where the harness was late by `lateness_ms`: ms for times,
/// 0 for the rest.
pub(super) fn lateness_floor(figure: Figure, lateness_ms: f64) -> f64 {
    match figure {
        Figure::LatencyP50 | Figure::LatencyP90 | Figure::LatencyP99 | Figure::LatencyMax => lateness_ms,
        Figure::StalenessMean => lateness_ms,
        Figure::Requests | Figure::AppBytes | Figure::L7Bytes | Figure::IpBytes | Figure::WireBytes => 0.0,
        Figure::Cpu | Figure::Memory | Figure::MemoryPerConnection => 0.0,
    }
}

/// Tells whether `less` has less of the figure than `more`, beyond doubt.
pub(super) fn told_apart(
    aggregate: &Aggregate,
    figure: Figure,
    (less, less_summary): Placed,
    (more, more_summary): Placed,
) -> bool {
    if order(less_summary.interval, more_summary.interval) != Order::FirstIsSmaller {
        return false;
    }
    let difference = more_summary.median - less_summary.median;
    let floor = lateness_floor(figure, less.lateness_ms().max(more.lateness_ms()));
    difference > floor && difference > aggregate.noise_ratio(figure) * less_summary.median
}

/// Returns the order of these groups.
pub(super) fn compare<'g, 'a>(
    aggregate: &Aggregate<'a>,
    figure: Figure,
    mut ranked: Vec<Placed<'g, 'a>>,
) -> Comparison<'g, 'a> {
    ranked.sort_by(|a, b| a.1.median.total_cmp(&b.1.median));
    match ranked.as_slice() {
        [] => return Comparison::Unknown,
        [only] => return Comparison::Single(*only),
        [_, _, ..] => {}
    }
    let (judged, apart): (Vec<_>, Vec<_>) =
        ranked.iter().copied().partition(|(_, summary)| summary.interval.is_some());
    let [best, _, ..] = judged[..] else { return Comparison::Points(ranked) };
    let is_beyond_best = |placed: &Placed| told_apart(aggregate, figure, best, *placed);
    let (beyond, least): (Vec<_>, Vec<_>) = judged.iter().copied().partition(is_beyond_best);
    // The end is the group with the most that is told from the least: a wider interval that reaches the least says
    // nothing of the others.
    let Some(&worst) = beyond.last() else { return Comparison::Level { tied: judged, apart } };
    let is_below_worst = |placed: &Placed| told_apart(aggregate, figure, *placed, worst);
    let end = if least.iter().all(is_below_worst) { End::Clear } else { End::Blurred };
    let most: Vec<_> = beyond.into_iter().filter(|placed| !is_below_worst(placed)).collect();
    let middle_count = judged.len() - least.len() - most.len();
    Comparison::Ordered(Ordered { least, most, end, middle_count, apart })
}

/// Runs that an interval needs.
pub(super) const RUNS_NEEDED: usize = RUNS_MIN;
