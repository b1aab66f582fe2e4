//! The finding: what the figures say, in sentences.
//!
//! Every sentence is carried by the numbers. It names a difference only where [`comparison`](super::comparison) tells
//! two groups apart, and a trend only between ends that can be told apart. Of invalid runs it says only that they are
//! left out. Under six runs it lists points and names no winner.

use super::aggregate::{Aggregate, Group, GroupFigure};
use super::comparison::{Comparison, End, Ordered, Placed, RUNS_NEEDED, compare, told_apart};
use super::figures::Figure;
use super::folder::Folder;
use super::links;
use super::sweep::{Sweep, SweptLine};
use super::wording::{counted, digits, list, percent_signed, plain, with_unit};

mod distance;
mod reservations;
mod words;

use distance::distance;
use reservations::{delivery, missing, noise, size, store, theory, too_few_runs, validity};
use words::words;

/// Most groups that a sentence of points lists; of more groups it tells the range.
const LISTED_MAX: usize = 8;
/// Most groups that a sentence names one by one where they cannot be told apart.
const NAMED_MAX: usize = 4;
/// Ratio from which a rise is told as "2.1 times"; smaller ones are told in percent.
const TIMES_MIN: f64 = 2.0;
/// Figures that tell the cost. Bytes are those of the layer closest to the wire that was measured.
const COSTS: [Figure; 4] = [Figure::Requests, Figure::WireBytes, Figure::Cpu, Figure::Memory];

/// Topic of a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Topic {
    /// Which cell was faster, and by how much.
    Latency,
    /// Effect of a factor.
    Sweep,
    /// Cost: requests, bytes, processor time and memory.
    Cost,
    /// What distance alone gives each transport.
    Distance,
    /// Link between the subscribers and the server.
    Network,
    /// Whether the predictions came true.
    Theory,
    /// Whether every line arrived once and in order.
    Delivery,
    /// How many runs are valid.
    Validity,
    /// What is not claimed, and why.
    Caution,
}

/// Tone of a sentence: good news, bad news or no judgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Tone {
    /// All is as it should be.
    Good,
    /// The news is neither good nor bad.
    Plain,
    /// Something is wrong, or calls for care.
    Bad,
}

impl Tone {
    /// Returns the class of the style sheet.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Plain => "plain",
            Self::Bad => "bad",
        }
    }
}

/// One statement of the finding, in one or a few sentences.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(super) struct Sentence {
    pub(super) topic: Topic,
    pub(super) tone: Tone,
    pub(super) text: String,
}

fn sentence(topic: Topic, tone: Tone, text: String) -> Sentence {
    Sentence { topic, tone, text }
}

/// Returns the statements about the folder, the most important first.
pub(super) fn finding(folder: &Folder, aggregate: &Aggregate, sweep: Option<&Sweep>) -> Vec<Sentence> {
    if folder.rows.runs.is_empty() {
        return vec![sentence(Topic::Validity, Tone::Bad, "No run has ended yet.".to_owned())];
    }
    let mut told: Vec<Sentence> = size(folder).into_iter().chain(store(folder)).collect();
    told.extend(links::told(folder, aggregate).into_iter().map(network));
    if aggregate.groups.iter().any(Group::is_believed) {
        if let Some(sweep) = sweep {
            told.extend(sweep.series.iter().filter_map(|series| trend(aggregate, sweep, series)));
            told.extend(fastest_by_level(aggregate, sweep));
            // A single line over a factor has no rival: only its ends are worth a sentence.
            if sweep.series.len() + sweep.references.len() > 1 {
                told.extend(ranking(aggregate, Figure::LatencyP50, Topic::Latency));
            }
        } else {
            for figure in [Figure::LatencyP50, Figure::LatencyP99] {
                told.extend(ranking(aggregate, figure, Topic::Latency));
            }
            told.extend(COSTS.into_iter().filter_map(|cost| {
                let measured = |figure| !aggregate.ranked(figure).is_empty();
                let nearest =
                    if cost == Figure::WireBytes && !measured(cost) { Figure::L7Bytes } else { cost };
                ranking(aggregate, nearest, Topic::Cost)
            }));
        }
        told.extend(distance(folder, aggregate));
        told.extend(too_few_runs(aggregate));
        told.extend(noise(aggregate));
    }
    told.extend(links::hidden(folder, aggregate).map(network));
    told.extend(theory(folder, aggregate));
    told.extend(delivery(folder, aggregate));
    told.push(validity(folder, aggregate));
    told.extend(missing(folder));
    told
}

