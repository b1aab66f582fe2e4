//! A results folder: the one model that the report, `compare` and `claims` are made from.
//!
//! A run makes it from memory and `wirelab report` from bytes; both make the same page, because a row holds what its
//! file says. Columns are found by name. A file that contradicts another is refused, because a page must not mix two
//! runs. Rows of runs that are missing in `runs.csv` are ignored: that file is written last, so a run that was killed
//! in between leaves such rows.

use std::collections::{BTreeMap, HashMap};

use hdrhistogram::Histogram;
use wirelab_clients::harness::network::emulated::Network;
use wirelab_clients::harness::plan::{Plan, Size, Weight};
use wirelab_clients::harness::results::{Manifest, ResultSet};
use wirelab_clients::harness::rows::{
    self, CheckRow, Garbled, PercentileRow, Row, Rows, RunRow, SCHEMA_VERSION, SeriesRow, TheoryRow,
};
use wirelab_clients::harness::run_result::RunResult;

use super::{File, datapackage, hdr_log};

/// Names of a folder's files, besides the histograms, in the order in which a run writes them.
pub(super) const SOURCES: [&str; 7] =
    [PLAN, MANIFEST, PercentileRow::FILE, TheoryRow::FILE, CheckRow::FILE, SeriesRow::FILE, RunRow::FILE];
const PLAN: &str = "plan.toml";
const MANIFEST: &str = "manifest.json";
/// Name of the distribution that the plot of percentiles shows.
pub(super) const METRIC: &str = "delivery_latency";

/// Model of a results folder.
#[derive(Debug, PartialEq)]
pub struct Folder {
    /// Plan, as its file says it.
    pub(super) plan: PlanText,
    /// Machine, build and settings of the runs.
    pub(super) manifest: Manifest,
    /// Rows of the CSV files.
    pub(super) rows: Rows,
    /// Delivery latencies in µs by `run_id`; empty where the folder `hdr` was removed.
    pub(super) histograms: BTreeMap<String, Histogram<u64>>,
}

/// Texts of a plan that a report shows.
#[derive(Debug, PartialEq)]
pub(super) struct PlanText {
    pub(super) name: String,
    /// Question of the plan.
    pub(super) question: String,
    /// What the plan's author expects, if the plan says it.
    pub(super) prediction: Option<String>,
    /// Size in which the plan was run.
    pub(super) size: Size,
    /// What the plan's runs may claim.
    pub(super) weight: Weight,
    /// Text of `plan.toml`.
    pub(super) toml: String,
    /// Network of the plan, which has no name, and that of each arm.
    networks: Vec<(Option<String>, Network)>,
}

/// Error of reading a results folder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FolderError {
    /// A file of a results folder is missing.
    #[error("{file} is missing; name a folder that `wirelab run` wrote, such as results/sample")]
    Missing {
        /// Name of the file.
        file: String,
    },
    /// The histogram of one run is missing, while others are there.
    #[error(
        "{file} is missing, though other runs have theirs; restore it, or remove the folder hdr to get a report \
         without the plot"
    )]
    MissingHistogram {
        /// Name of the file.
        file: String,
    },
    /// A file was written by another version.
    #[error(
        "{file}: schema_version {found} is not known, this wirelab reads {SCHEMA_VERSION}; use the wirelab that \
         wrote the folder"
    )]
    Schema {
        /// Name of the file.
        file: &'static str,
        /// Version that the file states.
        found: String,
    },
    /// A file holds something that no run writes.
    #[error(transparent)]
    Garbled(#[from] Garbled),
}

impl Folder {
    /// Returns the model of results in memory.
    pub fn of(results: &ResultSet) -> Self {
        let histogram = |run: &RunResult| (run.cell.run_id.clone(), run.delivery.latency.histogram().clone());
        Self {
            plan: PlanText::of(&results.plan),
            manifest: manifest_of(results),
            rows: results.rows(),
            histograms: results.runs.iter().map(histogram).collect(),
        }
    }

    /// Reads the model from a folder's files; unknown files are ignored.
    pub fn read(files: &[File]) -> Result<Self, FolderError> {
        let manifest = manifest(files)?;
        let plan = PlanText::read(files)?;
        let mut rows = Rows {
            runs: runs(files)?,
            percentiles: rows_of(files)?,
            theory: rows_of(files)?,
            checks: rows_of(files)?,
            series: rows_of(files)?,
        };
        check_quantiles(&rows.percentiles)?;
        let known = |run_id: &str| rows.runs.iter().any(|run| run.run_id == run_id);
        rows.percentiles.retain(|row| known(&row.run_id));
        rows.theory.retain(|row| known(&row.run_id));
        // A threshold that no run matches names no run.
        rows.checks.retain(|row| row.run_id.is_empty() || known(&row.run_id));
        rows.series.retain(|row| known(&row.run_id));
        let histograms = histograms(files, &rows)?;
        Ok(Self { plan, manifest, rows, histograms })
    }

