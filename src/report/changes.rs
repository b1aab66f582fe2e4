//! What changed between two results folders, beyond the noise.
//!
//! `wirelab compare` hands the files of both in; nothing else is read. Runs of one transport and arm are one group, and
//! the unit is the run: medians over runs and a ratio with its 95 % interval, never a mean of percentiles. A change is
//! claimed where that interval excludes 1 and the change is larger than what an A/A pair of either folder shows and, of
//! latencies, than the harness itself was late. Of fewer than six runs nothing is claimed and the points are shown; nor
//! of a figure that a valid run lacks, or that is one number for many runs. Runs that are invalid are left out and named.

mod render;

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;
use wirelab_clients::harness::statistics::{
    Contrast, Interval, RUNS_MIN, Runs, contrast_interval, contrast_of, median, noise_floor, paired_by_block,
};
use wirelab_clients::wire::Transport;

use super::comparison::lateness_floor;
use super::csv_file::CsvFile;
use super::figures::{Figure as Of, Origin};
use super::folder::{Folder, FolderError, text};
use super::{File, ReportError};

/// A figure that is compared; less of it is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Figure {
    /// The column of `runs.csv`.
    column: &'static str,
    /// The same for people, with its unit.
    title: &'static str,
    kind: Kind,
}

/// How a figure is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// By the ratio of medians.
    Measured(Of),
    /// A count of defects, which should be 0: by their difference. One where there was none is no noise.
    Defects,
}

const fn measured(of: Of, title: &'static str) -> Figure {
    Figure { column: of.name(), title, kind: Kind::Measured(of) }
}

const fn defects_of(column: &'static str, title: &'static str) -> Figure {
    Figure { column, title, kind: Kind::Defects }
}

const FIGURES: [Figure; 11] = [
    measured(Of::LatencyP50, "delivery latency p50 (µs)"),
    measured(Of::LatencyP99, "delivery latency p99 (µs)"),
    measured(Of::Cpu, "server CPU per line (µs)"),
    measured(Of::L7Bytes, "l7 bytes per line"),
    measured(Of::WireBytes, "wire bytes per line"),
    measured(Of::Requests, "requests per line"),
    measured(Of::Memory, "server memory (bytes)"),
    measured(Of::MemoryPerConnection, "server memory per connection (bytes)"),
    defects_of("lost_count", "lost lines"),
    defects_of("censored_count", "censored lines"),
    defects_of("duplicated_count", "duplicated lines"),
];

/// Two results folders beside each other.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Changes {
    /// The first folder.
    a: Side,
    /// The second folder.
    b: Side,
    /// What is not the same about how they came about.
    differences: Vec<Difference>,
    /// Every figure of every transport and arm that both have.
    changes: Vec<Change>,
}

/// Where one side comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Side {
    /// As the command line names it.
    folder: String,
    plan: String,
    started_utc: String,
    commit: String,
    /// Runs that may not be used.
    invalid_runs: Vec<String>,
    /// Transports, with their arms, that the other side does not have.
    only_here: Vec<String>,
}

/// Something that the manifests or the plans say differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Difference {
    what: String,
    a: String,
    b: String,
}

/// One figure of one transport and arm.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Change {
    transport: String,
    arm: String,
    metric: &'static str,
    #[serde(skip)]
    title: &'static str,
    /// One value per run; of what is one number for many runs each number once.
    a: Vec<f64>,
    b: Vec<f64>,
    a_median: Option<f64>,
    b_median: Option<f64>,
    /// Median of B / median of A; of defects the difference B − A is claimed instead.
    ratio: Option<f64>,
    ci_low_ratio: Option<f64>,
    ci_high_ratio: Option<f64>,
    /// The larger difference that an A/A pair of either folder shows.
    noise_ratio: Option<f64>,
    finding: Finding,
}

/// What may be said of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Finding {
    /// Worse, beyond the noise.
    MoreInB,
    /// Better, beyond the noise.
    LessInB,
    /// There may be a difference; these runs do not show it.
    NotShown,
    /// Fewer than six runs of one side.
    TooFewRuns,
    /// A valid run lacks the figure, such as a quantile because lines are missing: the others would flatter.
    MissingInARun,
    /// One number made of many runs: nobody knows how far it may be off.
    OneNumber,
    /// One side did not measure it, or has no run that may be used.
    OneSideOnly,
}

/// By how much a figure may be worse.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerated {
    ratio: f64,
}

impl std::str::FromStr for Tolerated {
    type Err = String;

    /// `10%`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let percent = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
        match percent.filter(|percent| percent.is_finite() && *percent >= 0.0) {
            Some(percent) => Ok(Self { ratio: percent / 100.0 }),
            None => Err("write it in percent, such as 10%".to_owned()),
        }
    }
}

/// How changes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people; in the terminal as it is.
    Markdown,
    /// A row per figure.
    Csv,
    /// Everything.
    Json,
}

