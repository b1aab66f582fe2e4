//! The registry of metrics: every column's name, unit, definition and value.
//!
//! The one place that names a number. `runs.csv`, the table and `results/README.md` all come from it, so that no
//! file can say something else than another. A cell that was not measured, or does not apply, is `None`: an empty
//! cell, never a 0. Pure.

use std::fmt;
use std::time::Duration;

use super::latency::LatencyHistogram;
use super::run_result::RunResult;
use super::statistics::distinct_lines_needed;

mod claims_columns;
mod columns;
mod dictionary;

pub use claims_columns::{CLAIMS_COLUMNS, TWO_WAY_COLUMNS};
pub use columns::{CHECKS_COLUMNS, COLUMNS, PERCENTILES_COLUMNS, THEORY_COLUMNS, TIMESERIES_COLUMNS};
pub use dictionary::data_dictionary;

/// Of `runs.csv` and the other files. New columns go last and keep it; anything else raises it.
pub const SCHEMA_VERSION: u32 = 1;

/// One column of `runs.csv`.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// The header; the unit is its suffix.
    pub name: &'static str,
    /// The unit in words; empty for texts and identifiers.
    pub unit: &'static str,
    /// One sentence.
    pub definition: &'static str,
    /// Its value in a row.
    pub cell: fn(&RunResult) -> Option<Value>,
}

/// A column of another file: its renderer fills it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnText {
    /// The header.
    pub name: &'static str,
    /// The unit in words; empty for texts and identifiers.
    pub unit: &'static str,
    /// One sentence.
    pub definition: &'static str,
}

/// A cell's value. Its `Display` is its text in a CSV file.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A name or a list of reasons.
    Text(String),
    /// A whole number.
    Count(u64),
    /// Any finite number.
    Number(f64),
}

impl Value {
    /// A number, unless it is none: 0/0 lines is unknown, not 0.
    pub fn number(number: f64) -> Option<Self> {
        number.is_finite().then_some(Self::Number(number))
    }

    /// `part / whole`; unknown when there is nothing to divide by.
    pub fn ratio(part: f64, whole: f64) -> Option<Self> {
        Self::number(part / whole)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Count(count) => write!(f, "{count}"),
            Self::Number(number) => {
                // Six decimals are more than anything here resolves, and no file says 0.30000000000000004.
                let text = format!("{number:.6}");
                f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
            }
        }
    }
}

/// A distribution that has percentiles: a row per quantile in `percentiles.csv`.
#[derive(Debug, Clone, Copy)]
pub struct Distribution {
    /// The name in the column `metric`.
    pub name: &'static str,
    /// One sentence.
    pub definition: &'static str,
    /// Its samples.
    pub histogram: fn(&RunResult) -> &LatencyHistogram,
    /// What the run can say of one of its quantiles, µs.
    pub quantile_us: fn(&RunResult, f64) -> Option<u64>,
    /// Whether a run without samples has it.
    pub without_samples: WithoutSamples,
}

/// What a distribution without samples means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithoutSamples {
    /// A finding: nothing was delivered, or published. It has empty rows and files.
    Told,
    /// It does not apply to the run: no poll was held on a stream. It has no rows and no files.
    LeftOut,
}

impl Distribution {
    /// The distributions that a run has.
    pub fn of(run: &RunResult) -> impl Iterator<Item = &'static Self> + use<'_> {
        DISTRIBUTIONS.iter().filter(move |metric| match metric.without_samples {
            WithoutSamples::Told => true,
            WithoutSamples::LeftOut => !(metric.histogram)(run).is_empty(),
        })
    }
}

