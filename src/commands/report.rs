//! `wirelab report`: makes the report again from the files of a results folder alone.

use super::{Exit, Failure, results_folder, say};
use crate::commands::cli::{ReportArguments, ReportFormat};
use crate::report::{self, File, Folder, JudgedTable, TextFormat};

/// Writes files into the folder and prints their paths; formats that are one text go to stdout.
pub fn run(arguments: &ReportArguments) -> Result<Exit, Failure> {
    let text = |format| {
        let bytes =
            report::report(&folder(arguments)?, format).map_err(|error| refused(arguments, &error))?;
        say(&String::from_utf8_lossy(&bytes)).map(|_| ())
    };
    match arguments.format {
        ReportFormat::Html => {
            let page = report::page(&folder(arguments)?).map_err(|error| refused(arguments, &error))?;
            write(arguments, &[page])
        }
        ReportFormat::Hgrm => {
            let logs = files(arguments, report::is_log)?;
            let texts = report::hgrm_files(&logs).map_err(|error| refused(arguments, &error))?;
            if texts.is_empty() {
                let what = "there is no interval log in hdr/; name a folder that `wirelab run` wrote";
                return Err(refused(arguments, &what));
            }
            write(arguments, &texts)
        }
        ReportFormat::Svg => {
            let drawings =
                report::svg_files(&folder(arguments)?).map_err(|error| refused(arguments, &error))?;
            if drawings.is_empty() {
                return Err(refused(arguments, &"there is nothing to draw: no run has ended"));
            }
            write(arguments, &drawings)
        }
        ReportFormat::Datapackage => {
            let judged = JudgedTable::of(|file| arguments.folder.join(file).is_file());
            write(arguments, &[report::datapackage(&folder(arguments)?, &judged)])
        }
        ReportFormat::Summary => text(TextFormat::Summary),
        ReportFormat::Junit => text(TextFormat::Junit),
        ReportFormat::Benchmark => text(TextFormat::Benchmark),
        ReportFormat::Csv => text(TextFormat::Csv),
        ReportFormat::Json => text(TextFormat::Json),
        ReportFormat::Md => text(TextFormat::Md),
    }?;
    Ok(Exit::Ok)
}

fn refused(arguments: &ReportArguments, what: &dyn std::fmt::Display) -> Failure {
    Failure::usage(format!("{}: {what}", arguments.folder.display()))
}

fn files(arguments: &ReportArguments, wanted: fn(&str) -> bool) -> Result<Vec<File>, Failure> {
    results_folder::read(&arguments.folder, &[report::HDR_FOLDER], wanted).map_err(|error| {
        Failure::usage(format!("{error}; name a folder that `wirelab run` wrote, such as results/sample"))
    })
}

fn folder(arguments: &ReportArguments) -> Result<Folder, Failure> {
    let files = files(arguments, report::is_source)?;
    Folder::read(&files).map_err(|error| refused(arguments, &error))
}

/// Writes the files and prints their paths, one per line.
fn write(arguments: &ReportArguments, files: &[File]) -> Result<(), Failure> {
    results_folder::add(&arguments.folder, files)?;
    let paths = files.iter().map(|file| format!("{}\n", arguments.folder.join(&file.path).display()));
    say(&paths.collect::<String>()).map(|_| ())
}
