//! `report.html`: one file to open, to project and to print, without any other.
//!
//! It is made only from the files of a results folder, so `run` and `report` make the same bytes. The template
//! escapes every text, because names of plans and error texts of servers may hold anything. The page refers to
//! nothing but the files beside it.

use askama::Template;

use super::aggregate::Aggregate;
use super::finding::{Sentence, Topic};
use super::folder::{Folder, SOURCES};
use super::plots::{self, Data, Plot, Section};
use super::reproductions::Reproduced;
use super::run_files::{self, RunFiles, run_files};
use super::summary::Summary;
use super::tables::{self, Look, RowMark, Table};
use super::{File, ReportError, datapackage};

/// Name of the file.
pub const FILE: &str = "report.html";

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    folder: &'a Folder,
    /// Files that the page links to.
    files: Vec<&'static str>,
    run_files: Vec<RunFiles<'a>>,
    /// Number of runs whose files are not listed.
    runs_unlisted: usize,
    /// Statements about latency, sweeps and cost; `reservations` holds what they rest on.
    claims: Vec<&'a Sentence>,
    reservations: Vec<&'a Sentence>,
    demonstration: Option<&'static str>,
    facts: Vec<(&'static str, String)>,
    /// Printed figures and the verdict on them, if the plan reproduces any.
    reproduction: Option<tables::Judged>,
    of_printed: Vec<Plot>,
    of_sweep: Vec<Plot>,
    of_latency: Vec<Plot>,
    of_cost: Vec<Plot>,
    of_time: Vec<Plot>,
    of_theory: Vec<Plot>,
    no_curves: Option<&'static str>,
    cells: Table,
    runs: Table,
    reasons: Vec<tables::Reasons>,
    /// What the verdicts of the runs mean, besides `ok`.
    meanings: Vec<&'static str>,
    percentiles: Table,
    theory: Option<Table>,
    theory_not_judged: Option<Table>,
    calibration_problem: Option<&'a str>,
    checks: Option<Table>,
    calibration: Vec<(String, String)>,
    manifest: Vec<(String, String)>,
    command: Option<String>,
}

/// Renders the page of a folder.
pub(super) fn render(folder: &Folder) -> Result<File, ReportError> {
    let aggregate = Aggregate::of(folder);
    let summary = Summary::of(folder, &aggregate);
    let data = Data { folder, aggregate: &aggregate, sweep: summary.sweep.as_ref() };
    let is_claim = |sentence: &&Sentence| match sentence.topic {
        Topic::Latency | Topic::Sweep | Topic::Cost => true,
        Topic::Distance | Topic::Network => false,
        Topic::Theory | Topic::Delivery | Topic::Validity | Topic::Caution => false,
    };
    let (claims, reservations) = summary.finding.iter().partition(is_claim);
    let mut figures = plots::all(&data).map_err(|error| ReportError::Page(error.to_string()))?;
    let mut of = |section: Section| figures.extract_if(.., |figure| figure.section == section).collect();
    let page = Page {
        claims,
        reservations,
        demonstration: summary.demonstration(),
        facts: summary.facts(),
        reproduction: Reproduced::of(folder).as_ref().map(tables::reproduction),
        of_printed: of(Section::Printed),
        of_sweep: of(Section::Sweep),
        of_latency: of(Section::Latency),
        of_cost: of(Section::Cost),
        of_time: of(Section::Time),
        of_theory: of(Section::Theory),
        no_curves: no_curves(folder),
        cells: tables::cells(&summary),
        runs: tables::runs(&summary),
        reasons: tables::reasons(folder),
        meanings: summary.meanings(),
        percentiles: tables::percentiles(&summary),
        theory: tables::theory(&summary),
        theory_not_judged: tables::theory_not_judged(&summary),
        calibration_problem: folder.manifest.calibration_problem.as_deref(),
        checks: tables::checks(&summary),
        calibration: tables::calibrations(&folder.manifest),
        manifest: tables::manifest(&folder.manifest),
        command: summary.command(),
        folder,
        files: SOURCES.into_iter().chain([datapackage::FILE]).collect(),
        run_files: run_files(folder),
        runs_unlisted: folder.rows.runs.len().saturating_sub(run_files::LISTED_MAX),
    };
    let html = page.render().map_err(|error| ReportError::Page(error.to_string()))?;
    Ok(File::new(FILE, html))
}

