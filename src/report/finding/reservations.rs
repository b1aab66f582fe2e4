//! What the finding says besides its claims: what they rest on, and what is not claimed.

use wirelab_clients::harness::plan::Size;
use wirelab_clients::harness::results::is_in_memory;
use wirelab_clients::harness::rows::RunRow;
use wirelab_clients::harness::run_result::Verdict;

use crate::report::aggregate::{Aggregate, Group};
use crate::report::comparison::RUNS_NEEDED;
use crate::report::figures::Figure;
use crate::report::folder::Folder;
use crate::report::theory_held::Held;
use crate::report::wording::{counted, grouped, list, percent_signed};

use super::words::words;
use super::{NAMED_MAX, Sentence, Tone, Topic, capital, sentence};

/// Count of a run's receipts, such as the lost ones.
type Count = fn(&RunRow) -> u64;

/// Says that too few runs allow no ranking; `None` where every cell has enough.
pub(super) fn too_few_runs(aggregate: &Aggregate) -> Option<Sentence> {
    let believed = |group: &Group| group.believed().count();
    let counts: Vec<usize> = aggregate.groups.iter().map(believed).filter(|count| *count > 0).collect();
    let (least, most) = (counts.iter().copied().min()?, counts.iter().copied().max()?);
    if least >= RUNS_NEEDED || counts.is_empty() {
        return None;
    }
    let there = match (least, most) {
        (1, 1) if counts.len() == 1 => "Here is one valid run".to_owned(),
        (1, 1) => "Here is one valid run of each cell".to_owned(),
        (least, most) if least == most => format!("Here are {least} valid runs of each cell"),
        (least, most) => format!("Here are {least} to {most} valid runs of each cell"),
    };
    let consequence = if most < RUNS_NEEDED {
        "their figures are points, and no winner is named"
    } else {
        "figures of cells with fewer are points and are not ranked"
    };
    let text = format!(
        "A 95 % interval needs at least {RUNS_NEEDED} runs. {there}: {consequence}. The same command with --repetitions \
         {RUNS_NEEDED} gives intervals."
    );
    Some(sentence(Topic::Caution, Tone::Plain, text))
}

/// Says how far the two equal cells of the A/A pair differ.
pub(super) fn noise(aggregate: &Aggregate) -> Option<Sentence> {
    let (of, twin) = aggregate.aa()?;
    let each: Vec<String> = [Figure::LatencyP50, Figure::LatencyP99, Figure::Cpu]
        .into_iter()
        .filter_map(|figure| {
            let (ratio, interval) = of.summary(figure)?.times(twin.summary(figure)?)?;
            let interval = interval.map_or(String::new(), |interval| {
                let (low, high) = (percent_signed(interval.low - 1.0), percent_signed(interval.high - 1.0));
                format!(" (95 % CI {low} to {high})")
            });
            Some(format!("{} by {}{interval}", words(figure).noun, percent_signed(ratio - 1.0)))
        })
        .collect();
    (!each.is_empty()).then(|| {
        let text = format!(
            "The noise floor: {}, measured twice in each block, differed from itself in {}. No smaller difference is \
             claimed between other cells.",
            of.label,
            list(&each)
        );
        sentence(Topic::Caution, Tone::Plain, text)
    })
}

/// Says whether theory held, and in sentences of their own what was not judged: that is neither good nor bad.
pub(super) fn theory(folder: &Folder, aggregate: &Aggregate) -> Vec<Sentence> {
    let Some(held) = Held::of(folder, aggregate) else { return Vec::new() };
    let text = match (held.judged_count, held.passed_count) {
        (0, _) => "Theory: no prediction could be judged.".to_owned(),
        (1, 1) => {
            format!("Theory held: the one judged figure is within tolerance ({}).", held.closeness_told())
        }
        (judged, passed) if judged == passed => format!(
            "Theory held: all {} within tolerance ({}).",
            counted(judged, "judged figure is", "judged figures are"),
            held.closeness_told()
        ),
        (judged, passed) => format!(
            "Theory held in {passed} of {}; outside the tolerance: {}.",
            counted(judged, "judged figure", "judged figures"),
            held.failures_told()
        ),
    };
    let not_judged = held.broken.iter().map(|(assumption, formulas, count)| {
        let text = format!(
            "Theory: {} not judged ({}), because an assumption does not hold or a calibrated constant is too \
             uncertain: {assumption}.",
            counted(*count, "figure was", "figures were"),
            list(formulas),
        );
        sentence(Topic::Theory, Tone::Plain, text)
    });
    let tone = match held.judged_count {
        0 => Tone::Plain,
        judged if judged == held.passed_count => Tone::Good,
        _ => Tone::Bad,
    };
    std::iter::once(sentence(Topic::Theory, tone, text)).chain(not_judged).collect()
}

