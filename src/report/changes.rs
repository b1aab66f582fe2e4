//! What changed between two results folders, beyond the noise.
//!
//! `wirelab compare` passes in the files of both; nothing else is read. Runs of one transport and arm are one group,
//! and the unit is the run: medians over runs and a ratio with its 95 % interval, never a mean of percentiles. A
//! change is claimed where that interval excludes 1 and the change exceeds the noise: what an A/A pair of either
//! folder shows and, for latencies, the harness's own lateness. Nothing is claimed under six runs (the points are
//! shown), of a figure that a valid run lacks, or of one number that many runs share. Invalid runs are left out and
//! named.

mod render;

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;
use wirelab_clients::harness::results::Manifest;
use wirelab_clients::harness::rows::{RunRow, Twin};
use wirelab_clients::harness::statistics::{
    Contrast, Interval, RUNS_MIN, TwoGroups, contrast_interval, contrast_of, median, noise_floor,
    paired_by_block,
};
use wirelab_clients::wire::Transport;

use super::comparison::lateness_floor;
use super::figures::{Figure, Origin};
use super::folder::Folder;
use super::{File, ReportError};

/// Figure that is compared; less of it is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Compared {
    /// Column of `runs.csv`.
    column: &'static str,
    /// Name for people, with the unit.
    title: &'static str,
    kind: Kind,
}

/// Way to compare a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Compares by the ratio of medians.
    Measured(Figure),
    /// Compares by the difference of counts, which should be 0. A defect where there was none before is never noise.
    Defects,
}

const fn measured(of: Figure, title: &'static str) -> Compared {
    Compared { column: of.name(), title, kind: Kind::Measured(of) }
}

const fn defects_of(column: &'static str, title: &'static str) -> Compared {
    Compared { column, title, kind: Kind::Defects }
}

const FIGURES: [Compared; 11] = [
    measured(Figure::LatencyP50, "delivery latency p50 (µs)"),
    measured(Figure::LatencyP99, "delivery latency p99 (µs)"),
    measured(Figure::Cpu, "server CPU per line (µs)"),
    measured(Figure::L7Bytes, "l7 bytes per line"),
    measured(Figure::WireBytes, "wire bytes per line"),
    measured(Figure::Requests, "requests per line"),
    measured(Figure::Memory, "server memory (bytes)"),
    measured(Figure::MemoryPerConnection, "server memory per connection (bytes)"),
    defects_of("lost_count", "lost lines"),
    defects_of("censored_count", "censored lines"),
    defects_of("duplicated_count", "duplicated lines"),
];

/// Comparison of two results folders.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Changes {
    /// First folder.
    a: Side,
    /// Second folder.
    b: Side,
    /// Settings and circumstances that differ between the folders.
    differences: Vec<Difference>,
    /// Every figure of every transport and arm that both folders have.
    changes: Vec<Change>,
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Side {
    /// Folder, as the command line names it.
    folder: String,
    plan: String,
    started_utc: String,
    commit: String,
    /// Runs that are left out because they are invalid.
    invalid_runs: Vec<String>,
    /// Transports with their arms that the other side does not have.
    only_here: Vec<String>,
}

/// Value that differs between the manifests or the plans.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Difference {
    what: String,
    a: String,
    b: String,
}

/// One figure of one transport and arm, in both folders.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Change {
    transport: Transport,
    arm: String,
    metric: &'static str,
    #[serde(skip)]
    title: &'static str,
    /// Values of folder A, one per run. A number that many runs share appears once.
    a: Vec<f64>,
    b: Vec<f64>,
    a_median: Option<f64>,
    b_median: Option<f64>,
    /// Median of B / median of A. Defects are claimed by the difference B − A instead.
    ratio: Option<f64>,
    ci_low_ratio: Option<f64>,
    ci_high_ratio: Option<f64>,
    /// Difference that an A/A pair shows; the larger one of the two folders.
    noise_ratio: Option<f64>,
    finding: Finding,
}

/// What may be claimed of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Finding {
    /// The figure grew, beyond the noise: worse.
    MoreInB,
    /// The figure shrank, beyond the noise: better.
    LessInB,
    /// These runs show no difference. There may be one.
    NotShown,
    /// One side has fewer than six runs.
    TooFewRuns,
    /// A valid run lacks the figure, for example a quantile because lines are missing. The other runs would flatter.
    MissingInARun,
    /// The figure is one number made from many runs, so its error is not known.
    OneNumber,
    /// One side did not measure the figure, or has no valid run.
    OneSideOnly,
}

