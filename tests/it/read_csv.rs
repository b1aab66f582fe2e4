//! A results folder read with other programs: `scripts/read_csv.py` reads any, and `scripts/check_results.py` finds in
//! a healthy one what the data dictionary promises.
//!
//! Needs the Python that `scripts/test` sets up.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::commands::rows;
use crate::server::wirelab;

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

/// Checks that a busy machine fails. Any other check of a sound run that does not pass is a defect.
const BUSY: [&str; 6] =
    ["send-lateness", "send-lateness-share", "hiccup", "hiccup-share", "harness-run-delay", "harness-cores"];

/// Exit code of a script on a folder, and what it said.
fn read_by(script: &str, folder: &Path) -> (Option<i32>, String) {
    let python = Path::new(PROJECT).join("target/venv/bin/python");
    let output = Command::new(&python)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(Path::new(PROJECT).join("scripts").join(script))
        .arg(folder)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; scripts/test makes it", python.display()));
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    (output.status.code(), said.concat())
}

#[track_caller]
fn is_read(folder: &Path) -> String {
    let (code, said) = read_by("read_csv.py", folder);
    assert_eq!(code, Some(0), "{said}");
    said
}

/// What a run of wirelab's own server is when nothing is broken, on however busy a machine.
#[track_caller]
fn is_sound(folder: &Path) {
    let runs = rows(&folder.join("runs.csv"));
    assert!(!runs.is_empty());
    for run in runs {
        for column in [
            "lost_count",
            "censored_count",
            "duplicated_count",
            "out_of_order_count",
            "warm_up_defects_count",
        ] {
            assert_eq!(run(column), "0", "{column} of {}", run("run_id"));
        }
    }
    for check in rows(&folder.join("checks.csv")) {
        let is_doubtful = ["fail", "unresolved"].contains(&check("verdict").as_str());
        let (run, name) = (check("run_id"), check("check"));
        assert!(!is_doubtful || BUSY.contains(&name.as_str()), "{name} of {run} is {}", check("verdict"));
    }
    let (code, said) = read_by("check_results.py", folder);
    assert_eq!(code, Some(0), "{said}");
}

/// The folder that a run wrote.
fn run(results: &Path, arguments: &[&str]) -> PathBuf {
    let output = wirelab().arg("run").args(arguments).arg("--results").arg(results).output().unwrap();
    let plan = fs::read_dir(results).unwrap().next().unwrap_or_else(|| panic!("{output:?}")).unwrap().path();
    fs::read_dir(plan).unwrap().next().unwrap().unwrap().path()
}

#[test]
fn the_sample_is_sound_and_read() {
    let sample = Path::new(PROJECT).join("results/sample");
    is_sound(&sample);
    let said = is_read(&sample);
    assert!(said.contains("checks.csv: ") && said.contains("timeseries.csv: "), "{said}");
}

#[test]
fn a_run_made_now_is_sound_and_its_percentile_texts_are_those_of_its_logs() {
    let results = TempDir::new().unwrap();
    let folder = run(results.path(), &["--rate", "40", "--duration", "3s", "--subscribers", "3"]);
    let texts = wirelab().args(["report", "--format", "hgrm"]).arg(&folder).output().unwrap();
    assert!(texts.status.success(), "{texts:?}");
    is_sound(&folder);
    is_read(&folder);
}

/// Arms, a threshold that no run keeps, and subscribers that are cut off: exit code 3 or more.
const MISSED: &str = r#"
name = "missed"
question = "Is a folder read whose threshold is missed?"
subscribers = 2
transports = ["sse", "short-poll"]
thresholds = ["*.expected_count < 1"]
lines = { process = "periodic", rate_hz = 20, duration = "1s" }
drain = "3s"
[[arms]]
name = "a"
[[arms]]
name = "b"
stop = { at = "200ms", duration = "300ms" }
"#;

#[test]
fn a_folder_with_arms_and_a_missed_threshold_is_read() {
    let results = TempDir::new().unwrap();
    let plan = results.path().join("missed.toml");
    fs::write(&plan, MISSED).unwrap();
    let folder = run(&results.path().join("results"), &[plan.to_str().unwrap()]);
    let said = is_read(&folder);
    assert!(said.contains("b-sse-1") && said.contains("threshold: *.expected_count < 1"), "{said}");
}

#[test]
fn a_folder_with_invalid_rows_lost_lines_and_few_files_is_read() {
    let folder = TempDir::new().unwrap();
    let sample = Path::new(PROJECT).join("results/sample/runs.csv");
    let mut reader = csv::Reader::from_path(sample).unwrap();
    let mut writer = csv::Writer::from_path(folder.path().join("runs.csv")).unwrap();
    let header = reader.headers().unwrap().clone();
    writer.write_record(&header).unwrap();
    for row in reader.records() {
        let row = row.unwrap();
        // Every run is invalid and lost lines, and a latency was not measured.
        let cells = header.iter().zip(&row).map(|(name, cell)| match name {
            "verdict" => "invalid",
            "verdict_reasons" => "it lost 7 lines",
            "lost_count" => "7",
            _ if name.starts_with("delivery_latency_us") => "",
            _ => cell,
        });
        writer.write_record(cells).unwrap();
    }
    drop(writer);
    let said = is_read(folder.path());
    assert!(said.contains("sse-1 is invalid: it lost 7 lines"), "{said}");

    // Interrupted before the first run had ended: nothing but a header.
    fs::write(folder.path().join("runs.csv"), header.iter().collect::<Vec<_>>().join(",") + "\n").unwrap();
    assert!(is_read(folder.path()).contains("no run was finished"));
}

#[test]
fn what_is_no_results_folder_is_named() {
    let folder = TempDir::new().unwrap();
    let (code, said) = read_by("read_csv.py", folder.path());
    assert_eq!(code, Some(1));
    assert!(said.contains(folder.path().to_str().unwrap()) && said.contains("`wirelab run`"), "{said}");
    assert!(!said.contains("Traceback"), "{said}");
    fs::write(folder.path().join("runs.csv"), "").unwrap();
    let (code, said) = read_by("read_csv.py", folder.path());
    assert!(code == Some(1) && !said.contains("Traceback"), "{said}");
}
