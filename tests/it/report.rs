//! `wirelab report`, and the page that a run writes, through the real binary.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::server::wirelab;

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

/// What happens to the text of a file.
type Damage = fn(&str) -> String;

fn report(folder: &Path) -> Output {
    wirelab().arg("report").arg(folder).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A copy of a results folder, to be changed.
fn copy(from: &Path) -> TempDir {
    let to = TempDir::new().unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = to.path().join(path.file_name().unwrap());
        if path.is_dir() {
            fs::create_dir(&name).unwrap();
            for inner in fs::read_dir(&path).unwrap() {
                let inner = inner.unwrap().path();
                fs::copy(&inner, name.join(inner.file_name().unwrap())).unwrap();
            }
        } else {
            fs::copy(&path, &name).unwrap();
        }
    }
    to
}

/// A run of two seconds over two transports; its results folder.
fn measured(results: &Path) -> PathBuf {
    let flags = ["--transport", "sse,short-poll", "--rate", "60", "--duration", "2s", "--subscribers", "2"];
    let output = wirelab().current_dir(PROJECT).arg("run").args(flags).arg("--results").arg(results).output();
    let output = output.unwrap();
    assert!(matches!(output.status.code(), Some(0 | 4 | 5)), "{}", text(&output.stderr));
    let mut folders = fs::read_dir(results.join("ad-hoc")).unwrap();
    folders.next().unwrap().unwrap().path()
}

#[test]
fn report_makes_the_page_of_a_run_again_byte_by_byte_from_its_files_alone() {
    let results = TempDir::new().unwrap();
    let folder = measured(results.path());
    let page = fs::read(folder.join("report.html")).unwrap();
    assert!(text(&page).contains("<svg") && text(&page).contains("short-poll"));
    for transport in ["sse-1", "short-poll-1"] {
        for metric in ["delivery_latency", "send_lateness", "append"] {
            let file = folder.join(format!("hdr/{transport}.{metric}.hlog"));
            assert!(file.is_file(), "{}", file.display());
        }
    }

    let elsewhere = copy(&folder);
    fs::remove_file(elsewhere.path().join("report.html")).unwrap();
    // What a write that was killed left behind, and what somebody else put there, change nothing.
    fs::write(elsewhere.path().join(".runs.csv"), "half a fi").unwrap();
    fs::write(elsewhere.path().join("hdr/gone-9.delivery_latency.hlog"), "of no run").unwrap();
    fs::write(elsewhere.path().join("notes.txt"), b"\xff").unwrap();
    let output = report(elsewhere.path());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let written = elsewhere.path().join("report.html");
    assert_eq!(text(&output.stdout), format!("{}\n", written.display()));
    assert!(fs::read(written).unwrap() == page, "not the same bytes");
}

#[test]
fn the_sample_in_the_repository_has_a_report() {
    let sample = copy(&Path::new(PROJECT).join("results/sample"));
    let output = report(sample.path());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let page = fs::read_to_string(sample.path().join("report.html")).unwrap();
    assert!(page.contains("short-poll") && page.contains("debian-install"), "{page}");
    // With histograms there are curves, without them the page says why there are none.
    let has_curves = page.contains("Delivery latency by percentile");
    assert_ne!(has_curves, page.contains("There are no percentile curves"));
    assert_eq!(has_curves, sample.path().join("hdr").is_dir());
}