/// Every distribution, in the order of the file.
pub const DISTRIBUTIONS: &[Distribution] = &[
    Distribution {
        name: "delivery_latency",
        definition: "Receipt − due time, per subscriber and line of the cohort, first receipt only.",
        histogram: |run| &run.delivery.latency,
        quantile_us: |run, quantile| quantile_us(run, &run.delivery.latency, quantile),
        without_samples: WithoutSamples::Told,
    },
    Distribution {
        name: "send_lateness",
        definition: "Actual send − due time, per line of the cohort: the harness's own fault.",
        histogram: |run| &run.send_lateness,
        quantile_us: |run, quantile| published_quantile_us(run, &run.send_lateness, quantile),
        without_samples: WithoutSamples::Told,
    },
    Distribution {
        name: "append",
        definition: "Send → 201 (of a profile: any 2xx, a wait for its turn included), per line of the cohort: the \
                     store's share.",
        histogram: |run| &run.append,
        quantile_us: |run, quantile| published_quantile_us(run, &run.append, quantile),
        without_samples: WithoutSamples::Told,
    },
    Distribution {
        name: "hiccup",
        definition: "How late a thread of the harness wakes that sleeps 1 ms at a time, per deadline in \
                     the cohort.",
        histogram: |run| &run.hiccup,
        quantile_us: |run, quantile| sampled_quantile_us(&run.hiccup, quantile),
        without_samples: WithoutSamples::LeftOut,
    },
    Distribution {
        name: "request_service",
        definition: "Request written → whole answer read, of polls that are answered at once, written \
                     during the cohort: uncorrected.",
        histogram: |run| &run.timing.request_service,
        quantile_us: |run, quantile| sampled_quantile_us(&run.timing.request_service, quantile),
        without_samples: WithoutSamples::LeftOut,
    },
    Distribution {
        name: "request_response",
        definition: "Time at which the schedule wanted to poll → whole answer read, of the same polls \
                     and of those that a late answer swallowed: corrected.",
        histogram: |run| &run.timing.request_response,
        quantile_us: |run, quantile| sampled_quantile_us(&run.timing.request_response, quantile),
        without_samples: WithoutSamples::LeftOut,
    },
    Distribution {
        name: "hold",
        definition: "Request written → whole answer read, of polls that the server may hold, written \
                     during the cohort; the way there and back is in it.",
        histogram: |run| &run.timing.hold,
        quantile_us: |run, quantile| sampled_quantile_us(&run.timing.hold, quantile),
        without_samples: WithoutSamples::LeftOut,
    },
    Distribution {
        name: "rearm_gap",
        definition: "Answer read → next request written, of polls that the server may hold, during the \
                     cohort; not after a failure.",
        histogram: |run| &run.timing.rearm_gap,
        quantile_us: |run, quantile| sampled_quantile_us(&run.timing.rearm_gap, quantile),
        without_samples: WithoutSamples::LeftOut,
    },
    Distribution {
        name: "handshake",
        definition: "Begin of connecting → connected for polls, → head of the answer or 101 for streams, \
                     over the whole run.",
        histogram: |run| &run.timing.handshake,
        quantile_us: |run, quantile| sampled_quantile_us(&run.timing.handshake, quantile),
        without_samples: WithoutSamples::LeftOut,
    },
    Distribution {
        name: "first_line",
        definition: "Begin of connecting, or the first due time if that was later → first line, per \
                     subscriber that got one.",
        histogram: |run| &run.first_line,
        quantile_us: |run, quantile| sampled_quantile_us(&run.first_line, quantile),
        without_samples: WithoutSamples::LeftOut,
    },
    Distribution {
        name: "fanout_skew",
        definition: "Last − first receipt among the subscribers, per line of the cohort that two or more got.",
        histogram: |run| &run.fanout_skew,
        quantile_us: |run, quantile| sampled_quantile_us(&run.fanout_skew, quantile),
        without_samples: WithoutSamples::LeftOut,
    },
];

/// The quantiles of `percentiles.csv`; 1.0 is the maximum.
pub const QUANTILES: &[f64] = &[0.5, 0.9, 0.99, 0.999, 1.0];

/// The quantile in µs, unless the run had too few distinct lines for it, or lines are missing: what never arrived
/// would have been slowest, so a quantile of what did would flatter exactly where it matters.
pub fn quantile_us(run: &RunResult, histogram: &LatencyHistogram, quantile: f64) -> Option<u64> {
    let enough = run.delivery.distinct_lines_count() >= distinct_lines_needed(quantile);
    let cohort = &run.delivery.cohort;
    let known = quantile * cohort.expected as f64 <= cohort.delivered as f64;
    if enough && known { histogram.quantile_us(quantile) } else { None }
}