    /// Returns the run with this `run_id`.
    pub(super) fn run(&self, run_id: &str) -> Option<&RunRow> {
        self.rows.runs.iter().find(|run| run.run_id == run_id)
    }
}

/// Returns the files that cover all runs, in the order of writing.
pub(super) fn files_of(results: &ResultSet) -> Vec<File> {
    let (plan, manifest, rows) = (PlanText::of(&results.plan), manifest_of(results), results.rows());
    let package = datapackage::file(&plan.question, &manifest, &rows, &[]);
    let Rows { runs, percentiles, theory, checks, series } = &rows;
    vec![
        File::new(PLAN, plan.toml),
        File::new(MANIFEST, manifest.to_json()),
        package,
        file(percentiles),
        file(theory),
        file(checks),
        file(series),
        file(runs),
    ]
}

fn file<R: Row>(rows: &[R]) -> File {
    File::new(R::FILE, rows::write(rows))
}

fn manifest_of(results: &ResultSet) -> Manifest {
    let mut manifest = results.manifest.clone();
    manifest.note_what_was_not_measured(&results.runs);
    manifest
}

impl PlanText {
    /// Returns the texts of a plan in memory.
    fn of(plan: &Plan) -> Self {
        let arms = plan.arms.iter().map(|arm| (Some(arm.name.clone()), arm.factors.network.clone()));
        Self {
            networks: std::iter::once((None, plan.base.network.clone())).chain(arms).collect(),
            name: plan.name.clone(),
            question: plan.question.clone(),
            prediction: plan.prediction.clone().filter(|text| !text.trim().is_empty()),
            size: plan.size,
            weight: plan.weight(),
            toml: plan.to_toml(),
        }
    }

    /// Reads `plan.toml` among a folder's files.
    pub(super) fn read(files: &[File]) -> Result<Self, FolderError> {
        let toml = text(files, PLAN)?;
        let plan: toml::Table =
            toml.parse().map_err(|error: toml::de::Error| Garbled::new(PLAN, error.message()))?;
        let told = |key: &str| match plan.get(key) {
            Some(toml::Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Garbled::new(PLAN, format!("{key:?} is not a text"))),
            None => Ok(None),
        };
        let needed =
            |key: &str| told(key)?.ok_or_else(|| Garbled::new(PLAN, format!("there is no text {key:?}")));
        Ok(Self {
            name: needed("name")?,
            question: needed("question")?,
            prediction: told("prediction")?.filter(|text| !text.trim().is_empty()),
            size: size(told("size")?.as_deref())?,
            weight: weight(plan.get("repetitions"))?,
            toml: toml.to_owned(),
            networks: Plan::networks(PLAN, toml).map_err(|error| Garbled::new(PLAN, error))?,
        })
    }

    /// Returns the network of an arm. Where several servers are measured, the arm of a run ends with that of the plan.
    pub(super) fn network(&self, arm: &str) -> Option<&Network> {
        let is_of =
            |name: &str| arm == name || arm.strip_suffix(name).is_some_and(|head| head.ends_with('-'));
        let fits = |name: &Option<String>| name.as_deref().is_none_or(is_of);
        let fitting = self.networks.iter().filter(|(name, _)| fits(name));
        // The plan's own has no name, so any arm that fits comes before it.
        fitting.max_by_key(|(name, _)| name.as_ref().map_or(0, String::len)).map(|(_, network)| network)
    }
}

/// Returns the size of a plan. A plan that names no size was run in full.
fn size(name: Option<&str>) -> Result<Size, Garbled> {
    let Some(name) = name else { return Ok(Size::Full) };
    let found = [Size::Smoke, Size::Full].into_iter().find(|size| size.name() == name);
    found.ok_or_else(|| Garbled::new(PLAN, format!("size {name:?} is neither smoke nor full")))
}

/// Returns what a plan with these repetitions may claim. A plan that names none was run once.
fn weight(repetitions: Option<&toml::Value>) -> Result<Weight, Garbled> {
    let repetitions = match repetitions {
        None => Some(1),
        Some(value) => value.as_integer().and_then(|number| u64::try_from(number).ok()),
    };
    let found = repetitions.map(Weight::of);
    found.ok_or_else(|| Garbled::new(PLAN, "repetitions is not a number of blocks"))
}

fn bytes<'a>(files: &'a [File], path: &str) -> Option<&'a [u8]> {
    files.iter().find(|file| file.path == path).map(|file| file.bytes.as_slice())
}

