//! The files that rows make, and that they are read again as they were.

use std::time::Duration;

use super::*;
use crate::harness::cell::{Engine, Running, Server, Way};
use crate::harness::dictionary::data_dictionary;
use crate::harness::distributions::DISTRIBUTIONS;
use crate::harness::example;
use crate::harness::gates::{self, gates};
use crate::harness::results::ResultSet;
use crate::harness::run_result::Verdict;
use crate::harness::run_result::{Residual, TheoryVerdict};
use crate::harness::series::SERIES;
use crate::wire::Transport;

/// The columns of the file, in order: its contract.
const RUNS_CSV: &str = "
    schema_version,plan,run_id,block,position,repetition,seed,transport,arm,is_aa,verdict,verdict_reasons,
    subscribers_count,deployments_count,line_rate_hz,line_process,payload_bytes,poll_interval_ms,poll_schedule,poll_phase,conditional,hold_ms,linger_ms,http_version,keep_alive,compression,heartbeat_ms,store,network,rtt_ms,jitter_ms,loss_ratio,link_kbit_s,fault,
    measured_s,published_count,distinct_lines_count,expected_count,delivered_count,lost_count,censored_count,duplicated_count,out_of_order_count,
    requests_count,requests_data_count,requests_empty_count,requests_timeout_count,requests_refused_count,requests_error_count,requests_per_line_ratio,empty_ratio,connections_opened_count,reconnects_count,
    delivery_latency_us_mean,delivery_latency_us_p50,delivery_latency_us_p90,delivery_latency_us_p99,delivery_latency_us_p999,delivery_latency_us_max,staleness_ms_mean,staleness_ms_max,first_line_ms_p50,fanout_skew_us_p50,recovery_ms,detect_ms,
    app_bytes,l7_up_bytes,l7_down_bytes,ip_up_bytes,ip_down_bytes,wire_up_bytes,wire_down_bytes,segments_up_count,segments_down_count,retransmits_count,wire_per_line_bytes,
    server_cpu_us,server_cpu_per_line_us,server_run_delay_us,server_context_switches_count,server_pss_anon_bytes,server_pss_anon_per_connection_bytes,kernel_slab_bytes,kernel_socket_bytes,
    harness_cpu_ratio,harness_run_delay_us,hiccup_us_p99,send_lateness_us_p99,append_us_p50,append_us_p99,
    l7_per_line_bytes,connections_cut_count,waiters_count_mean,warm_up_defects_count,engine,
    app_per_line_bytes,ip_per_line_bytes,raw_receipts_count,raw_left_out_count,
    tls,certificates,tls_up_bytes,tls_down_bytes";

#[test]
fn the_columns_are_the_contract_of_runs_csv() {
    let promised: Vec<&str> = RUNS_CSV.split(',').map(str::trim).collect();
    let there: Vec<&str> = RunRow::COLUMNS.iter().map(|column| column.name).collect();
    assert_eq!(there, promised);
}

#[test]
fn a_columns_suffix_is_its_unit() {
    let suffixes = [
        ("_us", "µs"),
        ("_ms", "ms"),
        ("_s", "s"),
        ("_hz", "1/s"),
        ("_bytes", "bytes"),
        ("_count", "count"),
        ("_ratio", "ratio"),
        ("_kbit_s", "kbit/s"),
    ];
    for Column { name, unit, definition, kind: _ } in RunRow::COLUMNS {
        let stem = ["_mean", "_p50", "_p90", "_p99", "_p999", "_max"]
            .iter()
            .find_map(|which| name.strip_suffix(which))
            .unwrap_or(name);
        let suffix =
            suffixes.iter().filter(|(suffix, _)| stem.ends_with(suffix)).max_by_key(|(s, _)| s.len());
        assert_eq!(*unit, suffix.map_or("", |(_, unit)| unit), "{name}");
        assert!(definition.ends_with('.') && definition.len() > 10, "{name} is not explained");
    }
}