fn network(text: String) -> Sentence {
    sentence(Topic::Network, Tone::Plain, text)
}

/// Returns the finding in a few words, for below a table: the first claim, what distance alone gives, and why no winner is
/// named.
pub(super) fn in_short(folder: &Folder, aggregate: &Aggregate, sweep: Option<&Sweep>) -> String {
    let said = finding(folder, aggregate, sweep);
    let first_claim = said.iter().find(|sentence| match sentence.topic {
        Topic::Latency | Topic::Sweep => true,
        Topic::Cost | Topic::Distance | Topic::Network => false,
        Topic::Theory | Topic::Delivery | Topic::Validity | Topic::Caution => false,
    });
    let Some(claim) = first_claim else {
        return "nothing is claimed, because no run is valid.".to_owned();
    };
    let distance = said.iter().find(|sentence| sentence.topic == Topic::Distance).cloned();
    let all = [Some(claim.clone()), distance, too_few_runs(aggregate)].into_iter().flatten();
    all.map(|sentence| sentence.text).collect::<Vec<_>>().join(" ")
}

/// Returns a figure as text, such as `0.47 ms (95 % CI 0.45–0.49)`; without an interval, the range of several runs.
fn told(figure: Figure, summary: &GroupFigure) -> String {
    let value = with_unit(summary.median, figure.unit());
    let spread = summary.spread();
    let ends = format!("{}–{}", digits(spread.low), digits(spread.high));
    match (summary.interval, summary.values.len()) {
        // A count that is equal in every run is exact: an interval of one value would claim an estimate.
        (_, 2..) if spread.low == spread.high => value,
        (Some(_), _) => format!("{value} (95 % CI {ends})"),
        (None, 1) => value,
        (None, _) => format!("{value} (range {ends})"),
    }
}

/// Returns the range of several groups' values, such as `0.47 to 0.49 ms`.
fn between(figure: Figure, placed: &[Placed]) -> String {
    match placed {
        [] => String::new(),
        [(_, only)] => told(figure, only),
        [(_, first), .., (_, last)] => {
            let (first, unit) = (digits(first.median), figure.unit());
            let last = digits(last.median);
            let ends = if first == last { last } else { format!("{first} to {last}") };
            if unit.is_empty() { ends } else { format!("{ends} {unit}") }
        }
    }
}

fn names(placed: &[Placed]) -> String {
    let mut names: Vec<String> = placed.iter().map(|(group, _)| group.label.clone()).collect();
    if names.len() > NAMED_MAX {
        let more = names.split_off(NAMED_MAX - 1).len();
        names.push(format!("{more} others"));
    }
    list(&names)
}

/// Returns which cell has least of a figure, and what the cell with the most has.
fn ranking(aggregate: &Aggregate, figure: Figure, topic: Topic) -> Option<Sentence> {
    let words = words(figure);
    let (text, apart) = match compare(aggregate, figure, aggregate.ranked(figure)) {
        Comparison::Unknown => return None,
        Comparison::Single((group, summary)) => {
            (format!("{}: {} {}", capital(words.noun), group.label, told(figure, summary)), Vec::new())
        }
        Comparison::Points(placed) => (points(figure, &placed), Vec::new()),
        Comparison::Level { tied, apart } => {
            let values = between(figure, &tied);
            let text = match tied.as_slice() {
                [_, _] => format!("In {}, {} cannot be told apart ({values})", words.noun, names(&tied)),
                _ => format!(
                    "In {}, no cell can be told from the lowest, {} ({values} over {})",
                    words.noun,
                    tied[0].0.label,
                    counted(tied.len(), "cell", "cells")
                ),
            };
            (text, apart)
        }
        Comparison::Ordered(ordered) => (in_order(figure, &ordered), ordered.apart),
    };
    let apart: Vec<String> =
        apart.iter().map(|(group, summary)| format!("{} {}", group.label, told(figure, summary))).collect();
    let text = match apart.as_slice() {
        [] => format!("{text}."),
        apart => format!(
            "Of the cells with {RUNS_NEEDED} valid runs: {text}. Not compared, with fewer: {}.",
            list(apart)
        ),
    };
    Some(sentence(topic, Tone::Plain, text + &lacking(aggregate, figure)))
}

