//! What claims are judged by: the rows of `runs.csv`, and figures made of them.
//!
//! A figure has one value per run, or per block where it takes several runs. Runs that are invalid have none.

use std::collections::{BTreeMap, BTreeSet};

use wirelab_clients::harness::statistics::{Interval, median, median_interval, slope};
use wirelab_clients::wire::Transport;

use super::super::File;
use super::super::csv_file::CsvFile;
use super::super::folder::{Folder, FolderError, text};
use super::code_lines::{self, Half};
use super::{text_only, two_way};

/// The columns that figures are made of.
const COLUMNS: [&str; 26] = [
    "subscribers_count",
    "payload_bytes",
    "lost_count",
    "censored_count",
    "duplicated_count",
    "out_of_order_count",
    "requests_count",
    "requests_timeout_count",
    "requests_per_line_ratio",
    "empty_ratio",
    "connections_opened_count",
    "connections_cut_count",
    "reconnects_count",
    "delivered_count",
    "delivery_latency_us_p50",
    "delivery_latency_us_p99",
    "l7_up_bytes",
    "l7_down_bytes",
    "l7_per_line_bytes",
    "app_bytes",
    "send_lateness_us_p99",
    "hiccup_us_p99",
    "server_cpu_us",
    "server_cpu_per_line_us",
    "server_pss_anon_bytes",
    "kernel_slab_bytes",
];

/// The arms of the plan whose runs differ in their number of connections only.
pub(super) const LEVELS: [&str; 4] = ["n50", "n150", "n250", "n350"];

/// One row of `runs.csv`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Run {
    pub(super) run_id: String,
    pub(super) arm: String,
    pub(super) transport: String,
    pub(super) block: u32,
    pub(super) trust: Trust,
    pub(super) numbers: BTreeMap<&'static str, f64>,
}

/// Whether a run's figures may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// They may.
    Good,
    /// They may, but no difference that is smaller than the harness's own error.
    Unresolved,
    /// They may not.
    Invalid,
}

impl Run {
    pub(super) fn number(&self, column: &str) -> Option<f64> {
        debug_assert!(COLUMNS.contains(&column), "{column} is not read");
        self.numbers.get(column).copied()
    }
}

/// All rows, and what intervals are drawn with.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Runs {
    pub(super) runs: Vec<Run>,
    pub(super) seed: u64,
    /// Answered commands by transport, in percent.
    pub(super) two_way: BTreeMap<String, f64>,
}

impl Runs {
    /// Of a folder that was read; `files` are what it was read from.
    pub(super) fn read(folder: &Folder, files: &[File]) -> Result<Self, FolderError> {
        let table = CsvFile::read("runs.csv", text(files, "runs.csv")?, &["transport", "arm", "block"])?;
        let mut runs = Vec::new();
        for row in table.rows() {
            let mut numbers = BTreeMap::new();
            for column in COLUMNS {
                // Empty also where an older folder lacks the column. What was read twice may have shrunk.
                if !row.later_text(column).is_empty() {
                    numbers.extend(row.signed(column)?.map(|number| (column, number)));
                }
            }
            runs.push(Run {
                run_id: row.text("run_id")?.to_owned(),
                arm: row.text("arm")?.to_owned(),
                transport: row.text("transport")?.to_owned(),
                block: row.count("block")?.and_then(|block| u32::try_from(block).ok()).unwrap_or_default(),
                trust: match row.text("verdict")? {
                    "ok" => Trust::Good,
                    "unresolved" => Trust::Unresolved,
                    _ => Trust::Invalid,
                },
                numbers,
            });
        }
        let seed = folder.manifest.get("seed").and_then(serde_json::Value::as_u64).unwrap_or_default();
        Ok(Self { runs, seed, two_way: two_way::read(files)? })
    }

    fn of<'a>(&'a self, arm: &'a str, transport: Transport) -> impl Iterator<Item = &'a Run> {
        self.runs.iter().filter(move |run| run.arm == arm && run.transport == transport.name())
    }
}

/// What is looked at: of which runs, and in which unit.
#[derive(Clone, Copy)]
pub(super) struct Figure {
    /// For people: `short-poll, empty answers`.
    pub(super) what: &'static str,
    pub(super) unit: &'static str,
    pub(super) transport: Transport,
    pub(super) of: Of,
}

