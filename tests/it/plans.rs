//! Every experiment in its short size, through the real binary: it runs, its files are complete, its books balance
//! and every line arrives. The figures themselves are not checked, because test machines are noisy.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use csv::StringRecord;
use tempfile::TempDir;
use wirelab_clients::harness::network::laid::Laid;
use wirelab_clients::harness::rows::{CheckRow, PercentileRow, Row, RunRow, SeriesRow, TheoryRow};

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

/// 4: theory, 5: an invalid run. Both are what a busy machine does to figures, and to no line.
const MEASURED: [i32; 3] = [0, 4, 5];

macro_rules! smoke {
    ($($name:ident: $plan:literal),* $(,)?) => {
        $(#[test]
        fn $name() {
            smoked($plan);
        })*

        #[test]
        fn every_experiment_has_a_short_size_that_is_run_here() {
            let run = BTreeSet::from([$($plan),*].map(str::to_owned));
            let entries = fs::read_dir(Path::new(PROJECT).join("data/plans")).unwrap();
            let experiments = entries.filter_map(|entry| {
                let path = entry.unwrap().path();
                let name = path.file_stem()?.to_str()?.to_owned();
                let number = name.strip_prefix('e')?.split('-').next()?;
                (number.parse::<u32>().is_ok()).then_some(name)
            });
            assert_eq!(experiments.collect::<BTreeSet<_>>(), run);
        }
    };
}

smoke! {
    e00: "e00-honest-bench",
    e01: "e01-871-bytes",
    e02: "e02-interval",
    e02_far: "e02-interval-far",
    e03: "e03-resonance",
    e04: "e04-two-transits",
    e04_far: "e04-two-transits-far",
    e05: "e05-hold",
    e06: "e06-turning-point",
    e06_far: "e06-turning-point-far",
    e07: "e07-distance",
    e08: "e08-fan-out",
    e09: "e09-mal-cut-off",
    e10: "e10-idle-watcher",
    e11: "e11-message-size",
    e12: "e12-loss",
    e12_head_of_line: "e12-head-of-line",
    e13: "e13-coordinated-omission",
    e17: "e17-batching",
    e18: "e18-keep-alive",
    e18_far: "e18-keep-alive-far",
    e19: "e19-open-closed",
    e20: "e20-conditional",
    e22: "e22-slow-reader",
    e23: "e23-first-last",
    e24: "e24-late-joiner",
    e25: "e25-predict",
}

/// A plan with fewer repetitions gives no 95 % interval, so it claims nothing.
const REPETITIONS_OF_AN_INTERVAL: i64 = 6;

#[test]
fn every_plan_is_repeated_enough_for_intervals_or_listed_as_a_demonstration() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_wirelab")).current_dir(PROJECT).arg("plans").output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = told.lines().collect();
    let is_listed = |name: &str| {
        let at =
            lines.iter().position(|line| *line == name).unwrap_or_else(|| panic!("{name} is not in {told}"));
        lines[at + 2].ends_with("; a demonstration: too few repetitions for intervals")
    };
    let mut demonstrations = Vec::new();
    for entry in fs::read_dir(Path::new(PROJECT).join("data/plans")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let plan: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
        let repetitions = plan.get("repetitions").map_or(1, |value| value.as_integer().unwrap());
        assert_eq!(is_listed(&name), repetitions < REPETITIONS_OF_AN_INTERVAL, "{name}: {repetitions}");
        if repetitions < REPETITIONS_OF_AN_INTERVAL {
            demonstrations.push(name);
        }
    }
    demonstrations.sort();
    // A numbered experiment asks a question, and its answer needs intervals.
    assert_eq!(demonstrations, ["compare-peers", "quick"]);
}

