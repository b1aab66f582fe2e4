//! `wirelab report --format summary`: Markdown for the summary of a job, which people read to see whether it is good.
//!
//! It says first what did not hold and why, then the finding, and folds the figures. [`markdown`](super::markdown) is for
//! documents and has no judgements.

use wirelab_clients::harness::rows::{CheckRow, RunRow, TheoryRow};
use wirelab_clients::harness::run_result::{CheckVerdict, TheoryVerdict, Verdict};

use super::markdown::{safe, table};
use super::summary::Summary;
use super::tables;
use super::wording::{counted, digits, grouped, percent_signed};

/// Most rows of what did not hold: GitHub takes 1 MiB of summary per step, and nobody reads more.
const ROWS_MAX: usize = 50;

/// One thing that did not hold.
struct Failed {
    run: String,
    what: String,
    numbers: String,
}

/// Returns the summary.
pub(super) fn render(summary: &Summary) -> String {
    let folder = summary.folder;
    let failed = failed(summary);
    let mark = if failed.is_empty() && !folder.rows.runs.is_empty() { "✅" } else { "❌" };
    let mut text = format!("## {mark} {}: {}\n\n", safe(&folder.plan.name), safe(&folder.plan.question));
    text += &format!("{}\n", headline(summary));
    if !failed.is_empty() {
        text += "\n| run | what did not hold | numbers |\n| --- | --- | --- |\n";
        text.extend(failed.iter().take(ROWS_MAX).map(|Failed { run, what, numbers }| {
            format!("| {} | {} | {} |\n", safe(run), safe(what), safe(numbers))
        }));
        if failed.len() > ROWS_MAX {
            let more = grouped((failed.len() - ROWS_MAX) as u64);
            text += &format!("\nAnd {more} more: `wirelab report DIR --format junit` lists all.\n");
        }
    }
    text.extend(summary.meanings().into_iter().map(|meaning| format!("\n{meaning}\n")));
    text += "\n**Finding**\n\n";
    text.extend(summary.finding.iter().map(|sentence| format!("- {}\n", safe(&sentence.text))));
    text += &folded("Figures", &table(&tables::cells(summary)));
    text += &folded("Runs", &table(&tables::runs(summary)));
    let facts = summary.facts();
    let facts: Vec<String> = facts.iter().map(|(name, value)| format!("{name}: {}", safe(value))).collect();
    text += &format!("\n{}\n", facts.join(" · "));
    text
}

/// Returns how many runs are valid, how many lines were lost, and how theory and thresholds did, in one line.
fn headline(summary: &Summary) -> String {
    let rows = &summary.folder.rows;
    let of = |verdict: Verdict| rows.runs.iter().filter(|run| run.verdict == verdict).count();
    let sum = |count: fn(&RunRow) -> u64| grouped(rows.runs.iter().map(count).fold(0, u64::saturating_add));
    let theory = |verdict: TheoryVerdict| {
        let judged = |row: &&TheoryRow| row.verdict == verdict && is_believed(summary, &row.run_id);
        rows.theory.iter().filter(judged).count()
    };
    let (held, missed) = (theory(TheoryVerdict::Pass), theory(TheoryVerdict::Fail));
    let thresholds = rows.checks.iter().filter(|row| row.is_threshold());
    let (kept, broken): (Vec<_>, Vec<_>) = thresholds.partition(|row| row.verdict == CheckVerdict::Pass);
    let mut parts = vec![
        format!(
            "{}: {} ok, {} unresolved, {} invalid",
            counted(rows.runs.len(), "run", "runs"),
            of(Verdict::Ok),
            of(Verdict::Unresolved),
            of(Verdict::Invalid)
        ),
        format!(
            "lines lost {}, censored {}, duplicated {}, out of order {}",
            sum(|run| run.lost_count),
            sum(|run| run.censored_count),
            sum(|run| run.duplicated_count),
            sum(|run| run.out_of_order_count)
        ),
        format!("theory: {held} of {} predictions held", held + missed),
    ];
    if !kept.is_empty() || !broken.is_empty() {
        parts.push(format!("thresholds: {} of {} kept", kept.len(), kept.len() + broken.len()));
    }
    parts.join(" · ")
}

