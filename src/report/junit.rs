//! `wirelab report --format junit`: what had to hold, as JUnit XML for continuous integration.
//!
//! One suite for each kind of judgement: delivery, verdicts, gates, thresholds, theory. What failed is a failure; what was
//! not judged, or leaves a doubt only, is skipped with its reason. The XML is [`junit.xml`](./junit.xml).

use askama::Template;
use wirelab_clients::harness::rows::{CheckRow, Rows, RunRow, TheoryRow};
use wirelab_clients::harness::run_result::{CheckVerdict, TheoryVerdict, Verdict};

use super::ReportError;
use super::folder::Folder;
use super::wording::{digits, grouped, percent_signed};

#[derive(Template)]
#[template(path = "junit.xml")]
struct Document<'a> {
    plan: &'a str,
    suites: Vec<Suite>,
}

/// One kind of judgement.
struct Suite {
    name: &'static str,
    cases: Vec<Case>,
}

/// One judgement.
struct Case {
    /// Run that is judged, or the name of the suite for what concerns none.
    class: String,
    name: String,
    outcome: Outcome,
}

enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

impl Document<'_> {
    fn tests(&self) -> usize {
        self.suites.iter().map(Suite::tests).sum()
    }

    fn failures(&self) -> usize {
        self.suites.iter().map(Suite::failures).sum()
    }

    fn skipped(&self) -> usize {
        self.suites.iter().map(Suite::skipped).sum()
    }
}

impl Suite {
    fn tests(&self) -> usize {
        self.cases.len()
    }

    fn failures(&self) -> usize {
        self.cases.iter().filter(|case| matches!(case.outcome, Outcome::Failed(_))).count()
    }

    fn skipped(&self) -> usize {
        self.cases.iter().filter(|case| matches!(case.outcome, Outcome::Skipped(_))).count()
    }
}

/// Returns the document.
pub(super) fn render(folder: &Folder) -> Result<Vec<u8>, ReportError> {
    let rows = &folder.rows;
    let (thresholds, gates): (Vec<_>, Vec<_>) = rows.checks.iter().partition(|row| row.is_threshold());
    let plan = valid(&folder.plan.name);
    let document = Document {
        plan: &plan,
        suites: vec![
            Suite { name: "delivery", cases: rows.runs.iter().map(delivery).collect() },
            Suite { name: "verdicts", cases: verdicts(rows) },
            Suite { name: "gates", cases: gates.into_iter().map(gate).collect() },
            Suite { name: "thresholds", cases: thresholds.into_iter().map(threshold).collect() },
            Suite { name: "theory", cases: rows.theory.iter().map(|row| theory(folder, row)).collect() },
        ],
    };
    let mut xml = document.render().map_err(|error| ReportError::Page(error.to_string()))?;
    xml.push('\n');
    Ok(xml.into_bytes())
}

fn delivery(run: &RunRow) -> Case {
    let counts = [
        ("lost", run.lost_count),
        ("censored", run.censored_count),
        ("duplicated", run.duplicated_count),
        ("out of order", run.out_of_order_count),
        ("defects of warm-up lines", run.warm_up_defects_count),
    ];
    let defects = counts.into_iter().filter(|(_, count)| *count > 0);
    let told: Vec<String> = defects.map(|(what, count)| format!("{what}: {}", grouped(count))).collect();
    let outcome = if told.is_empty() { Outcome::Passed } else { Outcome::Failed(told.join(", ")) };
    Case { class: valid(&run.run_id), name: "every line arrived once and in order".to_owned(), outcome }
}

/// Returns a case per run. Without any there is one that fails: nothing measured is not a success.
fn verdicts(rows: &Rows) -> Vec<Case> {
    if rows.runs.is_empty() {
        let outcome = Outcome::Failed("no run has ended".to_owned());
        return vec![Case { class: "no run".to_owned(), name: "a run has ended".to_owned(), outcome }];
    }
    rows.runs.iter().map(verdict).collect()
}

fn verdict(run: &RunRow) -> Case {
    let reasons = || valid(&run.verdict_reasons.join("; "));
    let outcome = match run.verdict {
        Verdict::Ok => Outcome::Passed,
        Verdict::Unresolved => {
            Outcome::Skipped(format!("usable, but not for small differences: {}", reasons()))
        }
        Verdict::Invalid => Outcome::Failed(format!("invalid, do not use the run: {}", reasons())),
    };
    Case { class: valid(&run.run_id), name: "the run is valid".to_owned(), outcome }
}

fn gate(row: &CheckRow) -> Case {
    let outcome = match row.verdict {
        CheckVerdict::Pass => Outcome::Passed,
        CheckVerdict::Fail => Outcome::Failed(numbers(row)),
        CheckVerdict::Unresolved => Outcome::Skipped(format!("a doubt remains: {}", numbers(row))),
        CheckVerdict::NotMeasured => Outcome::Skipped("there is nothing to compare".to_owned()),
    };
    Case { class: valid(&row.run_id), name: valid(&row.check), outcome }
}

/// Returns the case of a threshold. One that could not be measured is missed, as in the exit code of a run.
fn threshold(row: &CheckRow) -> Case {
    let outcome = match row.verdict {
        CheckVerdict::Pass => Outcome::Passed,
        CheckVerdict::Fail | CheckVerdict::Unresolved | CheckVerdict::NotMeasured => {
            Outcome::Failed(numbers(row))
        }
    };
    let class = if row.run_id.is_empty() { "no run" } else { &row.run_id };
    Case { class: valid(class), name: valid(&row.check), outcome }
}

