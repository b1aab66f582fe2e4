//! What the files of a results folder say: the one model that every format of the report is made from.
//!
//! Made of bytes alone, so that a run and `wirelab report` come to the same page. Columns are found by name; those
//! that nobody here knows, and unknown members of the plan and the manifest, are taken in stride. A file that
//! contradicts another is refused: a page must not mix two runs. Rows of runs that `runs.csv` does not have are passed
//! over: it is written last, and whoever was killed in between left them.

use std::collections::HashMap;

use hdrhistogram::Histogram;
use serde_json::Value;
use wirelab_clients::harness::metrics::SCHEMA_VERSION;
use wirelab_clients::harness::plan::Size;

use super::csv_file::{CsvFile, Row, garbled};
use super::details::{self, CheckRow, PercentileRow, SeriesRow, TheoryRow};
use super::figures::{Factor, Figure, WORDS};
use super::{File, hdr_log};

/// The files it is made of, besides the histograms.
pub(super) const SOURCES: [&str; 4] = ["plan.toml", "manifest.json", "runs.csv", "percentiles.csv"];
/// Files that older folders do not have.
pub(super) const LATER_SOURCES: [&str; 3] = ["theory.csv", "checks.csv", "timeseries.csv"];
/// The distribution that is drawn.
pub(super) const METRIC: &str = "delivery_latency";

/// A results folder.
#[derive(Debug)]
pub(super) struct Folder {
    /// The plan's name.
    pub(super) plan: String,
    /// What the plan asks.
    pub(super) question: String,
    /// What its author expects, if they say so.
    pub(super) prediction: Option<String>,
    /// How much of the plan was run; plans that do not say so were run in full.
    pub(super) size: Size,
    /// `plan.toml` as it stands.
    pub(super) plan_toml: String,
    /// `manifest.json`.
    pub(super) manifest: serde_json::Map<String, Value>,
    /// The rows of `runs.csv`.
    pub(super) runs: Vec<Run>,
    /// Whether there are histograms; folders of the first version have none.
    pub(super) histograms: Histograms,
    /// The rows of `percentiles.csv` that have a value.
    pub(super) percentiles: Vec<PercentileRow>,
    /// The rows of `theory.csv`; `None` without the file.
    pub(super) theory: Option<Vec<TheoryRow>>,
    /// The rows of `checks.csv`; `None` without the file.
    pub(super) checks: Option<Vec<CheckRow>>,
    /// The rows of `timeseries.csv`; `None` without the file.
    pub(super) series: Option<Vec<SeriesRow>>,
    /// The files of [`SOURCES`] and [`LATER_SOURCES`] that are there.
    pub(super) files: Vec<&'static str>,
}

/// What `hdr/` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Histograms {
    /// One of every run.
    Kept,
    /// None of any run.
    Missing,
}

/// What a run is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Every gate passed.
    Ok,
    /// Holds with a reservation: small differences are not claimed.
    Unresolved,
    /// Not to be used.
    Invalid,
}

impl Verdict {
    /// As files write it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unresolved => "unresolved",
            Self::Invalid => "invalid",
        }
    }
}

/// Whether a run is one of the pair of equal cells that shows the noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Twin {
    /// One of the pair.
    Aa,
    /// Measured for itself.
    No,
}

/// One row of `runs.csv`. What the row does not say is `None`.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) run_id: String,
    pub(super) block: Option<u64>,
    pub(super) transport: String,
    /// Empty where a plan compares transports only.
    pub(super) arm: String,
    pub(super) twin: Twin,
    pub(super) verdict: Verdict,
    pub(super) reasons: Vec<String>,
    pub(super) distinct_lines: Option<u64>,
    pub(super) expected: Option<u64>,
    pub(super) delivered: Option<u64>,
    pub(super) lost: Option<u64>,
    pub(super) duplicated: Option<u64>,
    pub(super) censored: Option<u64>,
    pub(super) out_of_order: Option<u64>,
    pub(super) requests: Option<u64>,
    /// How late the harness itself was, µs: the larger p99 of its sends and of its hiccups.
    pub(super) lateness_us: Option<f64>,
    /// By [`Figure::index`].
    figures: [Option<f64>; Figure::ALL.len()],
    /// What it was run with, as far as that is a number.
    pub(super) factors: Vec<(Factor, f64)>,
    /// And as far as it is a word: column and value.
    pub(super) words: Vec<(&'static str, String)>,
    /// Delivery latency, µs.
    pub(super) histogram: Option<Histogram<u64>>,
}

