//! Results folders that nobody measured: what the report is tested with. Only tests use them.

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::{File, hdr_log};

/// Distinct lines of every run: enough for p99.
const LINES: u64 = 500;

/// A cell of a made-up plan, and what its runs measure.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    pub(super) transport: &'static str,
    pub(super) arm: String,
    pub(super) is_aa: bool,
    /// Further columns of its runs.
    pub(super) columns: Vec<(&'static str, String)>,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) requests_per_line: f64,
    pub(super) l7_per_line: f64,
    pub(super) cpu_us: f64,
    pub(super) memory_mib: f64,
    /// By how much runs differ from each other.
    pub(super) noise_ratio: f64,
    /// One per run.
    pub(super) verdicts: Vec<&'static str>,
    pub(super) lost: u64,
}

impl Cell {
    /// `runs` good runs of a transport with this typical latency.
    pub(super) fn of(transport: &'static str, p50_ms: f64, runs: usize) -> Self {
        let polls = transport.ends_with("poll");
        Self {
            transport,
            arm: String::new(),
            is_aa: false,
            columns: Vec::new(),
            p50_ms,
            p99_ms: p50_ms * 2.0,
            requests_per_line: if polls { 0.5 } else { 0.001 },
            l7_per_line: if polls { 420.0 } else { 160.0 },
            cpu_us: if polls { 44.0 } else { 25.0 },
            memory_mib: 1.8,
            noise_ratio: 0.02,
            verdicts: vec!["ok"; runs],
            lost: 0,
        }
    }

    pub(super) fn arm(self, arm: &str) -> Self {
        Self { arm: arm.to_owned(), ..self }
    }

    pub(super) fn with(mut self, column: &'static str, value: impl ToString) -> Self {
        self.columns.push((column, value.to_string()));
        self
    }

    fn run_id(&self, run: usize) -> String {
        let twin = if self.is_aa { "-aa" } else { "" };
        let arm = if self.arm.is_empty() { String::new() } else { format!("-{}", self.arm) };
        format!("{}{arm}{twin}-{}", self.transport, run + 1)
    }

    /// A sweep of short poll over five intervals, both schedules, beside two transports without one; twice the first.
    pub(super) fn sweep(runs: usize) -> Vec<Self> {
        let mut cells = Vec::new();
        for (schedule, longer) in [("fixed", 1.0), ("pause", 1.04)] {
            for interval in [50.0, 100.0, 200.0, 400.0, 800.0] {
                let cell = Self {
                    p99_ms: interval * 0.99 * longer + 1.0,
                    requests_per_line: 20.0 / interval,
                    l7_per_line: 120.0 + 6_000.0 / interval,
                    cpu_us: 22.0 + 400.0 / interval,
                    ..Self::of("short-poll", interval * 0.5 * longer + 1.0, runs)
                };
                let cell = cell.arm(&format!("{schedule}-{interval}ms"));
                cells.push(cell.with("poll_interval_ms", interval).with("poll_schedule", schedule));
            }
        }
        let twin = Self { is_aa: true, ..cells[0].clone() };
        cells.extend([Self::of("sse", 0.8, runs), Self::of("websocket", 0.75, runs), twin]);
        cells
    }
}

const RUNS_HEADER: &str = "schema_version,run_id,block,transport,arm,is_aa,verdict,verdict_reasons,subscribers_count,\
    distinct_lines_count,expected_count,delivered_count,lost_count,censored_count,duplicated_count,out_of_order_count,\
    requests_count,requests_per_line_ratio,delivery_latency_us_p50,delivery_latency_us_p90,delivery_latency_us_p99,\
    delivery_latency_us_max,server_cpu_per_line_us,app_bytes,l7_up_bytes,l7_down_bytes,ip_up_bytes,ip_down_bytes,\
    wire_per_line_bytes,l7_per_line_bytes,server_pss_anon_bytes,send_lateness_us_p99";

