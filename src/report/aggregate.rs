//! Runs of one transport and arm as one group: the median over its runs, and how far it may be off.
//!
//! The unit is the run. Invalid runs are ignored. A figure that a valid run lacks is not shown for the group, because
//! the missing value is rarely the best one. The 95 % interval comes from [`wirelab_clients::harness::statistics`];
//! under six runs there is none, and the points are shown. The A/A pair, one cell measured twice in each block, is
//! the noise that every difference must exceed.

use wirelab_clients::harness::rows::{RunRow, Twin};
use wirelab_clients::harness::statistics::{
    Contrast, Interval, TwoGroups, contrast_interval, contrast_of, median, median_interval, paired_by_block,
};
use wirelab_clients::wire::Transport;

use super::figures::{Factor, Figure, Origin};
use super::folder::Folder;

/// Runs of one transport and arm.
#[derive(Debug)]
pub(super) struct Group<'a> {
    /// Label: the transport, and the arm where there is one.
    pub(super) label: String,
    pub(super) transport: Transport,
    pub(super) arm: &'a str,
    /// Place among the groups of its transport, from 0.
    pub(super) nth: usize,
    /// All runs, in the order of blocks.
    pub(super) runs: Vec<&'a RunRow>,
    /// Figures over the valid runs, by [`Figure::index`].
    summaries: Vec<Option<GroupFigure>>,
    /// Figures over all runs, where none is valid. Plots show them with a mark; nothing else uses them.
    doubted: Vec<Option<GroupFigure>>,
}

/// Figure of a group.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct GroupFigure {
    /// Values, one per valid run, in the order of blocks.
    pub(super) values: Vec<f64>,
    /// Block of each value.
    blocks: Vec<u32>,
    /// Seed of the bootstrap, so that one folder always makes the same bytes.
    seed: u64,
    /// Median of the values.
    pub(super) median: f64,
    /// 95 % interval of the median over runs. `None` under six runs, and for one number that many runs share.
    pub(super) interval: Option<Interval>,
}

/// All groups of a folder.
#[derive(Debug)]
pub(super) struct Aggregate<'a> {
    /// Groups, sorted by transport, then by factors and arm.
    pub(super) groups: Vec<Group<'a>>,
    /// A/A pair, if there is one: the index of the cell's group, and the twin's group.
    pub(super) pair: Option<(usize, Group<'a>)>,
}

impl GroupFigure {
    /// Returns the summary of these values; `None` if there are none.
    fn of(values: Vec<f64>, blocks: Vec<u32>, seed: u64, origin: Origin) -> Option<Self> {
        let median = median(&values)?;
        let interval = match origin {
            Origin::EachRun => median_interval(&values, seed),
            Origin::ManyRuns => None,
        };
        Some(Self { values, blocks, seed, median, interval })
    }

    /// Returns the range of the values, from the least to the most.
    pub(super) fn range(&self) -> Interval {
        let low = self.values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = self.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Interval { low, high }
    }

    /// Returns the interval where there is one, otherwise the range.
    pub(super) fn spread(&self) -> Interval {
        self.interval.unwrap_or_else(|| self.range())
    }

    /// Returns the ratio `other` / `self` with its 95 % interval: by blocks, where both were measured in each block.
    pub(super) fn times(&self, other: &Self) -> Option<(f64, Option<Interval>)> {
        let with_blocks = |summary: &Self| {
            summary.blocks.iter().copied().zip(summary.values.iter().copied()).collect::<Vec<_>>()
        };
        let pairs = paired_by_block(&with_blocks(self), &with_blocks(other));
        let runs = match &pairs {
            Some(pairs) => TwoGroups::Paired(pairs),
            None => TwoGroups::Apart(&self.values, &other.values),
        };
        // A ratio has an interval only if both sides have one.
        let has_intervals = self.interval.is_some() && other.interval.is_some();
        let interval = has_intervals.then(|| contrast_interval(Contrast::Ratio, runs, self.seed)).flatten();
        Some((contrast_of(Contrast::Ratio, runs)?, interval))
    }
}

impl<'a> Group<'a> {
    fn of(label: String, runs: Vec<&'a RunRow>, seed: u64) -> Self {
        let believed: Vec<&RunRow> = runs.iter().copied().filter(|run| run.is_believed()).collect();
        let summaries = summaries_of(&believed, seed);
        let doubted = if believed.is_empty() { summaries_of(&runs, seed) } else { Vec::new() };
        Self { label, transport: runs[0].transport, arm: &runs[0].arm, nth: 0, runs, summaries, doubted }
    }

    /// Returns the figure over the valid runs. `None` where there are none, or where one of them lacks it.
    pub(super) fn summary(&self, figure: Figure) -> Option<&GroupFigure> {
        self.summaries[figure.index()].as_ref()
    }

