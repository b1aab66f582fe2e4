//! `report.html`: one file to open, to project and to print, without any other.
//!
//! Made of the files of a results folder and of nothing else, so that `run` and `report` make the same bytes. The
//! template escapes every text: names of plans and problems of servers are whatever somebody wrote. Refers to
//! nothing but the files beside it.

use askama::Template;
use hdrhistogram::Histogram;
use serde_json::Value;
use wirelab_clients::harness::statistics::{distinct_lines_needed, quantile_resolved};

use super::folder::{Folder, Histograms, Run, SOURCES};
use super::plot::{self, Curve};
use super::table::{grouped, readable};
use super::{File, ReportError, hdr_log};

/// The file's name.
pub(super) const FILE: &str = "report.html";

const UNKNOWN: &str = "–";

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    folder: &'a Folder,
    summary: String,
    good: bool,
    caveat: Option<String>,
    facts: Vec<(String, String)>,
    rows: Vec<TableRow>,
    plot: Plot,
    manifest: Vec<(String, String)>,
    links: &'static [&'static str],
}

/// The plot, or why there is none.
enum Plot {
    Drawn { svg: String, remarks: Vec<String> },
    Left(&'static str),
}

/// One run as the table shows it.
struct TableRow {
    name: String,
    cells: Vec<String>,
    defects: Vec<Defect>,
    verdict: String,
    reasons: Vec<String>,
}

struct Defect {
    count: String,
    some: bool,
}

/// The page of these files.
pub(super) fn render(files: &[File]) -> Result<File, ReportError> {
    let folder = Folder::read(files)?;
    let (summary, good) = summary(&folder.runs);
    let page = Page {
        summary,
        good,
        caveat: caveat(&folder.runs),
        facts: facts(&folder),
        rows: folder.runs.iter().map(|run| row(&folder.runs, run)).collect(),
        plot: plot(&folder)?,
        manifest: flattened(&folder.manifest),
        links: &SOURCES,
        folder: &folder,
    };
    let html = page.render().map_err(|error| ReportError::Page(error.to_string()))?;
    Ok(File::new(FILE, html))
}

/// One sentence about the delivery of all runs, and whether it is good news.
fn summary(runs: &[Run]) -> (String, bool) {
    if runs.is_empty() {
        return ("No run has ended yet.".to_owned(), false);
    }
    let sum = |of: fn(&Run) -> Option<u64>| runs.iter().map(of).sum::<Option<u64>>();
    let receipts = match sum(|run| run.expected) {
        Some(expected) => format!("{} receipts expected: ", grouped(expected)),
        None => String::new(),
    };
    let defects: Vec<String> = [
        (sum(|run| run.lost), "lost"),
        (sum(|run| run.duplicated), "duplicated"),
        (sum(|run| run.censored), "not arrived when the drain ended"),
        (sum(|run| run.out_of_order), "out of order"),
    ]
    .into_iter()
    .filter(|(count, _)| *count != Some(0))
    .map(|(count, what)| format!("{} {what}", count.map_or("an unknown number".to_owned(), grouped)))
    .collect();
    if defects.is_empty() {
        (format!("{receipts}every measured line arrived once and in order."), true)
    } else {
        (format!("{receipts}{}.", defects.join(", ")), false)
    }
}

/// How many runs say less than they seem to.
fn caveat(runs: &[Run]) -> Option<String> {
    let count = |verdict: &str| runs.iter().filter(|run| run.verdict == verdict).count();
    let told: Vec<String> = [
        (count("invalid"), "invalid: do not use their figures"),
        (count("unresolved"), "unresolved: each holds with the reservation named below"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} of {} runs {what}", runs.len()))
    .collect();
    (!told.is_empty()).then(|| format!("{}.", told.join("; ")))
}

/// What a reader wants to know before the numbers.
fn facts(folder: &Folder) -> Vec<(String, String)> {
    let told = |key: &str| match folder.manifest.get(key) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(_) | None => None,
    };
    let machine = |key: &str| match folder.manifest.get("machine").and_then(|machine| machine.get(key)) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(_) | None => None,
    };
    let mut subscribers: Vec<u64> = folder.runs.iter().filter_map(|run| run.subscribers).collect();
    subscribers.sort_unstable();
    subscribers.dedup();
    let subscribers: Vec<String> = subscribers.into_iter().map(grouped).collect();
    let processors = machine("cores_count").map(|cores| format!("{cores} processors"));
    let machine = [machine("cpu_model"), processors, machine("os"), machine("kernel")];
    [
        ("plan", Some(folder.plan.clone())),
        ("started", told("started_utc")),
        ("runs", Some(folder.runs.len().to_string())),
        ("subscribers", (!subscribers.is_empty()).then(|| subscribers.join(", "))),
        ("commit", told("commit")),
        ("machine", Some(machine.into_iter().flatten().collect::<Vec<_>>().join(", "))),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value.filter(|value| !value.is_empty())?)))
    .collect()
}