#[test]
fn the_other_formats_go_to_the_standard_output_and_touch_no_file() {
    let sample = copy(&Path::new(PROJECT).join("results/sample"));
    fs::write(sample.path().join("report.html"), "the old page").unwrap();
    for (format, said) in [
        ("csv", "plan,transport,arm,is_aa,figure,unit,median,low,high,interval,runs_count\n"),
        ("json", "\"question\": "),
        ("md", "**Finding**"),
        ("summary", "<details><summary>Figures</summary>"),
        ("junit", "<testsuites name=\"wirelab quick\""),
        ("benchmark", "\"name\": "),
    ] {
        let output = wirelab().arg("report").arg(sample.path()).args(["--format", format]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{format}: {}", text(&output.stderr));
        assert!(text(&output.stdout).contains(said), "{format}: {}", text(&output.stdout));
        assert!(output.stdout.ends_with(b"\n"), "{format}");
    }
    assert_eq!(fs::read_to_string(sample.path().join("report.html")).unwrap(), "the old page");
}

/// A folder of before has other columns; it says so instead of showing a page that lacks something.
#[test]
fn a_folder_of_an_earlier_version_is_refused_and_says_what_can_read_it() {
    let sample = copy(&Path::new(PROJECT).join("results/sample"));
    let path = sample.path().join("manifest.json");
    let manifest = fs::read_to_string(&path).unwrap();
    fs::write(&path, manifest.replace("\"schema_version\": 4", "\"schema_version\": 1")).unwrap();
    for arguments in [vec!["report"], vec!["claims", "--from"], vec!["run", "--resume"]] {
        let output = wirelab().args(&arguments).arg(sample.path()).output().unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        let said =
            "manifest.json: schema_version 1 is not known, this wirelab reads 4; use the wirelab that wrote";
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
}

#[test]
fn percentile_texts_are_made_on_demand_one_beside_each_log() {
    let sample = copy(&Path::new(PROJECT).join("results/sample"));
    let names = |kind: &str| {
        let files = fs::read_dir(sample.path().join("hdr")).unwrap().map(|entry| entry.unwrap().path());
        let of_kind = files.filter(|path| path.extension().is_some_and(|extension| extension == kind));
        let mut names: Vec<_> = of_kind.map(|path| path.with_extension("")).collect();
        names.sort();
        names
    };
    assert!(names("hgrm").is_empty());
    let output = wirelab().arg("report").arg(sample.path()).args(["--format", "hgrm"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(!names("hlog").is_empty());
    assert_eq!(names("hgrm"), names("hlog"));
    assert_eq!(text(&output.stdout).lines().count(), names("hgrm").len());

    let empty = TempDir::new().unwrap();
    let output = wirelab().arg("report").arg(empty.path()).args(["--format", "hgrm"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("there is no interval log in hdr/"), "{}", text(&output.stderr));
}

#[test]
fn theory_checks_and_time_series_are_read_where_they_are() {
    let sample = copy(&Path::new(PROJECT).join("results/sample"));
    let theory = "run_id,transport,arm,formula,quantity,unit,predicted,measured,residual_ratio,tolerance_ratio,verdict,\
                  assumption_broken\nshort-poll-1,short-poll,,F1,delivery latency p50,us,400,394,-0.015,0.05,pass,\n";
    fs::write(sample.path().join("theory.csv"), theory).unwrap();
    assert_eq!(report(sample.path()).status.code(), Some(0));
    let page = fs::read_to_string(sample.path().join("report.html")).unwrap();
    assert!(
        page.contains("Theory held: the one judged figure is within tolerance (1 within 5 %, "),
        "{page}"
    );
    assert!(page.contains("<a href=\"theory.csv\">"), "{page}");

    fs::write(sample.path().join("checks.csv"), "run_id,check\n").unwrap();
    let output = report(sample.path());
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("checks.csv: column left is missing; restore the file"), "{error}");
}

#[test]
fn a_folder_that_is_none_of_a_run_is_refused_with_the_remedy() {
    let empty = TempDir::new().unwrap();
    let file = empty.path().join("file");
    for (folder, said) in [
        (empty.path().to_owned(), "manifest.json is missing"),
        (empty.path().join("nowhere"), "nowhere"),
        (file.clone(), "file"),
    ] {
        let output = report(&folder);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(said) && error.contains("results/sample"), "{error}");
        fs::write(&file, "").unwrap();
    }
    assert!(!empty.path().join("report.html").exists());
}

#[test]
fn a_damaged_file_is_named_and_the_old_page_stays() {
    let rows: [(&str, Damage, &str); 5] = [
        ("runs.csv", |text| text.replace("lost_count", "lost"), "runs.csv: column lost_count is missing"),
        ("runs.csv", |text| text[..text.len() - 9].into(), "runs.csv: "),
        (
            "manifest.json",
            |text| text.replace("version\": 4", "version\": 7"),
            "schema_version 7 is not known",
        ),
        ("plan.toml", |_| "[".into(), "plan.toml: "),
        ("percentiles.csv", |_| String::new(), "percentiles.csv: "),
    ];
    for (name, damage, said) in rows {
        let folder = copy(&Path::new(PROJECT).join("results/sample"));
        fs::write(folder.path().join("report.html"), "the old page").unwrap();
        let path = folder.path().join(name);
        fs::write(&path, damage(&fs::read_to_string(&path).unwrap())).unwrap();
        let output = report(folder.path());
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{name}: {error}");
        assert!(error.contains(said), "{name}: {error}");
        assert!(
            error.contains("restore the file") || error.contains("use the wirelab"),
            "no remedy: {error}"
        );
        assert_eq!(fs::read_to_string(folder.path().join("report.html")).unwrap(), "the old page");
    }
}

#[test]
fn a_page_that_cannot_be_written_is_named() {
    let folder = copy(&Path::new(PROJECT).join("results/sample"));
    fs::remove_file(folder.path().join("report.html")).unwrap();
    // A folder in the place of the page stops whoever may write everywhere, too.
    fs::create_dir_all(folder.path().join("report.html/in the way")).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let output = report(folder.path());
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{error}");
    assert!(error.contains("report.html") && error.contains("writable"), "{error}");
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with('.')), "{left:?}");
}

#[test]
fn what_is_no_file_and_what_is_too_large_is_not_read() {
    let folder = copy(&Path::new(PROJECT).join("results/sample"));
    let runs = folder.path().join("runs.csv");
    fs::File::options().write(true).open(&runs).unwrap().set_len((64 << 20) + 1).unwrap();
    let error = text(&report(folder.path()).stderr);
    assert!(error.contains("runs.csv: it has more than 67108864 bytes"), "{error}");

    fs::remove_file(&runs).unwrap();
    // A pipe that nobody writes to: whoever opened it would wait for ever.
    assert!(Command::new("mkfifo").arg(&runs).status().unwrap().success());
    let output = report(folder.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("runs.csv: it is not a file"), "{}", text(&output.stderr));
}
