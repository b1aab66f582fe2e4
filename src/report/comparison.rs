//! Who has less of a figure, as far as the runs can tell.
//!
//! Two groups are told apart where their 95 % intervals do not overlap, where they differ by more than the A/A pair
//! does, and, in latencies, by more than the harness was late itself. Everything else is a tie, or points.

use wirelab_clients::harness::statistics::{Order, RUNS_MIN, order};

use super::aggregate::{Aggregate, Group, Summary};
use super::figures::Figure;

/// A group with its figure.
pub(super) type Placed<'g, 'a> = (&'g Group<'a>, &'g Summary);

/// The groups of a folder by one figure.
#[derive(Debug)]
pub(super) enum Comparison<'g, 'a> {
    /// No group has the figure.
    Unknown,
    /// Only one has it.
    Single(Placed<'g, 'a>),
    /// Fewer than two of them have the runs for an interval; least first.
    Points(Vec<Placed<'g, 'a>>),
    /// None can be told from the one with the least; least first.
    Level {
        /// Every group with an interval.
        tied: Vec<Placed<'g, 'a>>,
        /// Groups without an interval.
        apart: Vec<Placed<'g, 'a>>,
    },
    /// Some can be told from the one with the least.
    Ordered(Ordered<'g, 'a>),
}

/// What can be told of the order.
#[derive(Debug)]
pub(super) struct Ordered<'g, 'a> {
    /// The group with the least, and those that cannot be told from it.
    pub(super) least: Vec<Placed<'g, 'a>>,
    /// Of the groups that can be told from the least the one with the most, last, and those that cannot be told from
    /// it.
    pub(super) most: Vec<Placed<'g, 'a>>,
    /// Whether all the others are told apart from `most`.
    pub(super) end: End,
    /// Groups between the two.
    pub(super) middle_count: usize,
    /// Groups without an interval.
    pub(super) apart: Vec<Placed<'g, 'a>>,
}

/// Whether the groups with the most stand for themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Every other group has less.
    Clear,
    /// One that cannot be told from the least cannot be told from the most either.
    Blurred,
}

/// What a difference in this figure has to exceed where the harness was late by so much: ms of a time, 0 of the rest.
pub(super) fn lateness_floor(figure: Figure, lateness_ms: f64) -> f64 {
    match figure {
        Figure::LatencyP50 | Figure::LatencyP90 | Figure::LatencyP99 | Figure::LatencyMax => lateness_ms,
        Figure::StalenessMean => lateness_ms,
        Figure::Requests | Figure::AppBytes | Figure::L7Bytes | Figure::IpBytes | Figure::WireBytes => 0.0,
        Figure::Cpu | Figure::Memory | Figure::MemoryPerConnection => 0.0,
    }
}

/// Whether `less` has less of the figure than `more`, beyond doubt.
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

/// The order of these groups.
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
    // Not the one with the most of all: an interval wide enough to reach the least says nothing of the others.
    let Some(&worst) = beyond.last() else { return Comparison::Level { tied: judged, apart } };
    let is_below_worst = |placed: &Placed| told_apart(aggregate, figure, *placed, worst);
    let end = if least.iter().all(is_below_worst) { End::Clear } else { End::Blurred };
    let most: Vec<_> = beyond.into_iter().filter(|placed| !is_below_worst(placed)).collect();
    let middle_count = judged.len() - least.len() - most.len();
    Comparison::Ordered(Ordered { least, most, end, middle_count, apart })
}

/// Runs that an interval needs.
pub(super) const RUNS_NEEDED: usize = RUNS_MIN;