pub(super) fn text<'a>(files: &'a [File], path: &str) -> Result<&'a str, FolderError> {
    let bytes = bytes(files, path).ok_or_else(|| FolderError::Missing { file: path.to_owned() })?;
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Garbled::new(path, format!("it is not UTF-8 at byte {}", error.valid_up_to())))?;
    Ok(text)
}

/// Reads `manifest.json`. Read it first: in a folder of another version nothing else means what it seems to.
pub(super) fn manifest(files: &[File]) -> Result<Manifest, FolderError> {
    let json = text(files, MANIFEST)?;
    let garbled = |error: serde_json::Error| Garbled::new(MANIFEST, error);
    let value: serde_json::Value = serde_json::from_str(json).map_err(garbled)?;
    if !value.is_object() {
        return Err(Garbled::new(MANIFEST, "it is not a JSON object").into());
    }
    let version = value.get("schema_version").map_or_else(|| "(none)".to_owned(), ToString::to_string);
    schema(MANIFEST, version)?;
    Ok(serde_json::from_value(value).map_err(garbled)?)
}

fn schema(file: &'static str, found: String) -> Result<(), FolderError> {
    if found == SCHEMA_VERSION.to_string() {
        Ok(())
    } else {
        Err(FolderError::Schema { file, found: found.chars().take(40).collect() })
    }
}

fn rows_of<R: Row>(files: &[File]) -> Result<Vec<R>, FolderError> {
    Ok(rows::read(text(files, R::FILE)?)?)
}

/// Reads `runs.csv` and refuses a `run_id` that appears twice.
pub(super) fn runs(files: &[File]) -> Result<Vec<RunRow>, FolderError> {
    let runs: Vec<RunRow> = rows_of(files)?;
    for (place, run) in runs.iter().enumerate() {
        schema(RunRow::FILE, run.schema_version.to_string())?;
        if runs[..place].iter().any(|other| other.run_id == run.run_id) {
            let what = format!("row {}: run_id {:?} appears twice", place + 1, run.run_id);
            return Err(Garbled::new(RunRow::FILE, what).into());
        }
    }
    Ok(runs)
}

fn check_quantiles(rows: &[PercentileRow]) -> Result<(), Garbled> {
    match rows.iter().position(|row| !(0.0..=1.0).contains(&row.quantile)) {
        None => Ok(()),
        Some(place) => {
            let what = format!("row {}: quantile is not between 0 and 1", place + 1);
            Err(Garbled::new(PercentileRow::FILE, what))
        }
    }
}

