//! `wirelab claims`, through the real binary: the plan in its short size, its folder judged again, and invalid
//! folders.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use tempfile::TempDir;
use wirelab_clients::harness::rows::{CLAIMS_COLUMNS, TWO_WAY_COLUMNS};

use crate::server::wirelab;

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");
/// 4 and 5: what a busy machine does to figures.
const MEASURED: [i32; 3] = [0, 4, 5];

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn claims(arguments: &[&str]) -> Output {
    claims_in(Path::new(PROJECT), arguments)
}

fn claims_in(folder: &Path, arguments: &[&str]) -> Output {
    wirelab().current_dir(folder).arg("claims").args(arguments).output().unwrap()
}

fn judged(folder: &Path) -> Output {
    claims(&["--from", folder.to_str().unwrap()])
}

fn only_folder(parent: &Path) -> PathBuf {
    let folders: Vec<_> = fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(folders.len(), 1, "{folders:?}");
    folders[0].clone()
}

/// Claim, verdict and why of each row.
fn rows(folder: &Path) -> Vec<[String; 3]> {
    let mut reader = csv::Reader::from_path(folder.join("claims.csv")).unwrap();
    let names: Vec<&str> = CLAIMS_COLUMNS.iter().map(|column| column.name).collect();
    assert_eq!(reader.headers().unwrap(), names);
    let place = |name: &str| names.iter().position(|known| *known == name).unwrap();
    let places = ["claim", "verdict", "why"].map(place);
    reader.records().map(|row| places.map(|place| row.as_ref().unwrap()[place].to_owned())).collect()
}

#[test]
fn a_short_run_is_judged_and_judged_again_to_the_same_table() {
    let results = TempDir::new().unwrap();
    // An empty directory: the plan and its recording come with the binary.
    let empty = TempDir::new().unwrap();
    let output = claims_in(empty.path(), &["--size", "smoke", "--results", results.path().to_str().unwrap()]);
    let told = text(&output.stdout);
    let code = output.status.code().unwrap();
    assert!(MEASURED.contains(&code), "{code}: {told}{}", text(&output.stderr));
    let folder = only_folder(&results.path().join("claims"));
    assert!(
        told.contains(&format!("files: {0}\nopen {0}/report.html\nexit code {code}: ", folder.display())),
        "{told}"
    );
    assert!(told.contains("size: smoke, not for citing"), "{told}");

    let rows = rows(&folder);
    assert!(rows.len() > 40, "{}", rows.len());
    let verdict = |claim: &str| {
        let [_, verdict, why] = rows.iter().find(|row| row[0] == claim).unwrap();
        (verdict.as_str(), why.as_str())
    };
    // The two that need no run, and one that no run can have enough of here.
    assert_eq!(verdict("bidirectional"), ("holds", ""));
    assert_eq!(verdict("one-way: server to client"), ("holds", ""));
    assert_eq!(verdict("low latency").0, "not measurable here");
    let few = rows.iter().filter(|row| row[2] == "too few runs: 1 of the 6 that an interval needs").count();
    assert!(few > 0 || code == 5, "{rows:?}");
    for [claim, verdict, why] in &rows {
        let unmeasured = verdict == "not measurable here";
        assert_eq!(unmeasured, !why.is_empty(), "{claim}: {verdict}: {why}");
    }
    let both_ways = fs::read_to_string(folder.join("two_way.csv")).unwrap();
    let header: Vec<&str> = TWO_WAY_COLUMNS.iter().map(|column| column.name).collect();
    assert_eq!(both_ways, format!("{}\nsse,5,0\nwebsocket,5,5\n", header.join(",")));

    let files = ["claims.csv", "claims.md"].map(|name| folder.join(name));
    let before = files.each_ref().map(|file| fs::read(file).unwrap());
    assert!(told.contains(&text(&before[1])), "the file is not the table");
    files.iter().for_each(|file| fs::remove_file(file).unwrap());
    let again = judged(&folder);
    assert!(MEASURED.contains(&again.status.code().unwrap()), "{}", text(&again.stderr));
    assert_eq!(text(&again.stdout), told.split_once('\n').map_or("", |(_, table)| table));
    assert_eq!(files.each_ref().map(|file| fs::read(file).unwrap()), before);

    // Nothing is ruled from runs that are invalid, and the exit code says so.
    let runs = folder.join("runs.csv");
    let csv = fs::read_to_string(&runs).unwrap();
    let invalid = csv.replace(",ok,", ",invalid,").replace(",unresolved,", ",invalid,");
    fs::write(&runs, invalid).unwrap();
    let output = judged(&folder);
    assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("Left out as invalid: "));
    let none = self::rows(&folder)
        .into_iter()
        .filter(|row| row[2].starts_with("no valid run measured the figure"))
        .count();
    assert!(none > 20, "{none}");
}