/// Tolerated growth of a figure, before it counts as a regression.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerated {
    ratio: f64,
}

impl std::str::FromStr for Tolerated {
    type Err = String;

    /// Parses a percentage such as `10%`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let percent = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
        match percent.filter(|percent| percent.is_finite() && *percent >= 0.0) {
            Some(percent) => Ok(Self { ratio: percent / 100.0 }),
            None => Err("give a percentage such as 10%".to_owned()),
        }
    }
}

/// Format of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Markdown for people; readable in a terminal.
    Markdown,
    /// CSV: a row per figure.
    Csv,
    /// JSON: everything.
    Json,
}

impl Changes {
    /// Compares the files of two folders, each given with the folder's name.
    pub fn between(a: (&str, &[File]), b: (&str, &[File])) -> Result<Self, ReportError> {
        let read = |(name, files): (&str, &[File])| match Folder::read(files) {
            Ok(folder) => Ok(ComparedFolder { folder }),
            Err(error) => Err(ReportError::Compared { folder: name.to_owned(), error }),
        };
        let (first, second) = (read(a)?, read(b)?);
        let (groups, others) = (first.groups(), second.groups());
        let changes: Vec<Change> = groups
            .intersection(&others)
            .flat_map(|group| FIGURES.iter().filter_map(|figure| change(group, figure, &first, &second)))
            .collect();
        if groups.is_disjoint(&others) {
            return Err(ReportError::NothingInCommon { a: named(&groups), b: named(&others) });
        }
        Ok(Self {
            differences: differences(&first, &second),
            a: first.side(a.0, groups.difference(&others)),
            b: second.side(b.0, others.difference(&groups)),
            changes,
        })
    }

    /// Returns the comparison as text in a format.
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Markdown => render::markdown(self),
            Format::Csv => render::csv(self),
            Format::Json => render::json(self),
        }
    }

    /// Returns a sentence for each figure that is worse in B, beyond the noise and by more than is tolerated.
    pub fn regressions(&self, tolerated: Tolerated) -> Vec<String> {
        let worse = |change: &&Change| {
            let beyond = change.ratio.is_none_or(|ratio| ratio > 1.0 + tolerated.ratio);
            change.finding == Finding::MoreInB && beyond
        };
        self.changes.iter().filter(worse).map(render::sentence).collect()
    }

    /// Counts the figures of which these runs allow no claim. Such a figure never fails a check for regressions.
    pub fn unclaimed_count(&self) -> usize {
        self.changes.iter().filter(|change| change.finding.is_open()).count()
    }
}

/// Transport and arm that the runs of a group share.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct ComparedGroup {
    transport: Transport,
    arm: String,
}

impl ComparedGroup {
    fn of(run: &RunRow) -> Self {
        Self { transport: run.transport, arm: run.arm.clone() }
    }
}

fn name(transport: Transport, arm: &str) -> String {
    if arm.is_empty() { transport.to_string() } else { format!("{transport}/{arm}") }
}

fn names<'a>(groups: impl IntoIterator<Item = &'a ComparedGroup>) -> Vec<String> {
    groups.into_iter().map(|group| name(group.transport, &group.arm)).collect()
}

fn named(groups: &BTreeSet<ComparedGroup>) -> String {
    if groups.is_empty() { "no run".to_owned() } else { names(groups).join(", ") }
}

/// Folder that is compared, with its runs in groups.
struct ComparedFolder {
    folder: Folder,
}

impl ComparedFolder {
    fn groups(&self) -> BTreeSet<ComparedGroup> {
        self.folder.rows.runs.iter().map(ComparedGroup::of).collect()
    }

    /// Returns the valid runs of a group.
    fn used(&self, group: &ComparedGroup, twin: Twin) -> impl Iterator<Item = &RunRow> {
        let is_used =
            move |run: &&RunRow| ComparedGroup::of(run) == *group && run.is_aa == twin && run.is_believed();
        self.folder.rows.runs.iter().filter(is_used)
    }

