//! `wirelab claims`: tests common claims about polling, SSE and WebSocket by measurement.
//!
//! Runs the plan `claims` like `run`, or reads an existing folder. The claims are judged by the files of the folder
//! alone.

use std::path::Path;

use wirelab_clients::harness::two_way;
use wirelab_clients::os;

use super::{Exit, Failure, closing, remark, results_folder, run, say};
use crate::commands::cli;
use crate::report;
use crate::report::claims::{self, Claims, PLAN};
use wirelab_clients::harness::plan_files;

/// Prints the table of claims and writes it into the folder. The exit code is that of the runs.
pub async fn run(arguments: cli::ClaimsArguments) -> Result<Exit, Failure> {
    if let Some(folder) = &arguments.from {
        let claims = judge(folder)?;
        let exit = claims.ending().into();
        tell(&claims, folder, exit)?;
        return Ok(exit);
    }
    let plan = plan_files::find(PLAN, arguments.size.into(), &arguments.data).map_err(Failure::usage)?;
    let program = os::own_program().map_err(Failure::environment)?;
    let both_ways = two_way::find_out(program).await.map_err(Failure::environment)?;
    let (folder, exit) = run::measure_plan(plan, &arguments.data, &arguments.results).await?;
    results_folder::add(&folder, &[claims::two_way_file(&both_ways)])?;
    if exit == Exit::Interrupted {
        remark(&format!("then judge the claims with `wirelab claims --from {}`", folder.display()));
        closing::tell(&folder, exit)?;
        return Ok(exit);
    }
    tell(&judge(&folder)?, &folder, exit)?;
    Ok(exit)
}

fn judge(folder: &Path) -> Result<Claims, Failure> {
    let files = results_folder::read(folder, &[report::HDR_FOLDER], claims::is_judged_by)
        .map_err(|error| Failure::usage(format!("{error}; name a folder that `wirelab claims` wrote")))?;
    Claims::judge(&files).map_err(|error| Failure::usage(format!("{}: {error}", folder.display())))
}

fn tell(claims: &Claims, folder: &Path, exit: Exit) -> Result<(), Failure> {
    results_folder::add(folder, &claims.files())?;
    say(&format!("{}\n", claims.render()))?;
    closing::tell(folder, exit)
}