impl Run {
    /// The figure, in its unit.
    pub(super) fn figure(&self, figure: Figure) -> Option<f64> {
        self.figures[figure.index()]
    }

    /// Whether something may be claimed from it.
    pub(super) fn is_believed(&self) -> bool {
        match self.verdict {
            Verdict::Ok | Verdict::Unresolved => true,
            Verdict::Invalid => false,
        }
    }
}

/// Why a results folder cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FolderError {
    /// Not a results folder.
    #[error("{file} is missing; name a folder that `wirelab run` wrote, such as results/sample")]
    Missing {
        /// Which file.
        file: String,
    },
    /// A histogram is gone.
    #[error(
        "{file} is missing, though other runs have theirs; restore it, or remove the folder hdr to get a report \
         without the plot"
    )]
    MissingHistogram {
        /// Which file.
        file: String,
    },
    /// Written by another version.
    #[error(
        "{file}: schema_version {found} is not known, this wirelab reads {SCHEMA_VERSION}; use the wirelab that \
         wrote the folder"
    )]
    Schema {
        /// Which file.
        file: &'static str,
        /// Its version.
        found: String,
    },
    /// Not what a run writes.
    #[error("{file}: {what}; restore the file as the run wrote it, or measure again")]
    Garbled {
        /// Which file.
        file: String,
        /// What is wrong.
        what: String,
    },
}

impl Folder {
    /// The model of these files; others are passed over.
    pub(super) fn read(files: &[File]) -> Result<Self, FolderError> {
        let plan_toml = text(files, "plan.toml")?;
        let plan: toml::Table =
            plan_toml.parse().map_err(|error: toml::de::Error| garbled("plan.toml", error.message()))?;
        let of_plan = |key: &str| match plan.get(key) {
            Some(toml::Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(garbled("plan.toml", format!("its {key:?} is no text"))),
            None => Ok(None),
        };
        let needed =
            |key: &str| of_plan(key)?.ok_or_else(|| garbled("plan.toml", format!("it has no text {key:?}")));
        let manifest = manifest(text(files, "manifest.json")?)?;
        let mut runs = runs(text(files, "runs.csv")?)?;
        let percentiles = details::percentiles(text(files, "percentiles.csv")?)?;
        let histograms = read_histograms(files, &mut runs, &percentiles)?;
        let known = |run_id: &str| runs.iter().any(|run| run.run_id == run_id);
        let mut percentiles = percentiles;
        percentiles.retain(|row| known(&row.run_id));
        let mut theory = later(files, "theory.csv", details::theory)?;
        theory.iter_mut().for_each(|rows| rows.retain(|row| known(&row.run_id)));
        let mut checks = later(files, "checks.csv", details::checks)?;
        // A threshold of the plan stands for all runs: it names none.
        let of_plan_or_known = |run_id: &str| run_id.is_empty() || known(run_id);
        checks.iter_mut().for_each(|rows| rows.retain(|row| of_plan_or_known(&row.run_id)));
        let mut series = later(files, "timeseries.csv", details::series)?;
        series.iter_mut().for_each(|rows| rows.retain(|row| known(&row.run_id)));
        Ok(Self {
            plan: needed("name")?,
            question: needed("question")?,
            prediction: of_plan("prediction")?.filter(|text| !text.trim().is_empty()),
            size: size(of_plan("size")?.as_deref())?,
            plan_toml: plan_toml.to_owned(),
            manifest,
            runs,
            histograms,
            percentiles,
            theory,
            checks,
            series,
            files: SOURCES
                .into_iter()
                .chain(LATER_SOURCES)
                .filter(|name| bytes(files, name).is_some())
                .collect(),
        })
    }

    /// The run of this name; rows of others are not kept.
    pub(super) fn run(&self, run_id: &str) -> Option<&Run> {
        self.runs.iter().find(|run| run.run_id == run_id)
    }
}

/// A plan that does not say so was run in full.
fn size(name: Option<&str>) -> Result<Size, FolderError> {
    let Some(name) = name else { return Ok(Size::Full) };
    let found = [Size::Smoke, Size::Full].into_iter().find(|size| size.name() == name);
    found.ok_or_else(|| garbled("plan.toml", format!("its size {name:?} is neither smoke nor full")))
}

fn bytes<'a>(files: &'a [File], path: &str) -> Option<&'a [u8]> {
    files.iter().find(|file| file.path == path).map(|file| file.bytes.as_slice())
}

