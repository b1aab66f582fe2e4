//! What the files of a results folder say: the one model that `report.html` is made from.
//!
//! Made of bytes alone, so that a run and `wirelab report` come to the same page. Columns are found by name; those
//! that nobody here knows, and unknown members of the plan and the manifest, are taken in stride. A file that
//! contradicts another is refused: a page must not mix two runs.

use std::collections::HashMap;

use hdrhistogram::Histogram;
use serde_json::Value;
use wirelab_clients::harness::results::SCHEMA_VERSION;

use super::{File, hdr_log};

/// The files it is made of, besides the histograms.
pub(super) const SOURCES: [&str; 4] = ["plan.toml", "manifest.json", "runs.csv", "percentiles.csv"];
/// The distribution that is drawn.
pub(super) const METRIC: &str = "delivery_latency";

/// A results folder.
#[derive(Debug)]
pub(super) struct Folder {
    /// The plan's name.
    pub(super) plan: String,
    /// What the plan asks.
    pub(super) question: String,
    /// `plan.toml` as it stands.
    pub(super) plan_toml: String,
    /// `manifest.json`.
    pub(super) manifest: serde_json::Map<String, Value>,
    /// The rows of `runs.csv`.
    pub(super) runs: Vec<Run>,
    /// Whether there are histograms; folders of the first version have none.
    pub(super) histograms: Histograms,
}

/// What `hdr/` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Histograms {
    /// One of every run.
    Kept,
    /// None of any run.
    Missing,
}

/// One row of `runs.csv`. What the row does not say is `None`.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) run_id: String,
    pub(super) transport: String,
    /// Empty where a plan compares transports only.
    pub(super) arm: String,
    pub(super) verdict: String,
    pub(super) reasons: String,
    pub(super) subscribers: Option<u64>,
    pub(super) distinct_lines: Option<u64>,
    pub(super) expected: Option<u64>,
    pub(super) delivered: Option<u64>,
    pub(super) lost: Option<u64>,
    pub(super) duplicated: Option<u64>,
    pub(super) censored: Option<u64>,
    pub(super) out_of_order: Option<u64>,
    pub(super) requests: Option<u64>,
    pub(super) requests_per_line: Option<f64>,
    pub(super) latency_us_p50: Option<f64>,
    pub(super) latency_us_p90: Option<f64>,
    pub(super) latency_us_p99: Option<f64>,
    pub(super) latency_us_max: Option<f64>,
    pub(super) bytes_per_line: Option<f64>,
    pub(super) cpu_us_per_line: Option<f64>,
    /// Delivery latency, µs.
    pub(super) histogram: Option<Histogram<u64>>,
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

fn garbled(file: &str, what: impl ToString) -> FolderError {
    FolderError::Garbled { file: file.to_owned(), what: what.to_string() }
}

impl Folder {
    /// The model of these files; others are passed over.
    pub(super) fn read(files: &[File]) -> Result<Self, FolderError> {
        let plan_toml = text(files, "plan.toml")?;
        let plan: toml::Table =
            plan_toml.parse().map_err(|error: toml::de::Error| garbled("plan.toml", error.message()))?;
        let of_plan = |key: &str| match plan.get(key) {
            Some(toml::Value::String(text)) => Ok(text.clone()),
            Some(_) | None => Err(garbled("plan.toml", format!("it has no text {key:?}"))),
        };
        let manifest = manifest(text(files, "manifest.json")?)?;
        let mut runs = runs(text(files, "runs.csv")?)?;
        let samples = samples(text(files, "percentiles.csv")?)?;
        let histograms = read_histograms(files, &mut runs, &samples)?;
        Ok(Self {
            plan: of_plan("name")?,
            question: of_plan("question")?,
            plan_toml: plan_toml.to_owned(),
            manifest,
            runs,
            histograms,
        })
    }
}

fn bytes<'a>(files: &'a [File], path: &str) -> Option<&'a [u8]> {
    files.iter().find(|file| file.path == path).map(|file| file.bytes.as_slice())
}

pub(super) fn text<'a>(files: &'a [File], path: &str) -> Result<&'a str, FolderError> {
    let bytes = bytes(files, path).ok_or_else(|| FolderError::Missing { file: path.to_owned() })?;
    std::str::from_utf8(bytes)
        .map_err(|error| garbled(path, format!("it is not UTF-8 at byte {}", error.valid_up_to())))
}

