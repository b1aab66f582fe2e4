//! `wirelab run`: makes runs from a plan or from options, and a table and files from the runs.
//!
//! All files are written again after each run, so that an interrupted experiment keeps what it measured and `--resume`
//! can continue it.

mod asked;
mod build;
mod experiment;
mod progress;

use std::path::{Path, PathBuf};

use wirelab_clients::api::Api;
use wirelab_clients::harness::calibration::{Calibrated, CalibrationError, calibrate};
use wirelab_clients::harness::cell::{Cell, Running, Server};
use wirelab_clients::harness::ending::Ending;
use wirelab_clients::harness::network::emulated::NetworkKind;
use wirelab_clients::harness::network::{error::NetworkError, laid::Laid};
use wirelab_clients::harness::plan::{NetworkChoice, Plan};
use wirelab_clients::harness::receipts::Keeps;
use wirelab_clients::harness::run::run as run_cell;
use wirelab_clients::harness::run_error::RunError;
use wirelab_clients::harness::{theory, thresholds};
use wirelab_clients::os;

use super::reach::Reach;
use super::{Exit, Failure, StdinEnd, StopRequest, remark};
use crate::commands::cli::{ProgressFormat, RunArguments};
use experiment::Experiment;
use progress::Shown;

/// Makes the runs, prints the table and the path of the files. The exit code says whether every line arrived.
pub async fn run(arguments: RunArguments) -> Result<Exit, Failure> {
    // First of all: stdin may have ended already.
    let mut stop = StopRequest::listen(StdinEnd::of_flag(arguments.stop_at_stdin_end));
    let progress = arguments.progress;
    let begun = tokio::select! {
        begun = begin(arguments) => begun.map(Some),
        () = stop.asked() => Ok(None),
    };
    let (ended, folder) = match begun {
        Ok(Some(mut experiment)) => {
            let ended = measure(&mut experiment, progress, &mut stop).await;
            if progress == ProgressFormat::Bar {
                experiment.conclude(ended.as_ref().map_or_else(|failure| failure.exit, |exit| *exit))?;
            }
            (ended, Some(experiment.folder().to_owned()))
        }
        Ok(None) => (Ok(Exit::Interrupted), None),
        Err(failure) => (Err(failure), None),
    };
    if progress == ProgressFormat::Json {
        progress::say_end(&ended, folder.as_deref())?;
    }
    ended
}

/// Begins a new experiment or continues an old one, as the arguments ask.
async fn begin(arguments: RunArguments) -> Result<Experiment, Failure> {
    // The limit is raised before the machine is described: a continued experiment compares its limits with those at its
    // start.
    os::raise_open_files();
    let keeps = if arguments.raw { Keeps::Receipts } else { Keeps::Figures };
    match &arguments.resume {
        Some(folder) => {
            let experiment =
                Experiment::resume(folder, &arguments.data, keeps, &Reach::of(&arguments.trust)?)?;
            check_descriptors(&experiment.results.plan)?;
            check_networks(&experiment.results.plan)?;
            Ok(experiment)
        }
        None => {
            let (plan, choice) = on_this_machine(asked::plan(&arguments)?)?;
            check_descriptors(&plan)?;
            let cells = plan.cells().into_iter().map(|cell| Cell { keeps, ..cell }).collect();
            let cells = possible(cells).await?;
            Experiment::begin(plan, choice, cells, &arguments.data, &arguments.results)
        }
    }
}

/// Runs a plan and writes its files; prints no table.
pub(super) async fn measure_plan(
    plan: Plan,
    data: &Path,
    results: &Path,
) -> Result<(PathBuf, Exit), Failure> {
    let (plan, choice) = on_this_machine(plan)?;
    check_descriptors(&plan)?;
    let cells = possible(plan.cells()).await?;
    let mut experiment = Experiment::begin(plan, choice, cells, data, results)?;
    let mut stop = StopRequest::listen(StdinEnd::Ignored);
    let ended = measure(&mut experiment, ProgressFormat::Bar, &mut stop).await;
    let folder = experiment.folder().to_owned();
    let kept = |_: &Failure| remark(&format!("what was measured is in {}", folder.display()));
    let exit = ended.inspect_err(kept)?;
    Ok((folder, exit))
}

/// Makes the runs that are left, writes their results, and at last the page: also when the runs were interrupted or
/// failed.
async fn measure(
    experiment: &mut Experiment,
    progress: ProgressFormat,
    stop: &mut StopRequest,
) -> Result<Exit, Failure> {
    let ended = make_runs(experiment, progress, stop).await;
    let page = experiment.write_page();
    ended.and_then(|exit| page.map(|()| exit))
}