#[test]
fn what_was_measured_stands_in_the_row() {
    let runs = example::result_set().runs;
    let cell = |run: usize, name: &str| RunRow::of(&runs[run]).text(name).unwrap();
    for (name, short_poll, sse) in [
        ("run_id", "short-poll-1", "sse-1"),
        ("verdict", "ok", "ok"),
        ("line_rate_hz", "50", "50"),
        ("poll_interval_ms", "200", ""),
        ("hold_ms", "", ""),
        ("measured_s", "10", "10"),
        ("published_count", "500", "500"),
        ("expected_count", "1000", "1000"),
        ("requests_count", "200", "2"),
        ("requests_per_line_ratio", "0.181818", "0.001818"),
        ("empty_ratio", "0.45", "0"),
        ("delivery_latency_us_p999", "", ""),
        ("l7_down_bytes", "220000", "165000"),
        ("staleness_ms_mean", "113.25", "11.2005"),
        ("wire_down_bytes", "246416", "238012"),
        ("app_per_line_bytes", "100", "100"),
        ("l7_per_line_bytes", "230", "150.363636"),
        ("server_cpu_per_line_us", "40", "10"),
        ("server_run_delay_us", "700", "700"),
        ("harness_cpu_ratio", "0.05", "0.05"),
    ] {
        assert_eq!((cell(0, name).as_str(), cell(1, name).as_str()), (short_poll, sse), "{name}");
    }
    // 500 distinct lines are enough for p99 (368), not for p99.9 (3 688).
    assert!(cell(0, "delivery_latency_us_p99").parse::<u64>().unwrap() > 190_000);
}

#[test]
fn columns_without_any_value_are_listed_as_not_measured() {
    let result_set = example::result_set();
    let empty = &result_set.manifest.not_measured;
    for name in ["recovery_ms", "rtt_ms"] {
        assert!(empty.iter().any(|column| column == name), "{name}");
    }
    for name in ["delivery_latency_us_p50", "l7_up_bytes", "poll_interval_ms", "server_cpu_us"] {
        assert!(!empty.iter().any(|column| column == name), "{name}");
    }
    assert!(result_set.manifest.not_measured_of.is_empty());
}

#[test]
fn what_only_one_server_did_not_tell_is_listed_for_it() {
    let mut result_set = example::result_set();
    for (run, arm) in result_set.runs.iter_mut().zip(["wirelab", "url-1"]) {
        run.cell.arm = Some(arm.to_owned());
    }
    result_set.runs[1].server = Default::default();
    result_set.manifest.note_what_was_not_measured(&result_set.runs);
    let of = &result_set.manifest.not_measured_of;
    assert!(of["url-1"].contains(&"server_cpu_us".to_owned()), "{of:?}");
    assert!(!of.get("wirelab").is_some_and(|of| of.contains(&"server_cpu_us".to_owned())), "{of:?}");
}

#[test]
fn the_dictionary_explains_every_column() {
    let dictionary = data_dictionary();
    for name in RunRow::COLUMNS.iter().map(|column| column.name) {
        assert!(dictionary.contains(&format!("| `{name}` |")), "{name}");
    }
    for column in PercentileRow::COLUMNS.iter().chain(SeriesRow::COLUMNS) {
        assert!(dictionary.contains(&format!("| `{}` |", column.name)), "{}", column.name);
    }
    for distribution in DISTRIBUTIONS {
        assert!(dictionary.contains(&format!("`{}`", distribution.name)), "{}", distribution.name);
    }
    for series in SERIES {
        assert!(dictionary.contains(&format!("| `{}` | {} |", series.name, series.unit)), "{}", series.name);
    }
}

fn text_of<R: Row>(rows: &[R]) -> String {
    String::from_utf8(write(rows)).unwrap()
}

#[test]
fn a_row_per_run_with_empty_cells_for_what_was_not_measured() {
    let text = text_of(&example::result_set().rows().runs);
    let rows: Vec<&str> = text.lines().skip(1).collect();
    assert_eq!(rows, [SHORT_POLL, SSE]);
}

const SHORT_POLL: &str = "4,ad-hoc,short-poll-1,1,2,1,1,short-poll,,false,ok,,2,1,50,periodic,100,200,\
    fixed,random,true,,0,1.1,true,identity,,memory,,,,,,,\
    10,500,500,1000,1000,0,0,0,0,200,110,90,0,0,0,0.181818,0.45,2,0,100703.848,101055,175103,\
    198015,,200063,113.25,220,11.007,149,,,110000,33000,220000,53816,240816,59416,246416,400,400,0,278.029091,\
    44000,40,700,1234,3145728,,13312,8192,0.05,900,59,29,449,694,230,,0,0,,100,267.847273,,,none,,,";