fn manifest(json: &str) -> Result<serde_json::Map<String, Value>, FolderError> {
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

fn runs(csv: &str) -> Result<Vec<Run>, FolderError> {
    let table = CsvFile::read("runs.csv", csv, &["schema_version", "run_id"])?;
    let mut runs: Vec<Run> = Vec::new();
    for row in table.rows() {
        schema("runs.csv", row.text("schema_version")?)?;
        let run_id = row.text("run_id")?;
        if runs.iter().any(|run| run.run_id == run_id) {
            return Err(row.garbled(format!("run_id {run_id:?} is there twice")));
        }
        runs.push(Run {
            run_id: run_id.to_owned(),
            transport: row.text("transport")?.to_owned(),
            arm: row.text("arm")?.to_owned(),
            verdict: row.text("verdict")?.to_owned(),
            reasons: row.text("verdict_reasons")?.to_owned(),
            subscribers: row.count("subscribers_count")?,
            distinct_lines: row.count("distinct_lines_count")?,
            expected: row.count("expected_count")?,
            delivered: row.count("delivered_count")?,
            lost: row.count("lost_count")?,
            duplicated: row.count("duplicated_count")?,
            censored: row.count("censored_count")?,
            out_of_order: row.count("out_of_order_count")?,
            requests: row.count("requests_count")?,
            requests_per_line: row.number("requests_per_line_ratio")?,
            latency_us_p50: row.number("delivery_latency_us_p50")?,
            latency_us_p90: row.number("delivery_latency_us_p90")?,
            latency_us_p99: row.number("delivery_latency_us_p99")?,
            latency_us_max: row.number("delivery_latency_us_max")?,
            // A later column: folders written before it do not have it.
            bytes_per_line: match table.column("l7_per_line_bytes") {
                Ok(_) => row.number("l7_per_line_bytes")?,
                Err(_) => None,
            },
            cpu_us_per_line: row.number("server_cpu_per_line_us")?,
            histogram: None,
        });
    }
    Ok(runs)
}

/// Samples of the drawn distribution by run, as `percentiles.csv` counts them.
fn samples(csv: &str) -> Result<HashMap<String, u64>, FolderError> {
    let table = CsvFile::read(
        "percentiles.csv",
        csv,
        &["run_id", "metric", "quantile", "value_us", "samples_count"],
    )?;
    let mut samples = HashMap::new();
    for row in table.rows() {
        row.number("quantile")?;
        row.number("value_us")?;
        let count = row.count("samples_count")?;
        if let (METRIC, Some(count)) = (row.text("metric")?, count) {
            samples.insert(row.text("run_id")?.to_owned(), count);
        }
    }
    Ok(samples)
}

fn read_histograms(
    files: &[File],
    runs: &mut [Run],
    samples: &HashMap<String, u64>,
) -> Result<Histograms, FolderError> {
    let path = |run: &Run| hdr_log::path(&run.run_id, METRIC);
    if runs.iter().all(|run| bytes(files, &path(run)).is_none()) {
        return Ok(Histograms::Missing);
    }
    for run in runs {
        let file = path(run);
        let Some(log) = bytes(files, &file) else { return Err(FolderError::MissingHistogram { file }) };
        let histogram = hdr_log::decode(log).map_err(|what| garbled(&file, what))?;
        let counted = samples.get(&run.run_id).copied();
        if counted != Some(histogram.len()) {
            let counted = counted.map_or("none".to_owned(), |count| count.to_string());
            let what = format!("it holds {} samples and percentiles.csv counts {counted}", histogram.len());
            return Err(garbled(&file, what));
        }
        run.histogram = Some(histogram);
    }
    Ok(Histograms::Kept)
}

/// A CSV file whose columns are found by name.
pub(super) struct CsvFile {
    file: &'static str,
    columns: HashMap<String, usize>,
    rows: Vec<csv::StringRecord>,
}

/// One row of it.
pub(super) struct Row<'a> {
    table: &'a CsvFile,
    number: usize,
    cells: &'a csv::StringRecord,
}

impl CsvFile {
    /// A file without rows must have these columns, too.
    pub(super) fn read(file: &'static str, text: &str, needed: &[&str]) -> Result<Self, FolderError> {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().map_err(|error| garbled(file, error))?;
        let columns = header.iter().enumerate().map(|(i, name)| (name.to_owned(), i)).collect();
        let rows = reader.records().collect::<Result<_, _>>().map_err(|error| garbled(file, error))?;
        let table = Self { file, columns, rows };
        needed.iter().try_for_each(|column| table.column(column).map(|_| ()))?;
        Ok(table)
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().enumerate().map(|(i, cells)| Row { table: self, number: i + 1, cells })
    }

    fn column(&self, name: &str) -> Result<usize, FolderError> {
        let column = self.columns.get(name).copied();
        column.ok_or_else(|| garbled(self.file, format!("column {name} is missing")))
    }
}

impl Row<'_> {
    pub(super) fn text(&self, column: &str) -> Result<&str, FolderError> {
        // The reader refuses rows that are shorter than the header.
        Ok(&self.cells[self.table.column(column)?])
    }

    /// A number of a column that older folders do not have.
    pub(super) fn later_number(&self, column: &str) -> Result<Option<f64>, FolderError> {
        if self.table.columns.contains_key(column) { self.number(column) } else { Ok(None) }
    }

    pub(super) fn number(&self, column: &str) -> Result<Option<f64>, FolderError> {
        self.parsed(column, "a number of at least 0", |number: &f64| number.is_finite() && *number >= 0.0)
    }

    pub(super) fn count(&self, column: &str) -> Result<Option<u64>, FolderError> {
        self.parsed(column, "a whole number", |_| true)
    }

    fn parsed<T: std::str::FromStr>(
        &self,
        column: &str,
        wanted: &str,
        fits: impl Fn(&T) -> bool,
    ) -> Result<Option<T>, FolderError> {
        let text = self.text(column)?;
        if text.is_empty() {
            return Ok(None);
        }
        match text.parse() {
            Ok(value) if fits(&value) => Ok(Some(value)),
            Ok(_) | Err(_) => Err(self.garbled(format!("{column} is {text:?}, which is not {wanted}"))),
        }
    }

    fn garbled(&self, what: String) -> FolderError {
        garbled(self.table.file, format!("row {}: {what}", self.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::render;
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
        assert_eq!((run.bytes_per_line, run.latency_us_p50), (Some(230.0), Some(101_055.0)));
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
        files.push(File::new("theory.csv", "run_id\n"));
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
        assert_eq!((folder.histograms, folder.runs[0].bytes_per_line), (Histograms::Missing, None));
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
        let rows: [(&str, Damage, &str); 13] = [
            ("plan.toml", |_| "name = ".into(), "plan.toml: "),
            ("plan.toml", |_| "name = 3\n".into(), "it has no text \"name\""),
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