/// Returns the reason why there are no percentile curves, if they are missing.
fn no_curves(folder: &Folder) -> Option<&'static str> {
    match (folder.histograms.is_empty(), folder.rows.runs.is_empty()) {
        (false, _) => None,
        (true, true) => Some("No run has ended yet."),
        (true, false) => {
            Some("There are no percentile curves: the folder hdr, which holds the histograms, is missing.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report;
    use crate::report::synthetic::{self, MadeUp};
    use wirelab_clients::harness::example;
    use wirelab_clients::harness::results::ResultSet;
    use wirelab_clients::harness::run_result::{TheoryVerdict, Verdict};

    fn page(results: &ResultSet) -> String {
        String::from_utf8(render(&Folder::of(results)).unwrap().bytes).unwrap()
    }

    #[test]
    fn the_page_shows_the_question_the_table_the_plot_and_the_manifest() {
        let page = page(&example::result_set());
        for expected in [
            "<h1>What do these flags give?</h1>",
            "2,000 receipts expected: every measured line arrived once and in order.",
            "<th scope=\"row\">short-poll-1</th><td>200</td><td>101</td><td>175</td><td>198</td><td>200</td>\
             <td>0.182</td><td>230</td><td>40.0</td><td>0</td><td>0</td><td>0</td><td>0</td>\
             <td class=\"words\">ok</td>",
            "<th scope=\"row\">short-poll</th><td>1 of 1</td><td>101</td>",
            "Typical latency (p50): sse 1.20 ms, short-poll 101 ms.",
            "<svg viewBox",
            "<th scope=\"row\">commit</th><td>0123abc</td>",
            "<a href=\"runs.csv\">runs.csv</a>",
            "process = &#34;periodic&#34;",
        ] {
            assert!(page.contains(expected), "{expected} is not in {page}");
        }
    }

    #[test]
    fn the_heading_calls_a_plan_without_intervals_a_demonstration() {
        let mut results = example::result_set();
        let heading = |results: &ResultSet| page(results).split("</header>").next().unwrap().to_owned();
        assert!(
            heading(&results).contains("<strong>A demonstration:</strong> the plan has too few repetitions")
        );
        results.plan.repetitions = 6;
        assert!(!heading(&results).contains("demonstration"));
        // A smoke run says already that it shows nothing else.
        (results.plan.repetitions, results.plan.size) = (1, wirelab_clients::harness::plan::Size::Smoke);
        assert!(!heading(&results).contains("demonstration"));
    }

    #[test]
    fn the_page_refers_to_nothing_but_the_files_beside_it() {
        let page = page(&example::result_set());
        for reference in ["http:", "https:", "src=", "url(", "@import", "<link", "<script", "<iframe", "//"] {
            assert!(!page.contains(reference), "{reference}");
        }
        let links: Vec<&str> =
            page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        let files = report::render(&example::result_set()).unwrap();
        let files: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        assert!(files.iter().all(|file| links.contains(file)), "{links:?}");
        assert_eq!(links.len(), files.len(), "{links:?}");
    }

    #[test]
    fn hostile_text_stays_text() {
        let hostile = "</pre><script>alert('1')</script><img src=x onerror=\"alert(2)\">";
        let mut results = example::result_set();
        results.plan.question = hostile.to_owned();
        results.manifest.argv.push(hostile.to_owned());
        results.runs[0].verdict_reasons = vec![hostile.to_owned()];
        let page = page(&results);
        // In the title of the page, its plan, its manifest and its reasons.
        assert!(page.matches("&#60;script&#62;").count() >= 4, "{page}");
        assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
    }

    #[test]
    fn defects_and_doubts_stand_at_the_top() {
        let mut results = example::result_set();
        (results.runs[0].delivery.cohort.delivered, results.runs[0].delivery.cohort.lost) = (988, 12);
        results.runs[0].delivery.cohort.duplicated = 1_234;
        (results.runs[1].verdict, results.runs[1].verdict_reasons) =
            (Verdict::Invalid, vec!["too late".to_owned()]);
        let page = page(&results);
        for expected in [
            "<li class=\"bad\">2,000 receipts expected: 12 lost with short-poll and 1,234 duplicated with short-poll.</li>",
            "2 runs: 1 ok and 1 invalid (not usable: left out above, except in the counts of lines). Nothing is said of sse",
            "<tr class=\"invalid\"><th scope=\"row\">sse</th>",
            "<strong>sse-1</strong> (invalid): too late",
            "<td class=\"bad\">12</td><td class=\"bad\">1,234</td>",
            "sse, invalid\n</text>",
        ] {
            assert!(page.contains(expected), "{expected} is not in {page}");
        }
    }

    #[test]
    fn a_run_without_a_line_is_told_instead_of_drawn() {
        let mut results = example::result_set();
        results.runs[0].delivery = Default::default();
        let page = page(&results);
        assert!(page.contains("short-poll: no line arrived, so there is no curve."), "{page}");
        assert!(page.contains("<td>n &#60; 6</td>"), "{page}");
    }

    #[test]
    fn what_theory_was_calibrated_with_stands_beside_it() {
        let mut results = example::result_set();
        results.manifest.calibrations = vec![example::calibration()];
        results.runs[0].theory = vec![example::prediction()];
        let page = page(&results);
        let theory = page.split("Does theory hold?").nth(1).unwrap();
        for expected in [
            "<th scope=\"row\">wirelab: round trip</th><td>0.100 ms on average (standard error",
            "<th scope=\"row\">wirelab, short-poll over HTTP/1.1, keep-alive, conditional: a poll</th>",
        ] {
            assert!(theory.contains(expected), "{expected} is not in {theory}");
        }
        let manifest = page.split("<h2>The files").nth(1).unwrap();
        assert!(!manifest.contains("calibrations") && manifest.contains("<td>0123abc</td>"), "{manifest}");
    }

    /// A run renders the page from memory, `wirelab report` from bytes.
    #[test]
    fn the_page_is_the_same_from_memory_and_from_files() {
        let mut results = example::result_set();
        results.manifest.calibrations = vec![example::calibration()];
        results.runs[0].theory = vec![example::prediction()];
        let read = Folder::read(&report::render(&results).unwrap()).unwrap();
        assert_eq!(Folder::of(&results), read);
        assert_eq!(render(&Folder::of(&results)).unwrap(), render(&read).unwrap());
    }

    #[test]
    fn before_the_first_run_has_ended_the_page_says_so() {
        let mut results = example::result_set();
        results.runs.clear();
        let page = page(&results);
        assert!(page.contains("No run has ended yet.") && !page.contains("<svg"), "{page}");
    }

    #[test]
    fn a_folder_without_histograms_says_why_there_are_no_curves() {
        let mut files = report::render(&example::result_set()).unwrap();
        files.retain(|file| !file.path.starts_with("hdr/"));
        let folder = Folder::read(&files).unwrap();
        let page = String::from_utf8(render(&folder).unwrap().bytes).unwrap();
        assert!(page.contains("There are no percentile curves: the folder hdr"), "{page}");
        assert!(!page.contains("href=\"hdr/\"") && page.contains("<th scope=\"row\">sse</th>"), "{page}");
    }

    #[test]
    fn the_order_and_the_number_of_other_files_change_nothing() {
        let files = report::render(&example::result_set()).unwrap();
        let mut other: Vec<File> =
            files.iter().filter(|file| report::is_source(&file.path)).cloned().collect();
        other.reverse();
        assert!(other.len() < files.len());
        assert_eq!(Folder::read(&other).unwrap(), Folder::read(&files).unwrap());
    }

    /// Run with `WIRELAB_REPORT_PAGES=DIR` to look at them.
    #[test]
    fn every_made_up_folder_has_a_page_without_a_number_that_is_none() {
        let mut one_invalid = MadeUp::sweep(2);
        one_invalid[3].verdicts = vec!["invalid"; 2];
        one_invalid[6].verdicts[1] = "unresolved";
        one_invalid[1].lost = 7;
        let transports = ["short-poll", "long-poll", "sse", "ndjson", "websocket"];
        let each = |runs: usize| {
            let cells = transports.iter().zip([100.0, 0.9, 0.5, 0.51, 0.7]);
            cells.map(|(transport, p50)| MadeUp::of(transport, p50, runs)).collect::<Vec<_>>()
        };
        let folders = [
            ("sweep", MadeUp::sweep(6)),
            ("invalid", one_invalid),
            ("transports", each(7)),
            ("points", each(3)),
            ("single", vec![MadeUp::of("sse", 0.5, 1)]),
        ];
        for (name, cells) in folders {
            let page = String::from_utf8(render(&synthetic::folder(&cells, 1)).unwrap().bytes).unwrap();
            for wrong in ["NaN", "inf", "Some(", "None"] {
                assert!(
                    !page.contains(&format!(">{wrong}")) && !page.contains(&format!(" {wrong} ")),
                    "{name}: {wrong}"
                );
            }
            assert!(page.matches("<svg").count() >= 5, "{name}");
            if let Some(folder) = std::env::var_os("WIRELAB_REPORT_PAGES") {
                std::fs::write(std::path::Path::new(&folder).join(format!("{name}.html")), page).unwrap();
            }
        }
    }

    #[test]
    fn a_prediction_that_was_not_judged_is_listed_apart_and_without_a_percentage() {
        let mut folder = synthetic::folder(&[MadeUp::of("sse", 0.5, 1)], 1);
        let row = &mut folder.rows.theory[0];
        row.verdict = TheoryVerdict::AssumptionBroken;
        row.residual_ratio = Some(60_338.24);
        row.assumption_broken = "lines are not Poisson".to_owned();
        folder.manifest.calibration_problem = Some("no line arrived".to_owned());
        let html = String::from_utf8(render(&folder).unwrap().bytes).unwrap();
        assert!(!html.contains("6,033,824") && !html.contains("6033824"));
        let (_, apart) = html.split_once("Predictions that were not judged, and why").unwrap();
        assert!(apart.contains("lines are not Poisson"));
        assert!(html.contains("2 predictions not judged and not drawn"));
        assert!(html.contains("the calibration before the runs failed: no line arrived"));
    }
}
