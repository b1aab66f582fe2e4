//! Links of the page to the files of each run: its histograms, its saved form and its receipts.
//!
//! They follow from the rows alone, since `wirelab report` makes the page without looking at those files.

use wirelab_clients::harness::rows::RunRow;

use super::folder::Folder;
use super::{hdr_log, raw, saved_run};

/// Most runs that are listed: a plan of 200 runs has 2,000 links. The files of the others are named in the same way.
pub(super) const LISTED_MAX: usize = 200;

/// Files of one run.
#[derive(Debug)]
pub(super) struct RunFiles<'a> {
    pub(super) run_id: &'a str,
    /// Path below the results folder, and the text of the link.
    pub(super) links: Vec<(String, String)>,
}

/// Returns the files of each run, of the first [`LISTED_MAX`] runs.
pub(super) fn run_files(folder: &Folder) -> Vec<RunFiles<'_>> {
    folder.rows.runs.iter().take(LISTED_MAX).map(|run| of(folder, run)).collect()
}

fn of<'a>(folder: &'a Folder, run: &'a RunRow) -> RunFiles<'a> {
    let run_id = run.run_id.as_str();
    let mut metrics: Vec<&str> = Vec::new();
    for row in folder.rows.percentiles.iter().filter(|row| row.run_id == run_id) {
        if !metrics.contains(&row.metric.as_str()) {
            metrics.push(&row.metric);
        }
    }
    // A folder may have lost its histograms; then it has none at all.
    let has_logs = !folder.histograms.is_empty();
    let logs = metrics.into_iter().filter(|_| has_logs);
    let mut links: Vec<_> =
        logs.map(|metric| (hdr_log::path(run_id, metric), metric.replace('_', " "))).collect();
    if run.raw_receipts_count.is_some() {
        links.push((raw::path(run_id), "every receipt".to_owned()));
    }
    links.push((saved_run::path(run_id), "the run as saved".to_owned()));
    RunFiles { run_id, links }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::synthetic::{self, MadeUp};
    use crate::report::{File, files_of_run};
    use wirelab_clients::harness::example;

    #[test]
    fn the_links_are_the_files_that_a_run_writes() {
        let results = example::result_set();
        let folder = Folder::of(&results);
        for (listed, run) in run_files(&folder).iter().zip(&results.runs) {
            let written: Vec<String> =
                files_of_run(run).unwrap().into_iter().map(|File { path, .. }| path).collect();
            let linked: Vec<String> = listed.links.iter().map(|(path, _)| path.clone()).collect();
            assert_eq!((listed.run_id, linked), (run.cell.run_id.as_str(), written));
        }
    }

    #[test]
    fn receipts_are_linked_where_they_were_kept() {
        let kept = MadeUp::of("sse", 0.5, 1).with("raw_receipts_count", 7);
        let folder = synthetic::folder(&[kept, MadeUp::of("ndjson", 0.5, 1)], 1);
        let linked: Vec<String> =
            run_files(&folder).into_iter().flat_map(|of| of.links).map(|(path, _)| path).collect();
        let raw: Vec<&String> = linked.iter().filter(|path| path.starts_with("raw/")).collect();
        assert_eq!(raw, ["raw/sse-1.ndjson.gz"]);
    }

    #[test]
    fn the_list_is_bounded() {
        let folder = synthetic::folder(&[MadeUp::of("sse", 0.5, LISTED_MAX + 3)], 1);
        assert_eq!(run_files(&folder).len(), LISTED_MAX);
    }
}