    /// Returns the figure as a plot may show it. A group without a valid run shows its invalid ones, which the plot
    /// must mark.
    pub(super) fn shown(&self, figure: Figure) -> Option<&GroupFigure> {
        let doubted = || self.doubted.get(figure.index()).and_then(Option::as_ref);
        self.summary(figure).or_else(doubted)
    }

    /// Returns the valid runs: those from which something may be claimed.
    pub(super) fn believed(&self) -> impl Iterator<Item = &'a RunRow> {
        self.runs.iter().copied().filter(|run| run.is_believed())
    }

    /// Tells whether the group has a valid run.
    pub(super) fn is_believed(&self) -> bool {
        self.believed().next().is_some()
    }

    /// Returns the harness's largest lateness in a valid run, ms. Smaller differences cannot be told apart.
    pub(super) fn lateness_ms(&self) -> f64 {
        self.believed().filter_map(RunRow::lateness_us).fold(0.0, f64::max) / 1e3
    }

    /// Returns the label, followed by `, invalid` if no run is valid.
    pub(super) fn label_in_plots(&self) -> String {
        if self.is_believed() { self.label.clone() } else { format!("{}, invalid", self.label) }
    }
}

/// Returns every figure that all of these runs have.
fn summaries_of(runs: &[&RunRow], seed: u64) -> Vec<Option<GroupFigure>> {
    let summary = |figure: Figure| {
        let values = runs.iter().map(|run| figure.of(run)).collect::<Option<Vec<_>>>()?;
        let blocks = runs.iter().map(|run| run.block).collect();
        GroupFigure::of(values, blocks, seed, figure.origin())
    };
    Figure::ALL.into_iter().map(summary).collect()
}

impl<'a> Aggregate<'a> {
    /// Returns the groups of a folder.
    pub(super) fn of(folder: &'a Folder) -> Self {
        let seed = folder.manifest.seed;
        let mut keyed: Vec<(Key<'a>, Vec<&'a RunRow>)> = Vec::new();
        for run in &folder.rows.runs {
            let key = (run.transport, run.arm.as_str(), run.is_aa);
            match keyed.iter_mut().find(|(known, _)| *known == key) {
                Some((_, runs)) => runs.push(run),
                None => keyed.push((key, vec![run])),
            }
        }
        keyed.iter_mut().for_each(|(_, runs)| runs.sort_by_key(|run| run.block));
        let (twins, plain): (Vec<_>, Vec<_>) =
            keyed.into_iter().partition(|((.., twin), _)| *twin == Twin::Aa);
        let is_alone = |key: &Key| !plain.iter().any(|(other, _)| (other.0, other.1) == (key.0, key.1));
        // A twin without its other half is a cell like any other.
        let (alone, twins): (Vec<_>, Vec<_>) = twins.into_iter().partition(|(key, _)| is_alone(key));
        let mut groups: Vec<Group> =
            plain.into_iter().chain(alone).map(|(key, runs)| Group::of(label(key), runs, seed)).collect();
        groups.sort_by(|a, b| {
            let numbers = |group: &Group| Factor::all_of(group.runs[0]);
            let by_number = numbers(a).partial_cmp(&numbers(b)).unwrap_or(std::cmp::Ordering::Equal);
            a.transport.cmp(&b.transport).then(by_number).then(a.arm.cmp(b.arm))
        });
        for of_transport in groups.chunk_by_mut(|a, b| a.transport == b.transport) {
            of_transport.iter_mut().enumerate().for_each(|(nth, group)| group.nth = nth);
        }
        let pair = twins.into_iter().next().and_then(|(key, runs)| {
            let of = groups.iter().position(|group| (group.transport, group.arm) == (key.0, key.1))?;
            let twin = Group::of(format!("{}, A/A", label(key)), runs, seed);
            Some((of, Group { nth: groups[of].nth, ..twin }))
        });
        Self { groups, pair }
    }

    /// Returns the two groups of the A/A pair.
    pub(super) fn aa(&self) -> Option<(&Group<'a>, &Group<'a>)> {
        self.pair.as_ref().map(|(of, twin)| (&self.groups[*of], twin))
    }

    /// Returns the difference of the equal cells in this figure, as a share of the smaller one; 0 without an A/A
    /// pair.
    pub(super) fn noise_ratio(&self, figure: Figure) -> f64 {
        let difference = self.aa().and_then(|(of, twin)| {
            let (ratio, _) = of.summary(figure)?.times(twin.summary(figure)?)?;
            (ratio > 0.0).then(|| ratio.max(1.0 / ratio) - 1.0)
        });
        difference.unwrap_or(0.0)
    }

    /// Returns the label of a run's group; the `run_id` where the run is in no group.
    pub(super) fn label_of(&self, run_id: &str) -> String {
        let mut groups = self.groups.iter().chain(self.pair.iter().map(|(_, twin)| twin));
        let holds = |group: &&Group| group.runs.iter().any(|run| run.run_id == run_id);
        groups.find(holds).map_or_else(|| run_id.to_owned(), |group| group.label.clone())
    }