pub(super) fn text<'a>(files: &'a [File], path: &str) -> Result<&'a str, FolderError> {
    let bytes = bytes(files, path).ok_or_else(|| FolderError::Missing { file: path.to_owned() })?;
    std::str::from_utf8(bytes)
        .map_err(|error| garbled(path, format!("it is not UTF-8 at byte {}", error.valid_up_to())))
}

/// The rows of a file that older folders do not have.
fn later<T>(
    files: &[File],
    path: &str,
    rows: fn(&str) -> Result<Vec<T>, FolderError>,
) -> Result<Option<Vec<T>>, FolderError> {
    match bytes(files, path) {
        Some(_) => rows(text(files, path)?).map(Some),
        None => Ok(None),
    }
}

pub(super) fn manifest(json: &str) -> Result<serde_json::Map<String, Value>, FolderError> {
    let file = "manifest.json";
    let manifest = match serde_json::from_str(json) {
        Ok(Value::Object(manifest)) => manifest,
        Ok(_) => return Err(garbled(file, "it is no JSON object")),
        Err(error) => return Err(garbled(file, error)),
    };
    let version = manifest.get("schema_version").map_or_else(|| "(none)".to_owned(), Value::to_string);
    schema(file, &version)?;
    Ok(manifest)
}

fn schema(file: &'static str, found: &str) -> Result<(), FolderError> {
    if found == SCHEMA_VERSION.to_string() {
        Ok(())
    } else {
        Err(FolderError::Schema { file, found: found.chars().take(40).collect() })
    }
}

pub(super) fn runs(csv: &str) -> Result<Vec<Run>, FolderError> {
    let table = CsvFile::read("runs.csv", csv, &["schema_version", "run_id"])?;
    let mut runs: Vec<Run> = Vec::new();
    for row in table.rows() {
        schema("runs.csv", row.text("schema_version")?)?;
        let run = run(&row)?;
        if runs.iter().any(|other| other.run_id == run.run_id) {
            return Err(row.garbled(format!("run_id {:?} is there twice", run.run_id)));
        }
        runs.push(run);
    }
    Ok(runs)
}

fn run(row: &Row) -> Result<Run, FolderError> {
    let mut factors = Vec::new();
    for factor in Factor::ALL {
        if let Some(value) = row.later_number(factor.column())? {
            factors.push((factor, value));
        }
    }
    let words = WORDS.into_iter().map(|column| (column, row.later_text(column).to_owned()));
    let late = [row.later_number("send_lateness_us_p99")?, row.later_number("hiccup_us_p99")?];
    let verdicts =
        [Verdict::Ok, Verdict::Unresolved, Verdict::Invalid].map(|verdict| (verdict.name(), verdict));
    Ok(Run {
        run_id: row.text("run_id")?.to_owned(),
        block: row.count("block")?,
        transport: row.text("transport")?.to_owned(),
        arm: row.text("arm")?.to_owned(),
        twin: match row.later_text("is_aa") {
            "" | "false" | "0" => Twin::No,
            "true" | "1" => Twin::Aa,
            other => return Err(row.garbled(format!("is_aa is {other:?}, which is neither true nor false"))),
        },
        verdict: row.word("verdict", &verdicts)?,
        reasons: reasons(row.text("verdict_reasons")?),
        distinct_lines: row.count("distinct_lines_count")?,
        expected: row.count("expected_count")?,
        delivered: row.count("delivered_count")?,
        lost: row.count("lost_count")?,
        duplicated: row.count("duplicated_count")?,
        censored: row.count("censored_count")?,
        out_of_order: row.count("out_of_order_count")?,
        requests: row.count("requests_count")?,
        lateness_us: late.into_iter().flatten().reduce(f64::max),
        figures: figures(row)?,
        factors,
        words: words.filter(|(_, word)| !word.is_empty()).collect(),
        histogram: None,
    })
}

