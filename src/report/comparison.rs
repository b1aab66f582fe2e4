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
    /// The intervals of all overlap; least first.
    Level {
        /// Every group with an interval.
        tied: Vec<Placed<'g, 'a>>,
        /// Groups without an interval.
        apart: Vec<Placed<'g, 'a>>,
    },
    /// The ends can be told apart.
    Ordered(Ordered<'g, 'a>),
}

/// What can be told of the order.
#[derive(Debug)]
pub(super) struct Ordered<'g, 'a> {
    /// The group with the least, and those that cannot be told from it.
    pub(super) least: Vec<Placed<'g, 'a>>,
    /// The group with the most, and those that cannot be told from it but from the least; the most last.
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
    let floor = match figure {
        Figure::LatencyP50 | Figure::LatencyP90 | Figure::LatencyP99 | Figure::LatencyMax => {
            less.lateness_ms().max(more.lateness_ms())
        }
        Figure::StalenessMean => less.lateness_ms().max(more.lateness_ms()),
        Figure::Requests | Figure::AppBytes | Figure::L7Bytes | Figure::IpBytes | Figure::WireBytes => 0.0,
        Figure::Cpu | Figure::Memory | Figure::MemoryPerConnection => 0.0,
    };
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
    let (Some(&best), Some(&worst)) = (judged.first(), judged.last()) else {
        return Comparison::Points(ranked);
    };
    if judged.len() < 2 {
        return Comparison::Points(ranked);
    }
    let is_beyond_best = |placed: &Placed| told_apart(aggregate, figure, best, *placed);
    let (beyond, least): (Vec<_>, Vec<_>) = judged.iter().copied().partition(is_beyond_best);
    if beyond.is_empty() || !is_beyond_best(&worst) {
        return Comparison::Level { tied: judged, apart };
    }
    let is_below_worst = |placed: &Placed| told_apart(aggregate, figure, *placed, worst);
    let end = if least.iter().all(is_below_worst) { End::Clear } else { End::Blurred };
    let most: Vec<_> = beyond.into_iter().filter(|placed| !is_below_worst(placed)).collect();
    let middle_count = judged.len() - least.len() - most.len();
    Comparison::Ordered(Ordered { least, most, end, middle_count, apart })
}

/// Runs that an interval needs.
pub(super) const RUNS_NEEDED: usize = RUNS_MIN;