/// The mean in µs, unless lines are missing: of those that arrived it would flatter, as a quantile would.
pub fn mean_us(run: &RunResult, histogram: &LatencyHistogram) -> Option<f64> {
    let cohort = &run.delivery.cohort;
    if cohort.delivered >= cohort.expected { histogram.mean_us() } else { None }
}

/// The quantile in µs of what is timed per published line, unless there were too few. Lines that did not arrive change
/// nothing here: they were published.
pub fn published_quantile_us(run: &RunResult, histogram: &LatencyHistogram, quantile: f64) -> Option<u64> {
    (run.published_count >= distinct_lines_needed(quantile))
        .then(|| histogram.quantile_us(quantile))
        .flatten()
}

/// The quantile in µs of samples that are no lines, unless there were too few of them.
pub fn sampled_quantile_us(histogram: &LatencyHistogram, quantile: f64) -> Option<u64> {
    (histogram.len() >= distinct_lines_needed(quantile)).then(|| histogram.quantile_us(quantile)).flatten()
}

/// Names of the columns that are empty in every run.
pub fn empty_columns(runs: &[RunResult]) -> impl Iterator<Item = &'static str> {
    empty_columns_of(runs.iter())
}

/// The same of some of them.
pub fn empty_columns_of<'a>(
    runs: impl Iterator<Item = &'a RunResult> + Clone,
) -> impl Iterator<Item = &'static str> {
    let empty = move |column: &&Column| runs.clone().all(|run| (column.cell)(run).is_none());
    COLUMNS.iter().filter(empty).map(|column| column.name)
}

fn text(text: impl fmt::Display) -> Option<Value> {
    Some(Value::Text(text.to_string()))
}

fn count(count: u64) -> Option<Value> {
    Some(Value::Count(count))
}

fn ms(duration: Duration) -> Option<Value> {
    Value::number(duration.as_secs_f64() * 1e3)
}

fn us(duration: Option<Duration>) -> Option<Value> {
    count(duration?.as_micros() as u64)
}