/// Lists what did not hold, the gravest kind first.
fn failed(summary: &Summary) -> Vec<Failed> {
    let rows = &summary.folder.rows;
    let invalid = rows.runs.iter().filter(|run| run.verdict == Verdict::Invalid).map(|run| Failed {
        run: run.run_id.clone(),
        what: "the run is invalid".to_owned(),
        numbers: run.verdict_reasons.join("; "),
    });
    let defects = rows.runs.iter().filter(|run| run.defects_count() > 0).map(|run| Failed {
        run: run.run_id.clone(),
        what: "lines did not arrive once and in order".to_owned(),
        numbers: format!(
            "lost {}, censored {}, duplicated {}, out of order {}, of the warm-up {}",
            grouped(run.lost_count),
            grouped(run.censored_count),
            grouped(run.duplicated_count),
            grouped(run.out_of_order_count),
            grouped(run.warm_up_defects_count)
        ),
    });
    let is_missed = |row: &&CheckRow| match row.verdict {
        CheckVerdict::Pass => false,
        CheckVerdict::NotMeasured | CheckVerdict::Unresolved | CheckVerdict::Fail => row.is_threshold(),
    };
    let thresholds = rows.checks.iter().filter(is_missed).map(|row| {
        let told = |value: Option<f64>| value.map_or_else(|| "not measured".to_owned(), digits);
        Failed {
            run: row.run_id.clone(),
            what: row.check.clone(),
            numbers: format!("{}, limit {} {}", told(row.left), told(row.right), row.unit),
        }
    });
    let is_contradicted =
        |row: &&TheoryRow| row.verdict == TheoryVerdict::Fail && is_believed(summary, &row.run_id);
    let theory = rows.theory.iter().filter(is_contradicted).map(|row| Failed {
        run: row.run_id.clone(),
        what: format!("theory: {} {}", row.formula, row.quantity),
        numbers: row
            .residual_ratio
            .map_or_else(String::new, |ratio| format!("off by {}", percent_signed(ratio))),
    });
    invalid.chain(defects).chain(thresholds).chain(theory).collect()
}

fn is_believed(summary: &Summary, run_id: &str) -> bool {
    summary.folder.run(run_id).is_some_and(RunRow::is_believed)
}

/// Returns a text that is shown when its heading is opened.
fn folded(heading: &str, text: &str) -> String {
    format!("\n<details><summary>{heading}</summary>\n\n{text}\n</details>\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::synthetic::{self, MadeUp};
    use crate::report::{Folder, TextFormat, report};

    fn text(folder: &Folder) -> String {
        String::from_utf8(report(folder, TextFormat::Summary).unwrap()).unwrap()
    }

    /// A folder in which everything held.
    fn good() -> Folder {
        let mut folder = synthetic::folder(&[MadeUp::of("sse", 0.5, 2)], 1);
        folder.rows.theory.iter_mut().for_each(|row| row.verdict = TheoryVerdict::Pass);
        folder
    }

    #[test]
    fn the_first_lines_say_whether_the_job_is_good() {
        let text = text(&good());
        assert!(
            text.starts_with("## ✅ made-up: What does a shorter interval buy?\n\n2 runs: 2 ok"),
            "{text}"
        );
        assert!(text.contains("lines lost 0, censored 0") && !text.contains("did not hold"), "{text}");
        assert!(text.contains("<details><summary>Figures</summary>\n\n| cell |"), "{text}");
    }

    #[test]
    fn what_did_not_hold_stands_first_with_its_numbers() {
        let mut folder = good();
        folder.rows.runs[0].lost_count = 3;
        folder.rows.runs[1].verdict = Verdict::Invalid;
        folder.rows.runs[1].verdict_reasons = vec!["the publisher | was late".to_owned()];
        let text = text(&folder);
        assert!(text.starts_with("## ❌ "), "{text}");
        for expected in
            ["| sse-2 | the run is invalid | the publisher \\| was late |", "| lost 3, censored 0, "]
        {
            assert!(text.contains(expected), "{expected} is not in {text}");
        }
    }

    #[test]
    fn a_job_without_a_run_is_not_good() {
        let mut folder = good();
        folder.rows.runs.clear();
        let text = text(&folder);
        assert!(text.starts_with("## ❌ ") && text.contains("\n0 runs: "), "{text}");
    }

    #[test]
    fn a_long_list_of_failures_is_cut_and_says_so() {
        let mut folder = good();
        let row = folder.rows.theory[0].clone();
        folder.rows.theory = vec![TheoryRow { verdict: TheoryVerdict::Fail, ..row }; ROWS_MAX + 7];
        let text = text(&folder);
        assert_eq!(text.matches("| theory: ").count(), ROWS_MAX);
        assert!(text.contains("And 7 more:"), "{text}");
    }
}
