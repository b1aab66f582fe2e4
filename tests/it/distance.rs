//! Runs over a link, through the real binary and real servers: theory, Little's law and bytes hold at a distance, and a
//! link that is off its configuration is refused.
//!
//! The first test measures every transport for a while. `scripts/test` runs this file with those that need the machine to
//! themselves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use wirelab_clients::harness::calibration::{Calibrated, calibrate};
use wirelab_clients::harness::cell::{Cell, Given, Server as Target};
use wirelab_clients::harness::network::emulated::{Network, NetworkKind, PublisherPlace};
use wirelab_clients::harness::plan::{AdHoc, Plan};
use wirelab_clients::harness::theory::calibration::CalibratedLink;
use wirelab_clients::link::{Jitter, Link, OneWay};
use wirelab_clients::wire::{Deployment, Transport};

use crate::server::{Server, wirelab};

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");
const MS: Duration = Duration::from_millis(1);

/// A hold that expires now and then, and a gap of 50 ms in which every second line falls.
const PLAN: &str = "
name = \"far\"
question = \"Does everything hold at a distance?\"
transports = [\"short-poll\", \"long-poll\", \"sse\", \"ndjson\", \"websocket\"]
subscribers = 4
poll_interval = \"200ms\"
hold = \"100ms\"
network = \"line\"
rtt_ms = 50.0
lines = { process = \"poisson\", rate_hz = 10.0, duration = \"21s\" }
";

/// What is judged of each transport at a distance.
const JUDGED: &[(&str, &str, &str)] = &[
    ("short-poll", "F1", "delivery latency mean"),
    ("short-poll", "F1", "delivery latency p50"),
    ("short-poll", "F2", "requests per second"),
    ("short-poll", "F15", "age of information mean"),
    ("long-poll", "F4", "requests per second and subscriber"),
    ("long-poll", "F5", "timeout ratio"),
    ("long-poll", "F6", "delivery latency mean"),
    ("long-poll", "F7", "polls held at the server"),
    ("long-poll", "F15", "age of information mean"),
    ("sse", "F8", "requests per subscriber"),
    ("sse", "F9", "l7 bytes per line"),
    ("sse", "F15", "age of information mean"),
    ("ndjson", "F8", "requests per subscriber"),
    ("ndjson", "F15", "age of information mean"),
    ("websocket", "F8", "requests per subscriber"),
    ("websocket", "F15", "age of information mean"),
];

/// Gates that compare counts of two sides. A busy machine changes none of them.
const COUNTED: &[&str] =
    &["l7-up", "l7-down", "tcp-up", "tcp-down", "layers", "requests-data", "cohort-books"];

fn rows(file: &Path) -> Vec<csv::StringRecord> {
    csv::Reader::from_path(file).unwrap().records().map(Result::unwrap).collect()
}

fn folder(results: &Path, plan: &str) -> PathBuf {
    fs::read_dir(results.join(plan)).unwrap().next().unwrap().unwrap().path()
}

#[test]
fn every_transport_over_a_delay_line_keeps_theory_littles_law_and_bytes() {
    let (results, plans) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let plan = plans.path().join("far.toml");
    fs::write(&plan, PLAN).unwrap();
    let mut command = wirelab();
    command.current_dir(PROJECT).arg("run").arg(&plan).arg("--results").arg(results.path());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let folder = folder(results.path(), "far");

    let checks = rows(&folder.join("checks.csv"));
    for transport in Transport::ALL.map(|transport| transport.name()) {
        for gate in COUNTED {
            let run = format!("{transport}-1");
            let check = checks.iter().find(|row| (&row[0], &row[1]) == (run.as_str(), *gate));
            let check = check.unwrap_or_else(|| panic!("no {gate} of {run}: {said}"));
            assert_eq!(&check[6], "pass", "{transport}: {check:?}");
        }
    }
    let waiters = checks.iter().find(|row| (&row[0], &row[1]) == ("long-poll-1", "waiters")).unwrap();
    assert_eq!(&waiters[6], "pass", "{waiters:?}");

    let theory = rows(&folder.join("theory.csv"));
    for (transport, formula, quantity) in JUDGED {
        let row = theory.iter().find(|row| (&row[1], &row[3], &row[4]) == (*transport, *formula, *quantity));
        let row = row.unwrap_or_else(|| panic!("no {formula} {quantity} of {transport}: {said}"));
        assert_eq!(&row[10], "pass", "{row:?}");
    }
    assert!(theory.iter().all(|row| &row[10] != "fail"), "{theory:?}");

    let manifest: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(folder.join("manifest.json")).unwrap()).unwrap();
    let link = &manifest["links"][0];
    assert_eq!(link["network"], "line, 25 ms each way");
    for figure in ["connect_p50", "echo_p50", "echo_p99"] {
        let seconds = |name: &str| link[figure][name].as_f64().unwrap();
        assert_eq!(seconds("configured_s"), 0.05, "{link}");
        assert!(seconds("measured_s") >= 0.05, "{link}");
    }
    assert!(
        manifest["links"][1].is_null() && manifest["calibrations"][1].is_null(),
        "one network has one link"
    );
}

/// The program is stopped half of the time, so that 20 ms take longer: a link that is slower than its plan says.
#[test]
fn a_link_that_is_off_is_refused_with_both_figures() {
    let results = TempDir::new().unwrap();
    let mut command = wirelab();
    command.current_dir(PROJECT).args(["run", "--network", "line", "--rtt", "20ms", "--transport", "sse"]);
    command.args(["--duration", "2s", "--results"]).arg(results.path());
    let mut running = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let program = Pid::from_raw(running.id().cast_signed());
    let give_up = Instant::now() + Duration::from_secs(600);
    while running.try_wait().unwrap().is_none() {
        assert!(Instant::now() < give_up, "it still runs");
        // Until it was waited for, its pid is its own.
        kill(program, Signal::SIGSTOP).unwrap();
        thread::sleep(20 * MS);
        kill(program, Signal::SIGCONT).unwrap();
        thread::sleep(20 * MS);
    }
    let output = running.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(6), "{said}");
    for part in ["the link (line, 10 ms each way) is off", "configured are 20.00 ms"] {
        assert!(said.contains(part), "{part:?} is not in {said:?}");
    }
    let runs = folder(results.path(), "ad-hoc").join("runs.csv");
    assert!(!runs.exists() || rows(&runs).is_empty(), "nothing was measured over it");
}

