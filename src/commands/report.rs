//! `wirelab report`: makes report.html again, from the files of a results folder alone.

use super::{Exit, Failure, results_folder, say};
use crate::cli::Report;
use crate::report;

/// Writes the page into the folder and says where it is.
pub fn run(arguments: &Report) -> Result<Exit, Failure> {
    let folder = &arguments.folder;
    let files = results_folder::read(folder, &[report::HDR_FOLDER], report::is_source).map_err(|error| {
        Failure::usage(format!("{error}; name a folder that `wirelab run` wrote, such as results/sample"))
    })?;
    let page =
        report::page(&files).map_err(|error| Failure::usage(format!("{}: {error}", folder.display())))?;
    let path = folder.join(&page.path);
    results_folder::write(folder, &[page])
        .map_err(|error| Failure::environment(format!("{error}; make the folder writable, or copy it")))?;
    say(&format!("{}\n", path.display()))?;
    Ok(Exit::Ok)
}