impl Changes {
    /// Of two folders' files, with their names.
    pub fn between(a: (&str, &[File]), b: (&str, &[File])) -> Result<Self, ReportError> {
        let read = |(name, files): (&str, &[File])| {
            Experiment::read(files).map_err(|error| ReportError::Compared { folder: name.to_owned(), error })
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

    /// The text in that format.
    pub fn render(&self, format: Format) -> Result<String, ReportError> {
        match format {
            Format::Markdown => Ok(render::markdown(self)),
            Format::Csv => render::csv(self),
            Format::Json => Ok(render::json(self)),
        }
    }

    /// What is worse in B, beyond the noise and by more than is tolerated: a sentence each.
    pub fn regressions(&self, tolerated: Tolerated) -> Vec<String> {
        let worse = |change: &&Change| {
            let beyond = change.ratio.is_none_or(|ratio| ratio > 1.0 + tolerated.ratio);
            change.finding == Finding::MoreInB && beyond
        };
        self.changes.iter().filter(worse).map(render::sentence).collect()
    }

    /// Of how many figures these runs allow no claim, whatever they are: nothing can fail there.
    pub fn unclaimed_count(&self) -> usize {
        self.changes.iter().filter(|change| change.finding.is_open()).count()
    }
}

/// What the runs of a group have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    /// Transports stand in the order in which the project lists them.
    rank: usize,
    transport: String,
    arm: String,
}

impl Group {
    fn of(transport: &str, arm: &str) -> Self {
        let known = Transport::ALL.iter().position(|known| known.name() == transport);
        let rank = known.unwrap_or(Transport::ALL.len());
        Self { rank, transport: transport.to_owned(), arm: arm.to_owned() }
    }
}

fn name(transport: &str, arm: &str) -> String {
    if arm.is_empty() { transport.to_owned() } else { format!("{transport}/{arm}") }
}

fn names<'a>(groups: impl IntoIterator<Item = &'a Group>) -> Vec<String> {
    groups.into_iter().map(|group| name(&group.transport, &group.arm)).collect()
}

fn named(groups: &BTreeSet<Group>) -> String {
    if groups.is_empty() { "no run".to_owned() } else { names(groups).join(", ") }
}

/// What is compared of one folder.
struct Experiment {
    folder: Folder,
    seed: u64,
    runs: Vec<Run>,
}

/// One row of `runs.csv`.
struct Run {
    group: Group,
    run_id: String,
    block: u32,
    twin: Twin,
    trust: Trust,
    /// How late the harness was, µs.
    lateness_us: Option<f64>,
    /// In the order of [`FIGURES`].
    figures: Vec<Option<f64>>,
}

/// Whether a run is the second of an A/A pair.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Twin {
    Repeated,
    No,
}

/// Whether a run may be used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    Valid,
    Invalid,
}

impl Experiment {
    fn read(files: &[File]) -> Result<Self, FolderError> {
        let folder = Folder::read(files)?;
        let table =
            CsvFile::read("runs.csv", text(files, "runs.csv")?, &["transport", "arm", "is_aa", "block"])?;
        let mut runs = Vec::new();
        for row in table.rows() {
            let figures = FIGURES.iter().map(|figure| row.later_number(figure.column));
            let run_id = row.text("run_id")?;
            runs.push(Run {
                lateness_us: folder.run(run_id).and_then(|run| run.lateness_us),
                group: Group::of(row.text("transport")?, row.text("arm")?),
                run_id: run_id.to_owned(),
                block: row.count("block")?.and_then(|block| u32::try_from(block).ok()).unwrap_or_default(),
                twin: if row.text("is_aa")? == "true" { Twin::Repeated } else { Twin::No },
                trust: if row.text("verdict")? == "invalid" { Trust::Invalid } else { Trust::Valid },
                figures: figures.collect::<Result<_, _>>()?,
            });
        }
        let seed = folder.manifest.get("seed").and_then(Value::as_u64).unwrap_or_default();
        Ok(Self { folder, seed, runs })
    }

    fn groups(&self) -> BTreeSet<Group> {
        self.runs.iter().map(|run| run.group.clone()).collect()
    }

    /// The runs of a group that may be used.
    fn used(&self, group: &Group, twin: Twin) -> impl Iterator<Item = &Run> {
        let is_used = move |run: &&Run| run.group == *group && run.twin == twin && run.trust == Trust::Valid;
        self.runs.iter().filter(is_used)
    }

    /// The figure of each run that may be used, with its block. A run that did not measure it is left out.
    fn values(&self, group: &Group, figure: usize, twin: Twin) -> Vec<(u32, f64)> {
        self.used(group, twin).filter_map(|run| Some((run.block, run.figures[figure]?))).collect()
    }

