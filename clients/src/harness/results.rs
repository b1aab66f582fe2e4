//! Result sets: what one invocation measured, by which plan, and on what machine.
//!
//! The reports turn them into files. The manifest describes the machine without naming it: no host, no user. Only the
//! command line, which is kept as it was typed, may name a path or a URL.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::cell::{Cell, Server, StoreKind};
use super::forecast::Foretold;
use super::machine::{Load, Machine};
use super::network::link_figures::LinkFigures;
use super::plan::Plan;
use super::rows::{CheckRow, Row, Rows, RunRow, SCHEMA_VERSION, SeriesRow, TheoryRow, percentile_rows};
use super::run_result::RunResult;
use super::theory::Calibration;
use super::thresholds;
use crate::os;

/// Everything that one invocation measured.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultSet {
    /// Plan that was run.
    pub plan: Plan,
    /// Circumstances of the runs: machine, build, command line.
    pub manifest: Manifest,
    /// Runs in the order in which they were made; may be fewer than the plan's cells.
    pub runs: Vec<RunResult>,
}

impl ResultSet {
    /// Fills the rows of every CSV file. Thresholds of the plan are judged here.
    pub fn rows(&self) -> Rows {
        let judged = thresholds::judge(&self.plan.thresholds, &self.runs);
        let of_gates = self.runs.iter().flat_map(|run| {
            run.checks.iter().map(|check| CheckRow::of(&(Some(run.cell.run_id.as_str()), check)))
        });
        let of_thresholds =
            judged.iter().map(|judged| CheckRow::of(&(judged.run_id.as_deref(), &judged.check)));
        let of_theory =
            |run: &RunResult| run.theory.iter().map(|row| TheoryRow::of(&(run, row))).collect::<Vec<_>>();
        let of_series =
            |run: &RunResult| run.series.iter().map(|point| SeriesRow::of(&(run, point))).collect::<Vec<_>>();
        Rows {
            runs: self.runs.iter().map(RunRow::of).collect(),
            percentiles: percentile_rows(&self.runs, self.plan.seed),
            theory: self.runs.iter().flat_map(of_theory).collect(),
            checks: of_gates.chain(of_thresholds).collect(),
            series: self.runs.iter().flat_map(of_series).collect(),
        }
    }
}

/// `manifest.json`: how to read the numbers, and how to make them again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the folder's files: [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Name of the plan.
    pub plan: String,
    /// Seed of the plan.
    pub seed: u64,
    /// Command line, as it was typed. What is not UTF-8 in it is replaced.
    pub argv: Vec<String>,
    /// Commit that the program was built from, with `-dirty` if its sources differed from it; `None` if it was built
    /// outside a repository.
    pub commit: Option<String>,
    /// SHA-256 of the program that measured and served, in hexadecimal.
    #[serde(default)]
    pub executable_sha256: Option<String>,
    /// Version of the compiler, if the build recorded it.
    pub rustc: Option<String>,
    /// Version of wirelab.
    pub wirelab_version: String,
    /// Time of the start: RFC 3339, UTC, whole seconds.
    pub started_utc: String,
    /// Machine of the runs.
    pub machine: Machine,
    /// File system under the disk store of wirelab's own servers; `None` without such a store.
    #[serde(default)]
    pub store_file_system: Option<String>,
    /// How busy the machine was; `None` before the first run has ended.
    #[serde(default)]
    pub load: Option<Load>,
    /// `run_id`s in the order in which they were to be run.
    pub order: Vec<String>,
    /// Figures of each network's link, configured and measured; none without a network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<LinkFigures>,
    /// Calibrated constants of the theory, per server and network. Empty before they are measured, and where they could
    /// not be.
    #[serde(default)]
    pub calibrations: Vec<Calibration>,
    /// Theory's predictions, written before the first run; empty unless the plan asks for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forecast: Vec<Foretold>,
    /// Reason why constants could not be measured. Runs without constants are not compared with the theory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration_problem: Option<String>,
    /// What `network = "auto"` became on this machine, and why. `None`: no run had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_choice: Option<String>,
    /// Columns of `runs.csv` that are empty in every row, and members of the manifest that the system did not tell.
    pub not_measured: Vec<String>,
    /// Where several servers are measured: per arm, the columns that are empty in all of its rows but not in those of
    /// other arms.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub not_measured_of: BTreeMap<String, Vec<String>>,
}

/// The program that measures, and from which sources it was built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Build {
    /// Commit of the sources, with `-dirty` if they differed from it; `None` outside a repository.
    pub commit: Option<String>,
    /// Version of the compiler.
    pub rustc: Option<String>,
    /// SHA-256 of the executable in hexadecimal; `None` if it cannot be read.
    pub executable_sha256: Option<String>,
}

impl Manifest {
    /// Makes the manifest of the runs `cells` of a plan that started at `started` on this machine with the command line
    /// `argv`. Reads the machine.
    pub fn describe_machine(
        plan: &Plan,
        cells: &[Cell],
        argv: Vec<String>,
        started: SystemTime,
        build: Build,
    ) -> Self {
        let Build { commit, rustc, executable_sha256 } = build;
        Self {
            schema_version: SCHEMA_VERSION,
            plan: plan.name.clone(),
            seed: plan.seed,
            argv,
            commit,
            executable_sha256,
            rustc,
            wirelab_version: env!("CARGO_PKG_VERSION").to_owned(),
            started_utc: humantime::format_rfc3339_seconds(started).to_string(),
            machine: Machine::describe(),
            store_file_system: store_file_system(cells),
            load: None,
            order: cells.iter().map(|cell| cell.run_id.clone()).collect(),
            links: Vec::new(),
            calibrations: Vec::new(),
            forecast: Vec::new(),
            calibration_problem: None,
            network_choice: None,
            not_measured: Vec::new(),
            not_measured_of: BTreeMap::new(),
        }
    }

