//! What changed between two results folders, beyond the noise.
//!
//! `wirelab compare` passes in the files of both; nothing else is read. Runs of one transport and arm are one group,
//! and the unit is the run: medians over runs and a ratio with its 95 % interval, never a mean of percentiles. A
//! change is claimed where that interval excludes 1 and the change exceeds the noise: what an A/A pair of either
//! folder shows and, for latencies, the harness's own lateness. Nothing is claimed under six runs (the points are
//! shown), of a figure that a valid run lacks, or of one number that many runs share. Invalid runs are left out and
//! named. Only their lost, repeated and reordered lines count: a reason that makes a latency worthless brings no line
//! back. A group that one side lacks, has no valid run of, or measured over another network is named as not compared.

mod differences;
mod groups;
mod render;

use std::collections::BTreeSet;

use serde::Serialize;
use wirelab_clients::harness::results::Manifest;
use wirelab_clients::harness::rows::Twin;
use wirelab_clients::harness::statistics::{
    Contrast, Interval, RUNS_MIN, TwoGroups, contrast_interval, contrast_of, median,
};
use wirelab_clients::wire::Transport;

use super::comparison::lateness_floor;
use super::figures::{Figure, Origin};
use super::folder::Folder;
use super::{File, ReportError};
use differences::{Difference, NOTHING, differences};
use groups::{ComparedFolder, ComparedGroup, Presence, name, named, without_blocks};

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
    /// Compares by the difference of counts, which should be 0, over all runs: invalid ones and twins too. A defect
    /// where there was none before is never noise.
    Defects,
}

const fn measured(of: Figure, title: &'static str) -> Compared {
    Compared { column: of.name(), title, kind: Kind::Measured(of) }
}

const fn defects_of(column: &'static str, title: &'static str) -> Compared {
    Compared { column, title, kind: Kind::Defects }
}

const FIGURES: [Compared; 13] = [
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
    defects_of("out_of_order_count", "reordered lines"),
    defects_of("warm_up_defects_count", "defects in the warm-up"),
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
    /// Transports and arms of which a folder has no valid run: only their lines are compared.
    not_compared: Vec<NotCompared>,
    /// Every figure of every transport and arm that both folders have.
    changes: Vec<Change>,
}