fn reasons(text: &str) -> Vec<String> {
    text.split("; ").filter(|reason| !reason.is_empty()).map(str::to_owned).collect()
}

fn figures(row: &Row) -> Result<[Option<f64>; Figure::ALL.len()], FolderError> {
    // What went through the sockets is told in all and per line: their ratio is the number of lines that the other
    // layers are divided by.
    let l7 = sum(row.later_number("l7_up_bytes")?, row.later_number("l7_down_bytes")?);
    let l7_per_line = row.later_number("l7_per_line_bytes")?;
    let per_line = |bytes: Option<f64>| match (bytes, l7, l7_per_line) {
        (Some(bytes), Some(l7), Some(per_line)) if l7 > 0.0 => Some(bytes / l7 * per_line),
        _ => None,
    };
    let ip = sum(row.later_number("ip_up_bytes")?, row.later_number("ip_down_bytes")?);
    let app = row.later_number("app_bytes")?;
    let mut figures = [None; Figure::ALL.len()];
    for figure in Figure::ALL {
        let value = match figure {
            Figure::LatencyP50 | Figure::LatencyP90 | Figure::LatencyP99 | Figure::LatencyMax => {
                row.number(figure.name())?
            }
            Figure::Requests | Figure::Cpu => row.number(figure.name())?,
            Figure::AppBytes => per_line(app),
            Figure::IpBytes => per_line(ip),
            // Later columns: folders written before them do not have them.
            Figure::StalenessMean | Figure::L7Bytes | Figure::WireBytes => row.later_number(figure.name())?,
            Figure::Memory | Figure::MemoryPerConnection => row.later_number(figure.name())?,
        };
        figures[figure.index()] = value.map(|value| value * figure.scale());
    }
    Ok(figures)
}

fn sum(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    Some(a? + b?)
}

