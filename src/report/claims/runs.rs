//! What claims are judged by: the rows of `runs.csv`, and figures made of them.
//!
//! A figure has one value per run, or per block where it takes several runs. Runs that are invalid have none, but for
//! what went wrong with lines: a repeated line is what makes a run invalid, and leaving it out would hide it.

use std::collections::{BTreeMap, BTreeSet};

use wirelab_clients::harness::statistics::{Interval, median, median_interval, slope};
use wirelab_clients::wire::Transport;

use super::super::File;
use super::super::csv_file::CsvFile;
use super::super::folder::{Folder, FolderError, text};
use super::code_lines::{self, Half};
use super::{text_only, two_way};

/// The columns that figures are made of.
const COLUMNS: [&str; 27] = [
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
    "waiters_count_mean",
];

/// Of [`COLUMNS`], those that count what went wrong with lines of the cohort.
const DEFECTS: [&str; 4] = ["lost_count", "censored_count", "duplicated_count", "out_of_order_count"];

/// How a reason says, after its number, that something went wrong with lines before the cohort: no column counts them.
const WARM_UP: &str = " warm-up lines ";

/// The unit of latencies.
pub(super) const MILLISECONDS: &str = "ms";

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
    /// Lines before the cohort that were missed, repeated or out of order.
    pub(super) warm_up_defects: f64,
    pub(super) numbers: BTreeMap<&'static str, f64>,
}

/// Whether a run's figures may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// They may.
    Good,
    /// They may, with a reservation.
    Unresolved,
    /// They may not.
    Invalid,
}

impl Run {
    pub(super) fn number(&self, column: &str) -> Option<f64> {
        debug_assert!(COLUMNS.contains(&column), "{column} is not read");
        self.numbers.get(column).copied()
    }

    /// Lines that were missed, repeated or out of order; `None` where no count shows one and not all were taken.
    fn defects(&self) -> Option<f64> {
        let counts = DEFECTS.map(|column| self.number(column));
        let found = counts.iter().flatten().sum::<f64>() + self.warm_up_defects;
        (found > 0.0 || counts.iter().all(Option::is_some)).then_some(found)
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
                warm_up_defects: warm_up_defects(row.text("verdict_reasons")?),
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

/// `2 warm-up lines lost; 1 warm-up lines received again` are 3.
pub(super) fn warm_up_defects(reasons: &str) -> f64 {
    let counts = reasons.split("; ").filter_map(|reason| reason.split_once(WARM_UP)?.0.parse::<u32>().ok());
    counts.map(f64::from).sum()
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
    /// One value per run of this arm: lines that were missed, repeated or out of order. Also of an invalid run that
    /// has any.
    Defects(&'static str),
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
    /// The median; the most where it is the worst run that counts.
    pub(super) value: Option<f64>,
    /// Of the median. `None` with too few points.
    pub(super) interval: Option<Interval>,
    /// The runs it came from.
    pub(super) runs: Vec<String>,
    /// Runs that were left out.
    pub(super) invalid: Vec<String>,
    /// Runs that are not invalid and lack it: what is known of the others may be the better half.
    pub(super) lacking_count: usize,
    /// How late the harness itself was at worst in these runs; `None` where that was not measured.
    pub(super) error_us: Option<f64>,
}

/// What the points of a figure are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sample {
    /// Of runs, which differ by chance.
    Runs,
    /// Of runs, of which the worst one counts.
    Worst,
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
            Of::Defects(arm) => {
                let found = all.of(arm, self.transport).filter_map(|run| Some((run, run.defects()?)));
                found.filter(|(run, defects)| run.trust != Trust::Invalid || *defects > 0.0).unzip()
            }
            Of::PerConnection(value) => per_connection(all, self.transport, value),
            Of::TwoWay => (Vec::new(), all.two_way.get(self.transport.name()).copied().into_iter().collect()),
            Of::TextOnly => (Vec::new(), vec![text_only::bytes_through_an_event() as f64]),
            Of::Sources(half) => (Vec::new(), vec![code_lines::of(self.transport, half) as f64]),
        };
        let has_it = |run: &Run| match self.of {
            Of::Arm(_, value) | Of::PerConnection(value) => value(run).is_some(),
            Of::Defects(_) => run.defects().is_some(),
            Of::Sources(_) | Of::TwoWay | Of::TextOnly => false,
        };
        let of_figure = |run: &&Run| match self.of {
            Of::Arm(arm, _) | Of::Defects(arm) => run.arm == arm,
            Of::PerConnection(_) => LEVELS.contains(&run.arm.as_str()),
            Of::Sources(_) | Of::TwoWay | Of::TextOnly => false,
        };
        let concerned = all.runs.iter().filter(|run| run.transport == self.transport.name());
        let (invalid, valid): (Vec<&Run>, Vec<&Run>) =
            concerned.filter(of_figure).partition(|run| run.trust == Trust::Invalid);
        let runs: Vec<String> = used.iter().map(|run| run.run_id.clone()).collect();
        let sample = match self.of {
            Of::Arm(..) | Of::PerConnection(_) => Sample::Runs,
            Of::Defects(_) => Sample::Worst,
            Of::Sources(_) | Of::TwoWay | Of::TextOnly => Sample::Exact,
        };
        Measured {
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
                Sample::Runs | Sample::Exact => median(&points),
                Sample::Worst => points.iter().copied().reduce(f64::max),
            },
            interval: match sample {
                Sample::Runs | Sample::Exact => median_interval(&points, all.seed),
                Sample::Worst => None,
            },
            error_us: used.iter().flat_map(lateness_us).reduce(f64::max),
            invalid: invalid.iter().map(|run| run.run_id.clone()).filter(|id| !runs.contains(id)).collect(),
            lacking_count: valid.iter().filter(|run| !has_it(run)).count(),
            runs,
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