/// Returns the two numbers of a check as text.
fn numbers(row: &CheckRow) -> String {
    let told = |value: Option<f64>| value.map_or_else(|| "not measured".to_owned(), digits);
    let tolerance = row.tolerance.map(|tolerance| format!(", tolerance {}", digits(tolerance)));
    valid(&format!(
        "{} against {} {}{}",
        told(row.left),
        told(row.right),
        row.unit,
        tolerance.unwrap_or_default()
    ))
}

fn theory(folder: &Folder, row: &TheoryRow) -> Case {
    let told = |value: Option<f64>| value.map_or_else(|| "not measured".to_owned(), digits);
    let off = row.residual_ratio.map_or_else(|| "–".to_owned(), percent_signed);
    let numbers = format!(
        "predicted {}, measured {} {}, off by {off}",
        told(row.predicted),
        told(row.measured),
        row.unit
    );
    let is_believed = folder.run(&row.run_id).is_some_and(RunRow::is_believed);
    let outcome = match row.verdict {
        TheoryVerdict::Pass => Outcome::Passed,
        TheoryVerdict::Fail if is_believed => Outcome::Failed(valid(&numbers)),
        TheoryVerdict::Fail => Outcome::Skipped(valid(&format!("the run is invalid: {numbers}"))),
        TheoryVerdict::AssumptionBroken => {
            Outcome::Skipped(valid(&format!("an assumption does not hold: {}", row.assumption_broken)))
        }
        TheoryVerdict::Reported => Outcome::Skipped("reported, not judged".to_owned()),
    };
    Case { class: valid(&row.run_id), name: valid(&format!("{} {}", row.formula, row.quantity)), outcome }
}

/// Returns a text without the characters that XML cannot hold, not even escaped.
fn valid(text: &str) -> String {
    let fits = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    text.chars().map(|c| if fits(c) { c } else { '\u{fffd}' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::synthetic::{self, MadeUp};
    use crate::report::{TextFormat, report};

    fn document(folder: &Folder) -> String {
        String::from_utf8(report(folder, TextFormat::Junit).unwrap()).unwrap()
    }

    /// Counts the suites' own numbers, and the elements that they count.
    fn counted(xml: &str, attribute: &str, element: &str) -> (usize, usize) {
        let suites = xml.lines().filter(|line| line.starts_with("<testsuite "));
        let number = |line: &str| {
            let (_, rest) = line.split_once(&format!(" {attribute}=\"")).unwrap();
            rest.split('"').next().unwrap().parse::<usize>().unwrap()
        };
        (suites.map(number).sum(), xml.matches(&format!("<{element} ")).count())
    }

    #[test]
    fn every_judgement_is_a_case_and_the_numbers_add_up() {
        let folder = synthetic::folder(&[MadeUp::of("sse", 0.5, 2)], 1);
        let xml = document(&folder);
        let rows = &folder.rows;
        let judged = 2 * rows.runs.len() + rows.checks.len() + rows.theory.len();
        assert_eq!(counted(&xml, "tests", "testcase"), (judged, judged), "{xml}");
        let (told, there) = counted(&xml, "failures", "failure");
        assert_eq!(told, there);
        let (told, there) = counted(&xml, "skipped", "skipped");
        assert_eq!(told, there);
        for suite in ["delivery", "verdicts", "gates", "thresholds", "theory"] {
            assert!(xml.contains(&format!("<testsuite name=\"{suite}\"")), "{suite}: {xml}");
        }
    }

    #[test]
    fn what_did_not_hold_fails_and_what_was_not_judged_is_skipped() {
        let mut folder = synthetic::folder(&[MadeUp::of("sse", 0.5, 1)], 1);
        folder.rows.runs[0].lost_count = 1_234;
        folder.rows.checks[0].verdict = CheckVerdict::Fail;
        folder.rows.theory[0].verdict = TheoryVerdict::Fail;
        let failures = |folder: &Folder| {
            let xml = document(folder);
            (xml.matches("<failure ").count(), xml)
        };
        let (count, xml) = failures(&folder);
        assert!(xml.contains("<failure message=\"lost: 1,234\"/>"), "{xml}");
        assert_eq!(count, 3, "{xml}");
        // Nothing is claimed from an invalid run, so it contradicts no theory; that it is invalid is a failure.
        folder.rows.runs[0].verdict = Verdict::Invalid;
        let (count, xml) = failures(&folder);
        assert_eq!(count, 3, "{xml}");
        assert!(xml.contains("<skipped message=\"the run is invalid: "), "{xml}");
    }

    #[test]
    fn nothing_measured_is_not_a_success() {
        let mut folder = synthetic::folder(&[MadeUp::of("sse", 0.5, 1)], 1);
        let rows = &mut folder.rows;
        (rows.runs, rows.checks, rows.theory) = (Vec::new(), Vec::new(), Vec::new());
        let xml = document(&folder);
        assert!(xml.contains("tests=\"1\" failures=\"1\"") && xml.contains("no run has ended"), "{xml}");
    }

    #[test]
    fn no_text_of_a_server_breaks_the_document() {
        let mut folder = synthetic::folder(&[MadeUp::of("sse", 0.5, 1)], 1);
        folder.rows.runs[0].verdict = Verdict::Invalid;
        folder.rows.runs[0].verdict_reasons = vec!["]]></testsuite> \"&\" \u{1b}[1m \u{0}".to_owned()];
        let xml = document(&folder);
        assert_eq!(xml.matches("</testsuite>").count(), 5, "{xml}");
        assert!(!xml.contains('\u{1b}') && !xml.contains('\u{0}') && !xml.contains("\"&\""), "{xml}");
    }
}
