//! `wirelab reproduce`: measures figures that others printed, and says what became of them.
//!
//! Runs the plan of the reproduction like `run`, or reads an existing folder. The verdict is made from the files of the
//! folder alone.

use std::path::Path;

use wirelab_clients::harness::plan::Size;
use wirelab_clients::harness::plan_files;

use super::{Exit, Failure, closing, remark, results_folder, run, say};
use crate::commands::cli::ReproduceArguments;
use crate::report;
use crate::report::reproductions::{Reproduced, Reproduction};

/// Prints the table and the verdict and writes them into the folder, or lists the reproductions. The exit code is that of
/// the runs.
pub async fn run(arguments: ReproduceArguments) -> Result<Exit, Failure> {
    let named = arguments.name.as_deref().map(Reproduction::named).transpose().map_err(Failure::usage)?;
    if let Some(folder) = &arguments.from {
        let reproduced = judge(folder, named)?;
        let exit = reproduced.ending().into();
        tell(&reproduced, folder, exit)?;
        return Ok(exit);
    }
    let Some(reproduction) = named else { return list(&arguments.data) };
    let plan = plan_files::find(reproduction.name, arguments.size.into(), &arguments.data);
    let plan = plan.map_err(Failure::usage)?;
    let (folder, exit) = run::measure_plan(plan, &arguments.data, &arguments.results).await?;
    if exit == Exit::Interrupted {
        remark(&format!("then judge the runs with `wirelab reproduce --from {}`", folder.display()));
        closing::tell(&folder, exit)?;
        return Ok(exit);
    }
    tell(&judge(&folder, Some(reproduction))?, &folder, exit)?;
    Ok(exit)
}

/// Prints each reproduction with its question and its source.
fn list(data: &Path) -> Result<Exit, Failure> {
    for reproduction in Reproduction::ALL {
        let plan = plan_files::find(reproduction.name, Size::Full, data).map_err(Failure::usage)?;
        let (name, source) = (reproduction.name, reproduction.source.cited());
        say(&format!("{name}\n  {}\n  {source}\n", plan.question))?;
    }
    say(
        "`wirelab reproduce NAME` makes the runs and gives a verdict, `wirelab plans NAME` prints the plan.\n",
    )?;
    Ok(Exit::Ok)
}

/// Judges a folder, which must be of the reproduction that was named, if one was.
fn judge(folder: &Path, named: Option<&Reproduction>) -> Result<Reproduced, Failure> {
    let files = results_folder::read(folder, &[report::HDR_FOLDER], report::is_source)
        .map_err(|error| Failure::usage(format!("{error}; name a folder that `wirelab reproduce` wrote")))?;
    let in_folder = |what: &dyn std::fmt::Display| Failure::usage(format!("{}: {what}", folder.display()));
    let reproduced = Reproduced::judge(&files).map_err(|error| in_folder(&error))?;
    let found = reproduced.reproduction().name;
    match named {
        Some(named) if named.name != found => Err(in_folder(&format!(
            "the folder holds runs of {found}, not of {}; leave the name out, or name another folder",
            named.name
        ))),
        Some(_) | None => Ok(reproduced),
    }
}

fn tell(reproduced: &Reproduced, folder: &Path, exit: Exit) -> Result<(), Failure> {
    results_folder::add(folder, &reproduced.files())?;
    say(&format!("{}\n", reproduced.render()))?;
    closing::tell(folder, exit)
}