    /// Returns the figure of each valid run with its block. A run that did not measure it is left out.
    fn values(&self, group: &ComparedGroup, compared: &Compared, twin: Twin) -> Vec<(u32, f64)> {
        let used = self.used(group, twin);
        used.filter_map(|run| Some((run.block, run.number(compared.column)?))).collect()
    }

    /// Tells whether a valid run lacks the figure.
    fn lacks(&self, group: &ComparedGroup, compared: &Compared) -> bool {
        self.used(group, Twin::No).any(|run| run.number(compared.column).is_none())
    }

    /// Returns the harness's largest lateness in a valid run, ms.
    fn lateness_ms(&self, group: &ComparedGroup) -> f64 {
        self.used(group, Twin::No).filter_map(RunRow::lateness_us).fold(0.0, f64::max) / 1e3
    }

    /// Returns the largest difference between the halves of an A/A pair, over all groups.
    fn noise_ratio(&self, compared: &Compared) -> Option<f64> {
        let floor = |group: &ComparedGroup| {
            let (once, again) =
                (self.values(group, compared, Twin::No), self.values(group, compared, Twin::Aa));
            let pairs = paired_by_block(&once, &again);
            let (once, again) = (without_blocks(&once), without_blocks(&again));
            let runs = pairs.as_deref().map_or(TwoGroups::Apart(&once, &again), TwoGroups::Paired);
            noise_floor(runs, self.folder.manifest.seed).map(|floor| floor.difference_ratio.abs())
        };
        self.groups().iter().filter_map(floor).reduce(f64::max)
    }

    fn side<'a>(&self, folder: &str, only_here: impl Iterator<Item = &'a ComparedGroup>) -> Side {
        let invalid = self.folder.rows.runs.iter().filter(|run| !run.is_believed());
        let Manifest { started_utc, commit, .. } = &self.folder.manifest;
        Side {
            folder: folder.to_owned(),
            plan: self.folder.plan.name.clone(),
            started_utc: started_utc.clone(),
            commit: commit.clone().unwrap_or_else(|| NOTHING.to_owned()),
            invalid_runs: invalid.map(|run| run.run_id.clone()).collect(),
            only_here: names(only_here),
        }
    }
}

fn without_blocks(values: &[(u32, f64)]) -> Vec<f64> {
    values.iter().map(|(_, value)| *value).collect()
}

/// Returns the change of a figure; `None` where neither side has measured it.
fn change(
    group: &ComparedGroup,
    figure: &Compared,
    first: &ComparedFolder,
    second: &ComparedFolder,
) -> Option<Change> {
    let origin = match figure.kind {
        Kind::Measured(of) => of.origin(),
        Kind::Defects => Origin::EachRun,
    };
    let values = |side: &ComparedFolder| {
        let values = without_blocks(&side.values(group, figure, Twin::No));
        match origin {
            Origin::EachRun => values,
            Origin::ManyRuns => each_once(values),
        }
    };
    let (a, b) = (values(first), values(second));
    if a.is_empty() && b.is_empty() {
        return None;
    }
    // Two invocations share no blocks, so their runs are compared as independent.
    let runs = TwoGroups::Apart(&a, &b);
    let interval = |contrast| contrast_interval(contrast, runs, first.folder.manifest.seed);
    let noise_ratio = match origin {
        Origin::EachRun => {
            [first, second].into_iter().filter_map(|side| side.noise_ratio(figure)).reduce(f64::max)
        }
        Origin::ManyRuns => None,
    };
    let ratio = contrast_of(Contrast::Ratio, runs);
    let ratio_interval = match origin {
        Origin::EachRun => interval(Contrast::Ratio),
        Origin::ManyRuns => None,
    };
    let finding = if a.is_empty() || b.is_empty() {
        Finding::OneSideOnly
    } else if origin == Origin::ManyRuns {
        Finding::OneNumber
    } else if first.lacks(group, figure) || second.lacks(group, figure) {
        Finding::MissingInARun
    } else {
        match figure.kind {
            Kind::Measured(of) => {
                let lateness_ms = first.lateness_ms(group).max(second.lateness_ms(group));
                let floor = lateness_floor(of, lateness_ms) / of.scale();
                claimed(&a, &b, ratio.zip(ratio_interval), &Floors { noise_ratio, difference: floor })
            }
            Kind::Defects => defects(&a, &b, interval(Contrast::Difference)),
        }
    };
    Some(Change {
        transport: group.transport,
        arm: group.arm.clone(),
        metric: figure.column,
        title: figure.title,
        a_median: median(&a),
        b_median: median(&b),
        ratio,
        ci_low_ratio: ratio_interval.map(|interval| interval.low),
        ci_high_ratio: ratio_interval.map(|interval| interval.high),
        noise_ratio,
        finding,
        a,
        b,
    })
}

