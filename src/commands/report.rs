//! `wirelab report`: makes the report again from the files of a results folder alone.

use super::{Exit, Failure, results_folder, say};
use crate::commands::cli::Report;
use crate::report::{self, Format};

/// Writes the page into the folder and prints its path; other formats go to the standard output.
pub fn run(arguments: &Report) -> Result<Exit, Failure> {
    let folder = &arguments.folder;
    let files = results_folder::read(folder, &[report::HDR_FOLDER], report::is_source).map_err(|error| {
        Failure::usage(format!("{error}; name a folder that `wirelab run` wrote, such as results/sample"))
    })?;
    let refused = |error| Failure::usage(format!("{}: {error}", folder.display()));
    match arguments.format {
        Format::Html => {
            let page = report::page(&files).map_err(refused)?;
            let path = folder.join(&page.path);
            results_folder::write(folder, &[page]).map_err(|error| {
                Failure::environment(format!("{error}; make the folder writable, or copy it"))
            })?;
            say(&format!("{}\n", path.display()))?;
        }
        Format::Csv | Format::Json | Format::Md => {
            let bytes = report::report(&files, arguments.format).map_err(refused)?;
            say(&String::from_utf8_lossy(&bytes))?;
        }
    }
    Ok(Exit::Ok)
}