const SSE: &str = "4,ad-hoc,sse-1,1,1,1,1,sse,,false,ok,,2,1,50,periodic,100,,,,,,0,1.1,,\
    identity,15000,memory,,,,,,,10,500,500,1000,\
    1000,0,0,0,0,2,2,0,0,0,0,0.001818,0,2,0,1200.5,1200,1400,1445,,1450,11.2005,21.45,0.91,149,,,\
    110000,400,165000,57928,222528,73412,238012,1106,1106,0,283.112727,11000,10,700,1234,3145728,,\
    13312,8192,0.05,900,59,29,449,694,150.363636,,2,0,,100,254.96,,,none,,,";

#[test]
fn reasons_with_commas_stay_one_cell() {
    let mut results = example::result_set();
    results.runs[0].verdict_reasons = vec!["a, b".into(), "\"c\"".into()];
    let rows = results.rows().runs;
    assert_eq!(read::<RunRow>(&text_of(&rows)).unwrap(), rows);
    assert_eq!(rows[0].verdict_reasons, ["a, b", "\"c\""]);
}

#[test]
fn defects_of_warm_up_lines_are_counted_beside_those_of_the_cohort() {
    let mut run = example::result_set().runs.remove(0);
    run.delivery.whole.lost += 2;
    run.delivery.whole.duplicated += 1;
    run.delivery.cohort.duplicated += 1;
    let row = RunRow::of(&run);
    assert_eq!((row.warm_up_defects_count, row.lost_count, row.duplicated_count), (2, 0, 1));
}

#[test]
fn an_engine_is_told_of_a_websocket_of_our_own_server_only() {
    let mut run = example::result_set().runs.remove(0);
    run.cell.serve.engine = Engine::Actor;
    for transport in Transport::ALL {
        run.cell.transport = transport;
        let told = RunRow::of(&run).engine;
        let is_websocket = transport == Transport::Websocket;
        assert_eq!(told.as_deref(), is_websocket.then_some("actor"), "{transport}");
    }
    run.cell.server =
        Server::Running(Running { url: "http://127.0.0.1:1".parse().unwrap(), way: Way::Direct });
    run.cell.transport = Transport::Websocket;
    assert!(RunRow::of(&run).engine.is_none());
}

/// A row that is written is read again unchanged, whatever was measured.
#[test]
fn every_row_survives_its_file() {
    let mut results = example::result_set();
    results.runs[0].theory = vec![example::prediction()];
    results.runs[1].cell.arm = Some("b, \"c\"".to_owned());
    results.runs[1].server = Default::default();
    results.plan.thresholds = vec!["ndjson.lost_count == 0".parse().unwrap()];
    let rows = results.rows();
    fn again<R: Row>(rows: &[R]) -> Vec<R> {
        read(&text_of(rows)).unwrap()
    }
    let read = Rows {
        runs: again(&rows.runs),
        percentiles: again(&rows.percentiles),
        theory: again(&rows.theory),
        checks: again(&rows.checks),
        series: again(&rows.series),
    };
    assert_eq!(read, rows);
}

#[test]
fn a_file_without_a_column_or_with_a_wrong_cell_is_refused_by_name() {
    let text = text_of(&example::result_set().rows().runs);
    for (from, to, said) in [
        ("requests_count", "questions_count", "runs.csv: column requests_count is missing"),
        (",ok,", ",fine,", "row 1: verdict is \"fine\", which is not one of ok, unresolved, invalid"),
        (",false,", ",maybe,", "row 1: is_aa is \"maybe\", which is not true or false"),
        (
            ",short-poll,",
            ",pigeon,",
            "row 1: transport is \"pigeon\", which is not a transport of this wirelab",
        ),
    ] {
        let error = read::<RunRow>(&text.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(said) && error.contains("restore the file"), "{said}: {error}");
    }
    let error = read::<RunRow>(text.trim_end()).unwrap_err().to_string();
    assert!(error.contains("its last line has no end"), "{error}");
}

