//! `wirelab run` as another program starts it: `--progress json` and `--stop-at-stdin-end`.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

use crate::server::{wait_until, wirelab};

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

fn run(results: &Path) -> Command {
    let mut command = wirelab();
    command.current_dir(PROJECT).args(["run", "--progress", "json", "--results"]).arg(results);
    command
}

/// Every line of stdout, which must be JSON.
fn said(output: &Output) -> Vec<Value> {
    let stdout = std::str::from_utf8(&output.stdout).unwrap();
    stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{stdout}"))).collect()
}

#[test]
fn json_tells_every_run_and_the_end_and_nothing_else() {
    let results = TempDir::new().unwrap();
    let began = Instant::now();
    let flags = ["--transport", "sse,ndjson", "--rate", "50", "--duration", "2s", "--subscribers", "2"];
    let output = run(results.path()).args(flags).output().unwrap();
    let seconds = began.elapsed().as_secs_f64();
    let mut said = said(&output);
    let ended = said.pop().unwrap()["ended"].take();
    assert_eq!(ended["exit"].as_i64(), output.status.code().map(i64::from));
    assert!(ended["meaning"].as_str().is_some_and(|meaning| !meaning.is_empty()), "{ended}");
    let folder = Path::new(ended["folder"].as_str().unwrap());
    assert!(folder.starts_with(results.path()) && folder.join("runs.csv").is_file(), "{ended}");

    assert!(said.iter().all(|line| line["plan"] == "ad-hoc" && line["runs"] == 2), "{said:?}");
    assert!(said.iter().all(|line| line["folder"] == ended["folder"]), "{said:?}");
    let of_run = |run: u64| said.iter().filter(|line| line["run"] == run).cloned().collect::<Vec<_>>();
    assert_eq!(of_run(0).len(), 1, "one line before the first run");
    for run in [1, 2] {
        let lines = of_run(run);
        let (first, last) = (&lines[0], &lines[lines.len() - 1]);
        assert_eq!((&first["received"], &first["expected"]), (&0.into(), &0.into()));
        assert!(last["expected"].as_u64().unwrap() > 100, "{last}");
        assert_eq!(last["received"], last["expected"]);
        assert!(!last["run_id"].as_str().unwrap().is_empty());
    }
    let most = 5.0 * seconds + 2.0 * 2.0 + 1.0;
    assert!(said.len() as f64 <= most && said.len() > 10, "{} lines in {seconds} s", said.len());
}

#[test]
fn json_tells_a_failure_too() {
    let results = TempDir::new().unwrap();
    let output = run(results.path()).arg("nope").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = said(&output);
    let [line] = &said[..] else { panic!("{said:?}") };
    let ended = &line["ended"];
    assert_eq!((&ended["exit"], &ended["folder"]), (&2.into(), &Value::Null));
    assert!(ended["problem"].as_str().unwrap().starts_with("unknown plan \"nope\"; one of "), "{ended}");
}

#[test]
fn a_run_whose_stdin_ends_stops_and_keeps_what_was_measured() {
    let results = TempDir::new().unwrap();
    let mut child = run(results.path())
        .args(["--stop-at-stdin-end", "--transport", "sse,ndjson", "--rate", "50", "--duration", "2s"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdin = child.stdin.take().unwrap();
    let measured = || {
        let folder = fs::read_dir(results.path().join("ad-hoc")).ok()?.next()?.ok()?.path();
        Some(fs::read_to_string(folder.join("runs.csv")).ok()?.lines().count() - 1)
    };
    wait_until("the first run is written", || measured() == Some(1));
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), measured()), (Some(130), Some(1)));
    assert_eq!(said(&output).pop().unwrap()["ended"]["exit"], 130);
}

#[test]
fn stdin_is_of_no_interest_to_a_run_that_was_not_told_so() {
    let results = TempDir::new().unwrap();
    let flags = ["--transport", "sse", "--rate", "50", "--duration", "2s"];
    let output = run(results.path()).args(flags).stdin(Stdio::null()).output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 4 | 5)), "{output:?}");
}