/// Names the cells with valid runs of which one lacks the figure, for example a quantile that is withheld because lines
/// are missing. The others would look like all there are.
fn lacking(aggregate: &Aggregate, figure: Figure) -> String {
    let is_lacking = |group: &&Group| group.is_believed() && group.summary(figure).is_none();
    let mut names: Vec<String> =
        aggregate.groups.iter().filter(is_lacking).map(|group| group.label.clone()).collect();
    if names.len() > NAMED_MAX {
        let more = names.split_off(NAMED_MAX - 1).len();
        names.push(format!("{more} others"));
    }
    if names.is_empty() {
        return String::new();
    }
    format!(" Not compared, because a valid run lacks the figure: {}.", list(&names))
}

fn in_order(figure: Figure, ordered: &Ordered) -> String {
    let words = words(figure);
    let (least, most) = (ordered.least.as_slice(), ordered.most.as_slice());
    let value = format!("{}{}{}", words.before, between(figure, least), words.behind);
    let lead = match least {
        [(only, _)] => format!("{} was {}: {value}", words.lead, only.label),
        several => format!("{} were {}, {}: {value}", words.lead, names(several), alike(several, least[0])),
    };
    let far = match (ordered.end, ordered.middle_count) {
        (End::Clear, 1..) => "at the other end, ",
        (End::Clear, 0) | (End::Blurred, _) => "",
    };
    let others = match most {
        [(only, summary)] => {
            let times = times_as(words.times_as, least, summary);
            format!("{} {} {}{times}", only.label, words.others, told(figure, summary))
        }
        several => format!(
            "{}, {}, {} {}",
            names(several),
            alike(several, most[most.len() - 1]),
            words.others,
            between(figure, several)
        ),
    };
    format!("{lead}; {far}{others}")
}

/// Returns the words about groups that cannot be told from `end`. Among three or more, two groups may differ; but no
/// group can be told from the one at the end.
fn alike(several: &[Placed], end: Placed) -> String {
    match several {
        [_, _] => "which cannot be told apart".to_owned(),
        _ => format!("where the others cannot be told from {}", end.0.label),
    }
}

/// Returns a ratio as text, such as `, 223 times as long as sse (95 % CI 215–230)`; names the first group where
/// `least` has several.
fn times_as(word: &str, least: &[Placed], most: &GroupFigure) -> String {
    let Some((ratio, interval)) = least[0].1.times(most) else { return String::new() };
    let interval = interval.filter(|interval| interval.low < interval.high);
    let interval = interval.map_or(String::new(), |interval| {
        format!(" (95 % CI {}–{})", digits(interval.low), digits(interval.high))
    });
    let than = if least.len() > 1 { format!(" as {}", least[0].0.label) } else { String::new() };
    format!(", {} times as {word}{than}{interval}", digits(ratio))
}

fn points(figure: Figure, placed: &[Placed]) -> String {
    let noun = capital(words(figure).noun);
    if placed.len() <= LISTED_MAX {
        let each = placed.iter().map(|(group, summary)| format!("{} {}", group.label, told(figure, summary)));
        format!("{noun}: {}", each.collect::<Vec<_>>().join(", "))
    } else {
        let all = counted(placed.len(), "cell", "cells");
        format!("{noun}: from {} over {all}, which the table lists", between(figure, placed))
    }
}

