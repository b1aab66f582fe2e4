//! `wirelab run`: a plan, or flags, become runs; the runs become a table and files.
//!
//! Everything is written again after each run, so that an interrupted experiment keeps what it measured, and
//! `--resume` goes on with it.

mod asked;
mod experiment;

use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use wirelab_clients::api::Api;
use wirelab_clients::harness::calibration::{CalibrationError, calibrate};
use wirelab_clients::harness::plan::{Cell, Plan, Server};
use wirelab_clients::harness::run::{Progress, RunError, run as run_cell};
use wirelab_clients::harness::{gates, theory, thresholds};
use wirelab_clients::os;

use super::{Exit, Failure, Interrupts, remark, say};
use crate::cli::Run;
use experiment::Experiment;

/// Measures, prints the table and where the files are. The exit code says whether every line arrived.
pub async fn run(arguments: Run) -> Result<Exit, Failure> {
    // Before the machine is described: an experiment that goes on compares its limits with those of its begin.
    os::raise_open_files();
    let mut experiment = match &arguments.resume {
        Some(folder) => {
            let experiment = Experiment::resume(folder, &arguments.data)?;
            check_descriptors(&experiment.results.plan)?;
            experiment
        }
        None => {
            let plan = asked::plan(&arguments)?;
            check_descriptors(&plan)?;
            let cells = possible(plan.cells()).await?;
            Experiment::begin(plan, cells, &arguments.data, &arguments.results)?
        }
    };
    let ended = measure(&mut experiment).await;
    experiment.conclude()?;
    ended
}

/// Runs the plan and writes its files; prints no table.
pub(super) async fn measure_plan(
    plan: Plan,
    data: &Path,
    results: &Path,
) -> Result<(PathBuf, Exit), Failure> {
    check_descriptors(&plan)?;
    let cells = possible(plan.cells()).await?;
    let mut experiment = Experiment::begin(plan, cells, data, results)?;
    let ended = measure(&mut experiment).await;
    let kept = |_: &Failure| remark(&format!("what was measured is in {}", experiment.folder.display()));
    let exit = ended.inspect_err(kept)?;
    Ok((experiment.folder, exit))
}

/// Makes the runs that are left, and writes what they say.
async fn measure(experiment: &mut Experiment) -> Result<Exit, Failure> {
    let program = std::env::current_exe().map_err(Failure::environment)?;
    let plan = &experiment.results.plan;
    say(&format!("{}: {}\n", plan.name, plan.question))?;
    // One for the whole command: a signal that comes between two runs must not be missed.
    let mut interrupts = Interrupts::listen();
    // An experiment that is gone on with keeps the constants that its first runs were judged by.
    if experiment.results.manifest.calibrations.is_empty() {
        let interrupted = async {
            interrupts.next().await;
        };
        match calibrate(program.clone(), &experiment.left, interrupted).await {
            Err(CalibrationError::Interrupted) => return Ok(Exit::Interrupted),
            Ok(calibrations) => experiment.results.manifest.calibrations = calibrations,
            Err(error) => {
                remark(&format!("nothing is held against the theory: {error}"));
                experiment.results.manifest.calibration_problem = Some(error.to_string());
            }
        }
    }
    let all = experiment.results.manifest.order.len();
    for cell in std::mem::take(&mut experiment.left) {
        let done = experiment.results.runs.len();
        let bar = progress_bar(&format!("{}/{all} {}", done + 1, cell.run_id));
        let schedules = experiment.schedules(&cell);
        let look = |progress: Progress| {
            bar.set_length(progress.expected);
            bar.set_position(progress.received.min(progress.expected));
        };
        let interrupted = async {
            interrupts.next().await;
        };
        let plan = &experiment.results.plan.name;
        let ran = run_cell(plan, program.clone(), &cell, &schedules, look, interrupted).await;
        bar.finish_and_clear();
        match ran {
            Ok(mut run) => {
                run.theory = theory::judge(&run, &experiment.results.manifest.calibrations);
                experiment.keep(run)?;
            }
            Err(RunError::Interrupted) => {
                let folder = experiment.folder.display();
                remark(&format!(
                    "interrupted: {done} of {all} runs are written; go on with `wirelab run --resume {folder}`"
                ));
                return Ok(Exit::Interrupted);
            }
            Err(error) => return Err(Failure::environment(format!("run {}: {error}", cell.run_id))),
        }
    }
    experiment.write()?;
    let results = &experiment.results;
    let judged = thresholds::judge(&results.plan.thresholds, &results.runs);
    Ok(match gates::exit_code(&results.runs, &judged) {
        gates::EXIT_OK => Exit::Ok,
        gates::EXIT_DELIVERY => Exit::Delivery,
        gates::EXIT_THEORY => Exit::Theory,
        gates::EXIT_INVALID => Exit::Invalid,
        _ => Exit::Environment,
    })
}

fn check_descriptors(plan: &Plan) -> Result<(), Failure> {
    match os::raise_open_files() {
        Some(limit) => plan.check_descriptors(limit).map_err(Failure::usage),
        None => Ok(()),
    }
}

/// The runs that can be made: a server that is running may lack some of the transports, which is told.
async fn possible(cells: Vec<Cell>) -> Result<Vec<Cell>, Failure> {
    let mut possible = Vec::new();
    let mut offered: Vec<(Server, Vec<String>)> = Vec::new();
    for cell in cells {
        let Server::Running(url) = &cell.server else {
            possible.push(cell);
            continue;
        };
        if !offered.iter().any(|(server, _)| *server == cell.server) {
            let transports = Api::new(url.clone()).transports().await.map_err(Failure::environment)?;
            let names = transports.into_iter().map(|transport| transport.name).collect();
            offered.push((cell.server.clone(), names));
        }
        let (_, names) =
            offered.iter().find(|(server, _)| *server == cell.server).expect("it was just asked");
        if names.iter().any(|name| name == cell.transport.name()) {
            possible.push(cell);
        } else if cell.repetition == 1 {
            remark(&format!("{url} has no transport {}; it has {}", cell.transport, names.join(", ")));
        }
    }
    match possible.is_empty() {
        false => Ok(possible),
        true => {
            Err(Failure::environment("no target has any of these transports; name others with --transport"))
        }
    }
}

fn progress_bar(name: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:24} {bar:40} {pos}/{len} lines {elapsed}")
        .expect("the template is right");
    ProgressBar::new(1).with_style(style).with_message(name.to_owned())
}
