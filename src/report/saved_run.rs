//! `runs/<run_id>.json`: everything that a run measured, as the harness keeps it. `run --resume` continues from these
//! files.
//!
//! They are for wirelab itself; the CSV files are for readers of results. Their shape may change with each version,
//! so only the version that wrote a file reads it.

use wirelab_clients::harness::cell::Cell;
use wirelab_clients::harness::run_result::RunResult;

use super::{File, ReportError};

/// Name of the folder of saved runs, below the results folder.
pub const FOLDER: &str = "runs";

/// Returns the path of a saved run, below the results folder.
pub(super) fn path(run_id: &str) -> String {
    format!("{FOLDER}/{run_id}.json")
}

/// Returns the saved form of a run.
pub(super) fn file(run: &RunResult) -> Result<File, ReportError> {
    let path = path(&run.cell.run_id);
    match serde_json::to_vec(run) {
        Ok(mut bytes) => {
            bytes.push(b'\n');
            Ok(File::new(path, bytes))
        }
        Err(error) => Err(ReportError::Histogram { path, reason: error.to_string() }),
    }
}

/// Returns the run of a cell from the saved files; `None` if it was not saved.
pub fn restore(cell: &Cell, saved: &[File]) -> Option<Result<RunResult, ReportError>> {
    let path = path(&cell.run_id);
    let file = saved.iter().find(|file| file.path == path)?;
    let run = serde_json::from_slice(&file.bytes).map_err(|error| ReportError::Saved { path, error });
    Some(run.map(|run: RunResult| RunResult { cell: cell.clone(), ..run }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wirelab_clients::harness::example;

    #[test]
    fn a_saved_run_is_the_run() {
        let results = example::result_set();
        for run in &results.runs {
            let files = vec![file(run).unwrap()];
            let restored = restore(&run.cell, &files).unwrap().unwrap();
            assert_eq!(
                crate::report::files_of_run(&restored).unwrap(),
                crate::report::files_of_run(run).unwrap()
            );
            assert_eq!(restored.delivery.distinct_lines_count(), run.delivery.distinct_lines_count());
            assert_eq!(restored.delivery, run.delivery);
        }
        let runs: Vec<RunResult> = results.runs.clone();
        let files: Vec<File> = runs.iter().map(|run| file(run).unwrap()).collect();
        let restored: Vec<RunResult> =
            runs.iter().map(|run| restore(&run.cell, &files).unwrap().unwrap()).collect();
        assert_eq!(restored, runs);
    }

    #[test]
    fn half_a_file_is_refused_by_its_name() {
        let run = example::result_set().runs.remove(0);
        let mut files = vec![file(&run).unwrap()];
        files[0].bytes.truncate(100);
        let said = restore(&run.cell, &files).unwrap().unwrap_err().to_string();
        assert!(said.starts_with("runs/short-poll-1.json: "), "{said}");
        files.clear();
        assert!(restore(&run.cell, &files).is_none());
    }
}