/// The files of a folder with these cells; `seed` decides the noise.
pub(super) fn files(cells: &[Cell], seed: u64) -> Vec<File> {
    let mut further: Vec<&str> =
        cells.iter().flat_map(|cell| cell.columns.iter().map(|(name, _)| *name)).collect();
    further.sort_unstable();
    further.dedup();
    let mut random = Pcg64::seed_from_u64(seed);
    let mut runs = [&[RUNS_HEADER], further.as_slice()].concat().join(",") + "\n";
    let mut percentiles =
        "run_id,transport,arm,metric,quantile,value_us,samples_count,ci_low_us,ci_high_us\n".to_owned();
    let mut theory =
        "run_id,transport,arm,formula,quantity,unit,predicted,measured,residual_ratio,tolerance_ratio,\
                      verdict,assumption_broken\n"
            .to_owned();
    let mut series = "run_id,transport,arm,t_s,metric,value,unit\n".to_owned();
    let mut checks = "run_id,check,left,right,unit,tolerance,verdict\n".to_owned();
    let mut files = Vec::new();
    for cell in cells {
        for (run, verdict) in cell.verdicts.iter().enumerate() {
            let run_id = cell.run_id(run);
            let mut noise = || 1.0 + cell.noise_ratio * random.random_range(-1.0..1.0);
            let (p50, p99) = (cell.p50_ms * 1e3 * noise(), cell.p99_ms * 1e3 * noise());
            let (cpu, bytes) = (cell.cpu_us * noise(), cell.l7_per_line);
            let memory = (cell.memory_mib * noise() * 1048576.0) as u64;
            let reason = if *verdict == "ok" { "" } else { "a made-up reason" };
            let (arm, transport) = (&cell.arm, cell.transport);
            let delivered = LINES - cell.lost;
            runs += &format!(
                "1,{run_id},{block},{transport},{arm},{aa},{verdict},{reason},10,{LINES},{LINES},{delivered},{lost},0,0,0,\
                 {requests},{per_line},{p50},{p90},{p99},{max},{cpu},{app},{up},{down},{ip_up},{ip_down},{wire},{bytes},\
                 {memory},40",
                block = run + 1,
                aa = cell.is_aa,
                lost = cell.lost,
                requests = (cell.requests_per_line * LINES as f64).ceil(),
                per_line = cell.requests_per_line,
                p90 = (p50 + p99) / 2.0,
                max = p99 * 1.1,
                app = 68.0 * LINES as f64,
                up = bytes * 0.2 * LINES as f64,
                down = bytes * 0.8 * LINES as f64,
                ip_up = bytes * 0.4 * LINES as f64,
                ip_down = bytes * 1.0 * LINES as f64,
                wire = bytes * 1.5,
            );
            for column in &further {
                let value =
                    cell.columns.iter().find(|(name, _)| name == column).map_or("", |(_, value)| value);
                runs += &format!(",{value}");
            }
            runs += "\n";
            let of = format!("{run_id},{transport},{arm}");
            for (quantile, value) in [("0.5", p50), ("0.99", p99), ("1", p99 * 1.1)] {
                percentiles += &format!("{of},delivery_latency,{quantile},{value},{LINES},,\n");
            }
            let requests = cell.requests_per_line;
            for (formula, quantity, unit, predicted, measured) in [
                ("F1", "delivery latency p50", "us", cell.p50_ms * 1e3, p50),
                ("F3", "requests per line", "ratio", requests, requests * 1.01),
                ("F9", "wire bytes per line", "bytes", bytes * 1.5 * 1.03, bytes * 1.5),
            ] {
                let residual = measured / predicted - 1.0;
                let verdict = if residual.abs() <= 0.05 { "pass" } else { "fail" };
                theory += &format!(
                    "{of},{formula},{quantity},{unit},{predicted},{measured},{residual},0.05,{verdict},\n"
                );
            }
            theory += &format!(
                "{of},F4,requests per second,1/s,9,8,-0.11,0.05,assumption-broken,lines are not Poisson\n"
            );
            for second in 0..20 {
                let (t, wave) = (f64::from(second) * 0.5, 1.0 + 0.2 * (f64::from(second) * 0.7).sin());
                series += &format!("{of},{t},delivery_latency_mean,{},µs\n", p50 * wave);
                series += &format!("{of},{t},delivery_latency_max,{},µs\n", p99 * wave);
                series += &format!("{of},{t},requests,{},1/s\n", cell.requests_per_line * 50.0 * wave);
            }
            checks += &format!("{run_id},requests,1200,1200,count,10,pass\n");
            files.push(histogram(&run_id, p50, p99, random.random()));
        }
    }
    let named = [
        (
            "plan.toml",
            "name = \"made-up\"\nquestion = \"What does a shorter interval buy?\"\n".to_owned()
                + "prediction = \"Half the interval, half the latency, twice the requests.\"\n",
        ),
        (
            "manifest.json",
            "{\"schema_version\": 1, \"seed\": 7, \"argv\": [\"wirelab\", \"run\", \"made-up\"]}\n"
                .to_owned(),
        ),
        ("runs.csv", runs),
        ("percentiles.csv", percentiles),
        ("theory.csv", theory),
        ("timeseries.csv", series),
        ("checks.csv", checks),
    ];
    files.extend(named.map(|(name, text)| File::new(name, text)));
    files
}

/// Samples between nothing and the p99.
fn histogram(run_id: &str, p50: f64, p99: f64, seed: u64) -> File {
    let mut random = Pcg64::seed_from_u64(seed);
    let mut samples = Histogram::<u64>::new(3).expect("three digits are allowed");
    for _ in 0..LINES {
        let share: f64 = random.random();
        let us = if share < 0.5 { p50 * share * 2.0 } else { p50 + (p99 - p50) * (share - 0.5) * 2.04 };
        samples.record(us.max(1.0) as u64).expect("a latency fits");
    }
    let mut bytes = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .begin_log_with(&mut bytes, &mut serializer)
        .expect("a vector takes every byte");
    let second = std::time::Duration::from_secs(1);
    log.write_histogram(&samples, std::time::Duration::ZERO, second, None)
        .expect("a vector takes every byte");
    File::new(hdr_log::path(run_id, "delivery_latency"), bytes)
}
