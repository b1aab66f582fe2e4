//! `wirelab record`: writes a command's output with its own gaps, bursts and silences as a recording.
//!
//! The command has priority: it runs to its own end and is shown whatever happens to the disk, and its exit code is passed
//! on. Only what is known before it starts, such as a folder that cannot be written, is refused.

use std::fs;
use std::sync::Arc;
use std::time::Instant;

use wirelab_clients::recording::{Existing, NewRecording, path_in};

use super::wrapper::recorder::{Recorded, Recorder};
use super::wrapper::{
    Backlog, HOLD_UP_MAX, HoldUp, Kept, Signals, Wrapped, counted_lines, lines_were, outlive_file_limit,
};
use super::{Exit, Failure};
use crate::commands::cli::RecordArguments;
use crate::terminal::complain;

/// Runs the command, shows what it prints, records it, and exits with the command's code.
pub async fn run(arguments: RecordArguments) -> Result<Exit, Failure> {
    let RecordArguments { name, recordings, replace, force, command } = arguments;
    let path = path_in(&recordings, &name).map_err(Failure::usage)?;
    if path.exists() && !force {
        return Err(Failure::usage(format!(
            "{} exists already; choose another --name, or add --force to overwrite it",
            path.display()
        )));
    }
    let existing = if force { Existing::Replaced } else { Existing::Kept };
    let cannot_write = |error| Failure::environment(format!("{}: {error}", path.display()));
    outlive_file_limit();
    fs::create_dir_all(&recordings).map_err(cannot_write)?;
    let recording = NewRecording::create(&recordings, &name, existing).map_err(Failure::environment)?;

    // Signals are caught before the command runs: a program that sees its first line may send one.
    let mut signals = Signals::listen();
    let backlog = Arc::new(Backlog::new(HoldUp::InTotal(HOLD_UP_MAX)));
    let start = Instant::now();
    let recorder = Recorder::start(recording, start, replace, backlog.clone()).map_err(cannot_write)?;
    let wrapped = match Wrapped::command(&command, backlog.clone()) {
        Ok(wrapped) => wrapped,
        Err(failure) => {
            recorder.abandon(&backlog).await;
            return Err(failure);
        }
    };
    let ended = wrapped.ended(&mut signals).await;
    ended.tell();
    let Some(recorded) = recorder.end(ended.at, ended.outcome(), &mut signals).await else {
        return Ok(ended.exit(Kept::InPart));
    };
    let Recorded { path: kept_path, end, lines, kept, repairs } = recorded;
    let (seconds, shown) = (end.offset.as_secs_f64(), kept_path.display());
    complain(format!("recorded {} in {seconds:.1} s as {shown} ({})", counted_lines(lines), end.status));
    if kept_path != path {
        complain(format!("{} was made meanwhile by another recorder and is kept", path.display()));
    }
    repairs.tell();
    let missing = ended.missing_lines(lines);
    if let (Kept::InPart, Some(missing)) = (kept, missing) {
        complain(format!("{} shown and not recorded", lines_were(missing)));
    }
    Ok(ended.exit(if missing.is_none() { Kept::InPart } else { kept }))
}
