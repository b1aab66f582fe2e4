//! The flags of `wirelab run` that put a network under a run, through the real binary.

use std::fs;
use std::process::Output;

use crate::server::wirelab;

fn run(arguments: &[&str]) -> Output {
    wirelab().arg("run").args(arguments).output().expect("the binary was built")
}

#[test]
fn a_flag_of_the_network_that_cannot_be_is_refused_by_name_with_the_remedy() {
    for (arguments, words) in [
        (&["--network", "wifi"][..], "invalid value 'wifi' for '--network <KIND>'"),
        (&["--network", "wifi"], "[possible values: none, line, tun, auto]"),
        (&["--rtt", "50"], "invalid value '50' for '--rtt <TIME>'"),
        (&["--rtt", "3s"], "rtt_ms is 3000; 0 to 2000"),
        (&["--jitter", "26ms"], "jitter_ms is 26; at most the delay of that direction, 25 ms"),
        (&["--jitter", "2s"], "jitter_ms is 2000; 0 to 1000"),
        (&["--loss", "0.01"], "loss_ratio is 0.01; packets are needed for that; use network = \"tun\""),
        (&["--loss", "0.6", "--network", "tun"], "loss_ratio is 0.6; 0 to 0.5"),
        (&["--loss", "nan", "--network", "tun"], "loss_ratio is NaN; 0 to 0.5"),
        (&["--loss=-0.1", "--network", "tun"], "loss_ratio is -0.1; 0 to 0.5"),
        (&["--loss", "few"], "invalid value 'few' for '--loss <RATIO>'"),
        (&["--link-kbit-s", "7"], "link_kbit_s is 7; 8 to 10000000"),
        (&["--link-kbit-s=-1"], "invalid value '-1' for '--link-kbit-s <KBIT_S>'"),
        (&["--network", "none", "--rtt", "50ms"], "network is \"none\" beside a flag of a link"),
        (&["--network", "none", "--loss", "0"], "network is \"none\" beside a flag of a link"),
        (&["--resume", "results/sample", "--rtt", "50ms"], "cannot be used with"),
        (&["--resume", "results/sample", "--network", "line"], "cannot be used with"),
    ] {
        let output = run(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(words) && output.stdout.is_empty(), "{arguments:?}: {said}");
    }
}

#[test]
fn the_flags_of_a_network_hold_for_the_run_and_stand_in_its_plan_and_its_row() {
    let results = tempfile::tempdir().unwrap();
    let output = wirelab()
        .args(["run", "--transport", "sse", "--subscribers", "2", "--rate", "20", "--duration", "2s"])
        .args(["--rtt", "24.6ms", "--jitter", "2ms", "--link-kbit-s", "8000", "--results"])
        .arg(results.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let folder = fs::read_dir(results.path().join("ad-hoc")).expect(&said).next().unwrap().unwrap().path();
    let plan = fs::read_to_string(folder.join("plan.toml")).unwrap();
    for line in
        ["network = \"line\"", "rtt_ms = 24.6", "delay_ms = 12.3", "jitter_ms = 2.0", "link_kbit_s = 8000"]
    {
        assert!(plan.lines().any(|written| written == line), "{line} is not in {plan}");
    }
    let runs = fs::read_to_string(folder.join("runs.csv")).unwrap();
    let mut reader = csv::Reader::from_reader(runs.as_bytes());
    let names = reader.headers().unwrap().clone();
    let row = reader.records().next().unwrap().unwrap();
    let value = |name: &str| &row[names.iter().position(|known| known == name).expect(name)];
    let found = ["network", "rtt_ms", "jitter_ms", "loss_ratio", "link_kbit_s"].map(value);
    assert_eq!(found, ["line", "24.6", "2", "0", "8000"]);
    let p50: f64 = value("delivery_latency_us_p50").parse().unwrap();
    assert!(p50 >= 10_300.0, "lines that come down take 12.3 ms, give or take 2 ms: {p50} µs");
}