/// Where a figure comes from.
#[derive(Clone, Copy)]
pub(super) enum Of {
    /// One value per run of this arm.
    Arm(&'static str, fn(&Run) -> Option<f64>),
    /// One value per block: the slope over the connections of [`LEVELS`].
    PerConnection(fn(&Run) -> Option<f64>),
    /// One value of this build's sources.
    Sources(Half),
    /// Commands that were answered on the connection that brings lines, in percent.
    TwoWay,
    /// Values of a byte that come through an event.
    TextOnly,
}

/// A figure as it was measured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Measured {
    pub(super) what: &'static str,
    pub(super) unit: &'static str,
    pub(super) transport: Transport,
    /// Where it comes from, if not from runs.
    pub(super) origin: &'static str,
    /// Whether it is estimated.
    pub(super) sample: Sample,
    /// One per run or block.
    pub(super) points: Vec<f64>,
    pub(super) median: Option<f64>,
    /// `None` with too few points.
    pub(super) interval: Option<Interval>,
    /// The runs it came from.
    pub(super) runs: Vec<String>,
    /// Runs that were left out.
    pub(super) invalid: Vec<String>,
    /// Of the runs that are unresolved, the harness's own error; `None` without such runs.
    pub(super) error_us: Option<f64>,
}

/// What the points of a figure are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sample {
    /// Of runs, which differ by chance.
    Runs,
    /// One, which would be the same again.
    Exact,
}

impl Figure {
    /// Its value in these runs.
    pub(super) fn measure(&self, all: &Runs) -> Measured {
        let (used, points): (Vec<&Run>, Vec<f64>) = match self.of {
            Of::Arm(arm, value) => {
                let found = all.of(arm, self.transport).filter(|run| run.trust != Trust::Invalid);
                found.filter_map(|run| Some((run, value(run)?))).unzip()
            }
            Of::PerConnection(value) => per_connection(all, self.transport, value),
            Of::TwoWay => (Vec::new(), all.two_way.get(self.transport.name()).copied().into_iter().collect()),
            Of::TextOnly => (Vec::new(), vec![text_only::bytes_through_an_event() as f64]),
            Of::Sources(half) => (Vec::new(), vec![code_lines::of(self.transport, half) as f64]),
        };
        let of_figure = |run: &&Run| match self.of {
            Of::Arm(arm, _) => run.arm == arm,
            Of::PerConnection(_) => LEVELS.contains(&run.arm.as_str()),
            Of::Sources(_) | Of::TwoWay | Of::TextOnly => false,
        };
        let concerned =
            all.runs.iter().filter(of_figure).filter(|run| run.transport == self.transport.name());
        let errors = used.iter().filter(|run| run.trust == Trust::Unresolved);
        Measured {
            what: self.what,
            unit: self.unit,
            transport: self.transport,
            origin: match self.of {
                Of::Arm(..) | Of::PerConnection(_) => "",
                Of::Sources(_) => "this build's sources",
                Of::TwoWay => two_way::FILE,
                Of::TextOnly => "this build's parser",
            },
            sample: match self.of {
                Of::Arm(..) | Of::PerConnection(_) => Sample::Runs,
                Of::Sources(_) | Of::TwoWay | Of::TextOnly => Sample::Exact,
            },
            median: median(&points),
            interval: median_interval(&points, all.seed),
            error_us: errors.flat_map(lateness_us).reduce(f64::max),
            runs: used.iter().map(|run| run.run_id.clone()).collect(),
            invalid: concerned
                .filter(|run| run.trust == Trust::Invalid)
                .map(|run| run.run_id.clone())
                .collect(),
            points,
        }
    }
}

/// How late the harness itself was: its sends, and a thread of its own that does nothing else.
fn lateness_us(run: &&Run) -> impl Iterator<Item = f64> {
    ["send_lateness_us_p99", "hiccup_us_p99"].map(|column| run.number(column)).into_iter().flatten()
}

/// Slopes by block, of blocks that have a value at each of the levels.
fn per_connection(all: &Runs, transport: Transport, value: fn(&Run) -> Option<f64>) -> (Vec<&Run>, Vec<f64>) {
    let of_levels = || LEVELS.iter().flat_map(|arm| all.of(arm, transport));
    let blocks: BTreeSet<u32> = of_levels().map(|run| run.block).collect();
    let (mut used, mut slopes) = (Vec::new(), Vec::new());
    for block in blocks {
        let of_block = of_levels().filter(|run| run.block == block && run.trust != Trust::Invalid);
        let points: Vec<(&Run, (f64, f64))> =
            of_block.filter_map(|run| Some((run, (run.number("subscribers_count")?, value(run)?)))).collect();
        let (runs, points): (Vec<&Run>, Vec<(f64, f64)>) = points.into_iter().unzip();
        if let (true, Some(slope)) = (points.len() == LEVELS.len(), slope(&points)) {
            used.extend(runs);
            slopes.push(slope);
        }
    }
    (used, slopes)
}
