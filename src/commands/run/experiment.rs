//! An experiment on disk: begun in a new folder, or continued in an old one.
//!
//! The results of a run are written before the next run starts. So an experiment that is interrupted, or whose machine
//! fails, keeps what it measured.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use wirelab_clients::harness::cell::Cell;
use wirelab_clients::harness::connection_memory::note_slopes;
use wirelab_clients::harness::forecast;
use wirelab_clients::harness::machine::{LoadWatch, Machine};
use wirelab_clients::harness::plan::{Announces, NetworkChoice, Plan, Size};
use wirelab_clients::harness::receipts::{Keeps, RECEIPTS_MAX, Receipts};
use wirelab_clients::harness::results::{
    Build, Manifest, ResultSet, folder_name, is_in_memory, store_file_system,
};
use wirelab_clients::harness::run_result::RunResult;
use wirelab_clients::harness::schedule::Schedule;
use wirelab_clients::recording::Recording;

use super::super::reach::Reach;
use super::super::results_folder::{Claimed, Unclaimed};
use super::super::{Exit, Failure, closing, remark, results_folder, say};
use super::asked;
use super::build::this_build;
use crate::report::{self, Folder, foretold, terminal};
use wirelab_clients::harness::plan_files;

/// A plan with the results measured so far, and their folder.
pub(super) struct Experiment {
    /// The folder, in which no other process works meanwhile.
    claimed: Claimed,
    pub(super) results: ResultSet,
    /// Runs that are still to be made, in order.
    pub(super) left: Vec<Cell>,
    recordings: BTreeMap<String, Arc<Recording>>,
    load: LoadWatch,
}

impl Experiment {
    /// Begins an experiment in a new folder below `results`, with the runs `cells` of a plan and the choice of their
    /// network, if there was one.
    pub(super) fn begin(
        plan: Plan,
        choice: Option<NetworkChoice>,
        cells: Vec<Cell>,
        data: &Path,
        results: &Path,
    ) -> Result<Self, Failure> {
        let recordings = recordings(&plan, data)?;
        check_receipts(&cells, &recordings)?;
        let started = SystemTime::now();
        let build = this_build();
        let name = folder_name(&plan.name, started, build.commit.as_deref());
        let claimed = results_folder::create(results, &name).map_err(|error| refused(&error))?;
        let argv = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
        let manifest = Manifest::describe_machine(&plan, &cells, argv, started, build);
        let manifest = Manifest { network_choice: choice.map(|choice| choice.to_string()), ..manifest };
        warn_of_memory(&manifest);
        let results = ResultSet { plan, manifest, runs: Vec::new() };
        let load = LoadWatch::begin(None);
        let mut experiment = Self { claimed, results, left: cells, recordings, load };
        experiment.write()?;
        Ok(experiment)
    }

