//! The plans on disk: lists them, finds one by its name, and estimates how long it takes.
//!
//! For `wirelab run`, `plans` and `claims`, and for the server, which offers the plans to its page. Reads the folder
//! `data`: plans, and the recordings and profiles that they name. Runs nothing.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::harness::plan::{Plan, PlanError, Size};

use crate::harness::cell::{Cell, LineProcess};
use crate::harness::schedule::Schedule;
use crate::recording::{Recording, RecordingError};
use crate::targets::profile::{Profile, ProfileError};

/// Error of a plan that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PlanFilesError {
    /// There is no folder of plans.
    #[error(
        "{}: {error}; run wirelab in its repository, or name the folder that holds plans/ with --data",
        folder.display()
    )]
    NoFolder {
        /// Folder that should hold the plans.
        folder: PathBuf,
        /// Error of the operating system.
        error: io::Error,
    },
    /// The file is not text, or may not be read.
    #[error("plan {}: {error}", path.display())]
    Unreadable {
        /// Path of the file.
        path: PathBuf,
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

/// Lists the names and paths of all plans, by name.
pub fn all(data: &Path) -> Result<Vec<(String, PathBuf)>, PlanFilesError> {
    let folder = data.join("plans");
    let no_folder = |error| PlanFilesError::NoFolder { folder: folder.clone(), error };
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).map_err(no_folder)? {
        let path = entry.map_err(no_folder)?.path();
        if path.extension().is_some_and(|extension| extension == "toml")
            && let Some(name) = path.file_stem().and_then(|stem| stem.to_str())
        {
            files.push((name.to_owned(), path.clone()));
        }
    }
    files.sort();
    Ok(files)
}

/// Finds a plan by its name in `data/plans`, or by the path of a TOML file.
pub fn find(given: &str, size: Size, data: &Path) -> Result<Plan, PlanFilesError> {
    if given.ends_with(".toml") {
        return read(given, Path::new(given), size, data);
    }
    let files = all(data)?;
    match files.iter().find(|(name, _)| name == given) {
        Some((name, path)) => read(name, path, size, data),
        None => {
            let known = files.into_iter().map(|(name, _)| name).collect();
            Err(PlanError::Unknown { given: given.to_owned(), known }.into())
        }
    }
}

/// Reads the plan in the file `path`, called `name` in errors.
pub fn read(name: &str, path: &Path, size: Size, data: &Path) -> Result<Plan, PlanFilesError> {
    let unreadable = |error| PlanFilesError::Unreadable { path: path.to_owned(), error };
    let text = fs::read_to_string(path).map_err(unreadable)?;
    Ok(Plan::parse_with(name, &text, size, |name| profile(name, data))?)
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
            let read = Recording::find(&data.join("recordings"), recording)?;
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

/// Finds a profile by its name in `data/targets`. The path of its start script is relative to the folder that holds
/// `data`.
pub fn profile(name: &str, data: &Path) -> Result<Profile, ProfileError> {
    Profile::find(&data.join("targets"), &data.join(".."), name)
}
