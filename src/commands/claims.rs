//! `wirelab claims`: what people say about polling, SSE and WebSocket, beside what was measured.
//!
//! Runs the plan `claims` as `run` would, or takes a folder that is there; the judging sees the folder's files alone.

use std::path::Path;

use super::{Exit, Failure, plans, remark, results_folder, run, say};
use crate::cli;
use crate::report;
use crate::report::claims::{Claims, PLAN};

/// Prints the table and writes it into the folder. The exit code is that of the runs.
pub async fn run(arguments: cli::Claims) -> Result<Exit, Failure> {
    if let Some(folder) = &arguments.from {
        let claims = judge(folder)?;
        tell(&claims, folder)?;
        return Ok(exit_code(&claims));
    }
    let plan = plans::find(PLAN, arguments.size.into(), &arguments.data)?;
    let (folder, exit) = run::measure_plan(plan, &arguments.data, &arguments.results).await?;
    if exit == Exit::Interrupted {
        remark(&format!("then judge it with `wirelab claims --from {}`", folder.display()));
        return Ok(exit);
    }
    tell(&judge(&folder)?, &folder)?;
    Ok(exit)
}

fn judge(folder: &Path) -> Result<Claims, Failure> {
    let files = results_folder::read(folder, &[report::HDR_FOLDER], report::is_source)
        .map_err(|error| Failure::usage(format!("{error}; name a folder that `wirelab claims` wrote")))?;
    Claims::judge(&files).map_err(|error| Failure::usage(format!("{}: {error}", folder.display())))
}

fn tell(claims: &Claims, folder: &Path) -> Result<(), Failure> {
    let files = claims.files().map_err(Failure::environment)?;
    results_folder::write(folder, &files)
        .map_err(|error| Failure::environment(format!("{error}; make the folder writable, or copy it")))?;
    say(&format!("{}\nfiles: {}\n", claims.render(), folder.display())).map(|_| ())
}

/// As those runs would end: of a folder there are only its rows.
fn exit_code(claims: &Claims) -> Exit {
    if !claims.invalid_runs().is_empty() {
        Exit::Invalid
    } else if !claims.defective_runs().is_empty() {
        Exit::Delivery
    } else {
        Exit::Ok
    }
}