fn histograms(files: &[File], rows: &Rows) -> Result<BTreeMap<String, Histogram<u64>>, FolderError> {
    let path = |run: &RunRow| hdr_log::path(&run.run_id, METRIC);
    let mut histograms = BTreeMap::new();
    if rows.runs.iter().all(|run| bytes(files, &path(run)).is_none()) {
        return Ok(histograms);
    }
    let samples: HashMap<&str, u64> = rows
        .percentiles
        .iter()
        .filter(|row| row.metric == METRIC)
        .map(|row| (row.run_id.as_str(), row.samples_count))
        .collect();
    for run in &rows.runs {
        let file = path(run);
        let Some(log) = bytes(files, &file) else { return Err(FolderError::MissingHistogram { file }) };
        let histogram = hdr_log::decode(log).map_err(|what| Garbled::new(&file, what))?;
        let counted = samples.get(run.run_id.as_str()).copied();
        if counted != Some(histogram.len()) {
            let counted = counted.map_or("none".to_owned(), |count| count.to_string());
            let what = format!("it holds {} samples, but percentiles.csv counts {counted}", histogram.len());
            return Err(Garbled::new(&file, what).into());
        }
        histograms.insert(run.run_id.clone(), histogram);
    }
    Ok(histograms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::figures::Figure;
    use crate::report::render;
    use crate::report::synthetic::{self, MadeUp};
    use wirelab_clients::harness::example;

    /// Damage to the text of a file.
    type Damage = fn(String) -> String;

    fn files() -> Vec<File> {
        render(&example::result_set()).unwrap()
    }

    /// Reads the example's files, one of them changed.
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
        assert_eq!((folder.plan.name.as_str(), folder.histograms.len()), ("ad-hoc", 2));
        let run = &folder.rows.runs[0];
        assert_eq!((run.run_id.as_str(), run.requests_count, run.lost_count), ("short-poll-1", 200, 0));
        let figure = |figure: Figure| figure.of(run).map(|value| (value * 1e3).round() / 1e3);
        assert_eq!((figure(Figure::L7Bytes), figure(Figure::LatencyP50)), (Some(230.0), Some(101.055)));
        assert_eq!(folder.histograms["short-poll-1"].len(), 1_000);
    }

    #[test]
    fn columns_members_and_files_that_nobody_knows_are_passed_over() {
        let wider = with("runs.csv", |csv| {
            let mut lines = csv.lines();
            let header = format!("new_count,{}\n", lines.next().unwrap());
            header + &lines.map(|line| format!("7,{line}\n")).collect::<String>()
        });
        assert_eq!(wider.unwrap().rows.runs[1].run_id, "sse-1");
        with("manifest.json", |json| json.replacen('{', "{\"later\": [1],", 1)).unwrap();
        with("plan.toml", |toml| format!("later = 1\n{toml}")).unwrap();
        let mut files = files();
        files.push(File::new("later.csv", "run_id\n"));
        Folder::read(&files).unwrap();
    }

    #[test]
    fn a_folder_of_another_version_is_refused_and_says_what_can_read_it() {
        for path in ["manifest.json", "runs.csv"] {
            let (from, to) = match path {
                "manifest.json" => ("\"schema_version\": 4", "\"schema_version\": 1"),
                _ => ("\n4,ad-hoc", "\n1,ad-hoc"),
            };
            let error = with(path, |text| text.replace(from, to)).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "{path}: schema_version 1 is not known, this wirelab reads 4; use the wirelab that wrote the folder"
                )
            );
        }
    }

    #[test]
    fn a_folder_without_its_histograms_is_read() {
        assert!(without("hdr/").unwrap().histograms.is_empty());
    }

    #[test]
    fn what_is_missing_is_named_with_the_remedy() {
        for path in SOURCES {
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
        let rows: [(&str, Damage, &str); 15] = [
            ("plan.toml", |text| text.replace("\"full\"", "\"tiny\""), "neither smoke nor full"),
            ("plan.toml", |_| "name = ".into(), "plan.toml: "),
            ("plan.toml", |_| "name = 3\n".into(), "\"name\" is not a text"),
            ("manifest.json", |text| text[1..].into(), "manifest.json: "),
            ("manifest.json", |_| "[]".into(), "it is not a JSON object"),
            ("manifest.json", |text| text.replace(": 4,", ": 5,"), "schema_version 5 is not known"),
            ("manifest.json", |_| "{}".into(), "schema_version (none) is not known"),
            ("runs.csv", |text| text.replace("lost_count", "gone_count"), "column lost_count is missing"),
            ("runs.csv", |text| text.replace("\n4,", "\n9,"), "runs.csv: schema_version 9 is not known"),
            ("runs.csv", |text| text.replace("sse-1", "short-poll-1"), "\"short-poll-1\" appears twice"),
            ("runs.csv", |text| text.replace("500,500,1000", "500,many,1000"), "distinct_lines_count"),
            ("percentiles.csv", |_| String::new(), "its last line has no end"),
            ("percentiles.csv", |_| "\n".into(), "column run_id is missing"),
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
    fn rows_are_read_strictly() {
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
            let mut files = synthetic::files(&[MadeUp::of("sse", 0.5, 2)], 1);
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
        let files = synthetic::files(&[MadeUp::of("sse", 0.5, 2)], 1);
        let mut cut = files.clone();
        let runs = cut.iter_mut().find(|file| file.path == "runs.csv").unwrap();
        let csv = String::from_utf8(runs.bytes.clone()).unwrap();
        runs.bytes = csv.lines().take(2).map(|line| format!("{line}\n")).collect::<String>().into_bytes();
        let (whole, cut) = (Folder::read(&files).unwrap(), Folder::read(&cut).unwrap());
        let rows = |folder: &Folder| {
            let Rows { runs, percentiles, theory, checks, series } = &folder.rows;
            [runs.len(), percentiles.len(), theory.len(), checks.len(), series.len()]
        };
        assert_eq!(rows(&whole), rows(&cut).map(|count| 2 * count));
    }

    #[test]
    fn bytes_of_every_layer_are_told_per_line() {
        let folder = synthetic::folder(&[MadeUp::of("sse", 0.5, 1)], 1);
        let layers = [Figure::AppBytes, Figure::L7Bytes, Figure::IpBytes, Figure::WireBytes];
        let told = layers.map(|figure| figure.of(&folder.rows.runs[0]).unwrap().round());
        assert_eq!(told, [68.0, 160.0, 224.0, 240.0]);
    }

    #[test]
    fn histograms_of_another_run_are_refused() {
        let mut files = files();
        let sse = files.iter().position(|file| file.path == "hdr/sse-1.delivery_latency.hlog").unwrap();
        let other = files.iter().position(|file| file.path == "hdr/sse-1.append.hlog").unwrap();
        files[sse].bytes = files[other].bytes.clone();
        let error = Folder::read(&files).unwrap_err().to_string();
        assert!(error.contains("it holds 500 samples, but percentiles.csv counts 1000"), "{error}");
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
