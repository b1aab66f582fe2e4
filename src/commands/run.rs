//! `wirelab run`: a plan, or flags, become runs; the runs become a table and files.
//!
//! Everything is written again after each run, so that an interrupted experiment keeps what it measured.

use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use indicatif::{ProgressBar, ProgressStyle};
use wirelab_clients::api::Api;
use wirelab_clients::harness::network::Fault;
use wirelab_clients::harness::network::cut::Cut;
use wirelab_clients::harness::plan::{
    AD_HOC_LINES, AdHoc, Cell, Given, LineProcess, Plan, ServeOptions, Server, Size, StoreKind,
};
use wirelab_clients::harness::results::{Manifest, ResultSet, folder_name};
use wirelab_clients::harness::run::{Progress, RunError, run as run_cell};
use wirelab_clients::harness::{gates, schedule};
use wirelab_clients::os;
use wirelab_clients::{Options, Polling};

use super::{Exit, Failure, Interrupts, plans, remark, results_folder, say};
use crate::cli::{self, Run};
use crate::report::{self, table};

impl From<cli::Size> for Size {
    fn from(size: cli::Size) -> Self {
        match size {
            cli::Size::Smoke => Self::Smoke,
            cli::Size::Full => Self::Full,
        }
    }
}

/// The plan of `wirelab run` without one.
const DEFAULT_PLAN: &str = "quick";