/// Makes the runs that are left, and writes the rows after each. `stop` is shared by the whole command: a signal that
/// comes between two runs must not be missed.
async fn make_runs(
    experiment: &mut Experiment,
    progress: ProgressFormat,
    stop: &mut StopRequest,
) -> Result<Exit, Failure> {
    let program = os::own_program().map_err(Failure::environment)?;
    let name = experiment.results.plan.name.clone();
    let all = experiment.results.manifest.order.len();
    let folder = experiment.folder().to_owned();
    let shown = Shown { format: progress, plan: &name, runs: all, folder: &folder };
    shown.begin(&experiment.results.plan.question)?;
    // A continued experiment keeps the constants by which its first runs were judged.
    if experiment.results.manifest.calibrations.is_empty() {
        match calibrate(program.clone(), &experiment.left, stop.asked()).await {
            Err(CalibrationError::Interrupted) => return Ok(Exit::Interrupted),
            Ok(Calibrated { links, servers, problem }) => {
                if let Some(problem) = &problem {
                    remark(&format!(
                        "these runs are not compared with the theory, since a calibration failed: {problem}"
                    ));
                }
                let manifest = &mut experiment.results.manifest;
                (manifest.links, manifest.calibrations) = (links, servers);
                manifest.calibration_problem = problem;
                experiment.foretell()?;
                if progress == ProgressFormat::Bar {
                    experiment.say_what_is_foretold()?;
                }
            }
            // Without the link that a plan names, its runs would answer another question.
            Err(error @ (CalibrationError::Link(_) | CalibrationError::Network(_))) => {
                return Err(Failure::environment(error));
            }
            Err(error) => {
                remark(&format!("the calibration failed, so no run is compared with the theory: {error}"));
                experiment.results.manifest.calibration_problem = Some(error.to_string());
            }
        }
    }
    for cell in std::mem::take(&mut experiment.left) {
        let done = experiment.results.runs.len();
        let shown = shown.run(done + 1, &cell.run_id)?;
        let schedules = experiment.schedules(&cell);
        let look = |progress| shown.look(progress);
        let ran = run_cell(&name, program.clone(), &cell, &schedules, look, stop.asked()).await;
        shown.end()?;
        match ran {
            Ok(mut run) => {
                run.theory = theory::judge(&run, &experiment.results.manifest.calibrations);
                experiment.keep(run)?;
            }
            Err(RunError::Interrupted) => {
                let folder = experiment.folder().display();
                remark(&format!(
                    "interrupted: {done} of {all} runs are written; continue with `wirelab run --resume {folder}`"
                ));
                return Ok(Exit::Interrupted);
            }
            Err(error) => return Err(Failure::environment(format!("run {}: {error}", cell.run_id))),
        }
    }
    experiment.write()?;
    let results = &experiment.results;
    let judged = thresholds::judge(&results.plan.thresholds, &results.runs);
    Ok(Ending::of(&results.runs, &judged).into())
}

fn check_descriptors(plan: &Plan) -> Result<(), Failure> {
    match os::raise_open_files() {
        Some(limit) => plan.check_descriptors(limit).map_err(Failure::usage),
        None => Ok(()),
    }
}

/// Decides which networks the plan's runs have, and refuses one that cannot be laid before anything is measured.
fn on_this_machine(plan: Plan) -> Result<(Plan, Option<NetworkChoice>), Failure> {
    let can_lay_tun = || {
        Laid::can_lay_tun().map_err(|error| match error {
            NetworkError::NoTun { why } => why,
            NetworkError::Trace(_) | NetworkError::Unresolved => error.to_string(),
        })
    };
    let (plan, choice) = plan.choose_network(can_lay_tun).map_err(Failure::usage)?;
    if let Some(choice) = &choice {
        remark(&choice.to_string());
    }
    check_networks(&plan)?;
    Ok((plan, choice))
}

/// Refuses networks that this process cannot lay.
fn check_networks(plan: &Plan) -> Result<(), Failure> {
    let arms = plan.all_arms();
    if arms.iter().any(|(_, factors)| factors.network.kind == NetworkKind::Tun) {
        Laid::can_lay_tun().map_err(Failure::environment)?;
    }
    arms.iter().try_for_each(|(_, factors)| Laid::check_traces(&factors.network)).map_err(Failure::usage)
}

/// Returns the runs that can be made. A server that is already running may lack some transports, which is reported.
async fn possible(cells: Vec<Cell>) -> Result<Vec<Cell>, Failure> {
    let mut possible = Vec::new();
    let mut offered: Vec<(Server, Vec<String>)> = Vec::new();
    for cell in cells {
        let Server::Running(Running { url, .. }) = &cell.server else {
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
            Err(Failure::environment("no target has any of these transports; choose others with --transport"))
        }
    }
}