    /// Returns the groups that have this figure, least first.
    pub(super) fn ranked(&self, figure: Figure) -> Vec<(&Group<'a>, &GroupFigure)> {
        let mut ranked: Vec<_> =
            self.groups.iter().filter_map(|group| Some((group, group.summary(figure)?))).collect();
        ranked.sort_by(|a, b| a.1.median.total_cmp(&b.1.median));
        ranked
    }
}

type Key<'a> = (Transport, &'a str, Twin);

/// Returns the label of a group: the transport and the arm; the arm alone where it begins with the transport's name.
fn label((transport, arm, _): Key) -> String {
    if arm.is_empty() {
        transport.to_string()
    } else if arm.starts_with(transport.name()) {
        arm.to_owned()
    } else {
        format!("{transport} ({arm})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::synthetic::{self, MadeUp};

    fn folder(cells: &[MadeUp]) -> Folder {
        synthetic::folder(cells, 1)
    }

    #[test]
    fn groups_come_by_transport_then_by_number_then_by_name() {
        let poll = |arm: &str, interval: u32| {
            MadeUp::of("short-poll", 1.0, 1).arm(arm).with("poll_interval_ms", interval)
        };
        let cells = [
            MadeUp::of("websocket", 1.0, 1),
            poll("slow", 1_000),
            poll("fast", 200),
            poll("also-fast", 200),
            MadeUp::of("long-poll", 1.0, 1),
        ];
        let folder = folder(&cells);
        let aggregate = Aggregate::of(&folder);
        let labels: Vec<&str> = aggregate.groups.iter().map(|group| group.label.as_str()).collect();
        assert_eq!(
            labels,
            ["short-poll (also-fast)", "short-poll (fast)", "short-poll (slow)", "long-poll", "websocket"]
        );
    }

    #[test]
    fn the_median_is_that_of_the_runs_that_are_believed() {
        let mut cell = MadeUp { noise_ratio: 0.0, ..MadeUp::of("sse", 5.0, 3) };
        cell.verdicts[1] = "invalid";
        let folder = folder(&[cell]);
        let aggregate = Aggregate::of(&folder);
        let group = &aggregate.groups[0];
        let summary = group.summary(Figure::LatencyP50).unwrap();
        assert_eq!(
            (summary.values.as_slice(), summary.median, summary.interval),
            (&[5.0, 5.0][..], 5.0, None)
        );
        assert_eq!((group.runs.len(), group.believed().count()), (3, 2));
    }

    #[test]
    fn one_number_in_every_run_has_no_interval() {
        let column = Figure::MemoryPerConnection.name();
        let folder = folder(&[MadeUp::of("sse", 5.0, 6).with(column, 2_048)]);
        let aggregate = Aggregate::of(&folder);
        let summary = |figure| aggregate.groups[0].summary(figure).unwrap();
        let slope = summary(Figure::MemoryPerConnection);
        assert_eq!((slope.median, slope.interval), (2.0, None));
        assert_eq!(slope.times(slope), Some((1.0, None)));
        assert!(summary(Figure::Memory).interval.is_some());
    }

    #[test]
    fn only_a_plot_shows_a_group_that_is_not_believed() {
        let folder = folder(&[MadeUp { verdicts: vec!["invalid"; 2], ..MadeUp::of("sse", 5.0, 0) }]);
        let aggregate = Aggregate::of(&folder);
        let group = &aggregate.groups[0];
        assert!(group.summary(Figure::LatencyP50).is_none() && group.shown(Figure::LatencyP50).is_some());
        assert_eq!(group.label_in_plots(), "sse, invalid");
        assert!(aggregate.ranked(Figure::LatencyP50).is_empty());
    }

    #[test]
    fn the_pair_of_equal_cells_is_no_rival_and_shows_the_noise() {
        let cell = |p50_ms, is_aa| MadeUp { is_aa, noise_ratio: 0.0, ..MadeUp::of("sse", p50_ms, 6) };
        let paired = folder(&[cell(10.0, false), cell(11.0, true), MadeUp::of("ndjson", 3.0, 6)]);
        let aggregate = Aggregate::of(&paired);
        assert_eq!(aggregate.groups.len(), 2);
        assert_eq!(
            aggregate.aa().map(|(of, twin)| (of.label.as_str(), twin.label.as_str())),
            Some(("sse", "sse, A/A"))
        );
        assert!((aggregate.noise_ratio(Figure::LatencyP50) - 0.1).abs() < 1e-9);
        // Without its other half it is a cell like any other.
        let alone = folder(&[cell(11.0, true), MadeUp::of("ndjson", 3.0, 6)]);
        let aggregate = Aggregate::of(&alone);
        assert_eq!((aggregate.groups.len(), aggregate.pair.is_none()), (2, true));
    }
}
