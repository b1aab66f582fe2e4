//! `datapackage.json`: the tables of a results folder for programs, as a Frictionless Data Package.
//!
//! It is made from the registry of columns that `results/README.md` is made from, so that names, types, units and
//! definitions are the same. Paths are relative to the folder. <https://specs.frictionlessdata.io/data-package/>

use serde::Serialize;
use wirelab_clients::harness::results::Manifest;
use wirelab_clients::harness::rows::{
    CLAIMS_COLUMNS, CheckRow, Column, Kind, PercentileRow, RECEIPT_COLUMNS, REPRODUCTION_COLUMNS, Row, Rows,
    RunRow, SeriesRow, TWO_WAY_COLUMNS, TheoryRow,
};

use super::{File, raw};

/// Name of the file.
pub(super) const FILE: &str = "datapackage.json";

/// Column that links the rows of a table to `runs.csv`.
const RUN: &str = "run_id";

/// Table of `wirelab claims` or `wirelab reproduce`, which no run writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JudgedTable {
    /// `two_way.csv`.
    TwoWay,
    /// `claims.csv`.
    Claims,
    /// `reproduction.csv`.
    Reproduction,
}

impl JudgedTable {
    /// Returns the tables that a folder has; `is_there` tells whether it has a file.
    pub fn of(is_there: impl Fn(&str) -> bool) -> Vec<Self> {
        [Self::TwoWay, Self::Claims, Self::Reproduction]
            .into_iter()
            .filter(|table| is_there(table.file()))
            .collect()
    }

    const fn file(self) -> &'static str {
        match self {
            Self::TwoWay => "two_way.csv",
            Self::Claims => "claims.csv",
            Self::Reproduction => "reproduction.csv",
        }
    }

    fn described(self) -> Resource {
        match self {
            Self::TwoWay => csv(
                self.file(),
                "One row per transport: whether a server answers on the connection that brings its lines.",
                TWO_WAY_COLUMNS,
            ),
            Self::Claims => csv(self.file(), "One row per claim.", CLAIMS_COLUMNS),
            Self::Reproduction => csv(
                self.file(),
                "One row per printed figure, beside what was measured, with the verdict.",
                REPRODUCTION_COLUMNS,
            ),
        }
    }
}

#[derive(Serialize)]
struct Package {
    profile: &'static str,
    name: String,
    title: String,
    description: &'static str,
    /// Start of the experiment.
    created: String,
    /// Version of the folder's files.
    schema_version: u32,
    resources: Vec<Resource>,
}

#[derive(Serialize)]
struct Resource {
    name: String,
    path: String,
    profile: &'static str,
    description: String,
    format: &'static str,
    mediatype: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    compression: Option<&'static str>,
    encoding: &'static str,
    schema: Schema,
}

