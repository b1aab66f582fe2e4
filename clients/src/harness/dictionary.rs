//! The data dictionary: `results/README.md`, generated from the types of the rows.

use super::distributions::DISTRIBUTIONS;
use super::ending::Ending;
use super::gates::gates;
use super::rows::{
    CLAIMS_COLUMNS, CheckRow, Column, PercentileRow, RECEIPT_COLUMNS, REPRODUCTION_COLUMNS, Row, RunRow,
    SeriesRow, TWO_WAY_COLUMNS, TheoryRow,
};
use super::series::SERIES;

const HEAD: &str = "\
# What the files of a run say

Generated from the rows' types (`clients/src/harness/rows/`); do not edit it here.

`wirelab run` writes one folder, `results/<plan>/<UTC>-<commit>/`. It writes the folder again after each run, so that an \
interrupted experiment keeps what it measured. `results/sample/` is a committed example, and `results/performance/` is made \
by `scripts/bench` and `scripts/scale`, and described in `docs/performance.md`; git ignores all others.

| file | holds |
|---|---|
| `plan.toml` | the plan with every default explicit, to run it again; a target that was already running is given by its URL |
| `manifest.json` | version, seed, command line as it was typed, commit and SHA-256 of the executable, machine with its kernel settings, load and steal, order of the runs, constants of the theory (`calibrations`), each link as configured and as measured (`links`), and what is not known: `not_measured` lists columns that are empty in all rows and what the system did not tell, `not_measured_of` the empty columns of one server. Outside of the command line it names no host, user or path |
| `runs.csv` | one row per run |
| `percentiles.csv` | one row per run, distribution and quantile |
| `theory.csv` | one row per run and prediction |
| `checks.csv` | one row per run and gate, and per threshold of the plan: why the verdict is what it is |
| `timeseries.csv` | one row per run, series and instant: a second or longer apart |
| `two_way.csv` | plan `claims` only: whether a server answers on the connection that brings its lines |
| `claims.csv`, `claims.md` | plan `claims` only, made by `wirelab claims` from the files above: one row per claim |
| `reproduction.csv`, `reproduction.md` | plans of `wirelab reproduce` only, made by it from the files above: one row per printed figure, and the verdict |
| `datapackage.json` | path, columns, types and units of these tables for programs: a Frictionless Data Package |
| `hdr/<run_id>.<metric>.hlog` | every sample of a distribution: an HdrHistogram interval log (V2, untagged) with one interval, the cohort; µs |
| `raw/<run_id>.ndjson.gz` | with `run --raw` only: every delivery of the run, one by one |
| `runs/<run_id>.json` | the run as `run --resume` goes on from it; only the version that wrote it reads it |
| `svg/<plot>.svg` | the plots of the page as files that stand alone; made on demand by `wirelab report --format svg` |
| `report.html` | a page with the question, the table and the plots, readable offline; written when the experiment ends, and made again from the other files by `wirelab report` |

A cell is empty where the value was not measured, does not apply, or needs more lines than there were; an empty cell \
never means 0. A quantile Q needs at least ln 0.025 / ln Q distinct lines: 6 for the median, 36 for p90, 368 for p99, \
3 688 for p99.9. A distribution that does not apply to a run, such as `hold` to a stream, has no rows and no files. \
Latencies are kept in HDR histograms with three significant digits (0.1 %).

**Cohort** means the measured lines: those due after the warm-up. Delivery, lateness and append cover the cohort. \
Counts of requests and connections and the server's cost cover the whole run; cost per line is divided by the lines \
delivered in the whole run. Bytes, requests per line and the empty ratio cover the cohort's window, and bytes and requests \
per line are divided by the lines that arrived in it: `app_bytes` / `app_per_line_bytes` of them, which may differ by a few \
from `delivered_count`, since lines cross the ends of the window.

