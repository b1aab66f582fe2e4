//! `two_way.csv`: whether a server answers on the connection that brings its lines; written once, read by the judge.

use std::collections::BTreeMap;

use wirelab_clients::harness::metrics::TWO_WAY_COLUMNS;
use wirelab_clients::harness::two_way::TwoWay;

use super::super::csv_file::CsvFile;
use super::super::folder::{FolderError, text};
use super::super::{File, ReportError, csv_of};

/// Its name. A folder without it was not asked.
pub(super) const FILE: &str = "two_way.csv";

/// The file, one row per transport.
pub fn file(found: &[TwoWay]) -> Result<Vec<File>, ReportError> {
    let header = TWO_WAY_COLUMNS.iter().map(|column| column.name.to_owned()).collect();
    let row = |found: &TwoWay| {
        vec![found.transport.to_string(), found.sent_count.to_string(), found.answered_count.to_string()]
    };
    csv_of(FILE, std::iter::once(header).chain(found.iter().map(row)))
}

/// Answered commands by transport, in percent.
pub(super) fn read(files: &[File]) -> Result<BTreeMap<String, f64>, FolderError> {
    let mut answered = BTreeMap::new();
    if files.iter().all(|file| file.path != FILE) {
        return Ok(answered);
    }
    let table = CsvFile::read(FILE, text(files, FILE)?, &["transport", "sent_count", "answered_count"])?;
    for row in table.rows() {
        if let Some((sent, answers)) = row.count("sent_count")?.zip(row.count("answered_count")?)
            && sent > 0
        {
            answered.insert(row.text("transport")?.to_owned(), 100.0 * answers as f64 / sent as f64);
        }
    }
    Ok(answered)
}