/// What a curve and a row are called; the run where several share a transport and an arm.
fn name_of(runs: &[Run], run: &Run) -> String {
    let alike = runs.iter().filter(|other| group(other) == group(run)).count();
    if alike > 1 { run.run_id.clone() } else { group_name(run) }
}

fn group(run: &Run) -> (&str, &str) {
    (&run.transport, &run.arm)
}

fn group_name(run: &Run) -> String {
    if run.arm.is_empty() { run.transport.clone() } else { format!("{}, {}", run.transport, run.arm) }
}

fn row(runs: &[Run], run: &Run) -> TableRow {
    let count = |count: Option<u64>| count.map_or(UNKNOWN.to_owned(), grouped);
    let number = |number: Option<f64>| number.map_or(UNKNOWN.to_owned(), readable);
    let latency = |us: Option<f64>, quantile| match (us, run.distinct_lines) {
        (Some(us), _) => readable(us / 1e3),
        (None, Some(lines)) if lines < distinct_lines_needed(quantile) => {
            format!("n < {}", grouped(distinct_lines_needed(quantile)))
        }
        (None, _) => UNKNOWN.to_owned(),
    };
    let defects = [run.lost, run.duplicated, run.censored, run.out_of_order];
    TableRow {
        name: name_of(runs, run),
        cells: vec![
            count(run.requests),
            number(run.requests_per_line),
            latency(run.latency_us_p50, 0.5),
            latency(run.latency_us_p90, 0.9),
            latency(run.latency_us_p99, 0.99),
            latency(run.latency_us_max, 1.0),
            number(run.bytes_per_line),
            number(run.cpu_us_per_line),
        ],
        defects: defects.map(|defect| Defect { count: count(defect), some: defect != Some(0) }).into(),
        verdict: run.verdict.clone(),
        reasons: run.reasons.split("; ").filter(|reason| !reason.is_empty()).map(str::to_owned).collect(),
    }
}

fn plot(folder: &Folder) -> Result<Plot, ReportError> {
    match folder.histograms {
        Histograms::Missing if folder.runs.is_empty() => return Ok(Plot::Left("No run has ended yet.")),
        Histograms::Missing => {
            return Ok(Plot::Left(
                "There is no plot: this folder has no histograms (hdr/), which the first version did not write.",
            ));
        }
        Histograms::Kept => {}
    }
    let mut curves = Vec::new();
    let mut remarks = Vec::new();
    let mut groups: Vec<(&str, &str)> = Vec::new();
    for run in &folder.runs {
        if groups.contains(&group(run)) {
            continue;
        }
        groups.push(group(run));
        let of_group: Vec<&Run> = folder.runs.iter().filter(|other| group(other) == group(run)).collect();
        match curve(&of_group).map_err(ReportError::Page)? {
            Drawn::Curve(curve) => curves.push(curve),
            Drawn::Nothing(why) => remarks.push(format!("{}: {why}", group_name(run))),
        }
    }
    let svg = plot::svg(&curves).map_err(|error| ReportError::Page(error.to_string()))?;
    Ok(match svg {
        Some(svg) => Plot::Drawn { svg, remarks },
        None => Plot::Left("There is no plot: no run has enough lines for a percentile."),
    })
}