/// Returns which cell is fastest at each value of the factor.
fn fastest_by_level(aggregate: &Aggregate, sweep: &Sweep) -> Option<Sentence> {
    let figure = Figure::LatencyP50;
    let mut levels: Vec<f64> =
        sweep.series.iter().flat_map(|series| series.points.iter().map(|(level, _)| *level)).collect();
    levels.sort_by(f64::total_cmp);
    levels.dedup();
    let mut by_winner: Vec<(String, Vec<String>)> = Vec::new();
    for level in levels {
        let here = sweep.series.iter().flat_map(|series| &series.points).filter(|point| point.0 == level);
        let ranked: Vec<Placed> =
            here.filter_map(|(_, group)| Some((*group, group.summary(figure)?))).collect();
        let winner = match compare(aggregate, figure, ranked) {
            Comparison::Unknown | Comparison::Single(_) | Comparison::Points(_) => continue,
            Comparison::Level { .. } => "no clear winner".to_owned(),
            Comparison::Ordered(ordered) => {
                let transports: Vec<&str> =
                    ordered.least.iter().map(|(group, _)| series_of(sweep, group)).collect();
                list(&transports)
            }
        };
        match by_winner.iter_mut().find(|(known, _)| *known == winner) {
            Some((_, levels)) => levels.push(plain(level)),
            None => by_winner.push((winner, vec![plain(level)])),
        }
    }
    let told: Vec<String> =
        by_winner.iter().map(|(winner, levels)| format!("{winner} at {}", list(levels))).collect();
    let unit = unit_after(sweep);
    (!told.is_empty()).then(|| {
        let text = format!("Fastest (p50) by {}{unit}: {}.", sweep.factor.title(), told.join("; "));
        sentence(Topic::Sweep, Tone::Plain, text)
    })
}

fn series_of<'s>(sweep: &'s Sweep, group: &Group) -> &'s str {
    let holds = |series: &&SweptLine| series.points.iter().any(|(_, other)| std::ptr::eq(*other, group));
    sweep.series.iter().find(holds).map_or("", |series| series.label.as_str())
}

fn unit_after(sweep: &Sweep) -> String {
    match sweep.factor.unit() {
        "" => String::new(),
        unit => format!(" ({unit})"),
    }
}

/// Returns how the figures differ between the two ends of a factor.
fn trend(aggregate: &Aggregate, sweep: &Sweep, series: &SweptLine) -> Option<Sentence> {
    let believed: Vec<&(f64, &Group)> =
        series.points.iter().filter(|(_, group)| group.is_believed()).collect();
    let ((from, first), (to, last)) = match believed.as_slice() {
        [first, .., last] => (**first, **last),
        [] | [_] => return None,
    };
    let told: Vec<String> =
        [Figure::LatencyP50, Figure::Requests, Figure::WireBytes, Figure::L7Bytes, Figure::Cpu]
            .into_iter()
            .filter(|figure| *figure != Figure::L7Bytes || first.summary(Figure::WireBytes).is_none())
            .filter_map(|figure| change(aggregate, figure, first, last))
            .collect();
    if told.is_empty() {
        return None;
    }
    let unit = sweep.factor.unit();
    let text = format!(
        "{}, with the {} from {} to {}: {}.",
        series.label,
        sweep.factor.title(),
        plain(from),
        if unit.is_empty() { plain(to) } else { format!("{} {unit}", plain(to)) },
        told.join("; ")
    );
    Some(sentence(Topic::Sweep, Tone::Plain, text))
}

fn change(aggregate: &Aggregate, figure: Figure, first: &Group, last: &Group) -> Option<String> {
    let noun = words(figure).noun;
    let (a, b) = (first.summary(figure)?, last.summary(figure)?);
    // Costs are told by their ends alone: the table has the intervals, and a sentence must stay readable.
    let end = |summary: &GroupFigure| {
        if figure == Figure::LatencyP50 {
            told(figure, summary)
        } else {
            with_unit(summary.median, figure.unit())
        }
    };
    let ends = format!("{} to {}", end(a), end(b));
    if a.interval.is_none() || b.interval.is_none() {
        return Some(format!("{noun} from {ends}"));
    }
    let (rose, fell) = (
        told_apart(aggregate, figure, (first, a), (last, b)),
        told_apart(aggregate, figure, (last, b), (first, a)),
    );
    let by = match a.times(b) {
        Some((ratio, _)) if ratio >= TIMES_MIN => {
            format!(", {} times as {}", digits(ratio), words(figure).times_as)
        }
        Some((ratio, _)) => format!(" ({})", percent_signed(ratio - 1.0)),
        None => String::new(),
    };
    Some(match (rose, fell) {
        (true, _) => format!("{noun} rose from {ends}{by}"),
        (false, true) => format!("{noun} fell from {ends}{by}"),
        (false, false) => format!("no difference in {noun} can be told ({ends})"),
    })
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests;
