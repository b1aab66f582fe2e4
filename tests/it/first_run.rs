//! What `wirelab run` tells a stranger in a terminal: how far the subscribers are, what the verdicts mean, and the finding.
//!
//! The plan is that of the first run, shortened. It measures, so `scripts/test` runs it alone.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::server::wirelab;

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

const ABOVE: &str = "Network: every subscriber is 25 ms away, each way (a delay line in its socket); the publisher stands \
                     beside the server.";

/// A finished run of the first plan, made shorter: what it printed, and its folder.
struct FirstRun {
    said: String,
    folder: PathBuf,
    _around: TempDir,
}

/// Runs the first plan with its lines four times as fast, on these transports.
fn first_run(transports: &str, more: &[&str]) -> FirstRun {
    let around = TempDir::new().unwrap();
    let plan = fs::read_to_string(Path::new(PROJECT).join("data/plans/quick.toml")).unwrap();
    let shorter = plan.replace("speed = 5.0", "speed = 20.0").replace("\"all\"", transports);
    assert_ne!(shorter, plan);
    let path = around.path().join("quick.toml");
    fs::write(&path, shorter).unwrap();
    let output = wirelab()
        .current_dir(PROJECT)
        .arg("run")
        .arg(&path)
        .args(more)
        .arg("--results")
        .arg(around.path().join("results"))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    // 4 and 5 say that a busy machine made the figures unbelievable.
    assert!(matches!(output.status.code(), Some(0 | 4 | 5)), "{:?}: {said}\n{stderr}", output.status);
    let folders = fs::read_dir(around.path().join("results/quick")).unwrap();
    let folder = folders.map(|folder| folder.unwrap().path()).next().unwrap();
    FirstRun { said, folder, _around: around }
}

/// Returns the number of the first line that begins so.
fn line_of(said: &str, start: &str) -> Option<usize> {
    said.lines().position(|line| line.starts_with(start))
}

#[test]
fn the_first_run_tells_the_distance_above_its_table_and_the_finding_below_it() {
    let run = first_run("[\"sse\", \"long-poll\", \"short-poll\"]", &[]);
    let said = &run.said;
    let at = |start: &str| line_of(said, start).unwrap_or_else(|| panic!("no line {start:?} in {said}"));
    let (above, table, finding) = (at(ABOVE), at("| transport "), at("Finding: "));
    assert!(above < table && table < finding && finding < at("files: "), "{said}");
    assert!(at("A delay line delays bytes, not packets.") > table, "{said}");

    let finding = said.lines().nth(finding).unwrap();
    let verdicts = column(&run.folder, "verdict");
    if verdicts.iter().all(|verdict| verdict != "invalid") {
        for part in [
            "Typical latency (p50): ",
            "sse 25 ms (one way)",
            "long-poll 25 to 75 ms (one to three ways)",
            "short-poll 125 ms (half its interval and one way)",
            "no winner is named. The same command with --repetitions 6 gives intervals.",
        ] {
            assert!(finding.contains(part), "{part} is not in {finding}");
        }
    }
    assert!(!finding.contains("Fastest"), "{finding}");
    // A verdict is explained where a row has it, and only there.
    for verdict in ["unresolved", "invalid"] {
        let explained = line_of(said, &format!("{verdict}: ")).is_some();
        assert_eq!(explained, verdicts.iter().any(|there| there == verdict), "{verdict}: {said}");
    }
    // Distance is in every latency: no line is earlier than its way.
    for p50_us in column(&run.folder, "delivery_latency_us_p50") {
        assert!(p50_us.parse::<f64>().unwrap() >= 25_000.0, "{p50_us}");
    }
}

#[test]
fn the_page_the_texts_and_the_json_say_what_the_terminal_says() {
    let run = first_run("[\"ndjson\"]", &[]);
    let report = |format: &str| {
        let output = wirelab().arg("report").arg(&run.folder).args(["--format", format]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{format}");
        String::from_utf8(output.stdout).unwrap()
    };
    let page = fs::read_to_string(run.folder.join("report.html")).unwrap();
    let json: Value = serde_json::from_str(&report("json")).unwrap();
    assert_eq!(json["cells"][0]["network"], "line, 25 ms each way");
    let finding = json["finding"].to_string();
    for (format, text) in
        [("html", &page), ("md", &report("md")), ("summary", &report("summary")), ("json", &finding)]
    {
        assert!(text.contains(ABOVE), "{format}: {text}");
        assert!(text.contains("It cannot show lost SYNs"), "{format}: {text}");
        for verdict in column(&run.folder, "verdict").iter().filter(|verdict| *verdict != "ok") {
            let explained = format!("{verdict}: ");
            let is_there = text.contains(&explained) || json["verdicts"].to_string().contains(&explained);
            assert!(is_there, "{format}: {text}");
        }
    }
    assert!(report("md").contains(" · network: line, 25 ms each way · "), "{}", report("md"));
}

#[test]
fn without_a_network_nothing_is_said_of_distance() {
    let run = first_run("[\"sse\"]", &["--network", "none"]);
    assert!(!run.said.contains("Network: ") && !run.said.contains("delay line"), "{}", run.said);
    assert!(line_of(&run.said, "Finding: ").is_some(), "{}", run.said);
    assert!(column(&run.folder, "network").iter().all(String::is_empty));
}

/// Returns a column of `runs.csv`.
fn column(folder: &Path, name: &str) -> Vec<String> {
    let mut reader = csv::Reader::from_path(folder.join("runs.csv")).unwrap();
    let place = reader.headers().unwrap().iter().position(|column| column == name).unwrap();
    reader.records().map(|row| row.unwrap()[place].to_owned()).collect()
}