/// Measures, prints the table and where the files are. The exit code says whether every line arrived.
pub async fn run(arguments: Run) -> Result<Exit, Failure> {
    let plan = plan(&arguments)?;
    if let Some(limit) = os::raise_open_files() {
        plan.check_descriptors(limit).map_err(Failure::usage)?;
    }
    let recordings = plans::recordings(&plan, &arguments.data)?;
    for cell in plan.cells() {
        for schedule in plans::schedules(&cell, &recordings) {
            plan.check_cohort(&cell, &schedule).map_err(Failure::usage)?;
        }
    }
    let cells = possible(plan.cells()).await?;
    let program = std::env::current_exe().map_err(Failure::environment)?;

    let started = SystemTime::now();
    let commit = commit();
    let folder = arguments.results.join(folder_name(&plan.name, started, commit.as_deref()));
    let argv: Vec<String> = std::env::args().collect();
    let mut manifest = Manifest::describe_machine(&plan, &argv, started, commit);
    manifest.rustc = Some(env!("WIRELAB_RUSTC").to_owned());
    manifest.order = cells.iter().map(|cell| cell.run_id.clone()).collect();
    let mut results = ResultSet { plan, manifest, runs: Vec::new() };
    write(&folder, &mut results)?;

    say(&format!("{}: {}\n", results.plan.name, results.plan.question))?;
    // One for the whole command: a signal that comes between two runs must not be missed.
    let mut interrupts = Interrupts::listen();
    for (i, cell) in cells.iter().enumerate() {
        let bar = progress_bar(&format!("{}/{} {}", i + 1, cells.len(), cell.run_id));
        let schedules = plans::schedules(cell, &recordings);
        let look = |progress: Progress| {
            bar.set_length(progress.expected);
            bar.set_position(progress.received.min(progress.expected));
        };
        let interrupted = async {
            interrupts.next().await;
        };
        let ran = run_cell(&results.plan.name, program.clone(), cell, &schedules, look, interrupted).await;
        bar.finish_and_clear();
        match ran {
            Ok(result) => results.runs.push(result),
            Err(RunError::Interrupted) => {
                conclude(&results, &folder)?;
                remark(&format!("interrupted: {} of {} runs are written", results.runs.len(), cells.len()));
                return Ok(Exit::Interrupted);
            }
            Err(error) => {
                conclude(&results, &folder)?;
                return Err(Failure::environment(format!("run {}: {error}", cell.run_id)));
            }
        }
        write(&folder, &mut results)?;
    }
    conclude(&results, &folder)?;
    Ok(match gates::exit_code(&results.runs) {
        gates::EXIT_OK => Exit::Ok,
        gates::EXIT_DELIVERY => Exit::Delivery,
        gates::EXIT_INVALID => Exit::Invalid,
        _ => Exit::Environment,
    })
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

/// The plan that was named, or the one that the flags make, on the targets that were named.
fn plan(arguments: &Run) -> Result<Plan, Failure> {
    let target = |given: &String| {
        Server::parse(given, |name| plans::profile(name, &arguments.data)).map_err(Failure::usage)
    };
    let targets: Vec<Server> = arguments.target.iter().map(target).collect::<Result<_, _>>()?;
    if arguments.store.is_some() && targets.iter().any(|target| *target != Server::Wirelab) {
        return Err(Failure::usage(
            "--store says where wirelab's own server keeps its logs, and --target names another; leave one out",
        ));
    }
    let profiles_only = targets.iter().all(|target| matches!(target, Server::Profile(_)));
    if !targets.is_empty() && profiles_only && !arguments.transport.is_empty() {
        return Err(Failure::usage("a profile has a transport of its own; leave --transport out"));
    }
    if let Some(given) = &arguments.plan {
        let plan = plans::find(given, arguments.size.into(), &arguments.data)?;
        return match targets.is_empty() {
            true => Ok(plan),
            false => plan.on(targets).map_err(Failure::usage),
        };
    }
    let Run { transport, subscribers, rate, duration, recording, speed, poll_interval, store, .. } =
        arguments;
    let lines = match recording {
        Some(recording) => {
            Some(LineProcess::Replay { recording: recording.clone(), speed: speed.unwrap_or(1.0) })
        }
        None if rate.is_some() || duration.is_some() => Some(LineProcess::Poisson(schedule::Generated {
            rate_hz: rate.unwrap_or(AD_HOC_LINES.rate_hz),
            duration: duration.unwrap_or(AD_HOC_LINES.duration),
            ..AD_HOC_LINES
        })),
        None => None,
    };
    let options =
        poll_interval.map(|interval| Options { polling: Polling::every(interval), ..Options::default() });
    let serve = store.map(|store| ServeOptions {
        store: match store {
            cli::Store::Disk => StoreKind::Disk,
            cli::Store::Memory => StoreKind::Memory,
        },
        ..ServeOptions::default()
    });
    let factors = Given {
        transports: (!transport.is_empty()).then(|| transport.clone()),
        subscribers: *subscribers,
        fault: (!arguments.cut_at.is_empty()).then(|| Fault::Cut(Cut { at: arguments.cut_at.clone() })),
        options,
        serve,
        lines,
        ..Given::default()
    };
    let targets = (!targets.is_empty()).then_some(targets);
    let flags = AdHoc { targets, factors, ..AdHoc::default() };
    if flags == AdHoc::default() {
        plans::find(DEFAULT_PLAN, arguments.size.into(), &arguments.data)
    } else {
        Plan::ad_hoc(flags).map_err(Failure::usage)
    }
}

/// Renders every file of the results folder and writes them.
fn write(folder: &Path, results: &mut ResultSet) -> Result<(), Failure> {
    results.manifest.note_what_was_not_measured(&results.runs);
    let refused = |error| Failure::environment(format!("{error}; name another folder with --results"));
    let files = report::render(results).map_err(Failure::environment)?;
    results_folder::write(folder, &files).map_err(refused)?;
    // Last: it never speaks of a file that is not there.
    let page = report::page(&files).map_err(Failure::environment)?;
    results_folder::write(folder, &[page]).map_err(refused)
}

fn conclude(results: &ResultSet, folder: &Path) -> Result<(), Failure> {
    say(&format!("{}\nfiles: {}\n", table::render(results), folder.display())).map(|_| ())
}

fn progress_bar(name: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:24} {bar:40} {pos}/{len} lines {elapsed}")
        .expect("the template is right");
    ProgressBar::new(1).with_style(style).with_message(name.to_owned())
}

/// The commit that this was built from, as far as its source is still there; `-dirty` when the tree was changed.
fn commit() -> Option<String> {
    let source = env!("CARGO_MANIFEST_DIR");
    let describe = ["describe", "--always", "--dirty", "--abbrev=7", "--exclude=*"];
    let output = Command::new("git").arg("-C").arg(source).args(describe).output().ok()?;
    let commit = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !commit.is_empty()).then_some(commit)
}
