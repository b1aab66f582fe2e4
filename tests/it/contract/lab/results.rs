//! The results that the page lists and opens: those of the folder, and no others.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::http::Api;
use crate::http2::Http2;
use crate::server::{Server, Setup};

const RUN: &str = "2026-11-22T174950Z-80f5d4d";
const LATER: &str = "2026-11-23T080000Z-80f5d4d";

/// Files that the sample lacks, since only a flag or another command makes them. What they hold does not matter here.
const MADE_ON_DEMAND: [(&str, &[u8]); 3] = [
    ("raw/sse-1.ndjson.gz", b"\x1f\x8b packed"),
    ("svg/latency.svg", b"<svg/>"),
    ("claims.md", b"# Claims\n"),
];

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn sample() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/results/sample"))
}

/// A folder of results with these copies of the sample, and a server that shows it.
fn showing(copies: &[&str]) -> (TempDir, Server) {
    let around = TempDir::new().unwrap();
    let results = around.path().join("results");
    fs::create_dir(&results).unwrap();
    for name in copies {
        copy(sample(), &results.join(name));
    }
    let mut setup = Setup::default();
    setup.options.lab.as_mut().unwrap().results = results;
    (around, setup.start())
}

fn list(api: &Api) -> Vec<Value> {
    let answer = api.get("/api/lab/results");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn folders(api: &Api) -> Vec<String> {
    list(api).iter().map(|listed| listed["folder"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn runs_are_listed_newest_first_with_what_they_found() {
    let (earlier, later) = (format!("quick/{RUN}"), format!("idle/{LATER}"));
    let (_around, server) = showing(&["sample", &earlier, &later]);
    let listed = list(&server);
    assert_eq!(folders(&server), [later, earlier, "sample".to_owned()]);
    for row in &listed {
        assert_eq!((&row["plan"], &row["problem"]), (&"quick".into(), &Value::Null));
        assert!(row["question"].as_str().unwrap().starts_with("Does every transport deliver"), "{row}");
        let manifest = fs::read_to_string(sample().join("manifest.json")).unwrap();
        let manifest: Value = serde_json::from_str(&manifest).unwrap();
        assert_eq!(row["started"], manifest["started_utc"]);
        // What the file says, counted in another way.
        let csv = fs::read_to_string(sample().join("runs.csv")).unwrap();
        assert_eq!(row["runs"].as_u64().unwrap(), csv.lines().count() as u64 - 1);
        for (verdict, count) in row["verdicts"].as_object().unwrap() {
            assert_eq!(
                csv.matches(&format!(",{verdict},")).count() as u64,
                count.as_u64().unwrap(),
                "{verdict}"
            );
        }
        let counts = row["verdicts"].as_object().unwrap().values().filter_map(Value::as_u64);
        assert_eq!(counts.sum::<u64>(), row["runs"].as_u64().unwrap(), "{row}");
        let files: Vec<_> = row["files"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(
            files,
            [
                "checks.csv",
                "datapackage.json",
                "manifest.json",
                "percentiles.csv",
                "plan.toml",
                "report.html",
                "runs.csv",
                "theory.csv",
                "timeseries.csv"
            ]
        );
    }
}

#[test]
fn without_a_folder_there_are_no_results() {
    let (around, server) = showing(&[]);
    assert_eq!(list(&server), Vec::<Value>::new());
    fs::remove_dir(around.path().join("results")).unwrap();
    assert_eq!(list(&server), Vec::<Value>::new());
}

#[test]
fn the_list_is_bounded() {
    let (around, server) = showing(&[]);
    let max = server.get("/api/lab").json::<Value>()["results_listed_max"].as_u64().unwrap() as usize;
    for i in 0..max + 5 {
        fs::create_dir_all(around.path().join(format!("results/quick/2026-{i:04}"))).unwrap();
    }
    let folders = folders(&server);
    assert_eq!(folders.len(), max);
    assert_eq!(folders[0], format!("quick/2026-{:04}", max + 4));
}

#[test]
fn a_broken_folder_is_listed_with_its_problem_beside_the_others() {
    let whole = format!("quick/{RUN}");
    let broken = ["a", "b", "c", "d", "e", "f"].map(|name| format!("quick/2027-{name}"));
    let copies: Vec<&str> = broken.iter().map(String::as_str).chain([whole.as_str()]).collect();
    let (around, server) = showing(&copies);
    let path = |run: &str, file: &str| around.path().join("results").join(run).join(file);
    fs::remove_file(path(&broken[0], "manifest.json")).unwrap();
    fs::write(path(&broken[1], "plan.toml"), "name = ").unwrap();
    fs::write(path(&broken[2], "runs.csv"), "schema_version,plan").unwrap();
    fs::write(path(&broken[3], "manifest.json"), [0xff, 0xfe]).unwrap();
    fs::write(path(&broken[4], "runs.csv"), vec![b'x'; (4 << 20) + 1]).unwrap();
    fs::remove_file(path(&broken[5], "plan.toml")).unwrap();
    // A folder under a file's name.
    fs::create_dir(path(&broken[5], "plan.toml")).unwrap();
    let expected = ["manifest.json", "plan.toml", "runs.csv", "manifest.json", "runs.csv", "plan.toml"];
    let listed = list(&server);
    assert_eq!(listed.len(), 7);
    for (name, file) in broken.iter().zip(expected) {
        let row = listed.iter().find(|row| row["folder"] == name.as_str()).expect("it is listed");
        let problem = row["problem"].as_str().expect("it has a problem");
        assert!(problem.starts_with(file), "{name}: {problem}");
        assert_eq!((&row["question"], &row["runs"]), (&Value::Null, &0.into()), "{name}");
    }
    assert_eq!(listed.last().unwrap()["problem"], Value::Null, "{listed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn files_are_served_whole_as_what_they_are() {
    let (around, server) = showing(&["sample", &format!("quick/{RUN}")]);
    for folder in ["sample".to_owned(), format!("quick/{RUN}")] {
        let folder = around.path().join("results").join(folder);
        for (path, bytes) in MADE_ON_DEMAND {
            fs::create_dir_all(folder.join(path).parent().unwrap()).unwrap();
            fs::write(folder.join(path), bytes).unwrap();
        }
    }
    let mut http2 = Http2::open(&server.authority).await;
    for (file, kind) in [
        ("report.html", "text/html; charset=utf-8"),
        ("runs.csv", "text/csv; charset=utf-8"),
        ("manifest.json", "application/json"),
        ("plan.toml", "text/plain; charset=utf-8"),
        ("hdr/sse-1.hiccup.hlog", "text/plain; charset=utf-8"),
        ("runs/sse-1.json", "application/json"),
        ("datapackage.json", "application/json"),
        ("raw/sse-1.ndjson.gz", "application/gzip"),
        ("svg/latency.svg", "image/svg+xml"),
        ("claims.md", "text/plain; charset=utf-8"),
    ] {
        for folder in ["sample".to_owned(), format!("quick/{RUN}")] {
            let path = format!("/api/lab/results/{folder}/{file}");
            let bytes = fs::read(around.path().join("results").join(&folder).join(file)).unwrap();
            for answer in [server.get(&path), http2.get(&path).await] {
                assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)), "{path}");
                assert_eq!(answer.header("content-length"), Some(bytes.len().to_string().as_str()));
                assert!(answer.body == bytes, "{path} differs");
                assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
                let disposition = answer.header("content-disposition");
                let is_download = kind.starts_with("text/csv") || kind == "application/gzip";
                let name = file.rsplit('/').next().unwrap();
                let download = is_download.then(|| format!("attachment; filename=\"{name}\""));
                assert_eq!(answer.header("content-encoding"), None, "{path}");
                assert_eq!(disposition, download.as_deref(), "{path}");
            }
            let head = server.ask("HEAD", &path, &[], b"");
            assert_eq!(head.header("content-length"), Some(bytes.len().to_string().as_str()));
        }
    }
}

#[test]
fn a_report_may_run_no_script_and_load_nothing() {
    let (_around, server) = showing(&["sample"]);
    let answer = server.get("/api/lab/results/sample/report.html");
    let policy = answer.header("content-security-policy").unwrap();
    let directives: Vec<_> = policy.split(';').map(str::trim).collect();
    assert_eq!(
        directives,
        [
            "default-src 'none'",
            "style-src 'unsafe-inline'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'self'"
        ]
    );
}

#[test]
fn a_large_file_is_served_whole() {
    let (around, server) = showing(&["sample"]);
    let bytes: Vec<u8> = (0..20_000_000_u32).map(|i| (i % 251) as u8).collect();
    fs::write(around.path().join("results/sample/timeseries.csv"), &bytes).unwrap();
    assert!(server.get("/api/lab/results/sample/timeseries.csv").body == bytes);
}

#[test]
fn nothing_outside_the_folder_is_served_however_it_is_asked_for() {
    let run = format!("quick/{RUN}");
    let (around, server) = showing(&["sample", &run]);
    let (outside, results) = (around.path(), around.path().join("results"));
    const SECRET: &str = "a secret beside the results";
    fs::write(outside.join("secret.json"), SECRET).unwrap();
    fs::create_dir(outside.join("elsewhere")).unwrap();
    fs::write(outside.join("elsewhere/secret.json"), SECRET).unwrap();
    // Links out of the folder: to a file, to a folder, and a folder of runs.
    symlink(outside.join("secret.json"), results.join("sample/link.json")).unwrap();
    symlink(outside.join("elsewhere"), results.join("sample/hdr2")).unwrap();
    symlink(outside.join("elsewhere"), results.join("linked")).unwrap();
    symlink("../../secret.json", results.join("sample/up.json")).unwrap();
    fs::create_dir(results.join("sample/raw")).unwrap();
    fs::write(outside.join("secret.ndjson.gz"), SECRET).unwrap();
    symlink(outside.join("secret.ndjson.gz"), results.join("sample/raw/link.ndjson.gz")).unwrap();
    // What is there and is no file of a run.
    fs::write(results.join("sample/raw/notes.gz"), SECRET).unwrap();
    fs::write(results.join("sample/.hidden.json"), SECRET).unwrap();
    fs::write(results.join("sample/notes.exe"), SECRET).unwrap();
    fs::write(results.join("sample/none"), SECRET).unwrap();
    let pipe = Command::new("mkfifo").arg(results.join("sample/pipe.json")).status();
    assert!(pipe.unwrap().success());
    fs::create_dir(results.join("sample/folder.json")).unwrap();

    let paths = [
        "../secret.json",
        "sample/../../secret.json",
        "sample/../sample/plan.toml",
        "sample/hdr/../../../secret.json",
        "%2e%2e/secret.json",
        "sample/%2e%2e/%2e%2e/secret.json",
        "..%2fsecret.json",
        "sample/..%2f..%2fsecret.json",
        "sample/%2e%2e%2f%2e%2e%2fsecret.json",
        "sample/..%252f..%252fsecret.json",
        "sample/..%5csecret.json",
        "sample%2fplan.toml",
        "sample/hdr%2fsse-1.hiccup.hgrm",
        "sample//plan.toml",
        "sample/./plan.toml",
        "./sample/plan.toml",
        "sample/plan.toml%00.json",
        "sample/plan.toml/",
        "sample/hdr/",
        "sample/hdr",
        "sample/",
        "sample/link.json",
        "sample/up.json",
        "sample/hdr2/secret.json",
        "linked/secret.json",
        "sample/.hidden.json",
        "sample/notes.exe",
        "sample/raw/notes.gz",
        "sample/raw/",
        "sample/raw/%2e%2e%2f%2e%2e%2f%2e%2e%2fsecret.ndjson.gz",
        "sample/raw/link.ndjson.gz",
        "sample/none",
        "sample/pipe.json",
        "sample/folder.json",
        "sample/absent.json",
        "absent/plan.toml",
        "sample/%C3%A9.json",
    ];
    let absolute = format!("/{}", outside.join("secret.json").display());
    let long = format!("sample/{}.json", "a".repeat(1_000));
    for path in paths.into_iter().chain([absolute.as_str(), long.as_str()]) {
        let answer = server.get(&format!("/api/lab/results/{path}"));
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
        assert!(!answer.text().contains(SECRET), "{path}");
        answer.problem().unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    assert_eq!(folders(&server), [run, "sample".to_owned()], "links are not listed");
    let sample = list(&server).into_iter().find(|row| row["folder"] == "sample").unwrap();
    assert_eq!(sample["files"].as_array().unwrap().len(), 9, "{sample}");
}
