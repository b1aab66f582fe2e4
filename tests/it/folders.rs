//! Results folders belong to one `wirelab run`: two at once never share one, and none is continued twice at once.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::commands::rows;
use crate::server::{wait_until, wirelab};

/// A run of `transport` that takes `duration` below `results`.
fn run(results: &Path, transport: &str, duration: &str) -> Command {
    let mut run = wirelab();
    run.args(["run", "--rate", "20", "--subscribers", "1", "--transport", transport, "--duration", duration]);
    run.arg("--results").arg(results);
    run
}

fn folders(results: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(results.join("ad-hoc")).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn runs_that_begin_in_the_same_second_have_folders_of_their_own() {
    let results = TempDir::new().unwrap();
    let transports = ["sse", "ndjson"];
    let begun = transports.map(|transport| {
        run(results.path(), transport, "1s").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    });
    let mut told = Vec::new();
    for (transport, run) in transports.into_iter().zip(begun) {
        let output = run.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let folder = said.lines().find_map(|line| line.strip_prefix("files: "));
        let folder = folder.unwrap_or_else(|| panic!("no folder is told: {said}")).to_owned();
        let measured: Vec<_> =
            rows(&Path::new(&folder).join("runs.csv")).iter().map(|row| row("transport")).collect();
        assert_eq!(measured, [transport], "{folder}");
        told.push(folder);
    }
    assert_ne!(told[0], told[1]);
    assert_eq!(folders(results.path()).len(), 2);
}

/// Begins to continue the runs of `folder`, and waits until it is at work.
fn resumed(folder: &Path) -> Child {
    let mut resume = wirelab();
    resume.args(["run", "--progress", "json", "--resume"]).arg(folder);
    let mut resume = resume.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(resume.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with('{'), "{first}");
    resume
}

#[test]
fn a_folder_in_which_a_run_works_is_not_continued() {
    let results = TempDir::new().unwrap();
    let mut first = run(results.path(), "sse,ndjson", "30s");
    let mut first = first.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let manifest = || Some(folders(results.path()).first()?.join("manifest.json").is_file());
    wait_until("the folder is there", || manifest() == Some(true));
    let folder = &folders(results.path())[0];
    let refused = || {
        let refused = wirelab().args(["run", "--resume"]).arg(folder).output().unwrap();
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(
            said.contains("another `wirelab run` works in this folder; wait until it has ended"),
            "{said}"
        );
        assert!(said.contains(&folder.display().to_string()), "{said}");
    };
    refused();
    // A process that is killed leaves nothing behind that would refuse the next one.
    first.kill().unwrap();
    first.wait().unwrap();
    let mut second = resumed(folder);
    refused();
    kill(Pid::from_raw(second.id().cast_signed()), Signal::SIGINT).unwrap();
    assert_eq!(second.wait().unwrap().code(), Some(130));
}