#[derive(Serialize)]
struct Schema {
    fields: Vec<FieldOf>,
    #[serde(rename = "missingValues")]
    missing_values: [&'static str; 1],
    #[serde(rename = "primaryKey", skip_serializing_if = "Vec::is_empty")]
    primary_key: Vec<&'static str>,
    #[serde(rename = "foreignKeys", skip_serializing_if = "Vec::is_empty")]
    foreign_keys: Vec<ForeignKey>,
}

#[derive(Serialize)]
struct FieldOf {
    name: &'static str,
    r#type: &'static str,
    /// Not a property of the standard, which allows others.
    #[serde(skip_serializing_if = "str::is_empty")]
    unit: &'static str,
    description: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    constraints: Option<Constraints>,
}

#[derive(Serialize)]
struct Constraints {
    r#enum: &'static [&'static str],
}

#[derive(Serialize)]
struct ForeignKey {
    fields: &'static str,
    reference: Reference,
}

#[derive(Serialize)]
struct Reference {
    resource: &'static str,
    fields: &'static str,
}

const DESCRIPTION: &str = "Measured delivery of log lines over several transports. An empty cell was not measured or \
                           does not apply; it never means 0. Besides these tables the folder holds the plan \
                           (plan.toml), machine and build (manifest.json), every sample as HdrHistogram logs (hdr/) and \
                           the runs as wirelab continues them (runs/). `wirelab dictionary` explains every file.";

/// Returns the package of a folder with these rows, whose plan asks `question`.
pub(super) fn file(question: &str, manifest: &Manifest, rows: &Rows, judged: &[JudgedTable]) -> File {
    let mut resources = vec![
        table::<RunRow>("One row per run.", &[RUN]),
        table::<PercentileRow>("One row per run, distribution and quantile.", &[RUN, "metric", "quantile"]),
        table::<TheoryRow>("One row per run and prediction.", &[]),
        table::<CheckRow>("One row per run and gate, and per threshold of the plan.", &[]),
        table::<SeriesRow>("One row per run, series and instant.", &[]),
    ];
    resources.extend(judged.iter().map(|table| table.described()));
    let with_receipts = rows.runs.iter().filter(|run| run.raw_receipts_count.is_some());
    resources.extend(with_receipts.map(receipts));
    let package = Package {
        profile: "data-package",
        name: name_of(&manifest.plan),
        title: question.to_owned(),
        description: DESCRIPTION,
        created: manifest.started_utc.clone(),
        schema_version: manifest.schema_version,
        resources,
    };
    let mut json = serde_json::to_string_pretty(&package).expect("a package has no key that JSON refuses");
    json.push('\n');
    File::new(FILE, json)
}

/// Returns the table of a kind of rows. All but `runs.csv` refer to it.
fn table<R: Row>(description: &str, primary_key: &[&'static str]) -> Resource {
    let mut table = csv(R::FILE, description, R::COLUMNS);
    table.schema.primary_key = primary_key.to_vec();
    if R::FILE != RunRow::FILE {
        let reference = Reference { resource: stem(RunRow::FILE), fields: RUN };
        table.schema.foreign_keys = vec![ForeignKey { fields: RUN, reference }];
    }
    table
}

fn csv(file: &'static str, description: &str, columns: &'static [Column]) -> Resource {
    Resource {
        name: stem(file).to_owned(),
        path: file.to_owned(),
        profile: "tabular-data-resource",
        description: description.to_owned(),
        format: "csv",
        mediatype: "text/csv",
        compression: None,
        encoding: "utf-8",
        schema: schema(columns),
    }
}

fn receipts(run: &RunRow) -> Resource {
    let left_out = match run.raw_left_out_count {
        None | Some(0) => String::new(),
        Some(count) => format!(" {count} more are left out: the file had reached its bound."),
    };
    Resource {
        name: name_of(&format!("{}-{}", raw::FOLDER, run.run_id)),
        path: raw::path(&run.run_id),
        profile: "tabular-data-resource",
        description: format!("Every receipt of run {}.{left_out}", run.run_id),
        format: "ndjson",
        mediatype: "application/x-ndjson",
        compression: Some("gz"),
        encoding: "utf-8",
        schema: schema(RECEIPT_COLUMNS),
    }
}

fn schema(columns: &'static [Column]) -> Schema {
    let fields = columns.iter().map(|column| {
        let (r#type, constraints) = match column.kind {
            Kind::Text => ("string", None),
            Kind::Whole => ("integer", None),
            Kind::Number => ("number", None),
            Kind::Flag => ("boolean", None),
            Kind::OneOf(names) => ("string", Some(Constraints { r#enum: names })),
        };
        FieldOf { name: column.name, r#type, unit: column.unit, description: column.definition, constraints }
    });
    Schema {
        fields: fields.collect(),
        missing_values: [""],
        primary_key: Vec::new(),
        foreign_keys: Vec::new(),
    }
}

fn stem(file: &'static str) -> &'static str {
    file.strip_suffix(".csv").unwrap_or(file)
}

/// Returns a name as the standard allows it: small letters, digits, dots, dashes and underscores.
fn name_of(text: &str) -> String {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-_".contains(c);
    text.to_ascii_lowercase().chars().map(|c| if allowed(c) { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::report::synthetic::{self, MadeUp};

    fn package(folder: &crate::report::Folder) -> Value {
        serde_json::from_slice(&file(&folder.plan.question, &folder.manifest, &folder.rows, &[]).bytes)
            .unwrap()
    }

    #[test]
    fn every_column_is_a_field_with_the_type_that_its_cells_have() {
        let folder = synthetic::folder(&[MadeUp::of("sse", 0.5, 1)], 1);
        let package = package(&folder);
        let runs = &package["resources"][0];
        let fields = runs["schema"]["fields"].as_array().unwrap();
        let names: Vec<&str> = fields.iter().map(|field| field["name"].as_str().unwrap()).collect();
        let columns: Vec<&str> = RunRow::COLUMNS.iter().map(|column| column.name).collect();
        assert_eq!(names, columns);
        let run = &folder.rows.runs[0];
        for field in fields {
            let name = field["name"].as_str().unwrap();
            let cell = run.text(name).unwrap();
            let fits = match field["type"].as_str().unwrap() {
                "integer" => cell.is_empty() || cell.parse::<u64>().is_ok(),
                "number" => cell.is_empty() || cell.parse::<f64>().is_ok(),
                "boolean" => ["", "true", "false"].contains(&cell.as_str()),
                "string" => run.number(name).is_none(),
                other => panic!("{name}: {other}"),
            };
            assert!(fits, "{name}: {cell:?} is no {}", field["type"]);
        }
        let verdict = fields.iter().find(|field| field["name"] == "verdict").unwrap();
        assert_eq!(verdict["constraints"]["enum"], serde_json::json!(["ok", "unresolved", "invalid"]));
    }

    #[test]
    fn receipts_are_a_resource_of_each_run_that_kept_them() {
        let kept = MadeUp::of("sse", 0.5, 2).with("raw_receipts_count", 7).with("raw_left_out_count", 2);
        let folder = synthetic::folder(&[kept, MadeUp::of("ndjson", 0.5, 1)], 1);
        let package = package(&folder);
        let resources = package["resources"].as_array().unwrap();
        let raw: Vec<&Value> = resources.iter().filter(|resource| resource["format"] == "ndjson").collect();
        assert_eq!(raw.len(), 2);
        assert_eq!(raw[0]["path"], "raw/sse-1.ndjson.gz");
        assert!(raw[0]["description"].as_str().unwrap().contains("2 more are left out"), "{}", raw[0]);
    }

    #[test]
    fn a_name_is_one_that_the_standard_allows() {
        assert_eq!(name_of("My plan/Ä-1_x.2"), "my-plan---1_x.2");
    }
}
