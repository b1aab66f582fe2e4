//! Observations that claims are judged by: the rows of `runs.csv`, and figures made from them.
//!
//! A quantity has one value per run, or per block where it takes several runs. Invalid runs give no value. The
//! exception are counts of line defects: a repeated line makes a run invalid, so leaving the run out would hide the
//! defect.

use std::collections::{BTreeMap, BTreeSet};

use wirelab_clients::harness::rows::RunRow;
use wirelab_clients::harness::statistics::{Interval, median, median_interval, slope};
use wirelab_clients::wire::Transport;

use super::code_lines::{self, Half};
use super::{text_only, two_way};

/// Unit of latencies.
pub(super) const MILLISECONDS: &str = "ms";

/// Arms of the plan whose runs differ only in their number of connections.
pub(super) const LEVELS: [&str; 4] = ["n50", "n150", "n250", "n350"];

/// All rows, with the seed of the bootstrap.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Observations {
    pub(super) runs: Vec<RunRow>,
    pub(super) seed: u64,
    /// Share of answered commands by transport, in percent.
    pub(super) two_way: BTreeMap<String, f64>,
}

impl Observations {
    fn of<'a>(&'a self, arm: &'a str, transport: Transport) -> impl Iterator<Item = &'a RunRow> {
        self.runs.iter().filter(move |run| run.arm == arm && run.transport == transport)
    }
}

/// Counts the lines that were missed, repeated or out of order, warm-up included.
fn defects(run: &RunRow) -> f64 {
    run.defects_count().saturating_add(run.warm_up_defects_count) as f64
}

/// Quantity that claims are judged by: its source and its unit.
#[derive(Clone, Copy)]
pub(super) struct Quantity {
    /// Name for people, such as `empty answers`.
    pub(super) what: &'static str,
    pub(super) unit: &'static str,
    pub(super) transport: Transport,
    pub(super) of: Of,
}

/// Source of a quantity.
#[derive(Clone, Copy)]
pub(super) enum Of {
    /// One value per run of this arm.
    Arm(&'static str, fn(&RunRow) -> Option<f64>),
    /// One value per run of this arm: lines that were missed, repeated or out of order. An invalid run counts if it
    /// has any.
    Defects(&'static str),
    /// One value per block: the slope over the connections of [`LEVELS`].
    PerConnection(fn(&RunRow) -> Option<f64>),
    /// One value from this build's sources.
    Sources(Half),
    /// Commands that were answered on the connection that brings lines, in percent.
    TwoWay,
    /// Byte values that pass through an event.
    TextOnly,
}

/// Measured quantity.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Evidence {
    pub(super) what: &'static str,
    pub(super) unit: &'static str,
    pub(super) transport: Transport,
    /// Origin of the value, if it is not from runs.
    pub(super) origin: &'static str,
    /// Kind of the points.
    pub(super) sample: PointKind,
    /// Points, one per run or block.
    pub(super) points: Vec<f64>,
    /// Value that is shown: the median, or the largest point where the worst run counts.
    pub(super) value: Option<f64>,
    /// 95 % interval of the median. `None` with too few points.
    pub(super) interval: Option<Interval>,
    /// Runs behind the points.
    pub(super) runs: Vec<String>,
    /// Invalid observations, which were left out.
    pub(super) invalid: Vec<String>,
    /// Number of valid observations that lack the quantity: the others may be the better ones.
    pub(super) lacking_count: usize,
    /// Harness's largest lateness in these runs; `None` where it was not measured.
    pub(super) error_us: Option<f64>,
}

/// Kind of a quantity's points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PointKind {
    /// Points are runs or blocks, which differ by chance.
    Observations,
    /// Points are runs, of which the worst counts.
    Worst,
    /// The single point is exact: it would be equal again.
    Exact,
}

