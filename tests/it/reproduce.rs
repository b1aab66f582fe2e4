//! `wirelab reproduce`, through the real binary: each plan in its short size, its folder judged again, and what it
//! refuses.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use csv::StringRecord;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use wirelab_clients::harness::rows::{REPRODUCTION_COLUMNS, Row, RunRow};

use crate::server::{wait_until, wirelab};

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");
/// 4: theory, 5: an invalid run. Both are what a busy machine does to figures, and to no line.
const MEASURED: [i32; 3] = [0, 4, 5];

macro_rules! smoke {
    ($($name:ident: $reproduction:literal, $runs:literal, $figures:literal);* $(;)?) => {
        $(#[test]
        fn $name() {
            smoke($reproduction, $runs, $figures);
        })*

        const NAMES: &[&str] = &[$($reproduction),*];
    };
}

// The name, the runs of its short size, and the figures of its table.
smoke! {
    lubbers2010: "lubbers2010", 2, 6;
    rfc6202: "rfc6202", 1, 6;
    wrk2_freeze: "wrk2-freeze", 1, 5;
    vandevyvere2020: "vandevyvere2020", 2, 6;
    cometd_batching: "cometd-batching", 1, 6;
    fleet_polling: "fleet-polling", 1, 5;
    first_byte: "first-byte", 2, 5;
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn reproduce(arguments: &[&str]) -> Output {
    wirelab().current_dir(PROJECT).arg("reproduce").args(arguments).output().unwrap()
}

fn only_folder(parent: &Path) -> PathBuf {
    let folders: Vec<_> = fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(folders.len(), 1, "{folders:?}");
    folders[0].clone()
}

fn table(path: &Path) -> (Vec<String>, Vec<StringRecord>) {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let header = reader.headers().unwrap().iter().map(str::to_owned).collect();
    (header, reader.records().map(Result::unwrap).collect())
}

/// Runs a reproduction in its short size: every line arrives, and the same folder gives the same verdict again.
fn smoke(name: &str, runs: usize, figures: usize) {
    let results = TempDir::new().unwrap();
    let output = reproduce(&[name, "--size", "smoke", "--results", results.path().to_str().unwrap()]);
    let (told, code) = (text(&output.stdout), output.status.code().unwrap());
    assert!(MEASURED.contains(&code), "{code}: {told}{}", text(&output.stderr));
    let folder = only_folder(&results.path().join(name));
    assert!(told.contains("size: smoke, not for citing"), "{told}");
    assert!(told.contains("Verdict: cannot be shown here (the size is smoke"), "{told}");
    assert!(told.contains("\nSource: ") && told.contains("\nWhat differs:\n- "), "{told}");
    assert!(told.contains(&format!("\nexit code {code}: ")), "{told}");

    let (header, rows) = table(&folder.join("runs.csv"));
    let cell = |row: &StringRecord, column: &str| {
        row[header.iter().position(|name| name == column).unwrap()].to_owned()
    };
    assert_eq!(rows.len(), runs);
    for run in &rows {
        let count = |column: &str| cell(run, column).parse::<u64>().unwrap();
        assert!(
            count("expected_count") > 0 && count("delivered_count") == count("expected_count"),
            "{run:?}"
        );
        assert_eq!(count("duplicated_count") + count("out_of_order_count"), 0, "{run:?}");
    }
    assert_eq!(header.len(), RunRow::COLUMNS.len());

    let (header, rows) = table(&folder.join("reproduction.csv"));
    assert_eq!(header, REPRODUCTION_COLUMNS.iter().map(|column| column.name).collect::<Vec<_>>());
    assert_eq!(rows.len(), figures);
    // Something was measured beside what was printed, unless this machine was too busy for a valid run.
    let place = |column: &str| header.iter().position(|name| name == column).unwrap();
    let measured = rows.iter().filter(|row| !row[place("value")].is_empty()).count();
    assert!(measured > 0 || code == 5, "{told}");
    let page = fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(page.contains("What was printed, and what is it here?"), "{page}");
    let package = fs::read_to_string(folder.join("datapackage.json")).unwrap();
    assert!(package.contains("\"path\": \"reproduction.csv\""), "{package}");

    let files = ["reproduction.csv", "reproduction.md"].map(|name| folder.join(name));
    let before = files.each_ref().map(|file| fs::read(file).unwrap());
    files.iter().for_each(|file| fs::remove_file(file).unwrap());
    let again = reproduce(&[name, "--from", folder.to_str().unwrap()]);
    assert_eq!(files.each_ref().map(|file| fs::read(file).unwrap()), before, "{}", text(&again.stderr));
    assert!(text(&again.stdout).starts_with(&text(&before[1])), "{}", text(&again.stdout));
}

#[test]
fn without_a_name_every_reproduction_is_listed_with_its_question_and_source() {
    let output = reproduce(&[]);
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    for name in NAMES {
        let question = format!("\n{told}").split(&format!("\n{name}\n  ")).nth(1).map(str::to_owned);
        let question = question.unwrap_or_else(|| panic!("{name} is not in {told}"));
        assert!(question.lines().next().unwrap().ends_with('?'), "{question}");
    }
    // A plan that is one is there, and nothing else is listed.
    let listed: BTreeSet<&str> = told.lines().filter(|line| !line.starts_with([' ', '`'])).collect();
    assert_eq!(listed, NAMES.iter().copied().collect());
}

#[test]
fn what_cannot_be_judged_is_refused_with_the_remedy() {
    let sample = Path::new(PROJECT).join("results/sample");
    let renamed = TempDir::new().unwrap();
    for file in
        fs::read_dir(&sample).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file())
    {
        fs::copy(&file, renamed.path().join(file.file_name().unwrap())).unwrap();
    }
    let plan = fs::read_to_string(renamed.path().join("plan.toml")).unwrap();
    let (_, rest) = plan.split_once('\n').unwrap();
    fs::write(renamed.path().join("plan.toml"), format!("name = \"rfc6202\"\n{rest}")).unwrap();
    let gone = renamed.path().join("gone");
    let [sample, renamed, gone] = [&sample, renamed.path(), &gone].map(|path| path.to_str().unwrap());
    let refused: [(&[&str], &str); 6] = [
        (&["luber2010"], "unknown reproduction \"luber2010\"; the nearest are lubbers2010, "),
        (&["--from", sample], "which reproduces nothing; name a folder that `wirelab reproduce` wrote"),
        (&["--from", gone], "name a folder that `wirelab reproduce` wrote"),
        (&["lubbers2010", "--from", renamed], "the folder holds runs of rfc6202, not of lubbers2010"),
        (&["--from", renamed, "--size", "smoke"], "cannot be used with"),
        (&["rfc6202", "--data", "nowhere"], "--data"),
    ];
    for (arguments, said) in refused {
        let output = reproduce(arguments);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(said) && output.stdout.is_empty(), "{said}: {error}");
    }
    // A folder without a run of its arms is judged all the same: nothing can be shown.
    let output = reproduce(&["--from", renamed]);
    let told = text(&output.stdout);
    assert!(
        told.contains("Verdict: cannot be shown here (") && told.contains("no valid run measured it"),
        "{told}"
    );
    let sample_is_untouched = !Path::new(sample).join("reproduction.csv").exists();
    assert!(sample_is_untouched);
}

#[test]
fn ctrl_c_keeps_what_was_measured_and_says_how_to_judge_it() {
    let results = TempDir::new().unwrap();
    let child = wirelab()
        .current_dir(PROJECT)
        .args(["reproduce", "wrk2-freeze", "--results"])
        .arg(results.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let parent = results.path().join("wrk2-freeze");
    let is_there = || Some(fs::read_dir(&parent).ok()?.next()?.ok()?.path().join("runs.csv").is_file());
    wait_until("the folder is there", || is_there() == Some(true));
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{error}");
    let folder = only_folder(&parent);
    assert!(error.contains(&format!("wirelab reproduce --from {}", folder.display())), "{error}");
}