#[test]
fn a_folder_that_cannot_be_judged_is_named_with_the_remedy() {
    let sample = Path::new(PROJECT).join("results/sample");
    let copy = TempDir::new().unwrap();
    let renamed = copy.path();
    fs::create_dir(renamed.join("hdr")).unwrap();
    for file in
        fs::read_dir(&sample).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file())
    {
        let plan = fs::read(&file).unwrap();
        fs::write(renamed.join(file.file_name().unwrap()), plan).unwrap();
    }
    let plan = fs::read_to_string(renamed.join("plan.toml")).unwrap();
    let (_, rest) = plan.split_once('\n').unwrap();
    fs::write(renamed.join("plan.toml"), format!("name = \"claims\"\n{rest}")).unwrap();
    fs::write(renamed.join("two_way.csv"), "transport,sent_count\nsse,5\n").unwrap();

    let rows: [(PathBuf, &str); 3] = [
        (renamed.join("gone"), "name a folder that `wirelab claims` wrote"),
        (sample, "claims are judged by runs of the plan \"claims\""),
        (renamed.to_owned(), "two_way.csv: column answered_count is missing"),
    ];
    for (folder, said) in rows {
        let output = judged(&folder);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(said) && error.contains(&folder.display().to_string()), "{error}");
        assert!(output.stdout.is_empty() && !folder.join("claims.csv").exists());
    }
    let output = claims(&["--from", "x", "--size", "smoke"]);
    assert_eq!(output.status.code(), Some(2));
    let output = claims(&["--size", "smoke", "--data", "nowhere"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("--data"), "{}", text(&output.stderr));
}

#[test]
fn a_folder_without_runs_of_an_arm_says_so_and_one_lost_line_ends_with_3() {
    // The shipped sample is of another plan: under this one's name it has none of its arms.
    let sample = Path::new(PROJECT).join("results/sample");
    let copy = TempDir::new().unwrap();
    for name in [
        "plan.toml",
        "manifest.json",
        "runs.csv",
        "percentiles.csv",
        "theory.csv",
        "checks.csv",
        "timeseries.csv",
    ] {
        fs::copy(sample.join(name), copy.path().join(name)).unwrap();
    }
    let plan = fs::read_to_string(copy.path().join("plan.toml")).unwrap();
    let (_, rest) = plan.split_once('\n').unwrap();
    fs::write(copy.path().join("plan.toml"), format!("name = \"claims\"\n{rest}")).unwrap();
    let output = judged(copy.path());
    assert!(matches!(output.status.code(), Some(0 | 4 | 5)), "{}", text(&output.stderr));
    let rows = self::rows(copy.path());
    assert!(rows.iter().any(|row| row[2] == "no valid run measured the figure: empty answers"), "{rows:?}");

    let runs = fs::read_to_string(copy.path().join("runs.csv")).unwrap();
    let mut reader = csv::Reader::from_reader(runs.as_bytes());
    let lost = reader.headers().unwrap().iter().position(|name| name == "lost_count").unwrap();
    let verdict = reader.headers().unwrap().iter().position(|name| name == "verdict").unwrap();
    let mut writer = csv::Writer::from_path(copy.path().join("runs.csv")).unwrap();
    writer.write_record(reader.headers().unwrap()).unwrap();
    for row in reader.records().map(Result::unwrap) {
        let cells = row.iter().enumerate().map(|(i, cell)| match i {
            _ if i == lost => "1",
            _ if i == verdict => "ok",
            _ => cell,
        });
        writer.write_record(cells).unwrap();
    }
    writer.flush().unwrap();
    assert_eq!(judged(copy.path()).status.code(), Some(3));
}