enum Drawn {
    Curve(Curve),
    Nothing(&'static str),
}

/// All runs of a transport and arm as one curve: histograms are added up, percentiles never averaged. Invalid runs
/// are left out unless there is no other; then the label says so.
fn curve(runs: &[&Run]) -> Result<Drawn, String> {
    let believed: Vec<&Run> = runs.iter().copied().filter(|run| run.verdict != "invalid").collect();
    let (runs, label) = match believed.as_slice() {
        [] => (runs, format!("{} (invalid)", group_name(runs[0]))),
        [first, ..] => (believed.as_slice(), group_name(first)),
    };
    let mut all: Option<Histogram<u64>> = None;
    for histogram in runs.iter().filter_map(|run| run.histogram.as_ref()) {
        match &mut all {
            None => all = Some(histogram.clone()),
            Some(all) => hdr_log::add(all, histogram)?,
        }
    }
    let Some(histogram) = all.filter(|all| !all.is_empty()) else {
        return Ok(Drawn::Nothing("no line arrived, so there is no curve"));
    };
    // Of several runs the one with the fewest lines decides: no curve claims more than its rows.
    let quantile_max = runs.iter().map(|run| run_resolves(run)).fold(f64::INFINITY, f64::min);
    // Below two nines of nothing there is no line to see.
    if quantile_max < 0.5 {
        return Ok(Drawn::Nothing("too few lines arrived for a percentile, so there is no curve"));
    }
    Ok(Drawn::Curve(Curve { label, histogram, quantile_max }))
}

/// The last quantile that a run supports: by its distinct lines, and by what arrived at all, since what did not would
/// have been slowest.
fn run_resolves(run: &Run) -> f64 {
    let arrived = match (run.delivered, run.expected) {
        (Some(delivered), Some(expected)) if expected > 0 => delivered as f64 / expected as f64,
        _ => 0.0,
    };
    quantile_resolved(run.distinct_lines.unwrap_or(0)).min(arrived)
}

/// Every member with the path to it.
fn flattened(manifest: &serde_json::Map<String, Value>) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    for (key, value) in manifest {
        match value {
            Value::Object(members) => {
                let members = flattened(members).into_iter();
                rows.extend(members.map(|(inner, value)| (format!("{key}.{inner}"), value)));
            }
            Value::Array(values) => {
                rows.push((key.clone(), values.iter().map(plain).collect::<Vec<_>>().join(", ")));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                rows.push((key.clone(), plain(value)));
            }
        }
    }
    rows
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => UNKNOWN.to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report;
    use wirelab_clients::harness::example;
    use wirelab_clients::harness::results::{ResultSet, Verdict};

    fn page(results: &ResultSet) -> String {
        let files = report::render(results).unwrap();
        String::from_utf8(render(&files).unwrap().bytes).unwrap()
    }

    #[test]
    fn the_page_shows_the_question_the_table_the_plot_and_the_manifest() {
        let page = page(&example::result_set());
        for expected in [
            "<h1>What do these flags give?</h1>",
            "2,000 receipts expected: every measured line arrived once and in order.",
            "<th scope=\"row\">short-poll</th><td>200</td><td>0.182</td><td>101</td><td>175</td><td>198</td>\
             <td>200</td><td>230</td><td>40.0</td><td>0</td><td>0</td><td>0</td><td>0</td>\
             <td class=\"verdict\">ok</td>",
            "<svg viewBox",
            "<th scope=\"row\">commit</th><td>0123abc</td>",
            "<a href=\"runs.csv\">runs.csv</a>",
            "process = &#34;periodic&#34;",
        ] {
            assert!(page.contains(expected), "{expected} is not in {page}");
        }
        assert!(!page.contains("class=\"caveat\">"), "{page}");
    }