#[test]
fn a_plan_that_predicts_tells_its_predictions_before_the_first_run_and_what_came_after_the_last() {
    let ran = run("e25-predict");
    let at = |text: &str| ran.stdout.find(text).unwrap_or_else(|| panic!("{text} is not in {}", ran.stdout));
    let before = at("Predicted before the first run, from the constants");
    let after = at("Predicted before the first run, and the median of what 1 run measured");
    assert!(before < at("| transport") && at("| transport") < after, "{}", ran.stdout);
    let manifest = fs::read_to_string(ran.folder.join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let forecast = manifest["forecast"].as_array().unwrap();
    let is_of = |formula: &str, quantity: &str| {
        forecast.iter().any(|row| {
            row["formula"] == formula && row["quantity"] == quantity && row["predicted"].is_number()
        })
    };
    assert!(is_of("F4", "requests per second and subscriber"), "{forecast:#?}");
    assert!(is_of("F6", "delivery latency mean"), "{forecast:#?}");
}

/// Not numbered, since it is about this server alone.
#[test]
fn the_engines_of_the_websocket_are_two_arms_that_say_so() {
    let mut driven: Vec<_> =
        smoke("websocket-engines").into_iter().map(|run| (cell(&run, "arm"), cell(&run, "engine"))).collect();
    driven.sort();
    assert_eq!(
        driven,
        [("actor", "actor"), ("cursor", "cursor")].map(|(arm, engine)| (arm.into(), engine.into()))
    );
}

/// Runs a plan in its short size, over the network that it names. Where this machine cannot lay a network of packets, a
/// plan that needs one is refused with the reason. Which of both was tested is printed.
fn smoked(plan: &str) {
    let text = fs::read_to_string(Path::new(PROJECT).join(format!("data/plans/{plan}.toml"))).unwrap();
    let needs_packets = text.contains("\nnetwork = \"tun\"\n");
    match Laid::can_lay_tun() {
        Err(why) if needs_packets => {
            let (code, said) = refused(plan);
            assert!(matches!(code, Some(2 | 6)), "{code:?}: {said}");
            assert!(said.contains("network = \"line\"") && said.contains("root"), "{said}");
            println!("{plan}: refused, because this machine lays no network of packets ({why})");
        }
        Ok(()) | Err(_) => {
            let networks: BTreeSet<_> = smoke(plan).iter().map(|run| cell(run, "network")).collect();
            if needs_packets {
                assert_eq!(networks, BTreeSet::from(["tun".to_owned()]), "{plan}");
            }
            println!("{plan}: run over {networks:?}");
        }
    }
}

/// Runs a plan that cannot be run here: its exit code and what it says.
fn refused(plan: &str) -> (Option<i32>, String) {
    let results = TempDir::new().unwrap();
    let output = wirelab(plan, results.path());
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn wirelab(plan: &str, results: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wirelab"));
    command.current_dir(PROJECT).args(["run", plan, "--size", "smoke", "--results"]).arg(results);
    command.output().unwrap()
}

/// A cell of a row of `runs.csv`.
fn cell(run: &StringRecord, name: &str) -> String {
    let index = RunRow::COLUMNS.iter().position(|column| column.name == name).unwrap();
    run[index].to_owned()
}

/// A plan that was run in its short size.
struct Ran {
    stdout: String,
    /// What it printed on both streams.
    said: String,
    folder: PathBuf,
    /// Removed when it is dropped.
    _results: TempDir,
}

fn run(plan: &str) -> Ran {
    let results = TempDir::new().unwrap();
    let output = wirelab(plan, results.path());
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = format!("{stdout}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.code().is_some_and(|code| MEASURED.contains(&code)), "{:?}: {said}", output.status);
    let mut folders = fs::read_dir(results.path().join(plan)).unwrap().map(|entry| entry.unwrap().path());
    let folder = folders.next().unwrap();
    Ran { stdout, said, folder, _results: results }
}

/// The rows of `runs.csv`.
fn smoke(plan: &str) -> Vec<StringRecord> {
    let Ran { said, folder, _results, .. } = run(plan);
    let header = |columns: &[&str]| columns.join(",");
    let runs = table(
        &folder,
        "runs.csv",
        &header(&RunRow::COLUMNS.iter().map(|column| column.name).collect::<Vec<_>>()),
    );
    for (file, columns) in [
        ("percentiles.csv", PercentileRow::COLUMNS),
        ("timeseries.csv", SeriesRow::COLUMNS),
        ("theory.csv", TheoryRow::COLUMNS),
        ("checks.csv", CheckRow::COLUMNS),
    ] {
        let names: Vec<_> = columns.iter().map(|column| column.name).collect();
        assert!(!table(&folder, file, &header(&names)).is_empty(), "{file} has no row: {said}");
    }
    let checks = fs::read_to_string(folder.join(CheckRow::FILE)).unwrap();
    let layers: Vec<&str> = checks.lines().filter(|row| row.contains(",layers,")).collect();
    assert_eq!(layers.len(), runs.len(), "{checks}");
    assert!(layers.iter().all(|row| row.ends_with(",pass")), "{layers:?}: {said}");
    assert!(!runs.is_empty(), "{said}");
    for run in &runs {
        let cell = |name: &str| cell(run, name);
        let id = cell("run_id");
        let count =
            |name: &str| -> u64 { cell(name).parse().unwrap_or_else(|_| panic!("{id} has no {name}")) };
        let accounted = count("delivered_count") + count("lost_count") + count("censored_count");
        assert_eq!(count("expected_count"), accounted, "{id}: {said}");
        assert_eq!(count("delivered_count"), count("expected_count"), "{id}: {said}");
        assert!(count("expected_count") > 0, "{id}: {said}");
        assert_eq!(count("duplicated_count") + count("out_of_order_count"), 0, "{id}: {said}");
        // Nobody beside the measured ones missed a line either.
        assert!(!cell("verdict_reasons").contains(" got "), "{id}: {said}");
        for file in [format!("hdr/{id}.delivery_latency.hlog"), format!("runs/{id}.json")] {
            assert!(folder.join(&file).is_file(), "{file} is missing");
        }
    }
    for file in ["plan.toml", "manifest.json", "report.html"] {
        assert!(folder.join(file).is_file(), "{file} is missing");
    }
    assert!(fs::read_to_string(folder.join("plan.toml")).unwrap().contains("size = \"smoke\""));
    runs
}

/// The rows of a CSV file that begins with this header.
fn table(folder: &Path, file: &str, header: &str) -> Vec<StringRecord> {
    let path: PathBuf = folder.join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().next(), Some(header), "{file}");
    csv::Reader::from_reader(text.as_bytes()).records().map(Result::unwrap).collect()
}
