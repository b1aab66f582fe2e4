//! The data dictionary: `results/README.md`, generated from the registry.

use super::distributions::DISTRIBUTIONS;
use super::gates::gates;
use super::rows::{
    CLAIMS_COLUMNS, CheckRow, Column, PercentileRow, Row, RunRow, SeriesRow, TWO_WAY_COLUMNS, TheoryRow,
};
use super::series::SERIES;

const HEAD: &str = "\
# What the files of a run say

Generated from the rows' types (`clients/src/harness/rows/`); do not edit it here.

Every invocation of `wirelab run` writes one folder, `results/<plan>/<UTC>-<commit>/`, again after each run, so that \
an interrupted experiment keeps what it measured. `results/sample/` is one such folder, committed; all others are \
ignored by git.

| file | holds |
|---|---|
| `plan.toml` | the plan with every default explicit: run it again (a target that was running stands there with its URL) |
| `manifest.json` | version, seed, command line, commit, machine, order of the runs, `not_measured` columns, of all or `not_measured_of` one server; never a host, user or path |
| `runs.csv` | one row per run |
| `percentiles.csv` | one row per run, distribution and quantile |
| `theory.csv` | one row per run and prediction |
| `checks.csv` | one row per run and gate, and per threshold of the plan: why the verdict is what it is |
| `timeseries.csv` | one row per run, series and instant: a second or longer apart |
| `two_way.csv` | of the plan `claims`: whether a server answers on the connection that brings its lines |
| `claims.csv`, `claims.md` | of the plan `claims`, made by `wirelab claims` of the files above: one row per claim |
| `hdr/<run_id>.<metric>.hlog` | every sample of a distribution: an HdrHistogram interval log (V2, untagged) with one interval, the cohort; µs |
| `report.html` | the question, the table and the latencies to look at, offline; written when the experiment ends, and made again from the other files by `wirelab report` |

An empty cell was not measured, does not apply, or would say more than the number of lines allows; it is never a 0. \
A quantile Q needs at least ln 0.025 / ln Q distinct lines: 6 for the median, 36 for p90, 368 for p99, 3 688 for \
p99.9. A distribution that does not apply to a run, such as `hold` to a stream, has no rows and no files. Latencies are \
kept in HDR histograms with three significant digits (0.1 %).

**Cohort** means the lines due after the warm-up, by due time. Delivery, lateness and append are of the cohort; \
traffic and cost are of the whole run, and are divided by the lines delivered in the whole run.

**Layers of bytes.** `app` is the text of lines; `l7` what went through the subscribers' sockets, counted at the socket \
and, by the kernel, in TCP_INFO; `ip` adds 52 bytes for each segment, `wire` 14 more. Segments are the kernel's own \
count. On loopback a segment may carry 32 768 bytes and more, so that large answers seem to need fewer segments than \
on a link with an MTU of 1 500.

## Exit codes of `wirelab run`

The highest wins.

| code | means |
|---|---|
| 0 | every line arrived once and in order |
| 2 | the command line or the plan is wrong |
| 3 | a line was lost, censored, reordered or duplicated, or a threshold of the plan was missed |
| 4 | a measurement contradicts the theory |
| 5 | a run is invalid: do not use its row |
| 6 | the server or the environment failed |
| 130 | interrupted with Ctrl-C; what was measured is written |
";

fn row(name: &str, unit: &str, definition: &str) -> String {
    format!("| `{name}` | {unit} | {definition} |\n")
}

fn columns(columns: &[Column]) -> String {
    columns.iter().map(|column| row(column.name, column.unit, column.definition)).collect()
}

/// Returns the text of `results/README.md`.
pub fn data_dictionary() -> String {
    let mut page = HEAD.to_owned();
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
    page += "\n## `two_way.csv`\n\n| column | unit | definition |\n|---|---|---|\n";
    page += &columns(TWO_WAY_COLUMNS);
    page += "\n## `claims.csv`\n\n| column | unit | definition |\n|---|---|---|\n";
    page += &columns(CLAIMS_COLUMNS);
    page
}
