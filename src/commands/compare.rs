//! `wirelab compare`: prints what changed between two results folders, beyond the noise.

use std::path::Path;

use super::{Exit, Failure, remark, results_folder, say};
use crate::commands::cli::{CompareArguments, CompareFormat};
use crate::report::changes::{Changes, Format};
use crate::report::{self, File};

/// Prints what changed. The exit code says whether a figure got worse by more than is tolerated.
pub fn run(arguments: &CompareArguments) -> Result<Exit, Failure> {
    let (a, b) = (files(&arguments.run_a)?, files(&arguments.run_b)?);
    let (name_a, name_b) = (arguments.run_a.display().to_string(), arguments.run_b.display().to_string());
    let changes = Changes::between((&name_a, &a), (&name_b, &b)).map_err(Failure::usage)?;
    let format = match arguments.format {
        CompareFormat::Md => Format::Markdown,
        CompareFormat::Csv => Format::Csv,
        CompareFormat::Json => Format::Json,
    };
    say(&changes.render(format))?;
    let not_compared = changes.not_compared();
    not_compared.iter().for_each(|group| remark(&format!("not compared: {group}")));
    changes.incomplete().iter().for_each(|folder| remark(folder));
    let Some(tolerated) = arguments.fail_above else { return Ok(Exit::Ok) };
    let unclaimed = changes.unclaimed_count();
    if unclaimed > 0 {
        remark(&format!(
            "{unclaimed} figures have too few runs for a claim, are missing in a run or on one side, or are one number \
             for many runs: --fail-above looks at the others"
        ));
    }
    if !not_compared.is_empty() {
        let count = not_compared.len();
        remark(&format!(
            "{count} of the transports and arms could not be compared, so --fail-above fails; measure them again"
        ));
    }
    let regressions = changes.regressions(tolerated);
    regressions.iter().for_each(|regression| remark(&format!("worse than tolerated: {regression}")));
    Ok(if regressions.is_empty() && not_compared.is_empty() { Exit::Ok } else { Exit::Delivery })
}

fn files(folder: &Path) -> Result<Vec<File>, Failure> {
    results_folder::read(folder, &[report::HDR_FOLDER], report::is_source).map_err(|error| {
        Failure::usage(format!("{error}; name a folder that `wirelab run` wrote, such as results/sample"))
    })
}