fn calibrated(cells: &[Cell]) -> Calibrated {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(calibrate("nowhere".into(), cells, std::future::pending())).unwrap()
}

#[test]
fn a_server_is_calibrated_over_each_network_of_its_runs() {
    let server = Server::start();
    let target = format!("http://{}", server.authority);
    let targets = Some(vec![Target::parse(&target, |_| unreachable!("a URL")).unwrap()]);
    let factors = Given {
        subscribers: Some(1),
        transports: Some(vec![Transport::ShortPoll, Transport::LongPoll, Transport::Ndjson]),
        ..Given::default()
    };
    let near = Plan::ad_hoc(AdHoc { targets, factors, ..AdHoc::default() }).unwrap().cells();
    let way = |ms: u32| OneWay { delay: ms * MS, ..OneWay::default() };
    let network = Network {
        kind: NetworkKind::Line,
        link: Link { up: way(60), down: way(20), seed: 0 },
        ..Network::default()
    };
    let far = near.iter().map(|cell| Cell { network: network.clone(), ..cell.clone() });
    let cells: Vec<Cell> = near.iter().cloned().chain(far).collect();

    let Calibrated { links, servers, .. } = calibrated(&cells);
    assert_eq!(server.get("/api/deployments").json::<Vec<Deployment>>(), [], "nothing is left on the server");
    assert_eq!(
        links.iter().map(|link| link.network.as_str()).collect::<Vec<_>>(),
        ["line, 60 ms up, 20 ms down"]
    );
    let [near, far] = servers.try_into().unwrap();
    assert_eq!((near.link, far.link), (None, Some(CalibratedLink { up_s: 0.06, down_s: 0.02 })));
    assert!(far.server.ends_with("network line, 60 ms up, 20 ms down"), "{}", far.server);
    // A line takes its own way, not half of both.
    assert!((0.02..0.04).contains(&far.one_way_s()), "{}", far.one_way_s());
    assert!(far.connect_s.quantile_s(0.5) >= 0.08 && far.round_trip_s.quantile_s(0.5) >= 0.08);
    // The publisher stands beside the server: a line is there as soon as without a link.
    assert!(far.visible_s.quantile_s(0.5) < near.visible_s.quantile_s(0.5) + 0.01, "{far:?}");
    for arm in &far.arms {
        let [exchange_s, cycle_s, held_s] = [&arm.exchange_s, &arm.cycle_s, &arm.held_s]
            .map(|spread| spread.as_ref().map(|s| s.quantile_s(0.5)));
        assert!(exchange_s.is_none_or(|s| s >= 0.08) && cycle_s.is_none_or(|s| s >= 0.08), "{arm:?}");
        // The poll waited beside the server for each line: no link is in that time.
        assert!(held_s.is_none_or(|s| s < 0.015), "{arm:?}");
    }
}

/// A way that varies from line to line would widen the time until a line is seen, if a line of the calibration took it.
#[test]
fn no_line_of_a_calibration_crosses_the_link() {
    let server = Server::start();
    let target = format!("http://{}", server.authority);
    let targets = Some(vec![Target::parse(&target, |_| unreachable!("a URL")).unwrap()]);
    let factors = Given {
        subscribers: Some(1),
        transports: Some(vec![Transport::LongPoll, Transport::Ndjson]),
        ..Given::default()
    };
    let near = Plan::ad_hoc(AdHoc { targets, factors, ..AdHoc::default() }).unwrap().cells();
    let jitter = Jitter::Uniform { within: 60 * MS };
    let way = OneWay { delay: 60 * MS, jitter, ..OneWay::default() };
    let link = Link { up: way.clone(), down: way, seed: 0 };
    let cells = |publisher| {
        let network = Network { kind: NetworkKind::Line, link: link.clone(), publisher };
        near.iter().map(|cell| Cell { network: network.clone(), ..cell.clone() }).collect::<Vec<_>>()
    };
    for (publisher, way_s) in [(PublisherPlace::Beside, 0.0), (PublisherPlace::Across, 0.06)] {
        let [far] = calibrated(&cells(publisher)).servers.try_into().unwrap();
        let held_s = far.arms.iter().find_map(|arm| arm.held_s.clone()).unwrap();
        for seen_s in [&far.visible_s, &held_s] {
            assert!(seen_s.half_width_s() < 0.008, "{publisher:?}: {seen_s:?}");
            assert!(
                (way_s * 0.8..way_s + 0.03).contains(&seen_s.quantile_s(0.5)),
                "{publisher:?}: {seen_s:?}"
            );
        }
    }
}