fn delivery_us(run: &RunResult, quantile: f64) -> Option<Value> {
    quantile_us(run, &run.delivery.latency, quantile).and_then(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::cell::{Engine, Server};
    use crate::harness::example;
    use crate::harness::series::SERIES;
    use crate::wire::Transport;

    /// The contract of the file, column by column.
    const RUNS_CSV: &str = "
        schema_version,plan,run_id,block,position,repetition,seed,transport,arm,is_aa,verdict,verdict_reasons,
        subscribers_count,deployments_count,line_rate_hz,line_process,payload_bytes,poll_interval_ms,poll_schedule,poll_phase,conditional,hold_ms,linger_ms,http_version,keep_alive,compression,heartbeat_ms,store,network,rtt_ms,jitter_ms,loss_ratio,link_kbit_s,fault,
        measured_s,published_count,distinct_lines_count,expected_count,delivered_count,lost_count,censored_count,duplicated_count,out_of_order_count,
        requests_count,requests_data_count,requests_empty_count,requests_timeout_count,requests_refused_count,requests_error_count,requests_per_line_ratio,empty_ratio,connections_opened_count,reconnects_count,
        delivery_latency_us_mean,delivery_latency_us_p50,delivery_latency_us_p90,delivery_latency_us_p99,delivery_latency_us_p999,delivery_latency_us_max,staleness_ms_mean,staleness_ms_max,first_line_ms_p50,fanout_skew_us_p50,recovery_ms,detect_ms,
        app_bytes,l7_up_bytes,l7_down_bytes,ip_up_bytes,ip_down_bytes,wire_up_bytes,wire_down_bytes,segments_up_count,segments_down_count,retransmits_count,wire_per_line_bytes,
        server_cpu_us,server_cpu_per_line_us,server_run_delay_us,server_context_switches_count,server_pss_anon_bytes,server_pss_anon_per_connection_bytes,kernel_slab_bytes,kernel_socket_bytes,
        harness_cpu_ratio,harness_run_delay_us,hiccup_us_p99,send_lateness_us_p99,append_us_p50,append_us_p99,
        l7_per_line_bytes,connections_cut_count,waiters_count_mean,engine";

    #[test]
    fn lines_that_never_arrived_hide_no_latency_of_the_harness() {
        let mut run = example::result_set().runs.remove(0);
        (run.delivery.cohort.lost, run.delivery.cohort.delivered) = (run.delivery.cohort.expected, 0);
        assert_eq!(quantile_us(&run, &run.delivery.latency, 0.99), None);
        assert_eq!(published_quantile_us(&run, &run.append, 0.99), run.append.quantile_us(0.99));
        run.published_count = 10;
        assert_eq!(published_quantile_us(&run, &run.append, 0.99), None, "too few lines were published");
    }

    #[test]
    fn a_mean_of_the_lines_that_arrived_is_not_told_while_lines_are_missing() {
        let mean = COLUMNS.iter().find(|column| column.name == "delivery_latency_us_mean").unwrap().cell;
        let mut run = example::result_set().runs.remove(0);
        assert!(mean(&run).is_some());
        run.delivery.cohort.delivered -= 1;
        run.delivery.cohort.censored += 1;
        assert_eq!(mean(&run), None);
    }

    #[test]
    fn an_engine_is_told_of_a_websocket_of_our_own_server_only() {
        let engine = COLUMNS.iter().find(|column| column.name == "engine").unwrap().cell;
        let mut run = example::result_set().runs.remove(0);
        run.cell.serve.engine = Engine::Actor;
        for transport in Transport::ALL {
            run.cell.transport = transport;
            let told = engine(&run).map(|value| value.to_string());
            assert_eq!(
                told.as_deref(),
                (transport == Transport::Websocket).then_some("actor"),
                "{transport}"
            );
        }
        run.cell.server = Server::Running("http://127.0.0.1:1".parse().unwrap());
        run.cell.transport = Transport::Websocket;
        assert!(engine(&run).is_none());
    }

    #[test]
    fn the_columns_are_the_contract_of_runs_csv() {
        let promised: Vec<&str> = RUNS_CSV.split(',').map(str::trim).collect();
        let there: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
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
        for Column { name, unit, definition, .. } in COLUMNS {
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
        let cell = |run: usize, name: &str| {
            let column = COLUMNS.iter().find(|column| column.name == name).unwrap();
            (column.cell)(&runs[run]).map_or(String::new(), |value| value.to_string())
        };
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
            ("wire_down_bytes", "246400", "237996"),
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
        let empty: Vec<&str> = empty_columns(&result_set.runs).collect();
        for name in ["recovery_ms", "rtt_ms"] {
            assert!(empty.contains(&name), "{name}");
        }
        for name in ["delivery_latency_us_p50", "l7_up_bytes", "poll_interval_ms", "server_cpu_us"] {
            assert!(!empty.contains(&name), "{name}");
        }
        assert_eq!(result_set.manifest.not_measured, empty);
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
    fn a_number_is_written_without_noise_and_never_as_nan() {
        for (number, told) in [(0.1 + 0.2, "0.3"), (200.0, "200"), (0.0, "0"), (1.0 / 3.0, "0.333333")] {
            assert_eq!(Value::number(number).unwrap().to_string(), told);
        }
        assert_eq!(Value::ratio(0.0, 0.0), None);
        assert_eq!(Value::ratio(1.0, 0.0), None);
    }

    #[test]
    fn the_dictionary_explains_every_column() {
        let dictionary = data_dictionary();
        for name in COLUMNS.iter().map(|column| column.name) {
            assert!(dictionary.contains(&format!("| `{name}` |")), "{name}");
        }
        for column in PERCENTILES_COLUMNS.iter().chain(TIMESERIES_COLUMNS) {
            assert!(dictionary.contains(&format!("| `{}` |", column.name)), "{}", column.name);
        }
        for distribution in DISTRIBUTIONS {
            assert!(dictionary.contains(&format!("`{}`", distribution.name)), "{}", distribution.name);
        }
        for series in SERIES {
            assert!(
                dictionary.contains(&format!("| `{}` | {} |", series.name, series.unit)),
                "{}",
                series.name
            );
        }
    }
}
