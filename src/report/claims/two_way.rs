//! `two_way.csv`: whether a server answers on the connection that brings its lines. Written once, read by the judge.

use std::collections::BTreeMap;

use wirelab_clients::harness::rows::{CsvFile, TWO_WAY_COLUMNS, csv_text};
use wirelab_clients::harness::two_way::TwoWay;

use super::super::File;
use super::super::folder::{FolderError, text};

/// Name of the file. A folder without it was not tested.
pub(super) const FILE: &str = "two_way.csv";

/// Returns the file, one row per transport.
pub fn file(found: &[TwoWay]) -> File {
    let header = TWO_WAY_COLUMNS.iter().map(|column| column.name.to_owned()).collect();
    let row = |found: &TwoWay| {
        vec![found.transport.to_string(), found.sent_count.to_string(), found.answered_count.to_string()]
    };
    File::new(FILE, csv_text(std::iter::once(header).chain(found.iter().map(row))))
}

/// Reads the share of answered commands by transport, in percent.
pub(super) fn read(files: &[File]) -> Result<BTreeMap<String, f64>, FolderError> {
    let mut answered = BTreeMap::new();
    if files.iter().all(|file| file.path != FILE) {
        return Ok(answered);
    }
    let file = CsvFile::read(FILE, text(files, FILE)?)?;
    for record in file.records() {
        let (sent, answers): (u64, u64) = (record.field("sent_count")?, record.field("answered_count")?);
        if sent > 0 {
            answered.insert(record.field("transport")?, 100.0 * answers as f64 / sent as f64);
        }
    }
    Ok(answered)
}