**Layers of bytes.** `app` counts the text of lines. `l7` counts what went through the subscribers' sockets, at the \
socket and, by the kernel, in TCP_INFO. `ip` adds 52 bytes per segment and 8 more per SYN, `wire` 14 more. The kernel counts the segments. \
On loopback a segment may carry 32 768 bytes and more, so large answers seem to need fewer segments than on a link with \
an MTU of 1 500.

## Exit codes of `wirelab run`

The highest wins.

| code | means |
|---|---|
";

const RAW: &str = "
## `raw/<run_id>.ndjson.gz`

One JSON object per line, packed by gzip, in the order of deployment, subscriber and receipt. The receipts are those of \
the measured subscribers, warm-up and repeated ones included; a line that never arrived has none. A receipt is the \
moment at which the read returned that completed the line, before it was parsed. Times are µs since the start of the \
schedule, from which due times count in all deployments of the run: `t_s` = 0 in `timeseries.csv`. In UTC it is \
`StartTime` of the run's logs in `hdr/`, less the plan's `warm_up`. Subscribers keep receipts in memory while the run goes \
on, so that writing them takes no part in it.

The latencies of `runs.csv` are `received_us` − `due_us` of the first receipt of each deployment, subscriber and seq, \
where `due_us` is the plan's `warm_up` or later.

| member | unit | definition |
|---|---|---|
";

fn row(name: &str, unit: &str, definition: &str) -> String {
    format!("| `{name}` | {unit} | {definition} |\n")
}

fn columns(columns: &[Column]) -> String {
    columns.iter().map(|column| row(column.name, column.unit, column.definition)).collect()
}

fn exit_codes() -> String {
    let mut codes: Vec<_> = Ending::ALL.map(|ending| (ending.code(), ending.meaning())).into();
    codes.insert(1, (2, "the command line or the plan is wrong"));
    codes.push((130, "interrupted with Ctrl-C; what was measured is written"));
    codes.iter().map(|(code, meaning)| format!("| {code} | {meaning} |\n")).collect()
}

/// Returns the text of `results/README.md`.
pub fn data_dictionary() -> String {
    let mut page = HEAD.to_owned();
    page += &exit_codes();
    page += "\n## `runs.csv`\n\n| column | unit | definition |\n|---|---|---|\n";
    page += &columns(RunRow::COLUMNS);
    page += "\n## `percentiles.csv`\n\n| metric | definition |\n|---|---|\n";
    page.extend(
        DISTRIBUTIONS.iter().map(|metric| format!("| `{}` | {} |\n", metric.name, metric.definition)),
    );
    page += "\n| column | unit | definition |\n|---|---|---|\n";
    page += &columns(PercentileRow::COLUMNS);
    page += "\n## `theory.csv`\n\n| column | unit | definition |\n|---|---|---|\n";
    page += &columns(TheoryRow::COLUMNS);
    page += "\n## `checks.csv`\n\n| check | unit | definition |\n|---|---|---|\n";
    page.extend(gates().map(|gate| row(gate.name, gate.unit, gate.definition)));
    page += "\n| column | unit | definition |\n|---|---|---|\n";
    page += &columns(CheckRow::COLUMNS);
    page += "\n## `timeseries.csv`\n\n| metric | unit | definition |\n|---|---|---|\n";
    page.extend(SERIES.iter().map(|series| row(series.name, series.unit, series.definition)));
    page += "\n| column | unit | definition |\n|---|---|---|\n";
    page += &columns(SeriesRow::COLUMNS);
    page += RAW;
    page += &columns(RECEIPT_COLUMNS);
    page += "\n## `two_way.csv`\n\n| column | unit | definition |\n|---|---|---|\n";
    page += &columns(TWO_WAY_COLUMNS);
    page += "\n## `claims.csv`\n\n| column | unit | definition |\n|---|---|---|\n";
    page += &columns(CLAIMS_COLUMNS);
    page += "\n## `reproduction.csv`\n\n| column | unit | definition |\n|---|---|---|\n";
    page += &columns(REPRODUCTION_COLUMNS);
    page
}