    /// Notes the columns that no run filled, those that no run of an arm filled, and what the system did not tell.
    pub fn note_what_was_not_measured(&mut self, runs: &[RunResult]) {
        let rows: Vec<RunRow> = runs.iter().map(RunRow::of).collect();
        self.not_measured = empty_columns(rows.iter());
        let arms: BTreeSet<_> = rows.iter().map(|row| &row.arm).filter(|arm| !arm.is_empty()).collect();
        let empty_of = |arm: &String| {
            let mut empty = empty_columns(rows.iter().filter(|row| row.arm == *arm));
            empty.retain(|name| !self.not_measured.contains(name));
            (!empty.is_empty()).then(|| (arm.clone(), empty))
        };
        self.not_measured_of = arms.into_iter().filter_map(empty_of).collect();
        self.not_measured.extend(self.absent());
        if self.store_file_system.is_none() && runs.iter().any(|run| is_on_disk(&run.cell)) {
            self.not_measured.push("store_file_system".to_owned());
        }
    }

    /// Names the members that the system did not tell.
    fn absent(&self) -> Vec<String> {
        let executable = self.executable_sha256.is_none().then(|| "executable_sha256".to_owned());
        let load = self.load.iter().flat_map(Load::absent);
        executable.into_iter().chain(self.machine.absent()).chain(load).collect()
    }

    /// Returns the text of the file.
    pub fn to_json(&self) -> String {
        let mut json = serde_json::to_string_pretty(self).expect("a manifest has no key that JSON refuses");
        json.push('\n');
        json
    }
}

/// Names the file system under the disk stores of these runs. Servers keep their logs in a folder for temporary files.
/// `None` if no run of wirelab's own server has a disk store, or the system does not tell.
pub fn store_file_system(cells: &[Cell]) -> Option<String> {
    if cells.iter().any(is_on_disk) { os::file_system(&std::env::temp_dir()) } else { None }
}

fn is_on_disk(cell: &Cell) -> bool {
    cell.server == Server::Wirelab && cell.serve.store == StoreKind::Disk
}

/// Tells whether a file system keeps its files in memory alone, where a flush to the disk costs nothing.
pub fn is_in_memory(file_system: &str) -> bool {
    ["tmpfs", "ramfs"].contains(&file_system)
}

/// Returns the names of the columns that are empty in all `rows`.
fn empty_columns<'a>(rows: impl Iterator<Item = &'a RunRow>) -> Vec<String> {
    let mut empty: Vec<&str> = RunRow::COLUMNS.iter().map(|column| column.name).collect();
    for row in rows {
        let cells = row.cells();
        let filled = |name: &str| {
            let place = RunRow::COLUMNS.iter().position(|column| column.name == name);
            place.is_some_and(|place| !cells[place].is_empty())
        };
        empty.retain(|name| !filled(name));
    }
    empty.into_iter().map(str::to_owned).collect()
}

/// Returns the folder of a result set below the results folder, `<plan>/<UTC>-<commit>`; `nogit` without a commit.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use wirelab_clients::harness::results::folder_name;
/// let started = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
/// assert_eq!(folder_name("quick", started, Some("75f5da8")), "quick/2023-11-14T221320Z-75f5da8");
/// assert_eq!(folder_name("quick", started, None), "quick/2023-11-14T221320Z-nogit");
/// ```
pub fn folder_name(plan: &str, started: SystemTime, commit: Option<&str>) -> String {
    let utc = humantime::format_rfc3339_seconds(started).to_string().replace(':', "");
    format!("{plan}/{utc}-{}", commit.unwrap_or("nogit"))
}

/// Returns a wall clock time for people: RFC 3339, UTC, whole seconds. `us` counts from 1970.
pub fn utc(us: u64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_micros(us)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::plan::AdHoc;

    #[test]
    fn a_manifest_describes_the_machine_and_never_names_it() {
        let plan = Plan::ad_hoc(AdHoc::default()).unwrap();
        let argv = ["./wirelab", "run", "--data", "/srv/a b"].map(str::to_owned);
        let told = |argv: Vec<String>| {
            let cells = plan.cells();
            Manifest::describe_machine(&plan, &cells, argv, SystemTime::UNIX_EPOCH, Build::default())
        };
        assert_eq!(told(argv.to_vec()).argv, argv, "the command line is kept as it was typed");
        let json = told(Vec::new()).to_json();
        assert!(json.contains("\"started_utc\": \"1970-01-01T00:00:00Z\""), "{json}");
        assert!(json.contains("\"sse-1\"") && json.contains("\"commit\": null"), "{json}");
        assert!(!json.contains('/'), "{json}");
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        assert!(host.trim().is_empty() || !json.contains(&format!("\"{}\"", host.trim())), "{json}");
        if cfg!(target_os = "linux") {
            assert!(Machine::describe().kernel.is_some_and(|kernel| !kernel.is_empty()));
            assert!(Machine::describe().memory_bytes.is_some_and(|bytes| bytes > 1 << 20));
        }
    }
}