fn read_histograms(
    files: &[File],
    runs: &mut [Run],
    percentiles: &[PercentileRow],
) -> Result<Histograms, FolderError> {
    let path = |run: &Run| hdr_log::path(&run.run_id, METRIC);
    if runs.iter().all(|run| bytes(files, &path(run)).is_none()) {
        return Ok(Histograms::Missing);
    }
    let samples: HashMap<&str, u64> = percentiles
        .iter()
        .filter(|row| row.metric == METRIC)
        .filter_map(|row| Some((row.run_id.as_str(), row.samples?)))
        .collect();
    for run in runs {
        let file = path(run);
        let Some(log) = bytes(files, &file) else { return Err(FolderError::MissingHistogram { file }) };
        let histogram = hdr_log::decode(log).map_err(|what| garbled(&file, what))?;
        let counted = samples.get(run.run_id.as_str()).copied();
        if counted != Some(histogram.len()) {
            let counted = counted.map_or("none".to_owned(), |count| count.to_string());
            let what = format!("it holds {} samples and percentiles.csv counts {counted}", histogram.len());
            return Err(garbled(&file, what));
        }
        run.histogram = Some(histogram);
    }
    Ok(Histograms::Kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::render;
    use crate::report::synthetic::{self, Cell};
    use wirelab_clients::harness::example;

    /// What happens to the text of a file.
    type Damage = fn(String) -> String;

    fn files() -> Vec<File> {
        render(&example::result_set()).unwrap()
    }

    /// The example's files, one of them changed.
    fn with(path: &str, change: impl Fn(String) -> String) -> Result<Folder, FolderError> {
        let mut files = files();
        let file = files.iter_mut().find(|file| file.path == path).unwrap();
        file.bytes = change(String::from_utf8(file.bytes.clone()).unwrap()).into_bytes();
        Folder::read(&files)
    }

    fn without(path: &str) -> Result<Folder, FolderError> {
        let mut files = files();
        files.retain(|file| !file.path.starts_with(path));
        Folder::read(&files)
    }

    #[test]
    fn the_files_say_what_the_run_found() {
        let folder = Folder::read(&files()).unwrap();
        assert_eq!((folder.plan.as_str(), folder.histograms), ("ad-hoc", Histograms::Kept));
        let run = &folder.runs[0];
        assert_eq!((run.run_id.as_str(), run.requests, run.lost), ("short-poll-1", Some(200), Some(0)));
        let figure = |figure| run.figure(figure).map(|value| (value * 1e3).round() / 1e3);
        assert_eq!((figure(Figure::L7Bytes), figure(Figure::LatencyP50)), (Some(230.0), Some(101.055)));
        assert_eq!(run.histogram.as_ref().unwrap().len(), 1_000);
    }

    #[test]
    fn later_columns_members_and_files_are_taken_in_stride() {
        let wider = with("runs.csv", |csv| {
            let mut lines = csv.lines();
            let header = format!("new_count,{}\n", lines.next().unwrap());
            header + &lines.map(|line| format!("7,{line}\n")).collect::<String>()
        });
        assert_eq!(wider.unwrap().runs[1].run_id, "sse-1");
        with("manifest.json", |json| json.replacen('{', "{\"later\": [1],", 1)).unwrap();
        with("plan.toml", |toml| format!("later = 1\n{toml}")).unwrap();
        let mut files = files();
        files.push(File::new("later.csv", "run_id\n"));
        Folder::read(&files).unwrap();
    }

    #[test]
    fn a_folder_of_the_first_version_has_no_histograms_and_no_bytes_per_line() {
        let mut files = files();
        files.retain(|file| !file.path.starts_with("hdr/"));
        let runs = files.iter_mut().find(|file| file.path == "runs.csv").unwrap();
        let csv = String::from_utf8(runs.bytes.clone()).unwrap();
        let before =
            csv.lines().next().unwrap().split(',').position(|name| name == "l7_per_line_bytes").unwrap();
        let narrower =
            csv.lines().map(|line| line.split(',').take(before).collect::<Vec<_>>().join(",") + "\n");
        runs.bytes = narrower.collect::<String>().into_bytes();
        let folder = Folder::read(&files).unwrap();
        assert_eq!((folder.histograms, folder.runs[0].figure(Figure::L7Bytes)), (Histograms::Missing, None));
    }

    #[test]
    fn what_is_missing_is_named_with_the_remedy() {
        for path in ["plan.toml", "manifest.json", "runs.csv", "percentiles.csv"] {
            assert_eq!(without(path).unwrap_err(), FolderError::Missing { file: path.to_owned() });
        }
        let file = "hdr/sse-1.delivery_latency.hlog";
        let error = without(file).unwrap_err();
        assert_eq!(error, FolderError::MissingHistogram { file: file.to_owned() });
        assert!(error.to_string().contains("restore it, or remove the folder hdr"), "{error}");
    }

    #[test]
    fn what_is_garbled_is_named_with_what_is_wrong() {
        let hlog = "hdr/sse-1.delivery_latency.hlog";
        let rows: [(&str, Damage, &str); 14] = [
            ("plan.toml", |text| text.replace("\"full\"", "\"tiny\""), "neither smoke nor full"),
            ("plan.toml", |_| "name = ".into(), "plan.toml: "),
            ("plan.toml", |_| "name = 3\n".into(), "its \"name\" is no text"),
            ("manifest.json", |text| text[1..].into(), "manifest.json: "),
            ("manifest.json", |_| "[]".into(), "it is no JSON object"),
            ("manifest.json", |text| text.replace(": 1,", ": 2,"), "schema_version 2 is not known"),
            ("manifest.json", |_| "{}".into(), "schema_version (none) is not known"),
            ("runs.csv", |text| text.replace("lost_count", "gone_count"), "column lost_count is missing"),
            ("runs.csv", |text| text.replace("\n1,", "\n9,"), "runs.csv: schema_version 9 is not known"),
            ("runs.csv", |text| text.replace("sse-1", "short-poll-1"), "\"short-poll-1\" is there twice"),
            ("runs.csv", |text| text.replace("500,500,1000", "500,many,1000"), "distinct_lines_count"),
            ("percentiles.csv", |_| String::new(), "column run_id is missing"),
            ("percentiles.csv", |text| text.replace("value_us", "value"), "column value_us is missing"),
            (hlog, |text| text.replace("HIST", "HISS"), hlog),
        ];
        for (path, change, said) in rows {
            let error = with(path, change).err().unwrap_or_else(|| panic!("{said}: it was read")).to_string();
            assert!(error.contains(path) && error.contains(said), "{said}: {error}");
            assert!(error.contains("restore") || error.contains("use the wirelab"), "no remedy: {error}");
        }
    }

    #[test]
    fn files_that_came_later_are_read_as_strictly() {
        let rows: [(&str, Damage, &str); 9] = [
            (
                "runs.csv",
                |text| text.replace(",ok,", ",fine,"),
                "verdict is \"fine\", which is not one of ok, unresolved, invalid",
            ),
            ("runs.csv", |text| text.replace(",false,ok,", ",maybe,ok,"), "is_aa is \"maybe\""),
            ("runs.csv", |text| text.trim_end().into(), "its last line has no end, so the file was cut off"),
            (
                "theory.csv",
                |text| text.replace(",pass,", ",perhaps,"),
                "which is not one of pass, fail, assumption-broken, reported",
            ),
            ("theory.csv", |text| text.replace("predicted", "foretold"), "column predicted is missing"),
            (
                "checks.csv",
                |text| text.replace(",1200,", ",many,"),
                "left is \"many\", which is not a number",
            ),
            ("timeseries.csv", |text| text.replace(",0.5,", ",soon,"), "t_s is \"soon\""),
            ("timeseries.csv", |text| text[..text.len() - 30].into(), "timeseries.csv"),
            ("percentiles.csv", |text| text.replace(",0.5,", ",5,"), "quantile is not between 0 and 1"),
        ];
        for (path, change, said) in rows {
            let mut files = synthetic::files(&[Cell::of("sse", 0.5, 2)], 1);
            let file = files.iter_mut().find(|file| file.path == path).unwrap();
            file.bytes = change(String::from_utf8(file.bytes.clone()).unwrap()).into_bytes();
            let error =
                Folder::read(&files).err().unwrap_or_else(|| panic!("{said}: it was read")).to_string();
            assert!(error.starts_with(path) && error.contains(said), "{said}: {error}");
            assert!(error.contains("restore the file"), "no remedy: {error}");
        }
    }

    #[test]
    fn rows_of_a_run_that_was_never_finished_are_passed_over() {
        let files = synthetic::files(&[Cell::of("sse", 0.5, 2)], 1);
        let mut cut = files.clone();
        let runs = cut.iter_mut().find(|file| file.path == "runs.csv").unwrap();
        let csv = String::from_utf8(runs.bytes.clone()).unwrap();
        runs.bytes = csv.lines().take(2).map(|line| format!("{line}\n")).collect::<String>().into_bytes();
        let (whole, cut) = (Folder::read(&files).unwrap(), Folder::read(&cut).unwrap());
        let rows = |folder: &Folder| {
            let counts = [folder.theory.as_ref().map(Vec::len), folder.checks.as_ref().map(Vec::len)];
            [Some(folder.runs.len()), Some(folder.percentiles.len()), folder.series.as_ref().map(Vec::len)]
                .into_iter()
                .chain(counts)
                .map(|count| count.unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(rows(&whole), rows(&cut).into_iter().map(|count| 2 * count).collect::<Vec<_>>());
    }

    #[test]
    fn bytes_of_every_layer_are_told_per_line() {
        let folder = Folder::read(&synthetic::files(&[Cell::of("sse", 0.5, 1)], 1)).unwrap();
        let layers = [Figure::AppBytes, Figure::L7Bytes, Figure::IpBytes, Figure::WireBytes];
        let told = layers.map(|figure| folder.runs[0].figure(figure).unwrap().round());
        assert_eq!(told, [68.0, 160.0, 224.0, 240.0]);
    }

    #[test]
    fn histograms_of_another_run_are_refused() {
        let mut files = files();
        let sse = files.iter().position(|file| file.path == "hdr/sse-1.delivery_latency.hlog").unwrap();
        let other = files.iter().position(|file| file.path == "hdr/sse-1.append.hlog").unwrap();
        files[sse].bytes = files[other].bytes.clone();
        let error = Folder::read(&files).unwrap_err().to_string();
        assert!(error.contains("it holds 500 samples and percentiles.csv counts 1000"), "{error}");
    }

    #[test]
    fn a_file_that_is_not_text_is_refused_at_its_byte() {
        let mut files = files();
        let plan = files.iter().position(|file| file.path == "plan.toml").unwrap();
        files[plan].bytes = b"name\xff".to_vec();
        let error = Folder::read(&files).unwrap_err().to_string();
        assert!(error.contains("plan.toml: it is not UTF-8 at byte 4"), "{error}");
    }
}