    /// Continues the experiment in `folder`; the runs that are left keep what `keeps` says. Executable and machine must be the same: runs of two are not one experiment.
    pub(super) fn resume(folder: &Path, data: &Path, keeps: Keeps, reach: &Reach) -> Result<Self, Failure> {
        let unreadable = |error: results_folder::Refused| {
            Failure::usage(format!("{error}; name the folder of an interrupted `wirelab run`"))
        };
        // Before anything is read: another process may still write.
        let claimed = results_folder::claim(folder).map_err(|error| match error {
            Unclaimed::Refused(error) => unreadable(error),
            Unclaimed::InUse(_) => Failure::usage(error),
        })?;
        let wanted = |path: &str| report::is_resumed_from(path);
        let files = results_folder::read(folder, &[report::HDR_FOLDER, report::RUNS_FOLDER], wanted)
            .map_err(unreadable)?;
        let in_folder = |what: &dyn std::fmt::Display| format!("{}: {what}", folder.display());
        let text = |name: &str| {
            let file = files.iter().find(|file| file.path == name);
            let file = file.ok_or_else(|| {
                Failure::usage(in_folder(&format!(
                    "{name} is missing; the experiment cannot be continued without it"
                )))
            })?;
            String::from_utf8(file.bytes.clone())
                .map_err(|_| Failure::usage(in_folder(&format!("{name} is not UTF-8"))))
        };
        // Before the plan: a plan of another version may name what no longer exists.
        let manifest = report::manifest(&files).map_err(|error| Failure::usage(in_folder(&error)))?;
        let plan = Plan::parse_with("plan.toml", &text("plan.toml")?, Size::Full, |name| {
            plan_files::profile(name, data)
        })
        .map_err(|error| Failure::usage(in_folder(&error)))?;
        let plan = asked::reached(plan, reach)?;
        let mut cells = plan.cells();
        cells.retain(|cell| manifest.order.contains(&cell.run_id));
        same_build_and_machine(&manifest, &cells).map_err(|why| Failure::usage(in_folder(&why)))?;
        let recordings = recordings(&plan, data)?;
        warn_of_memory(&manifest);
        let load = LoadWatch::begin(manifest.load);

        let (mut runs, mut left) = (Vec::new(), Vec::new());
        for cell in cells {
            match report::restore(&cell, &files) {
                Some(Ok(run)) => runs.push(run),
                Some(Err(error)) => return Err(Failure::usage(in_folder(&error))),
                None => left.push(Cell { keeps, ..cell }),
            }
        }
        check_receipts(&left, &recordings)?;
        let results = ResultSet { plan, manifest, runs };
        Ok(Self { claimed, results, left, recordings, load })
    }

    /// Returns the folder of the experiment.
    pub(super) fn folder(&self) -> &Path {
        &self.claimed.path
    }

    /// Returns the due times of the lines, for each deployment of a cell.
    pub(super) fn schedules(&self, cell: &Cell) -> Vec<Schedule> {
        plan_files::schedules(cell, &self.recordings)
    }

    /// Adds a run and writes all files that depend on it.
    pub(super) fn keep(&mut self, mut run: RunResult) -> Result<(), Failure> {
        let files = report::files_of_run(&run).map_err(Failure::environment)?;
        results_folder::write(self.folder(), &files).map_err(|error| refused(&error))?;
        if let Some(receipts) = &mut run.receipts {
            receipts.forget();
            if receipts.left_out_count > 0 {
                let Receipts { kept_count, left_out_count, .. } = receipts;
                remark(&format!(
                    "run {}: --raw kept {kept_count} deliveries and left out {left_out_count}, as lines came more than \
                     once; raw_left_out_count in runs.csv says so too",
                    run.cell.run_id
                ));
            }
        }
        self.results.runs.push(run);
        self.results.manifest.load = Some(self.load.so_far());
        self.write()
    }

    /// Writes down what theory predicts of every run, if the plan asks for it. Called before the first run.
    pub(super) fn foretell(&mut self) -> Result<(), Failure> {
        match self.results.plan.announces {
            Announces::Nothing => return Ok(()),
            Announces::Predictions => {}
        }
        let calibrations = &self.results.manifest.calibrations;
        let foretold = forecast::of_plan(&self.results.plan, |cell| self.schedules(cell), calibrations);
        self.results.manifest.forecast = foretold;
        self.write()
    }

    /// Prints what theory predicts, if the plan asks for it.
    pub(super) fn say_what_is_foretold(&self) -> Result<(), Failure> {
        foretold::before(&self.results).map_or(Ok(()), |text| say(&format!("{text}\n")).map(|_| ()))
    }

    /// Writes the files that cover all runs: the manifest and the rows.
    pub(super) fn write(&mut self) -> Result<(), Failure> {
        note_slopes(&mut self.results.runs);
        let files = report::files_of_all(&self.results);
        results_folder::write(self.folder(), &files).map_err(|error| refused(&error))
    }

    /// Writes the page. It is not written between runs, because rendering would disturb the next measurement.
    pub(super) fn write_page(&self) -> Result<(), Failure> {
        let page = report::page(&Folder::of(&self.results)).map_err(Failure::environment)?;
        results_folder::write(self.folder(), &[page]).map_err(|error| refused(&error))
    }