/// Returns the distinct numbers.
fn each_once(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values.dedup();
    values
}

/// Floors that a change must exceed.
struct Floors {
    /// Difference between equal runs, as a share of A.
    noise_ratio: Option<f64>,
    /// Harness's lateness in the unit of the column: what the medians must differ by.
    difference: f64,
}

fn claimed(a: &[f64], b: &[f64], ratio: Option<(f64, Interval)>, floors: &Floors) -> Finding {
    if a.len().min(b.len()) < RUNS_MIN {
        return Finding::TooFewRuns;
    }
    let Some((ratio, interval)) = ratio else { return Finding::NotShown };
    let is_noise = floors.noise_ratio.is_some_and(|noise| (ratio - 1.0).abs() <= noise);
    // Where the harness was never late, this floor is 0 and no change is below it.
    let difference = median(a).zip(median(b)).map_or(0.0, |(a, b)| (b - a).abs());
    if is_noise || difference <= floors.difference || interval.contains(1.0) {
        Finding::NotShown
    } else if interval.low > 1.0 {
        Finding::MoreInB
    } else {
        Finding::LessInB
    }
}

/// Judges a count of defects. A single lost line where none was lost before is a defect, whatever the number of runs.
fn defects(a: &[f64], b: &[f64], difference: Option<Interval>) -> Finding {
    let none = |values: &[f64]| values.iter().all(|count| *count == 0.0);
    match (none(a), none(b)) {
        (true, true) => Finding::NotShown,
        (true, false) => Finding::MoreInB,
        (false, true) if b.len() >= RUNS_MIN => Finding::LessInB,
        (false, true | false) => match difference {
            None => Finding::TooFewRuns,
            Some(difference) if difference.low > 0.0 => Finding::MoreInB,
            Some(difference) if difference.high < 0.0 => Finding::LessInB,
            Some(_) => Finding::NotShown,
        },
    }
}

/// Members of the manifest that may explain a change.
const CIRCUMSTANCES: [&str; 5] = ["machine", "commit", "wirelab_version", "rustc", "seed"];

fn differences(first: &ComparedFolder, second: &ComparedFolder) -> Vec<Difference> {
    let of = |side: &ComparedFolder| {
        let mut said = Vec::new();
        let manifest =
            serde_json::to_value(&side.folder.manifest).expect("a manifest has no key that JSON refuses");
        for member in CIRCUMSTANCES {
            flatten(member, &manifest[member], &mut said);
        }
        let plan = side.folder.plan.toml.parse::<toml::Table>().expect("the folder was read");
        let plan = serde_json::to_value(plan).expect("a table is an object");
        flatten("plan", &plan, &mut said);
        said
    };
    let (a, b) = (of(first), of(second));
    let of = |said: &[(String, String)], what: &str| {
        let found = said.iter().find(|(name, _)| name == what);
        found.map_or_else(|| NOTHING.to_owned(), |(_, value)| value.clone())
    };
    let mut names: Vec<&String> = a.iter().map(|(name, _)| name).collect();
    names.extend(b.iter().map(|(name, _)| name).filter(|name| a.iter().all(|(known, _)| known != *name)));
    let difference = |what: &String| Difference { what: what.clone(), a: of(&a, what), b: of(&b, what) };
    names.into_iter().map(difference).filter(|difference| difference.a != difference.b).collect()
}

/// Text that stands for a missing member.
const NOTHING: &str = "–";

/// Returns every value of a document with its path, such as `plan.lines.rate_hz`.
fn flatten(path: &str, value: &Value, into: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(key, value)| flatten(&format!("{path}.{key}"), value, into));
        }
        Value::Null => into.push((path.to_owned(), NOTHING.to_owned())),
        Value::String(text) => into.push((path.to_owned(), text.clone())),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            into.push((path.to_owned(), value.to_string()))
        }
    }
}

#[cfg(test)]
mod tests;
