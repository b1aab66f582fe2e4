//! The plans: lists them, finds one by its name, and estimates how long it takes.
//!
//! For `wirelab run`, `plans` and `claims`, and for the server, which offers the plans to its page. Reads the folder
//! `data`: plans, and the recordings and profiles that they name. What is not there comes from the binary. Runs nothing.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::data_files::{self, DataFile, Kind};
use crate::harness::plan::{Plan, PlanError, Size};

use crate::harness::cell::{Cell, LineProcess};
use crate::harness::schedule::Schedule;
use crate::recording::{Recording, RecordingError};
use crate::targets::profile::{Profile, ProfileError};

/// Error of a plan that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PlanFilesError {
    /// The folder of plans is there and cannot be read.
    #[error("{}: {error}; make it a folder that this user can read, or name another with --data", folder.display())]
    UnreadableFolder {
        /// Folder of the plans.
        folder: PathBuf,
        /// Error of the operating system.
        error: io::Error,
    },
    /// The file is not text, or may not be read.
    #[error("plan {name}: {error}")]
    Unreadable {
        /// Name or path of the plan.
        name: String,
        /// Error of the operating system.
        error: io::Error,
    },
    /// The plan does not exist or is invalid.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A recording that the plan replays cannot be read.
    #[error(transparent)]
    Recording(#[from] RecordingError),
}

/// Lists all plans of the folder and of the binary, by name.
pub fn all(data: &Path) -> Result<BTreeMap<String, DataFile>, PlanFilesError> {
    let folder = data.join(Kind::Plan.folder());
    data_files::all(Kind::Plan, &folder).map_err(|error| PlanFilesError::UnreadableFolder { folder, error })
}

/// Finds the file of a plan by its name, or by the path of a TOML file.
pub fn file(given: &str, data: &Path) -> Result<DataFile, PlanFilesError> {
    if given.ends_with(".toml") {
        return Ok(DataFile::OnDisk(given.into()));
    }
    let mut files = all(data)?;
    files.remove(given).ok_or_else(|| {
        PlanError::Unknown { given: given.to_owned(), known: files.into_keys().collect() }.into()
    })
}

/// Finds a plan by its name, or by the path of a TOML file, and reads it. The servers that it measures can be started.
pub fn find(given: &str, size: Size, data: &Path) -> Result<Plan, PlanFilesError> {
    let text = text(given, &file(given, data)?)?;
    Ok(Plan::parse_with(given, &text, size, |name| profile(name, data))?)
}

/// Reads the plan in `file`, called `name` in errors, to tell of it: the scripts that start other servers may be absent.
pub fn read(name: &str, file: &DataFile, size: Size, data: &Path) -> Result<Plan, PlanFilesError> {
    let targets = data.join(Kind::Target.folder());
    Ok(Plan::parse_with(name, &text(name, file)?, size, |name| Profile::find(&targets, name))?)
}

/// Returns the text of the plan in `file`, called `name` in errors.
pub fn text(name: &str, file: &DataFile) -> Result<String, PlanFilesError> {
    file.text().map_err(|error| PlanFilesError::Unreadable { name: name.to_owned(), error })
}

/// Estimates how long a plan takes.
pub fn duration(plan: &Plan, data: &Path) -> Result<Duration, PlanFilesError> {
    let recordings = recordings(plan, data)?;
    let lines =
        |cell: &Cell| schedules(cell, &recordings).iter().map(Schedule::duration).max().unwrap_or_default();
    Ok(plan.duration(lines))
}

/// Reads the recordings that the plan's arms replay, by name.
pub fn recordings(plan: &Plan, data: &Path) -> Result<BTreeMap<String, Arc<Recording>>, PlanFilesError> {
    let mut found = BTreeMap::new();
    for (_, factors) in plan.all_arms() {
        let LineProcess::Replay { recording, .. } = &factors.lines else { continue };
        if !found.contains_key(recording) {
            let read = Recording::find(&data.join(Kind::Recording.folder()), recording)?;
            found.insert(recording.clone(), Arc::new(read));
        }
    }
    Ok(found)
}

/// Returns the schedules of a cell, one per deployment.
pub fn schedules(cell: &Cell, recordings: &BTreeMap<String, Arc<Recording>>) -> Vec<Schedule> {
    match cell.schedules(|name| Ok::<_, Infallible>(recordings[name].clone())) {
        Ok(schedules) => schedules,
        Err(never) => match never {},
    }
}

/// Finds a profile by its name, for a run. The path of its start script is relative to the folder that holds `data`.
pub fn profile(name: &str, data: &Path) -> Result<Profile, ProfileError> {
    Profile::find(&data.join(Kind::Target.folder()), name)?.startable(&data.join(".."))
}