    /// Prints the table, the path of the files, and what the exit code means.
    pub(super) fn conclude(&self, exit: Exit) -> Result<(), Failure> {
        say(&format!("{}\n", terminal::render(&self.results)))?;
        if let Some(text) = foretold::after(&self.results) {
            say(&format!("{text}\n"))?;
        }
        closing::tell(self.folder(), exit)
    }
}

fn refused(error: &dyn std::fmt::Display) -> Failure {
    Failure::environment(format!("{error}; choose another folder with --results"))
}

/// Loads the recordings that the plan replays. Refuses a schedule without a line in its cohort, the lines that are
/// measured.
fn recordings(plan: &Plan, data: &Path) -> Result<BTreeMap<String, Arc<Recording>>, Failure> {
    let recordings = plan_files::recordings(plan, data).map_err(Failure::usage)?;
    for cell in plan.cells() {
        for schedule in plan_files::schedules(&cell, &recordings) {
            plan.check_cohort(&cell, &schedule).map_err(Failure::usage)?;
        }
    }
    Ok(recordings)
}

/// Refuses a run that expects more receipts than it may keep: a file that lacks the last ones would pass for whole.
fn check_receipts(cells: &[Cell], recordings: &BTreeMap<String, Arc<Recording>>) -> Result<(), Failure> {
    for cell in cells.iter().filter(|cell| cell.keeps == Keeps::Receipts) {
        let lines =
            plan_files::schedules(cell, recordings).iter().map(|schedule| schedule.due_times().count()).max();
        let expected = lines.unwrap_or_default() as u64 * u64::from(cell.subscribers_total());
        if expected > RECEIPTS_MAX {
            return Err(Failure::usage(format!(
                "run {} expects {expected} deliveries, and --raw keeps at most {RECEIPTS_MAX} of a run; leave --raw out, \
                 or take fewer subscribers or lines",
                cell.run_id
            )));
        }
    }
    Ok(())
}

/// Says that a flush costs nothing where the disk store lies in memory.
fn warn_of_memory(manifest: &Manifest) {
    if let Some(file_system) = manifest.store_file_system.as_deref().filter(|name| is_in_memory(name)) {
        remark(&format!(
            "the disk store lies on {file_system}, in memory, where a flush (fdatasync) costs nothing: its figures do not \
             hold for a disk; set TMPDIR to a folder on a disk"
        ));
    }
}

/// Checks that the experiment was begun with this executable on this machine; the error says what differs.
fn same_build_and_machine(manifest: &Manifest, cells: &[Cell]) -> Result<(), String> {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let Build { commit, rustc: _, executable_sha256 } = this_build();
    let file_system = store_file_system(cells);
    let differences = [
        ("the version of wirelab", Some(&manifest.wirelab_version), Some(&version)),
        ("the commit", manifest.commit.as_ref(), commit.as_ref()),
        ("the SHA-256 of the executable", manifest.executable_sha256.as_ref(), executable_sha256.as_ref()),
        ("the store's file system", manifest.store_file_system.as_ref(), file_system.as_ref()),
    ];
    let remedy = "start a new experiment, so that all runs are of one build on one machine";
    let told = |value: Option<&String>| value.map_or("not known".to_owned(), |value| format!("{value:?}"));
    if let Some((what, there, here)) = differences.into_iter().find(|(_, there, here)| there != here) {
        return Err(format!("{what} was {} and is {}; {remedy}", told(there), told(here)));
    }
    let members = |machine: &Machine| serde_json::to_value(machine).expect("a machine is an object");
    let (there, here) = (members(&manifest.machine), members(&Machine::describe()));
    let differs =
        there.as_object().into_iter().flatten().find(|(name, value)| here[name.as_str()] != **value);
    match differs {
        Some((name, value)) => {
            Err(format!("the machine's {name} was {value} and is {}; {remedy}", here[name.as_str()]))
        }
        None => Ok(()),
    }
}
