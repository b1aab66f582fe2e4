//! `wirelab compare` of folders with made-up results, through the real binary.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use tempfile::TempDir;
use wirelab::report;
use wirelab_clients::harness::example;

use crate::server::wirelab;

/// What happens to a good folder.
type Damage = fn(&Path);
/// What happens to a row of a good file; `None`: it is gone.
type DamageToRow = fn(&str) -> Option<String>;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The example six times over, its server as many times as expensive, in a folder of its own.
fn folder(parent: &TempDir, name: &str, cost: f64) -> PathBuf {
    folder_of(6, parent, name, cost)
}

fn folder_of(runs_count: u64, parent: &TempDir, name: &str, cost: f64) -> PathBuf {
    let mut results = example::result_set();
    let runs = std::mem::take(&mut results.runs);
    for n in 1..=runs_count {
        for mut run in runs.clone() {
            run.cell.run_id = format!("{}-{n}", run.cell.transport);
            run.server.cpu = Some(Duration::from_micros(10_000 + n * 50).mul_f64(cost));
            results.runs.push(run);
        }
    }
    results.manifest.order = results.runs.iter().map(|run| run.cell.run_id.clone()).collect();
    let folder = parent.path().join(name);
    for file in report::render(&results).unwrap() {
        let path = folder.join(file.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file.bytes).unwrap();
    }
    folder
}

fn compare(a: &Path, b: &Path, more: &[&str]) -> Output {
    wirelab().arg("compare").arg(a).arg(b).args(more).output().unwrap()
}

#[test]
fn what_changed_is_told_and_a_regression_ends_with_3() {
    let parent = TempDir::new().unwrap();
    let (a, b) = (folder(&parent, "a", 1.0), folder(&parent, "b", 1.25));
    let plain = compare(&a, &b, &[]);
    let told = text(&plain.stdout);
    assert_eq!(plain.status.code(), Some(0), "{told}{}", text(&plain.stderr));
    assert!(told.contains("- sse server CPU per line (µs): 9.25 → 11.6, +25.0 %"), "{told}");
    assert!(told.contains(&a.display().to_string()) && told.contains("no difference shown"), "{told}");

    let failed = compare(&a, &b, &["--fail-above", "10%"]);
    assert_eq!(failed.status.code(), Some(3));
    assert!(
        text(&failed.stderr).contains("worse than tolerated: sse server CPU"),
        "{}",
        text(&failed.stderr)
    );
    assert_eq!(compare(&a, &b, &["--fail-above", "30%"]).status.code(), Some(0));
    assert_eq!(compare(&b, &a, &["--fail-above", "10%"]).status.code(), Some(0), "better is no regression");
}

#[test]
fn what_could_not_be_compared_is_told_on_stderr_and_fails() {
    let parent = TempDir::new().unwrap();
    let a = folder(&parent, "a", 1.0);
    let damages: [(&str, DamageToRow, &str); 2] = [
        (
            "without its rows",
            |line| (!line.contains(",sse,")).then(|| line.to_owned()),
            "not compared: sse: 6 valid runs in A, no run in B",
        ),
        (
            "invalid",
            |line| {
                Some(if line.contains(",sse,") { line.replace(",ok,", ",invalid,") } else { line.to_owned() })
            },
            "not compared: sse: 6 valid runs in A, no valid run (6 invalid) in B",
        ),
    ];
    for (name, damage, said) in damages {
        let b = folder(&parent, name, 1.0);
        let csv = fs::read_to_string(b.join("runs.csv")).unwrap();
        let damaged: String = csv.lines().filter_map(damage).map(|line| line + "\n").collect();
        assert_ne!(csv, damaged);
        fs::write(b.join("runs.csv"), damaged).unwrap();
        for (flags, code) in [(&[][..], 0), (&["--fail-above", "1000%"][..], 3)] {
            let output = compare(&a, &b, flags);
            let (told, error) = (text(&output.stdout), text(&output.stderr));
            assert_eq!(output.status.code(), Some(code), "{name}: {error}");
            assert!(error.contains(said), "{name}: {error}");
            assert!(told.contains("not compared") && !told.contains("No figure changed"), "{name}: {told}");
            assert_eq!(
                error.contains("1 of the transports and arms could not be compared"),
                code == 3,
                "{error}"
            );
        }
    }
}

#[test]
fn programs_can_read_it() {
    let parent = TempDir::new().unwrap();
    let (a, b) = (folder(&parent, "a", 1.0), folder(&parent, "b", 2.0));
    let csv = text(&compare(&a, &b, &["--format", "csv"]).stdout);
    assert!(csv.starts_with("transport,arm,metric,a_runs_count,") && csv.contains(",more-in-b,"), "{csv}");
    let json: serde_json::Value =
        serde_json::from_slice(&compare(&a, &b, &["--format", "json"]).stdout).unwrap();
    assert!(json["changes"].as_array().unwrap().iter().any(|change| change["finding"] == "more-in-b"));
}

#[test]
fn a_folder_that_cannot_be_compared_is_named_with_the_remedy() {
    let parent = TempDir::new().unwrap();
    let a = folder(&parent, "a", 1.0);
    let rows: [(&str, Damage, &str); 5] = [
        ("nowhere", |b| fs::remove_dir_all(b).unwrap(), "No such file"),
        ("half", |b| fs::remove_file(b.join("runs.csv")).unwrap(), "runs.csv is missing; name a folder"),
        (
            "of another version",
            |b| {
                let file = b.join("manifest.json");
                let json = fs::read_to_string(&file).unwrap();
                fs::write(file, json.replace("\"schema_version\": 4", "\"schema_version\": 9")).unwrap();
            },
            "schema_version 9 is not known",
        ),
        (
            "garbled",
            |b| fs::write(b.join("percentiles.csv"), "run_id\n").unwrap(),
            "percentiles.csv: column transport is missing",
        ),
        (
            "without a run",
            |b| {
                for file in ["runs.csv", "percentiles.csv"] {
                    let csv = fs::read_to_string(b.join(file)).unwrap();
                    fs::write(b.join(file), format!("{}\n", csv.lines().next().unwrap())).unwrap();
                }
            },
            "no transport and arm in common",
        ),
    ];
    for (name, damage, said) in rows {
        let b = folder(&parent, name, 1.0);
        damage(&b);
        for (first, second) in [(&a, &b), (&b, &a)] {
            let output = compare(first, second, &[]);
            let error = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{name}: {error}");
            assert!(error.contains(said), "{name}: {error}");
            assert!(
                said.contains("in common") || error.contains(&b.display().to_string()),
                "{name}: {error}"
            );
            assert!(output.stdout.is_empty(), "{name}");
        }
    }
    let output = compare(&a, &a, &["--fail-above", "10"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("such as 10%"), "{}", text(&output.stderr));
}

#[test]
fn too_few_runs_are_told_so_that_nobody_takes_silence_for_success() {
    let parent = TempDir::new().unwrap();
    let few = folder_of(5, &parent, "few", 1.0);
    let output = compare(&few, &few, &["--fail-above", "5%"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("too few runs for a claim"), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("too few runs for a claim"), "{}", text(&output.stderr));
}