    /// Whether a run that may be used lacks the figure.
    fn lacks(&self, group: &Group, figure: usize) -> bool {
        self.used(group, Twin::No).any(|run| run.figures[figure].is_none())
    }

    /// How late the harness was at worst in a run that is used, ms.
    fn lateness_ms(&self, group: &Group) -> f64 {
        self.used(group, Twin::No).filter_map(|run| run.lateness_us).fold(0.0, f64::max) / 1e3
    }

    /// What the A/A pairs of all groups differ by at most in a figure.
    fn noise_ratio(&self, figure: usize) -> Option<f64> {
        let floor = |group: &Group| {
            let (once, again) =
                (self.values(group, figure, Twin::No), self.values(group, figure, Twin::Repeated));
            let pairs = paired_by_block(&once, &again);
            let (once, again) = (without_blocks(&once), without_blocks(&again));
            let runs = pairs.as_deref().map_or(Runs::Apart(&once, &again), Runs::Paired);
            noise_floor(runs, self.seed).map(|floor| floor.difference_ratio.abs())
        };
        self.groups().iter().filter_map(floor).reduce(f64::max)
    }

    fn side<'a>(&self, folder: &str, only_here: impl Iterator<Item = &'a Group>) -> Side {
        let invalid = self.runs.iter().filter(|run| run.trust == Trust::Invalid);
        Side {
            folder: folder.to_owned(),
            plan: self.folder.plan.clone(),
            started_utc: shown(self.folder.manifest.get("started_utc")),
            commit: shown(self.folder.manifest.get("commit")),
            invalid_runs: invalid.map(|run| run.run_id.clone()).collect(),
            only_here: names(only_here),
        }
    }
}

fn without_blocks(values: &[(u32, f64)]) -> Vec<f64> {
    values.iter().map(|(_, value)| *value).collect()
}

/// `None` where neither side has measured the figure.
fn change(group: &Group, figure: &Figure, first: &Experiment, second: &Experiment) -> Option<Change> {
    let index = FIGURES.iter().position(|known| known == figure).expect("it comes from there");
    let origin = match figure.kind {
        Kind::Measured(of) => of.origin(),
        Kind::Defects => Origin::EachRun,
    };
    let values = |side: &Experiment| {
        let values = without_blocks(&side.values(group, index, Twin::No));
        match origin {
            Origin::EachRun => values,
            Origin::ManyRuns => each_once(values),
        }
    };
    let (a, b) = (values(first), values(second));
    if a.is_empty() && b.is_empty() {
        return None;
    }
    // Blocks of two invocations have nothing in common.
    let runs = Runs::Apart(&a, &b);
    let interval = |contrast| contrast_interval(contrast, runs, first.seed);
    let noise_ratio = match origin {
        Origin::EachRun => {
            [first, second].into_iter().filter_map(|side| side.noise_ratio(index)).reduce(f64::max)
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
    } else if first.lacks(group, index) || second.lacks(group, index) {
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
        transport: group.transport.clone(),
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

/// Different numbers, each once.
fn each_once(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values.dedup();
    values
}

/// What a change has to exceed.
struct Floors {
    /// As a share of A: what equal runs differ by.
    noise_ratio: Option<f64>,
    /// Between the medians, in the unit of the column: how late the harness was.
    difference: f64,
}

fn claimed(a: &[f64], b: &[f64], ratio: Option<(f64, Interval)>, floors: &Floors) -> Finding {
    if a.len().min(b.len()) < RUNS_MIN {
        return Finding::TooFewRuns;
    }
    let Some((ratio, interval)) = ratio else { return Finding::NotShown };
    let is_noise = floors.noise_ratio.is_some_and(|noise| (ratio - 1.0).abs() <= noise);
    // Where nobody was late, the floor is 0 and no change is below it.
    let difference = median(a).zip(median(b)).map_or(0.0, |(a, b)| (b - a).abs());
    if is_noise || difference <= floors.difference || interval.contains(1.0) {
        Finding::NotShown
    } else if interval.low > 1.0 {
        Finding::MoreInB
    } else {
        Finding::LessInB
    }
}

/// A single lost line where none was lost before is a defect, whatever the number of runs.
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

/// Members of the manifest that say how the figures came about.
const CIRCUMSTANCES: [&str; 5] = ["machine", "commit", "wirelab_version", "rustc", "seed"];

fn differences(first: &Experiment, second: &Experiment) -> Vec<Difference> {
    let of = |side: &Experiment| {
        let mut said = Vec::new();
        for member in CIRCUMSTANCES {
            flatten(member, side.folder.manifest.get(member).unwrap_or(&Value::Null), &mut said);
        }
        let plan = side.folder.plan_toml.parse::<toml::Table>().expect("the folder was read");
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

/// What stands for a member that is not there.
const NOTHING: &str = "–";

/// Every value of a document with its path, such as `plan.lines.rate_hz`.
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

fn shown(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => NOTHING.to_owned(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