#[test]
fn a_row_per_run_and_gate_with_empty_cells_for_what_was_not_measured() {
    let mut results = example::result_set();
    results.runs[0].delivery.cohort.delivered -= 1;
    gates::judge(&mut results.runs[0]);
    results.runs[1].harness.run_delay = None;
    gates::judge(&mut results.runs[1]);
    results.plan.thresholds = ["*.lost_count == 0", "sse.reconnects_count > 5", "ndjson.lost_count == 0"]
        .map(|text| text.parse().unwrap())
        .into();
    let text = text_of(&results.rows().checks);
    let rows: Vec<&str> = text.lines().collect();
    assert_eq!(rows.len(), 1 + 2 * gates().count() + 4);
    assert_eq!(rows[0], "run_id,check,left,right,unit,tolerance,verdict");
    for row in [
        "short-poll-1,cohort-books,1000,999,lines,0,fail",
        "short-poll-1,l7-down,220000,220000,bytes,0,pass",
        "sse-1,cohort-books,1000,1000,lines,0,pass",
        "sse-1,send-lateness,29,1200,µs,0,pass",
        "sse-1,waiters,2,,count,,not-measured",
        "sse-1,threshold: *.lost_count == 0,0,0,count,0,pass",
        "sse-1,threshold: sse.reconnects_count > 5,0,5,count,0,fail",
        ",threshold: ndjson.lost_count == 0,,0,count,0,fail",
    ] {
        assert!(rows.contains(&row), "{row} is not in\n{text}");
    }
}

#[test]
fn a_row_per_prediction_and_nothing_where_nothing_was_measured() {
    let mut results = example::result_set();
    results.runs.truncate(1);
    let row = example::prediction();
    let broken = Residual {
        measured: None,
        tolerance_ratio: None,
        verdict: TheoryVerdict::AssumptionBroken,
        assumption_broken: Some("the interval is jittered, on purpose".to_owned()),
        ..row.clone()
    };
    results.runs[0].theory = vec![row, broken];
    assert_eq!(text_of(&results.rows().theory), THEORY);
}

const THEORY: &str = "\
run_id,transport,arm,formula,quantity,unit,predicted,measured,residual_ratio,tolerance_ratio,verdict,assumption_broken
short-poll-1,short-poll,,F1,delivery latency p50,us,100300,101303,0.01,0.0625,pass,
short-poll-1,short-poll,,F1,delivery latency p50,us,100300,,,,assumption-broken,\"the interval is jittered, on purpose\"
";

#[test]
fn a_row_per_series_and_instant() {
    let mut results = example::result_set();
    results.runs[1].cell.arm = Some("b".to_owned());
    let text = text_of(&results.rows().series);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..4], FIRST);
    assert_eq!(lines.last(), Some(&"sse-1,sse,b,11,server_cpu,0.004,ratio"));
    let instants_of = |name: &str| {
        lines.iter().filter(|line| line.starts_with("sse-1,") && line.contains(&format!(",{name},"))).count()
    };
    // Eleven seconds in which lines were due; twelve samples, of which rates need two each.
    let instants: Vec<usize> = SERIES.iter().map(|series| instants_of(series.name)).collect();
    assert_eq!(instants, [11, 11, 11, 11, 11, 12, 11, 12]);
}

const FIRST: [&str; 4] = [
    "run_id,transport,arm,t_s,metric,value,unit",
    "short-poll-1,short-poll,,0,lines_delivered,100,count",
    "short-poll-1,short-poll,,0,delivery_latency_mean,26500,µs",
    "short-poll-1,short-poll,,0,delivery_latency_max,51000,µs",
];

#[test]
fn a_row_per_quantile_and_none_beyond_what_the_lines_allow() {
    let mut results = example::result_set();
    results.runs.truncate(1);
    let text = text_of(&results.rows().percentiles);
    // 500 lines: no p99.9, which needs 3 688. A short poll is never held: no rows of hold and rearm_gap.
    assert_eq!(text, PERCENTILES);
}

/// Repeats the example's first run; each is a little slower than the one before.
fn repeated(runs_count: u32) -> ResultSet {
    let mut results = example::result_set();
    let run = results.runs.remove(0);
    results.runs = (0..runs_count)
        .map(|n| {
            let mut run = run.clone();
            run.cell.run_id = format!("short-poll-{}", n + 1);
            run.append.record_n(Duration::from_millis(1 + u64::from(n)), 5_000);
            run
        })
        .collect();
    results
}