impl Quantity {
    /// Returns the quantity's value in these runs.
    pub(super) fn measure(&self, all: &Observations) -> Evidence {
        let (used, points): (Vec<&RunRow>, Vec<f64>) = match self.of {
            Of::Arm(arm, value) => {
                let found = all.of(arm, self.transport).filter(|run| run.is_believed());
                found.filter_map(|run| Some((run, value(run)?))).unzip()
            }
            Of::Defects(arm) => {
                let found = all.of(arm, self.transport).map(|run| (run, defects(run)));
                found.filter(|(run, defects)| run.is_believed() || *defects > 0.0).unzip()
            }
            Of::PerConnection(value) => per_connection(all, self.transport, value),
            Of::TwoWay => (Vec::new(), all.two_way.get(self.transport.name()).copied().into_iter().collect()),
            Of::TextOnly => (Vec::new(), vec![text_only::bytes_through_an_event() as f64]),
            Of::Sources(half) => (Vec::new(), vec![code_lines::of(self.transport, half) as f64]),
        };
        let has_it = |run: &RunRow| match self.of {
            Of::Arm(_, value) | Of::PerConnection(value) => value(run).is_some(),
            Of::Defects(_) => true,
            Of::Sources(_) | Of::TwoWay | Of::TextOnly => false,
        };
        let of_figure = |run: &&RunRow| match self.of {
            Of::Arm(arm, _) | Of::Defects(arm) => run.arm == arm,
            Of::PerConnection(_) => LEVELS.contains(&run.arm.as_str()),
            Of::Sources(_) | Of::TwoWay | Of::TextOnly => false,
        };
        let concerned = all.runs.iter().filter(|run| run.transport == self.transport);
        let (invalid, valid): (Vec<&RunRow>, Vec<&RunRow>) =
            concerned.filter(of_figure).partition(|run| !run.is_believed());
        let runs: Vec<String> = used.iter().map(|run| run.run_id.clone()).collect();
        let sample = match self.of {
            Of::Arm(..) | Of::PerConnection(_) => PointKind::Observations,
            Of::Defects(_) => PointKind::Worst,
            Of::Sources(_) | Of::TwoWay | Of::TextOnly => PointKind::Exact,
        };
        Evidence {
            what: self.what,
            unit: self.unit,
            transport: self.transport,
            origin: match self.of {
                Of::Arm(..) | Of::Defects(_) | Of::PerConnection(_) => "",
                Of::Sources(_) => "this build's sources",
                Of::TwoWay => two_way::FILE,
                Of::TextOnly => "this build's parser",
            },
            sample,
            value: match sample {
                PointKind::Observations | PointKind::Exact => median(&points),
                PointKind::Worst => points.iter().copied().reduce(f64::max),
            },
            interval: match sample {
                PointKind::Observations | PointKind::Exact => median_interval(&points, all.seed),
                PointKind::Worst => None,
            },
            error_us: used.iter().filter_map(|run| run.lateness_us()).reduce(f64::max),
            invalid: invalid.iter().map(|run| run.run_id.clone()).filter(|id| !runs.contains(id)).collect(),
            lacking_count: valid.iter().filter(|run| !has_it(run)).count(),
            runs,
            points,
        }
    }
}

/// Returns the slopes of the blocks that have a value at each level.
fn per_connection(
    all: &Observations,
    transport: Transport,
    value: fn(&RunRow) -> Option<f64>,
) -> (Vec<&RunRow>, Vec<f64>) {
    let of_levels = || LEVELS.iter().flat_map(|arm| all.of(arm, transport));
    let blocks: BTreeSet<u32> = of_levels().map(|run| run.block).collect();
    let (mut used, mut slopes) = (Vec::new(), Vec::new());
    for block in blocks {
        let of_block = of_levels().filter(|run| run.block == block && run.is_believed());
        let points: Vec<(&RunRow, (f64, f64))> =
            of_block.filter_map(|run| Some((run, (run.subscribers_count as f64, value(run)?)))).collect();
        let (runs, points): (Vec<&RunRow>, Vec<(f64, f64)>) = points.into_iter().unzip();
        if let (true, Some(slope)) = (points.len() == LEVELS.len(), slope(&points)) {
            used.extend(runs);
            slopes.push(slope);
        }
    }
    (used, slopes)
}
