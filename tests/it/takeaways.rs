//! What researchers and jobs take away from a results folder: receipts, tables, drawings and judgements, each read by
//! other people's programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::server::wirelab;

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

/// Runs a script of the repository with the Python that `scripts/test` sets up.
fn python(script: &str, arguments: &[&Path]) -> Output {
    let python = Path::new(PROJECT).join("target/venv/bin/python");
    let ready = Command::new(&python).args(["-c", "import frictionless, hdrh, matplotlib, pandas"]).status();
    let ready = ready.is_ok_and(|status| status.success());
    assert!(ready, "{} with scripts/requirements.txt is missing: scripts/test makes it", python.display());
    Command::new(python)
        .arg(Path::new(PROJECT).join("scripts").join(script))
        .args(arguments)
        .output()
        .unwrap()
}

/// Runs a script that must succeed; returns what it printed.
fn succeeds(script: &str, arguments: &[&Path]) -> String {
    let output = python(script, arguments);
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn program() -> PathBuf {
    PathBuf::from(wirelab().get_program())
}

fn run(results: &Path, flags: &[&str]) -> Output {
    wirelab().current_dir(PROJECT).arg("run").args(flags).arg("--results").arg(results).output().unwrap()
}

/// A run of two seconds that keeps every receipt; its results folder.
fn measured(results: &Path) -> PathBuf {
    let flags =
        ["--raw", "--transport", "sse,short-poll", "--rate", "60", "--duration", "2s", "--subscribers", "3"];
    let output = run(results, &flags);
    assert!(matches!(output.status.code(), Some(0 | 4 | 5)), "{}", String::from_utf8_lossy(&output.stderr));
    let mut folders = fs::read_dir(results.join("ad-hoc")).unwrap();
    folders.next().unwrap().unwrap().path()
}

/// A copy of a results folder, to be changed.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

#[test]
fn what_a_run_leaves_is_read_by_other_peoples_programs_and_damage_is_noticed() {
    let results = TempDir::new().unwrap();
    let folder = measured(results.path());
    for of in [&folder, &Path::new(PROJECT).join("results/sample")] {
        let said = succeeds("check_takeaways.py", &[&program(), of]);
        let receipts = if of == &folder { "7 tables are valid" } else { " 0 receipts agree" };
        assert!(said.contains(receipts), "{said}");
    }

    // A type that the package does not promise, and receipts of another run.
    let damaged = results.path().join("damaged");
    copy(&folder, &damaged);
    let series = fs::read_to_string(damaged.join("timeseries.csv")).unwrap();
    let (first, rest) = series.split_once('\n').unwrap();
    let cells = first.split(',').map(|_| "soon").collect::<Vec<_>>().join(",");
    fs::write(damaged.join("timeseries.csv"), format!("{first}\n{cells}\n{rest}")).unwrap();
    let output = python("check_takeaways.py", &[&program(), &damaged]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("timeseries: "), "{error}");

    let swapped = results.path().join("swapped");
    copy(&folder, &swapped);
    fs::copy(folder.join("raw/sse-1.ndjson.gz"), swapped.join("raw/short-poll-1.ndjson.gz")).unwrap();
    let output = python("check_takeaways.py", &[&program(), &swapped]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("short-poll-1 delivery_latency_us_p50"), "{error}");
}

#[test]
fn the_notebook_draws_a_folder_again() {
    let notebook = Path::new(PROJECT).join("docs/notebook.ipynb");
    let results = TempDir::new().unwrap();
    let folder = measured(results.path());
    let said = succeeds("run_notebook.py", &[&notebook, &Path::new(PROJECT).join("results/sample")]);
    assert!(said.contains("this folder has no receipts") && said.contains(" 3 figures"), "{said}");
    let said = succeeds("run_notebook.py", &[&notebook, &folder]);
    let invalid = fs::read_to_string(folder.join("runs.csv")).unwrap().matches(",invalid,").count();
    // Where no run is valid, the notebook says so and shows how to read a folder all the same.
    let drawn = if invalid == 2 { 2 } else { 2 - invalid };
    assert_eq!(said.matches(" receipts, median ").count(), drawn, "{said}");
    assert_eq!(said.contains("every run is invalid"), invalid == 2, "{said}");
    // A notebook with outputs would show figures of another folder than the one that it names.
    let text = fs::read_to_string(&notebook).unwrap();
    let cells: serde_json::Value = serde_json::from_str(&text).unwrap();
    for cell in cells["cells"].as_array().unwrap() {
        assert!(cell["outputs"].as_array().is_none_or(Vec::is_empty), "{cell}");
    }
    let output = python("run_notebook.py", &[&notebook, results.path()]);
    assert!(!output.status.success(), "it ran on a folder without results");
}

/// The block of `docs/running.md` for a job, as it stands.
#[test]
fn a_job_gets_its_summary_its_cases_and_its_figures() {
    let document = fs::read_to_string(Path::new(PROJECT).join("docs/running.md")).unwrap();
    let block = document.split("```sh\n").find(|block| block.contains("GITHUB_STEP_SUMMARY")).unwrap();
    let script = block.split("```").next().unwrap();
    let around = TempDir::new().unwrap();
    let plan = "name = \"plan\"\nquestion = \"Is it early?\"\ntransports = [\"sse\"]\nsubscribers = 2\n\
                thresholds = [\"sse.delivery_latency_us_max < 1\"]\n\
                [lines]\nprocess = \"periodic\"\nrate_hz = 40\nduration = \"2s\"\npayload_bytes = 50\n";
    fs::write(around.path().join("plan.toml"), plan).unwrap();
    let summary = around.path().join("summary.md");
    let path = format!("{}:{}", program().parent().unwrap().display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-euc", script])
        .current_dir(around.path())
        .env("PATH", path)
        .env("GITHUB_STEP_SUMMARY", &summary)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    // No line is there within a microsecond, so that the threshold is missed; a busy machine may add a graver reason.
    assert!(matches!(output.status.code(), Some(3..=5)), "{error}");
    let read = |name: &str| fs::read_to_string(around.path().join(name)).unwrap();
    let summary = read("summary.md");
    assert!(
        summary.starts_with("## ❌ plan: Is it early?\n") && summary.contains("| threshold: sse."),
        "{summary}"
    );
    let cases = read("junit.xml");
    let (_, thresholds) = cases.split_once("<testsuite name=\"thresholds\"").unwrap();
    assert!(thresholds.contains("tests=\"1\" failures=\"1\""), "{thresholds}");
    let figures: serde_json::Value = serde_json::from_str(&read("benchmark.json")).unwrap();
    assert_eq!(figures.as_array().unwrap().is_empty(), output.status.code() == Some(5), "{figures}");
}

#[test]
fn a_run_that_expects_more_receipts_than_it_may_keep_is_refused() {
    let results = TempDir::new().unwrap();
    let flags =
        ["--raw", "--transport", "sse", "--subscribers", "2000", "--rate", "1000", "--duration", "10s"];
    let output = run(results.path(), &flags);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("--raw keeps at most 4194304 of a run"), "{error}");
    assert!(!results.path().join("ad-hoc").exists(), "it left a folder");
}

#[test]
fn the_citation_names_this_version() {
    let citation = fs::read_to_string(Path::new(PROJECT).join("CITATION.cff")).unwrap();
    let value = |key: &str| {
        let line = citation.lines().find_map(|line| line.strip_prefix(&format!("{key}: ")));
        line.unwrap_or_else(|| panic!("{key} is missing")).to_owned()
    };
    assert_eq!(value("cff-version"), "1.2.0");
    assert_eq!(value("version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(value("license"), "MIT");
    for key in ["message", "title", "type"] {
        assert!(!value(key).is_empty(), "{key}");
    }
}
