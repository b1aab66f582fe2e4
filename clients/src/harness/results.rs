//! Result sets: what one invocation measured, by which plan, and on what machine.
//!
//! The reports turn them into files. The manifest describes the machine without naming it: no host, no user, no path.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

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
    /// Command line, with paths reduced to file names.
    pub argv: Vec<String>,
    /// Commit of the source; `None` outside a repository.
    pub commit: Option<String>,
    /// Version of the compiler, if the build recorded it.
    pub rustc: Option<String>,
    /// Version of wirelab.
    pub wirelab_version: String,
    /// Time of the start: RFC 3339, UTC, whole seconds.
    pub started_utc: String,
    /// Machine of the runs.
    pub machine: Machine,
    /// `run_id`s in the order in which they were to be run.
    pub order: Vec<String>,
    /// Calibrated constants of the theory, per server. Empty before they are measured, and where they could not be.
    #[serde(default)]
    pub calibrations: Vec<Calibration>,
    /// Reason why the constants could not be measured. No run is then compared with the theory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration_problem: Option<String>,
    /// Columns of `runs.csv` that are empty in every row.
    pub not_measured: Vec<String>,
    /// Where several servers are measured: per arm, the columns that are empty in all of its rows but not in those of
    /// other arms.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub not_measured_of: BTreeMap<String, Vec<String>>,
}

/// A machine, without its name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Operating system: `linux`, `macos`, …
    pub os: String,
    /// Release of the kernel.
    pub kernel: Option<String>,
    /// Model name of the first processor.
    pub cpu_model: Option<String>,
    /// Number of processors that this process may use.
    pub cores_count: Option<u64>,
    /// Soft limit of open descriptors.
    pub open_files_max: Option<u64>,
    /// Physical memory.
    pub memory_bytes: Option<u64>,
}

impl Machine {
    /// Describes the machine that this process runs on.
    pub fn describe() -> Self {
        // `/proc/version` is not read: it names the builder of the kernel, and where.
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").ok();
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Self {
            os: std::env::consts::OS.to_owned(),
            kernel: kernel.map(|text| text.trim().to_owned()),
            cpu_model: value_of(&cpus, "model name").map(str::to_owned),
            cores_count: cores_count(),
            open_files_max: os::max_open_files(),
            memory_bytes: value_of(&memory, "MemTotal").and_then(kilobytes),
        }
    }
}

/// Counts the processors that this process may use.
pub(super) fn cores_count() -> Option<u64> {
    std::thread::available_parallelism().ok().map(|cores| cores.get() as u64)
}

impl Manifest {
    /// Makes the manifest of a plan that started at `started` on this machine with the command line `argv`. Reads the
    /// machine.
    pub fn describe_machine(
        plan: &Plan,
        argv: &[String],
        started: SystemTime,
        commit: Option<String>,
    ) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            plan: plan.name.clone(),
            seed: plan.seed,
            argv: argv.iter().map(|argument| without_path(argument)).collect(),
            commit,
            rustc: None,
            wirelab_version: env!("CARGO_PKG_VERSION").to_owned(),
            started_utc: humantime::format_rfc3339_seconds(started).to_string(),
            machine: Machine::describe(),
            order: plan.cells().into_iter().map(|cell| cell.run_id).collect(),
            calibrations: Vec::new(),
            calibration_problem: None,
            not_measured: Vec::new(),
            not_measured_of: BTreeMap::new(),
        }
    }

    /// Notes the columns that no run filled, and those that no run of an arm filled.
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
    }

    /// Returns the text of the file.
    pub fn to_json(&self) -> String {
        let mut json = serde_json::to_string_pretty(self).expect("a manifest has no key that JSON refuses");
        json.push('\n');
        json
    }
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

/// Reduces an argument's path to the file's name, and its URL to `URL`: both may name machines and people.
fn without_path(argument: &str) -> String {
    if let Some((flag, value)) = argument.split_once('=')
        && flag.starts_with('-')
    {
        return format!("{flag}={}", without_path(value));
    }
    if argument.contains("://") {
        return "URL".to_owned();
    }
    let name = argument.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next().unwrap_or("");
    name.to_owned()
}

/// Returns the value of the first `name : value` line.
fn value_of<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

fn kilobytes(text: &str) -> Option<u64> {
    Some(text.strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::plan::AdHoc;

    #[test]
    fn a_command_line_is_told_without_paths_and_hosts() {
        for (argument, told) in [
            ("/home/ada/wirelab/target/release/wirelab", "wirelab"),
            ("run", "run"),
            ("data/plans/quick.toml", "quick.toml"),
            ("--data=/home/ada/data/", "--data=data"),
            ("--target=http://lab7.example:8080/x", "--target=URL"),
            ("https://ada@lab7.example", "URL"),
            ("--poll-interval=200ms", "--poll-interval=200ms"),
            ("C:\\Users\\ada\\wirelab.exe", "wirelab.exe"),
            ("", ""),
        ] {
            assert_eq!(without_path(argument), told);
        }
    }

    #[test]
    fn a_manifest_describes_the_machine_and_never_names_it() {
        let plan = Plan::ad_hoc(AdHoc::default()).unwrap();
        let argv = ["/home/ada/wirelab".to_owned(), "--target=http://lab7:1".to_owned()];
        let json = Manifest::describe_machine(&plan, &argv, SystemTime::UNIX_EPOCH, None).to_json();
        assert!(json.contains("\"started_utc\": \"1970-01-01T00:00:00Z\""), "{json}");
        assert!(json.contains("\"sse-1\"") && json.contains("\"commit\": null"), "{json}");
        assert!(!json.contains('/') && !json.contains("ada") && !json.contains("lab7"), "{json}");
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        assert!(host.trim().is_empty() || !json.contains(&format!("\"{}\"", host.trim())), "{json}");
        if cfg!(target_os = "linux") {
            assert!(Machine::describe().kernel.is_some_and(|kernel| !kernel.is_empty()));
            assert!(Machine::describe().memory_bytes.is_some_and(|bytes| bytes > 1 << 20));
        }
    }

    #[test]
    fn proc_files_are_read_as_the_kernel_writes_them() {
        let cpus = "processor\t: 0\nmodel name\t: Example CPU @ 3: GHz\n\nmodel name\t: Other\n";
        assert_eq!(value_of(cpus, "model name"), Some("Example CPU @ 3: GHz"));
        assert_eq!(value_of(cpus, "model"), None);
        assert_eq!(kilobytes("2048 kB"), Some(2 << 20));
    }
}