/// Says whether every line arrived once and in order. It counts invalid runs too: a defect may be the reason why a
/// run is invalid. It says nothing good where all runs are invalid.
pub(super) fn delivery(folder: &Folder, aggregate: &Aggregate) -> Option<Sentence> {
    let sum = |of: Count| folder.rows.runs.iter().map(of).sum::<u64>();
    let receipts = format!("{} receipts expected: ", grouped(sum(|run| run.expected_count)));
    let culprits = |of: Count| {
        let groups = aggregate.groups.iter().chain(aggregate.aa().map(|(_, twin)| twin));
        let with: Vec<&str> = groups
            .filter(|group| group.runs.iter().any(|run| of(run) != 0))
            .map(|group| group.label.as_str())
            .collect();
        list(&with)
    };
    let kinds: [(Count, &str); 4] = [
        (|run| run.lost_count, "lost"),
        (|run| run.duplicated_count, "duplicated"),
        (|run| run.censored_count, "not arrived when the drain ended"),
        (|run| run.out_of_order_count, "out of order"),
    ];
    let defects: Vec<String> = kinds
        .into_iter()
        .filter(|(of, _)| sum(*of) != 0)
        .map(|(of, what)| format!("{} {what} with {}", grouped(sum(of)), culprits(of)))
        .collect();
    if !defects.is_empty() {
        let is_defective = |run: &&RunRow| kinds.iter().any(|(of, _)| of(run) != 0);
        let invalid = folder.rows.runs.iter().filter(is_defective).filter(|run| !run.is_believed());
        let invalid = match named(invalid.map(|run| run.run_id.clone()).collect()) {
            names if names.is_empty() => String::new(),
            names => format!(" Invalid among the runs with these: {names}."),
        };
        let text = capital(&format!("{receipts}{}.{invalid}", list(&defects)));
        return Some(sentence(Topic::Delivery, Tone::Bad, text));
    }
    folder.rows.runs.iter().any(RunRow::is_believed).then(|| {
        let text = format!("{receipts}every measured line arrived once and in order.");
        sentence(Topic::Delivery, Tone::Good, capital(&text))
    })
}

/// Joins the names of a few; of many, the first ones and the number of the others.
fn named(mut names: Vec<String>) -> String {
    if names.len() > NAMED_MAX {
        let more = names.split_off(NAMED_MAX - 1).len();
        names.push(format!("{more} others"));
    }
    list(&names)
}

/// Says that runs of the plan are missing: what they would have shown is not in the report.
pub(super) fn missing(folder: &Folder) -> Option<Sentence> {
    let order = &folder.manifest.order;
    let missing: Vec<String> = order.iter().filter(|run_id| folder.run(run_id).is_none()).cloned().collect();
    let runs = counted(missing.len(), "run of the plan is", "runs of the plan are");
    (!missing.is_empty()).then(|| {
        let text = format!("{runs} missing, of {}: {}.", order.len(), named(missing));
        sentence(Topic::Validity, Tone::Bad, text)
    })
}

/// Says that the disk store lay in memory.
pub(super) fn store(folder: &Folder) -> Option<Sentence> {
    let file_system = folder.manifest.store_file_system.as_deref().filter(|name| is_in_memory(name))?;
    let text = format!(
        "The disk store lay on {file_system}, in memory, where a flush (fdatasync) costs nothing: figures of it do not \
         hold for a disk."
    );
    Some(sentence(Topic::Caution, Tone::Bad, text))
}

/// Says that a smoke run is too short to cite.
pub(super) fn size(folder: &Folder) -> Option<Sentence> {
    match folder.plan.size {
        Size::Full => None,
        Size::Smoke => {
            let text = "A smoke run: it only shows that the plan works. It is too short for its figures to be cited.";
            Some(sentence(Topic::Caution, Tone::Bad, text.to_owned()))
        }
    }
}

pub(super) fn validity(folder: &Folder, aggregate: &Aggregate) -> Sentence {
    let count = |verdict| folder.rows.runs.iter().filter(|run| run.verdict == verdict).count();
    let (ok, unresolved, invalid) = (count(Verdict::Ok), count(Verdict::Unresolved), count(Verdict::Invalid));
    let all = folder.rows.runs.len();
    let mut told = vec![format!("{ok} ok")];
    if unresolved > 0 {
        let why = "usable, but not for small differences";
        told.push(format!("{unresolved} unresolved ({why})"));
    }
    if invalid > 0 {
        told.push(format!("{invalid} invalid (not usable: left out above, except in the counts of lines)"));
    }
    let mut text = format!("{}: {}.", counted(all, "run", "runs"), list(&told));
    let gone: Vec<&str> = aggregate
        .groups
        .iter()
        .filter(|group| !group.is_believed())
        .map(|group| group.label.as_str())
        .collect();
    if !gone.is_empty() {
        text += &format!(" Nothing is said of {}: no valid run.", list(&gone));
    }
    let tone = match (unresolved, invalid) {
        (0, 0) => Tone::Good,
        (_, 0) => Tone::Plain,
        (_, _) => Tone::Bad,
    };
    sentence(Topic::Validity, tone, text)
}
