//! The theory against real servers: calibrations, and runs that are compared with its predictions.

use std::fs;

use tempfile::TempDir;
use wirelab_clients::harness::calibration::calibrate;
use wirelab_clients::harness::cell::{Cell, Given, Server as Target};
use wirelab_clients::harness::plan::{AdHoc, Plan};
use wirelab_clients::harness::theory::Calibration;
use wirelab_clients::harness::theory::calibration::{MessageBytes, Sizes};
use wirelab_clients::wire::{Deployment, Transport, Waits};

use crate::server::{Server, Setup, wirelab};

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

/// The runs of every transport on a server that is running.
fn cells(server: &Server) -> Vec<Cell> {
    let target = format!("http://{}", server.authority);
    let factors = Given { subscribers: Some(1), ..Given::default() };
    let targets = Some(vec![Target::parse(&target, |_| unreachable!("a URL")).unwrap()]);
    Plan::ad_hoc(AdHoc { targets, factors, ..AdHoc::default() }).unwrap().cells()
}

fn calibrated(cells: &[Cell]) -> Calibration {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let calibrated = runtime.block_on(calibrate("nowhere".into(), cells, std::future::pending())).unwrap();
    assert_eq!(calibrated.links, [], "no network has no link");
    let [calibration] = calibrated.servers.try_into().unwrap();
    calibration
}

#[test]
fn a_calibration_knows_every_arm_and_leaves_nothing_on_the_server() {
    let server = Server::start();
    let cells = cells(&server);
    let calibration = calibrated(&cells);
    assert_eq!(server.get("/api/deployments").json::<Vec<Deployment>>(), []);
    assert!(!calibration.server.contains(&server.authority), "{}", calibration.server);
    assert!(calibration.round_trip_s.mean_s > 0.0 && calibration.connect_s.mean_s > 0.0);
    // A timer of whole milliseconds is late, and an append takes its time.
    assert!(calibration.timer_late_s.mean_s > 0.0 && calibration.visible_s.mean_s > 0.0);
    let mut known: Vec<_> = calibration.arms.iter().map(|arm| arm.arm.transport).collect();
    known.sort_by_key(|transport| transport.name());
    let mut all = Transport::ALL.to_vec();
    all.sort_by_key(|transport| transport.name());
    assert_eq!(known, all);
    for arm in &calibration.arms {
        let held = arm.arm.transport.waits() == Waits::ServerOnce;
        assert_eq!((arm.cycle_s.is_some(), arm.held_s.is_some()), (held, held), "{:?}", arm.arm);
        let polled = arm.arm.transport.waits().is_poll();
        assert_eq!(arm.exchange_s.is_some(), polled, "{:?}", arm.arm);
    }
}

/// A server may offer one transport only; its runs are held against the theory all the same.
#[test]
fn a_server_is_calibrated_over_what_it_offers() {
    for only in Transport::ALL {
        let mut setup = Setup::default();
        setup.options.transports = vec![only];
        let calibration = calibrated(&cells(&setup.start()));
        let known: Vec<_> = calibration.arms.iter().map(|arm| arm.arm.transport).collect();
        assert_eq!(known, [only]);
        assert!(calibration.visible_s.mean_s > 0.0, "{only}: {calibration:?}");
    }
}

/// The wire is written down: what a line weighs can be counted by hand.
#[test]
fn calibrated_sizes_are_those_of_the_contract() {
    let server = Server::start();
    let calibration = calibrated(&cells(&server));
    let sizes = |wanted: Transport| {
        let arm = calibration.arms.iter().find(|arm| arm.arm.transport == wanted).unwrap();
        arm.sizes
    };
    let json = r#"{"seq":,"at_us":1767323046500000,"text":""}"#.len() as f64;
    let line = MessageBytes { plain: json, seqs: 1.0 };
    for polled in [Transport::ShortPoll, Transport::LongPoll] {
        let Sizes::Poll { line: of_answer, question, empty, answer } = sizes(polled) else {
            panic!("{polled} is no poll")
        };
        // And the comma before it.
        assert_eq!(of_answer, MessageBytes { plain: line.plain + 1.0, ..line });
        assert!(question.seqs >= 1.0 && empty.seqs == 1.0 && answer.seqs == 2.0, "{polled}");
        assert!(empty.plain < answer.plain, "{polled}: an empty answer has no envelope");
    }
    // A chunk's head of two hexadecimal digits, and its two line ends; the line's own end.
    let chunk = 2.0 + 2.0 + 2.0;
    assert_eq!(
        sizes(Transport::Ndjson),
        Sizes::Stream { line: MessageBytes { plain: json + 1.0 + chunk, ..line } }
    );
}

#[test]
fn a_run_is_held_against_the_theory_and_its_constants_are_kept() {
    let results = TempDir::new().unwrap();
    let transports = "short-poll,long-poll,sse,ndjson,websocket";
    let output = wirelab()
        .current_dir(PROJECT)
        .args(["run", "--subscribers", "2", "--rate", "60", "--duration", "2s", "--poll-interval", "50ms"])
        .args(["--transport", transports, "--results"])
        .arg(results.path())
        .output()
        .unwrap();
    // 4 and 5 say that a busy machine was not what the formulas assume.
    let code = output.status.code().unwrap();
    assert!([0, 4, 5].contains(&code), "{code}: {}", String::from_utf8_lossy(&output.stderr));
    let folder = fs::read_dir(results.path().join("ad-hoc")).unwrap().next().unwrap().unwrap().path();
    let manifest: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(folder.join("manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["calibrations"][0]["arms"].as_array().unwrap().len(), 5, "{manifest}");

    let mut reader = csv::Reader::from_path(folder.join("theory.csv")).unwrap();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let cell = |transport: &str, formula: &str, quantity: &str, column: usize| {
        let row = rows.iter().find(|row| (&row[1], &row[3], &row[4]) == (transport, formula, quantity));
        row.unwrap_or_else(|| panic!("no {formula} {quantity} of {transport}: {rows:?}"))[column].to_owned()
    };
    for (transport, formula, quantity) in [
        ("short-poll", "F1", "delivery latency p50"),
        ("short-poll", "F2", "requests per second"),
        ("short-poll", "F3", "empty ratio"),
        ("long-poll", "F4", "requests per second and subscriber"),
        ("long-poll", "F6", "delivery latency mean"),
        ("sse", "F8", "delivery latency mean"),
    ] {
        assert!(cell(transport, formula, quantity, 6).parse::<f64>().unwrap() > 0.0);
        assert!(cell(transport, formula, quantity, 7).parse::<f64>().unwrap() >= 0.0);
    }
    // Bytes do not depend on how busy a machine is.
    for transport in ["sse", "ndjson", "websocket"] {
        let residual: f64 = cell(transport, "F9", "l7 bytes per line", 8).parse().unwrap();
        assert!(residual.abs() < 0.02, "{transport}: {residual}");
    }
}
