//! Sweeps: plans whose arms vary one number, such as the poll interval.
//!
//! A folder has a sweep where some transport was measured at several values of exactly one factor. Groups that differ
//! in a word, such as the poll schedule, are separate series. Transports to which the factor does not apply are
//! references: plots draw them as level lines.

use wirelab_clients::harness::rows::RunRow;
use wirelab_clients::wire::Transport;

use super::aggregate::{Aggregate, Group};
use super::figures::{Factor, words_of};

/// Fewest values of a factor that make a sweep.
const LEVELS_MIN: usize = 2;

/// Sweep of a folder: the factor that varies, and the groups along it.
#[derive(Debug)]
pub(super) struct Sweep<'a> {
    pub(super) factor: Factor,
    /// Lines over the factor; at least one.
    pub(super) series: Vec<SweptLine<'a>>,
    /// Groups without a value of the factor.
    pub(super) references: Vec<&'a Group<'a>>,
}

/// One line over the factor: groups that differ in nothing but its value.
#[derive(Debug)]
pub(super) struct SweptLine<'a> {
    pub(super) label: String,
    /// Values of the factor with their groups, in rising order.
    pub(super) points: Vec<(f64, &'a Group<'a>)>,
}

impl<'a> Sweep<'a> {
    /// Returns the sweep of these groups. `None` where not exactly one factor varies, or two groups share a place.
    pub(super) fn of(aggregate: &'a Aggregate<'a>) -> Option<Self> {
        let mut varied = Factor::ALL.into_iter().filter(|factor| varies(aggregate, *factor));
        let factor = varied.next()?;
        if varied.next().is_some() {
            return None;
        }
        let mut series: Vec<(Key, SweptLine<'a>)> = Vec::new();
        let mut references = Vec::new();
        for group in &aggregate.groups {
            let Some(level) = level(group, factor) else {
                references.push(group);
                continue;
            };
            let key = key(group);
            match series.iter_mut().find(|(known, _)| *known == key) {
                Some((_, series)) => series.points.push((level, group)),
                None => {
                    let label = group.transport.to_string();
                    series.push((key, SweptLine { label, points: vec![(level, group)] }));
                }
            }
        }
        for i in 0..series.len() {
            series[i].1.label = label(&series, i);
        }
        let mut series: Vec<SweptLine> = series.into_iter().map(|(_, series)| series).collect();
        for series in &mut series {
            series.points.sort_by(|a, b| a.0.total_cmp(&b.0));
            if series.points.windows(2).any(|two| two[0].0 == two[1].0) {
                return None;
            }
        }
        Some(Self { factor, series, references })
    }
}

/// Key that tells the lines of a sweep apart: the transport and its factors that are words.
type Key = (Transport, Vec<(&'static str, String)>);

fn key(group: &Group) -> Key {
    (group.transport, words_of(group.runs[0]))
}

/// Returns the label of a series: the transport, and the words that tell it from its other series.
fn label(series: &[(Key, SweptLine)], i: usize) -> String {
    let (transport, words) = &series[i].0;
    let others: Vec<&Key> = series
        .iter()
        .map(|(key, _)| key)
        .filter(|(other, others)| other == transport && others != words)
        .collect();
    let own = words.iter().filter(|word| others.iter().any(|(_, others)| !others.contains(word)));
    let own: Vec<String> = own.map(spoken).collect();
    if own.is_empty() { transport.to_string() } else { format!("{transport} ({})", own.join(", ")) }
}

/// Returns a factor's word for a label. A word that says nothing alone, such as `true`, brings its column.
fn spoken((column, word): &(&'static str, String)) -> String {
    match word.as_str() {
        "true" | "false" => format!("{} {word}", column.replace('_', " ")),
        word => word.to_owned(),
    }
}

/// Returns the value of the factor; `None` where the runs of the group do not share one.
fn level(group: &Group, factor: Factor) -> Option<f64> {
    let of_run = |run: &RunRow| run.number(factor.column());
    let first = of_run(group.runs[0])?;
    group.runs.iter().all(|run| of_run(run) == Some(first)).then_some(first)
}

/// Tells whether a transport was measured at several values of the factor.
fn varies(aggregate: &Aggregate, factor: Factor) -> bool {
    let values = |transport: Transport| {
        let mut values: Vec<f64> = aggregate
            .groups
            .iter()
            .filter(|group| group.transport == transport)
            .filter_map(|group| level(group, factor))
            .collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        values.len()
    };
    aggregate.groups.iter().any(|group| values(group.transport) >= LEVELS_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::synthetic::{self, MadeUp};

    /// Returns the factor, its series with their levels, and the number of references.
    fn told(cells: &[MadeUp]) -> Option<(Factor, Vec<String>, usize)> {
        let folder = synthetic::folder(cells, 1);
        let aggregate = Aggregate::of(&folder);
        let sweep = Sweep::of(&aggregate)?;
        let series = sweep.series.iter().map(|series| {
            let levels: Vec<String> = series.points.iter().map(|(level, _)| level.to_string()).collect();
            format!("{}: {}", series.label, levels.join(" "))
        });
        Some((sweep.factor, series.collect(), sweep.references.len()))
    }

    #[test]
    fn one_factor_that_varies_is_a_sweep_with_a_series_for_each_word() {
        let series = ["short-poll (fixed): 50 100 200 400 800", "short-poll (pause): 50 100 200 400 800"];
        let series = series.map(str::to_owned).to_vec();
        assert_eq!(told(&MadeUp::sweep(1)), Some((Factor::PollInterval, series, 2)));
    }

    #[test]
    fn a_link_is_a_factor_like_any_other() {
        for (column, factor) in [
            ("rtt_ms", Factor::RoundTrip),
            ("jitter_ms", Factor::Jitter),
            ("loss_ratio", Factor::Loss),
            ("link_kbit_s", Factor::LinkRate),
        ] {
            let cell = |arm: &str, level: f64| {
                MadeUp::of("sse", 1.0, 1).arm(arm).with("network", "tun").with(column, level)
            };
            let told = told(&[cell("a", 0.25), cell("b", 100.0), MadeUp::of("sse", 1.0, 1).arm("here")]);
            // What has no link is no point of the line: it is not a link of length 0.
            assert_eq!(told, Some((factor, vec!["sse: 0.25 100".to_owned()], 1)), "{column}");
        }
        let cell = |kind: &str, rtt_ms: u32| {
            let cell = MadeUp::of("sse", 1.0, 1).arm(&format!("{kind}-{rtt_ms}"));
            cell.with("network", kind).with("rtt_ms", rtt_ms)
        };
        let (_, series, _) =
            told(&[cell("line", 10), cell("line", 50), cell("tun", 10), cell("tun", 50)]).unwrap();
        assert_eq!(series, ["sse (line): 10 50", "sse (tun): 10 50"]);
    }

    #[test]
    fn transports_alone_and_two_factors_at_once_are_no_sweep() {
        assert_eq!(told(&[MadeUp::of("sse", 1.0, 1), MadeUp::of("ndjson", 1.0, 1)]), None);
        let cell = |arm: &str, interval: u32, hold: u32| {
            let cell = MadeUp::of("long-poll", 1.0, 1).arm(arm);
            cell.with("poll_interval_ms", interval).with("hold_ms", hold)
        };
        assert_eq!(told(&[cell("a", 100, 1_000), cell("b", 200, 2_000)]), None);
        // Two arms at one place: what they differ by is not in the files.
        assert_eq!(told(&[cell("a", 100, 1), cell("b", 200, 1), cell("c", 200, 1)]), None);
    }

    #[test]
    fn a_word_that_says_nothing_alone_brings_its_column() {
        let cell = |arm: &str, level: u32, keep: &str| {
            MadeUp::of("short-poll", 1.0, 1).arm(arm).with("payload_bytes", level).with("keep_alive", keep)
        };
        let cells =
            [cell("a", 10, "true"), cell("b", 20, "true"), cell("c", 10, "false"), cell("d", 20, "false")];
        let (factor, series, _) = told(&cells).unwrap();
        assert_eq!(factor, Factor::Payload);
        assert_eq!(series, ["short-poll (keep alive true): 10 20", "short-poll (keep alive false): 10 20"]);
    }
}
