//! The real binary in an empty directory: plans, recordings and profiles come with it, and files of `data/` win.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use wirelab_clients::wire::RecordingInfo;

use crate::server::{Binary, wirelab};

/// 4 and 5: what a busy machine does to figures.
const MEASURED: [i32; 3] = [0, 4, 5];

/// Exit code, stdout and stderr of `wirelab ARGUMENTS` in a directory.
fn said(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        wirelab().current_dir(folder).args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

fn only_folder(parent: &Path) -> PathBuf {
    let folders: Vec<_> = fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(folders.len(), 1, "{folders:?}");
    folders[0].clone()
}

fn repository(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn plans_are_listed_printed_and_explained_in_an_empty_directory() {
    let folder = TempDir::new().unwrap();
    let (code, listed, error) = said(folder.path(), &["plans"]);
    assert_eq!(code, Some(0), "{error}");
    let plans = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("data/plans")).unwrap().count();
    assert_eq!(listed.matches("; carried by wirelab").count(), plans, "{listed}");
    assert!(listed.contains("quick\n  Does every transport deliver"), "{listed}");
    // Its other servers cannot be started here; it can be told of all the same.
    assert!(listed.contains("compare-peers\n  What do other servers lose"), "{listed}");
    assert_eq!(said(folder.path(), &["plans", "quick"]).1, repository("data/plans/quick.toml"));
    assert_eq!(said(folder.path(), &["plans", "--keys"]).1, repository("docs/plans.md"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "it left something behind");
}

#[test]
fn a_plan_runs_in_an_empty_directory_and_its_last_lines_can_be_pasted() {
    let folder = TempDir::new().unwrap();
    let (code, told, error) = said(folder.path(), &["run", "e02-interval", "--size", "smoke"]);
    assert!(code.is_some_and(|code| MEASURED.contains(&code)), "{code:?}: {told}{error}");
    let results = only_folder(&folder.path().join("results/e02-interval"));
    let results = results.strip_prefix(folder.path()).unwrap().display().to_string();
    let last: Vec<_> = told.trim_end().lines().rev().take(3).collect();
    assert!(last[0].starts_with(&format!("exit code {}: ", code.unwrap())), "{told}");
    assert_eq!(last[1], format!("open {results}/report.html"), "{told}");
    assert_eq!(last[2], format!("files: {results}"), "{told}");
    assert!(folder.path().join(format!("{results}/report.html")).is_file());
}

#[test]
fn the_plan_of_a_report_runs_in_an_empty_directory_with_its_recording() {
    let folder = TempDir::new().unwrap();
    let replay = ["--recording", "cargo-build", "--speed", "100", "--transport", "sse", "--subscribers", "1"];
    let (code, told, error) = said(folder.path(), &[&["run"], &replay[..]].concat());
    assert!(code.is_some_and(|code| MEASURED.contains(&code)), "{code:?}: {told}{error}");
    let plan = only_folder(&folder.path().join("results/ad-hoc")).join("plan.toml");
    let elsewhere = TempDir::new().unwrap();
    let (code, told, error) = said(elsewhere.path(), &["run", plan.to_str().unwrap()]);
    assert!(code.is_some_and(|code| MEASURED.contains(&code)), "{code:?}: {told}{error}");
    let again = only_folder(&elsewhere.path().join("results/ad-hoc")).join("plan.toml");
    assert_eq!(fs::read_to_string(again).unwrap(), fs::read_to_string(plan).unwrap());
}

#[test]
fn the_options_of_run_reach_its_plan() {
    let folder = TempDir::new().unwrap();
    let lines = ["--rate", "100", "--duration", "600ms", "--payload", "300", "--repetitions", "2"];
    let clients = ["--transport", "long-poll", "--hold", "3s", "--http", "2", "--compression", "gzip"];
    let (code, told, error) = said(folder.path(), &[&["run"], &lines[..], &clients[..]].concat());
    assert!(code.is_some_and(|code| MEASURED.contains(&code)), "{code:?}: {told}{error}");
    let results = only_folder(&folder.path().join("results/ad-hoc"));
    let plan = fs::read_to_string(results.join("plan.toml")).unwrap();
    for line in
        ["repetitions = 2", "hold = \"3s\"", "http = \"2\"", "compression = \"gzip\"", "payload_bytes = 300"]
    {
        assert!(plan.lines().any(|written| written == line), "{line} is not in {plan}");
    }
    assert_eq!(fs::read_to_string(results.join("runs.csv")).unwrap().lines().count(), 3, "two runs");
}

#[test]
fn a_server_in_an_empty_directory_has_its_page_recordings_and_plans() {
    let folder = TempDir::new().unwrap();
    let arguments = ["serve", "--bind", "127.0.0.1:0", "--store", "memory"];
    let server = Binary::of(wirelab().current_dir(folder.path()).args(arguments));
    assert_eq!(server.get("/").status, 200);
    let recordings: Vec<RecordingInfo> = server.get("/api/recordings").json();
    let names: Vec<_> = recordings.iter().map(|recording| recording.name.as_str()).collect();
    assert_eq!(names, ["cargo-build", "debian-install", "pip-install"]);
    let plans: Vec<Value> = server.get("/api/lab/plans").json();
    let names: Vec<_> = plans.iter().filter_map(|plan| plan["name"].as_str()).collect();
    assert!(names.contains(&"quick") && !names.contains(&"compare-peers"), "{names:?}");
    assert!(plans.iter().all(|plan| plan["problem"].is_null()), "{plans:?}");
}

#[test]
fn a_file_in_data_wins_and_a_broken_one_hides_no_other() {
    let folder = TempDir::new().unwrap();
    let plans = folder.path().join("data/plans");
    fs::create_dir_all(&plans).unwrap();
    let mine = repository("data/plans/quick.toml").replace("Does every", "Mine: does every");
    fs::write(plans.join("quick.toml"), &mine).unwrap();
    let (code, listed, error) = said(folder.path(), &["plans"]);
    assert_eq!(code, Some(0), "{error}");
    assert!(
        listed.contains("quick\n  Mine: does every") && listed.contains("; data/plans/quick.toml"),
        "{listed}"
    );
    assert!(listed.contains("; carried by wirelab"), "{listed}");
    assert_eq!(said(folder.path(), &["plans", "quick"]).1, mine);

    fs::write(plans.join("broken.toml"), "name = [").unwrap();
    let (code, listed, error) = said(folder.path(), &["plans"]);
    assert_eq!(code, Some(2), "{listed}");
    assert!(error.contains("plan \"broken\"") && listed.contains("websocket-engines\n"), "{listed}{error}");
}

#[test]
fn a_folder_or_a_script_that_is_missing_is_named() {
    let folder = TempDir::new().unwrap();
    for (arguments, expected) in [
        (&["run", "quick", "--data", "dta"][..], "'--data <DATA>': there is no such folder"),
        (&["plans", "--data", "dta"], "'--data <DATA>': there is no such folder"),
        (&["serve", "--recordings", "rec"], "'--recordings <RECORDINGS>': there is no such folder"),
        (&["serve", "--lab-data", "dta"], "'--lab-data <LAB_DATA>': there is no such folder"),
        (&["run", "nope"], "unknown plan \"nope\"; one of claims, "),
        (&["run", "--target", "socketio"], "are in its repository only"),
        (&["run", "compare-peers"], "are in its repository only"),
    ] {
        let (code, told, error) = said(folder.path(), arguments);
        assert_eq!((code, told.as_str()), (Some(2), ""), "{arguments:?}: {error}");
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
}
