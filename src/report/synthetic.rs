//! Made-up results folders, for tests of the report. Nothing in them was measured.

use std::sync::LazyLock;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use wirelab_clients::harness::example;
use wirelab_clients::harness::rows::{self, Row, RunRow, SCHEMA_VERSION};

use super::{File, Folder, hdr_log};

/// Distinct lines of every run: enough for p99.
const LINES: u64 = 500;

/// Cell of a made-up plan, with the figures of its runs.
#[derive(Debug, Clone)]
pub(super) struct MadeUp {
    pub(super) transport: &'static str,
    pub(super) arm: String,
    pub(super) is_aa: bool,
    /// More columns of its runs, with their values.
    pub(super) columns: Vec<(&'static str, String)>,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) requests_per_line: f64,
    pub(super) l7_per_line: f64,
    pub(super) cpu_us: f64,
    pub(super) memory_mib: f64,
    /// Share by which runs differ from each other.
    pub(super) noise_ratio: f64,
    /// Verdicts, one per run.
    pub(super) verdicts: Vec<&'static str>,
    pub(super) lost: u64,
}

impl MadeUp {
    /// Returns a cell of `runs` valid runs of a transport with this typical latency.
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

    /// Returns a sweep of short poll over five intervals and both schedules, beside two transports without an
    /// interval, with the first cell measured twice.
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

/// Returns the default text of a column that every run fills.
fn default(column: &str) -> String {
    let text = match column {
        "schema_version" => return SCHEMA_VERSION.to_string(),
        "plan" => "made-up",
        "run_id" => "run",
        "transport" => "sse",
        "is_aa" => "false",
        "verdict" => "ok",
        "line_process" => "poisson",
        "http_version" => "1.1",
        "compression" => "identity",
        "tls" => "none",
        "subscribers_count" => "10",
        "block" | "position" | "repetition" | "seed" | "deployments_count" | "measured_s" => "1",
        column if is_needed(column) => "0",
        _ => "",
    };
    text.to_owned()
}

/// Tells whether an empty cell is refused. Only a trial shows which columns are always filled.
fn is_needed(column: &str) -> bool {
    let of = example::result_set().runs.remove(0);
    let mut row = RunRow::of(&of).cells();
    let place = RunRow::COLUMNS.iter().position(|known| known.name == column);
    place.is_some_and(|place| {
        row[place].clear();
        rows::read::<RunRow>(&csv::<RunRow>(&[row])).is_err()
    })
}

fn csv<R: Row>(lines: &[Vec<String>]) -> String {
    let header = R::COLUMNS.iter().map(|column| column.name.to_owned()).collect();
    let bytes = rows::csv_text(std::iter::once(header).chain(lines.iter().cloned()));
    String::from_utf8(bytes).expect("the cells are text")
}

/// Reads a row from its line.
fn parsed(line: Vec<String>) -> RunRow {
    let rows = rows::read(&csv::<RunRow>(&[line])).unwrap_or_else(|error| panic!("{error}"));
    let [row] = rows.try_into().expect("one line is one row");
    row
}

/// Returns a row of `runs.csv` with these cells.
pub(super) fn row(cells: impl IntoIterator<Item = (&'static str, String)>) -> RunRow {
    static DEFAULTS: LazyLock<Vec<String>> =
        LazyLock::new(|| RunRow::COLUMNS.iter().map(|column| default(column.name)).collect());
    let mut line = DEFAULTS.clone();
    for (column, text) in cells {
        line[place(column)] = text;
    }
    parsed(line)
}

/// Returns the row with another value in one column.
pub(super) fn with(row: &RunRow, column: &str, value: impl ToString) -> RunRow {
    let mut line = row.cells();
    line[place(column)] = value.to_string();
    parsed(line)
}

/// Returns a number as a column of `runs.csv` takes it: most columns count whole things.
pub(super) fn cell(column: &str, number: f64) -> String {
    let is_whole = ["_count", "_bytes", "_us"].iter().any(|end| column.contains(end))
        && !column.contains("per_line")
        && column != "kernel_slab_bytes";
    if is_whole { number.round().to_string() } else { rows::number_text(number) }
}

fn place(column: &str) -> usize {
    let place = RunRow::COLUMNS.iter().position(|known| known.name == column);
    place.unwrap_or_else(|| panic!("runs.csv has no column {column}"))
}

/// Returns the folder with these cells; `seed` decides the noise.
pub(super) fn folder(cells: &[MadeUp], seed: u64) -> Folder {
    Folder::read(&files(cells, seed)).unwrap_or_else(|error| panic!("{error}"))
}

/// Returns the files of a folder with these cells; `seed` decides the noise.
pub(super) fn files(cells: &[MadeUp], seed: u64) -> Vec<File> {
    let mut random = Pcg64::seed_from_u64(seed);
    let mut runs = Vec::new();
    let mut percentiles =
        "run_id,transport,arm,metric,quantile,value_us,samples_count,ci_low_us,ci_high_us\n".to_owned();
    let mut theory =
        "run_id,transport,arm,formula,quantity,unit,predicted,measured,residual_ratio,tolerance_ratio,\
                      verdict,assumption_broken\n"
            .to_owned();
    let mut series = "run_id,transport,arm,t_s,metric,value,unit\n".to_owned();
    let mut checks = "run_id,check,left,right,unit,tolerance,verdict\n".to_owned();
    let mut files = Vec::new();
    for made_up in cells {
        for (run, verdict) in made_up.verdicts.iter().enumerate() {
            let run_id = made_up.run_id(run);
            let mut noise = || 1.0 + made_up.noise_ratio * random.random_range(-1.0..1.0);
            let (p50, p99) =
                ((made_up.p50_ms * 1e3 * noise()).round(), (made_up.p99_ms * 1e3 * noise()).round());
            let (cpu, bytes) = (made_up.cpu_us * noise(), made_up.l7_per_line);
            let memory = made_up.memory_mib * noise() * 1_048_576.0;
            let (arm, transport) = (&made_up.arm, made_up.transport);
            let lines = LINES as f64;
            let words = [
                ("run_id", run_id.clone()),
                ("block", (run + 1).to_string()),
                ("transport", transport.to_owned()),
                ("arm", arm.clone()),
                ("is_aa", made_up.is_aa.to_string()),
                ("verdict", (*verdict).to_owned()),
                ("verdict_reasons", if *verdict == "ok" { "" } else { "a made-up reason" }.to_owned()),
            ];
            let numbers = [
                ("distinct_lines_count", lines),
                ("expected_count", lines),
                ("delivered_count", lines - made_up.lost as f64),
                ("lost_count", made_up.lost as f64),
                ("requests_count", (made_up.requests_per_line * lines).ceil()),
                ("requests_per_line_ratio", made_up.requests_per_line),
                ("delivery_latency_us_p50", p50),
                ("delivery_latency_us_p90", (p50 + p99) / 2.0),
                ("delivery_latency_us_p99", p99),
                ("delivery_latency_us_max", p99 * 1.1),
                ("server_cpu_per_line_us", cpu),
                ("app_bytes", 68.0 * lines),
                ("l7_up_bytes", bytes * 0.2 * lines),
                ("l7_down_bytes", bytes * 0.8 * lines),
                ("ip_up_bytes", bytes * 0.4 * lines),
                ("ip_down_bytes", bytes * lines),
                ("app_per_line_bytes", 68.0),
                ("ip_per_line_bytes", bytes * 1.4),
                ("wire_per_line_bytes", bytes * 1.5),
                ("l7_per_line_bytes", bytes),
                ("server_pss_anon_bytes", memory),
                ("send_lateness_us_p99", 40.0),
            ];
            let numbers = numbers.map(|(column, number)| (column, cell(column, number)));
            runs.push(row(words.into_iter().chain(numbers).chain(made_up.columns.iter().cloned())).cells());
            let of = format!("{run_id},{transport},{arm}");
            for (quantile, value) in [("0.5", p50), ("0.99", p99), ("1", (p99 * 1.1).round())] {
                percentiles += &format!("{of},delivery_latency,{quantile},{value},{LINES},,\n");
            }
            let requests = made_up.requests_per_line;
            for (formula, quantity, unit, predicted, measured) in [
                ("F1", "delivery latency p50", "us", made_up.p50_ms * 1e3, p50),
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
                series += &format!("{of},{t},requests,{},1/s\n", made_up.requests_per_line * 50.0 * wave);
            }
            checks += &format!("{run_id},requests,1200,1200,count,10,pass\n");
            files.push(histogram(&run_id, p50, p99, random.random()));
        }
    }
    let mut manifest = example::result_set().manifest;
    (manifest.plan, manifest.seed) = ("made-up".to_owned(), 7);
    let run_ids = |cell: &MadeUp| (0..cell.verdicts.len()).map(|run| cell.run_id(run)).collect::<Vec<_>>();
    manifest.order = cells.iter().flat_map(run_ids).collect();
    manifest.argv = ["wirelab", "run", "made-up"].map(str::to_owned).into();
    let repetitions = cells.iter().map(|cell| cell.verdicts.len()).max().unwrap_or(1);
    let named = [
        (
            "plan.toml",
            "name = \"made-up\"\nquestion = \"What does a shorter interval buy?\"\n".to_owned()
                + "prediction = \"Half the interval, half the latency, twice the requests.\"\n"
                + &format!("repetitions = {repetitions}\n"),
        ),
        ("manifest.json", manifest.to_json()),
        ("runs.csv", csv::<RunRow>(&runs)),
        ("percentiles.csv", percentiles),
        ("theory.csv", theory),
        ("timeseries.csv", series),
        ("checks.csv", checks),
    ];
    files.extend(named.map(|(name, text)| File::new(name, text)));
    files
}

/// Returns samples between 0 and about the p99.
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