    #[test]
    fn the_page_refers_to_nothing_but_the_files_beside_it() {
        let page = page(&example::result_set());
        for reference in ["http:", "https:", "src=", "url(", "@import", "<link", "<script", "<iframe", "//"] {
            assert!(!page.contains(reference), "{reference}");
        }
        let links: Vec<&str> =
            page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        assert_eq!(links, ["plan.toml", "manifest.json", "runs.csv", "percentiles.csv", "hdr/"]);
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
            "class=\"summary bad\">2,000 receipts expected: 12 lost, 1,234 duplicated.",
            "1 of 2 runs invalid: do not use their figures.",
            "<tr class=\"invalid\"><th scope=\"row\">sse</th>",
            "<strong>sse</strong> (invalid): too late",
            "<td class=\"bad\">12</td><td class=\"bad\">1,234</td>",
            "sse (invalid)\n</text>",
        ] {
            assert!(page.contains(expected), "{expected} is not in {page}");
        }
    }

    /// Of 500 lines, p99.5 would hide the 1.2 % that never came; 98.8 % is where the curve ends.
    #[test]
    fn a_curve_ends_before_the_lines_that_did_not_arrive() {
        let files = report::render(&example::result_set()).unwrap();
        let mut folder = Folder::read(&files).unwrap();
        let run = &mut folder.runs[0];
        assert!((run_resolves(run) - quantile_resolved(500)).abs() < 1e-12);
        run.delivered = Some(988);
        assert!((run_resolves(run) - 0.988).abs() < 1e-12);
        run.delivered = None;
        assert_eq!(run_resolves(run), 0.0);
    }

    #[test]
    fn runs_of_one_transport_and_arm_are_one_curve_without_the_invalid_ones() {
        let files = report::render(&example::result_set()).unwrap();
        let runs = || Folder::read(&files).unwrap().runs;
        let drawn = |runs: &[Run]| match curve(&runs.iter().collect::<Vec<_>>()).unwrap() {
            Drawn::Curve(curve) => (curve.label, curve.histogram.len()),
            Drawn::Nothing(why) => panic!("{why}"),
        };
        let mut both = runs();
        both.iter_mut().for_each(|run| run.transport = "sse".into());
        assert_eq!(drawn(&both), ("sse".to_owned(), 2_000));
        both[1].verdict = "invalid".into();
        assert_eq!(drawn(&both), ("sse".to_owned(), 1_000));
        both[0].verdict = "invalid".into();
        assert_eq!(drawn(&both), ("sse (invalid)".to_owned(), 2_000));
        both[0].arm = "gzip".into();
        assert_eq!(drawn(&both[..1]), ("sse, gzip (invalid)".to_owned(), 1_000));
        assert_eq!(
            (name_of(&both, &both[0]), name_of(&runs(), &runs()[1])),
            ("sse, gzip".into(), "sse".into())
        );
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
    fn before_the_first_run_has_ended_the_page_says_so() {
        let mut results = example::result_set();
        results.runs.clear();
        let page = page(&results);
        assert!(page.contains("No run has ended yet.") && !page.contains("<svg"), "{page}");
    }

    #[test]
    fn a_folder_without_histograms_says_why_there_is_no_plot() {
        let mut files = report::render(&example::result_set()).unwrap();
        files.retain(|file| !file.path.starts_with("hdr/"));
        let page = String::from_utf8(render(&files).unwrap().bytes).unwrap();
        assert!(page.contains("There is no plot: this folder has no histograms"), "{page}");
        assert!(!page.contains("href=\"hdr/\"") && page.contains("<th scope=\"row\">sse</th>"), "{page}");
    }

    #[test]
    fn the_order_and_the_number_of_other_files_change_nothing() {
        let files = report::render(&example::result_set()).unwrap();
        let mut other: Vec<File> =
            files.iter().filter(|file| report::is_source(&file.path)).cloned().collect();
        other.reverse();
        assert!(other.len() < files.len());
        assert_eq!(render(&other).unwrap(), render(&files).unwrap());
    }
}