/// Transport and arm whose figures cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct NotCompared {
    transport: Transport,
    arm: String,
    a: Presence,
    b: Presence,
    /// Networks of A and of B, where they differ.
    networks: Option<[String; 2]>,
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Side {
    /// Folder, as the command line names it.
    folder: String,
    plan: String,
    started_utc: String,
    commit: String,
    /// SHA-256 of the executable; `None` where the folder does not say it.
    executable_sha256: Option<String>,
    /// Runs that are left out because they are invalid, except in the counts of lines.
    invalid_runs: Vec<String>,
    /// Runs that the experiment was to make and that are not in the folder.
    missing_runs: Vec<String>,
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
    /// Median over the runs; `None` for defects, of which [`Self::a_sum`] tells.
    a_median: Option<f64>,
    b_median: Option<f64>,
    /// Sum of a count over the runs; `None` for figures that are no defects.
    a_sum: Option<f64>,
    b_sum: Option<f64>,
    /// Median of B / median of A; of defects, defects per run of B / those of A. Defects are claimed by the difference
    /// B − A.
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
    /// One side did not measure the figure.
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
        if groups.is_disjoint(&others) {
            return Err(ReportError::NothingInCommon { a: named(&groups), b: named(&others) });
        }
        let all: BTreeSet<&ComparedGroup> = groups.union(&others).collect();
        Ok(Self {
            differences: differences(&first.folder, &second.folder),
            a: side(a.0, &first.folder),
            b: side(b.0, &second.folder),
            not_compared: all.into_iter().filter_map(|group| not_compared(group, &first, &second)).collect(),
            changes: groups
                .intersection(&others)
                .flat_map(|group| FIGURES.iter().filter_map(|figure| change(group, figure, &first, &second)))
                .collect(),
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

    /// Returns a sentence for each transport and arm whose figures could not be compared.
    pub fn not_compared(&self) -> Vec<String> {
        self.not_compared.iter().map(render::not_compared).collect()
    }

    /// Returns a sentence for each folder that lacks runs of its experiment.
    pub fn incomplete(&self) -> Vec<String> {
        [("A", &self.a), ("B", &self.b)]
            .into_iter()
            .filter_map(|(name, side)| render::incomplete(name, side))
            .collect()
    }

    /// Counts the figures of which these runs allow no claim. Such a figure never fails a check for regressions.
    pub fn unclaimed_count(&self) -> usize {
        self.changes.iter().filter(|change| change.finding.is_open()).count()
    }
}

fn side(name: &str, folder: &Folder) -> Side {
    let Manifest { started_utc, commit, executable_sha256, order, .. } = &folder.manifest;
    let invalid = folder.rows.runs.iter().filter(|run| !run.is_believed());
    let missing = order.iter().filter(|run_id| folder.run(run_id).is_none());
    Side {
        folder: name.to_owned(),
        plan: folder.plan.name.clone(),
        started_utc: started_utc.clone(),
        commit: commit.clone().unwrap_or_else(|| NOTHING.to_owned()),
        executable_sha256: executable_sha256.clone(),
        invalid_runs: invalid.map(|run| run.run_id.clone()).collect(),
        missing_runs: missing.cloned().collect(),
    }
}

/// Returns what keeps a group from being compared; `None` where both sides have a valid run over the same network. How far
/// a subscriber is away decides its latency, so figures over two networks are no change of the program.
fn not_compared(
    group: &ComparedGroup,
    first: &ComparedFolder,
    second: &ComparedFolder,
) -> Option<NotCompared> {
    let (a, b) = (first.presence(group), second.presence(group));
    let has_both = matches!((a, b), (Presence::Valid { .. }, Presence::Valid { .. }));
    let networks = [first.network(group), second.network(group)];
    let networks = match networks {
        [Some(in_a), Some(in_b)] if in_a != in_b => Some([in_a, in_b]),
        [Some(_), Some(_)] | [None, _] | [_, None] => None,
    };
    let is_compared = has_both && networks.is_none();
    (!is_compared).then(|| NotCompared { transport: group.transport, arm: group.arm.clone(), a, b, networks })
}

/// Returns the change of a figure. `None` where neither side has measured it, and where a side has no valid run: the
/// group is then named as not compared. Defects are compared whatever the runs are worth.
fn change(
    group: &ComparedGroup,
    figure: &Compared,
    first: &ComparedFolder,
    second: &ComparedFolder,
) -> Option<Change> {
    match figure.kind {
        Kind::Measured(of) if not_compared(group, first, second).is_none() => {
            measured_change(group, (figure, of), first, second)
        }
        Kind::Measured(_) => None,
        Kind::Defects => Some(defects_change(group, figure, first, second)),
    }
}

fn measured_change(
    group: &ComparedGroup,
    (figure, of): (&Compared, Figure),
    first: &ComparedFolder,
    second: &ComparedFolder,
) -> Option<Change> {
    let origin = of.origin();
    let values = |side: &ComparedFolder| {
        let values = without_blocks(&side.values(group, figure.column, Twin::No));
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
    let noise_ratio = match origin {
        Origin::EachRun => {
            [first, second].into_iter().filter_map(|side| side.noise_ratio(figure.column)).reduce(f64::max)
        }
        Origin::ManyRuns => None,
    };
    let ratio = contrast_of(Contrast::Ratio, runs);
    let ratio_interval = match origin {
        Origin::EachRun => contrast_interval(Contrast::Ratio, runs, first.folder.manifest.seed),
        Origin::ManyRuns => None,
    };
    let finding = if a.is_empty() || b.is_empty() {
        Finding::OneSideOnly
    } else if origin == Origin::ManyRuns {
        Finding::OneNumber
    } else if first.lacks(group, figure.column) || second.lacks(group, figure.column) {
        Finding::MissingInARun
    } else {
        let lateness_ms = first.lateness_ms(group).max(second.lateness_ms(group));
        let floor = lateness_floor(of, lateness_ms) / of.scale();
        claimed(&a, &b, ratio.zip(ratio_interval), &Floors { noise_ratio, difference: floor })
    };
    Some(Change {
        transport: group.transport,
        arm: group.arm.clone(),
        metric: figure.column,
        title: figure.title,
        a_median: median(&a),
        b_median: median(&b),
        a_sum: None,
        b_sum: None,
        ratio,
        ci_low_ratio: ratio_interval.map(|interval| interval.low),
        ci_high_ratio: ratio_interval.map(|interval| interval.high),
        noise_ratio,
        finding,
        a,
        b,
    })
}

fn defects_change(
    group: &ComparedGroup,
    figure: &Compared,
    first: &ComparedFolder,
    second: &ComparedFolder,
) -> Change {
    let (a, b) = (first.defects(group, figure.column), second.defects(group, figure.column));
    let interval =
        contrast_interval(Contrast::Difference, TwoGroups::Apart(&a, &b), first.folder.manifest.seed);
    let sum = |counts: &[f64]| counts.iter().sum::<f64>();
    let per_run = |counts: &[f64]| sum(counts) / counts.len() as f64;
    Change {
        transport: group.transport,
        arm: group.arm.clone(),
        metric: figure.column,
        title: figure.title,
        a_median: None,
        b_median: None,
        a_sum: Some(sum(&a)),
        b_sum: Some(sum(&b)),
        ratio: (sum(&a) > 0.0).then(|| per_run(&b) / per_run(&a)),
        ci_low_ratio: None,
        ci_high_ratio: None,
        noise_ratio: None,
        finding: defects(&a, &b, interval),
        a,
        b,
    }
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

#[cfg(test)]
mod tests;