/// Returns the cells of an interval in each run's row of the median append.
fn ends(results: &ResultSet) -> Vec<(String, String)> {
    let rows = results.rows().percentiles.into_iter();
    let medians = rows.filter(|row| row.metric == "append" && row.quantile == 0.5);
    medians.map(|row| (row.ci_low_us.text(), row.ci_high_us.text())).collect()
}

#[test]
fn six_runs_have_one_interval_in_all_their_rows_and_five_have_none() {
    let none = (String::new(), String::new());
    assert_eq!(ends(&repeated(5)), vec![none.clone(); 5]);
    let six = ends(&repeated(6));
    assert!(six.len() == 6 && six.iter().all(|interval| *interval == six[0]), "{six:?}");
    let [low, high] = [&six[0].0, &six[0].1].map(|us| us.parse::<f64>().unwrap());
    assert!((1_000.0..3_500.0).contains(&low) && (3_500.0..6_010.0).contains(&high), "{low} to {high}");

    // A run that may not be believed does not count.
    let mut results = repeated(6);
    results.runs[3].verdict = Verdict::Invalid;
    assert_eq!(ends(&results), vec![none; 6]);
}

const PERCENTILES: &str = "\
run_id,transport,arm,metric,quantile,value_us,samples_count,ci_low_us,ci_high_us
short-poll-1,short-poll,,delivery_latency,0.5,101055,1000,,
short-poll-1,short-poll,,delivery_latency,0.9,175103,1000,,
short-poll-1,short-poll,,delivery_latency,0.99,198015,1000,,
short-poll-1,short-poll,,delivery_latency,0.999,,1000,,
short-poll-1,short-poll,,delivery_latency,1,200063,1000,,
short-poll-1,short-poll,,send_lateness,0.5,24,500,,
short-poll-1,short-poll,,send_lateness,0.9,28,500,,
short-poll-1,short-poll,,send_lateness,0.99,29,500,,
short-poll-1,short-poll,,send_lateness,0.999,,500,,
short-poll-1,short-poll,,send_lateness,1,29,500,,
short-poll-1,short-poll,,append,0.5,449,500,,
short-poll-1,short-poll,,append,0.9,649,500,,
short-poll-1,short-poll,,append,0.99,694,500,,
short-poll-1,short-poll,,append,0.999,,500,,
short-poll-1,short-poll,,append,1,699,500,,
short-poll-1,short-poll,,hiccup,0.5,34,10000,,
short-poll-1,short-poll,,hiccup,0.9,54,10000,,
short-poll-1,short-poll,,hiccup,0.99,59,10000,,
short-poll-1,short-poll,,hiccup,0.999,59,10000,,
short-poll-1,short-poll,,hiccup,1,59,10000,,
short-poll-1,short-poll,,request_service,0.5,444,180,,
short-poll-1,short-poll,,request_service,0.9,481,180,,
short-poll-1,short-poll,,request_service,0.99,,180,,
short-poll-1,short-poll,,request_service,0.999,,180,,
short-poll-1,short-poll,,request_service,1,499,180,,
short-poll-1,short-poll,,request_response,0.5,445,180,,
short-poll-1,short-poll,,request_response,0.9,483,180,,
short-poll-1,short-poll,,request_response,0.99,,180,,
short-poll-1,short-poll,,request_response,0.999,,180,,
short-poll-1,short-poll,,request_response,1,5403,180,,
short-poll-1,short-poll,,handshake,0.5,,2,,
short-poll-1,short-poll,,handshake,0.9,,2,,
short-poll-1,short-poll,,handshake,0.99,,2,,
short-poll-1,short-poll,,handshake,0.999,,2,,
short-poll-1,short-poll,,handshake,1,301,2,,
short-poll-1,short-poll,,first_line,0.5,11007,20,,
short-poll-1,short-poll,,first_line,0.9,,20,,
short-poll-1,short-poll,,first_line,0.99,,20,,
short-poll-1,short-poll,,first_line,0.999,,20,,
short-poll-1,short-poll,,first_line,1,21007,20,,
short-poll-1,short-poll,,fanout_skew,0.5,149,500,,
short-poll-1,short-poll,,fanout_skew,0.9,189,500,,
short-poll-1,short-poll,,fanout_skew,0.99,198,500,,
short-poll-1,short-poll,,fanout_skew,0.999,,500,,
short-poll-1,short-poll,,fanout_skew,1,199,500,,
";
