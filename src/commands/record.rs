//! `wirelab record`: a command's output with its own gaps, bursts and silences, as a recording.

use std::fs::{self, File};
use std::io::BufWriter;
use std::pin::pin;
use std::time::Instant;

use wirelab_clients::recording::{RecordedEnd, RecordingWriter, path_in};
use wirelab_clients::wire::Status;

use super::{Exit, Failure, ended_as};
use crate::cli::Record;
use crate::command_output::CommandOutput;

/// Runs the command, shows what it prints, writes it down, and exits with the command's code.
pub async fn run(arguments: Record) -> Result<Exit, Failure> {
    let path = path_in(&arguments.recordings, &arguments.name).map_err(Failure::usage)?;
    let shown = path.display();
    if path.exists() && !arguments.force {
        return Err(Failure::usage(format!("{shown} exists; choose another --name, or add --force")));
    }
    let cannot_write = |error| Failure::environment(format!("{shown}: {error}"));
    fs::create_dir_all(&arguments.recordings).map_err(cannot_write)?;
    // Written aside first: a recording that was interrupted must not look like one.
    let unfinished = path.with_extension("unfinished");
    let file = File::create(&unfinished).map_err(cannot_write)?;
    let mut writer = RecordingWriter::new(shown.to_string(), BufWriter::new(file));

    let start = Instant::now();
    let mut output = CommandOutput::spawn(&arguments.command)
        .map_err(|error| Failure::usage(format!("cannot run {:?}: {error}", arguments.command[0])))?;
    let (mut lines, mut replaced) = (0_u64, 0_u64);
    // Two pipes are read by two tasks: their lines may reach us in the other order by a hair.
    let mut latest = std::time::Duration::ZERO;
    let mut interrupted = pin!(super::interrupted());
    loop {
        let next = tokio::select! {
            next = output.next() => next,
            () = &mut interrupted => {
                drop(output);
                // Gone or not, it never was a recording.
                let _ = fs::remove_file(&unfinished);
                return Ok(Exit::Interrupted);
            }
        };
        let Some(read) = next else { break };
        let mut read = read.map_err(Failure::environment)?;
        for (from, to) in &arguments.replace {
            read.line.text = read.line.text.replace(from, to);
        }
        latest = latest.max(read.at - start);
        writer.line(latest, &read.line).map_err(Failure::environment)?;
        lines += 1;
        replaced += u64::from(read.replaced);
    }
    let status = output.wait().await.map_err(Failure::environment)?.expect("a command has a status");
    let ended = if status.success() { Status::Succeeded } else { Status::Failed };
    let end = RecordedEnd { offset: start.elapsed().max(latest), status: ended };
    let file = writer.end(end).map_err(Failure::environment)?;
    file.into_inner().map_err(|error| cannot_write(error.into_error()))?.sync_all().map_err(cannot_write)?;
    fs::rename(&unfinished, &path).map_err(cannot_write)?;
    eprintln!("recorded {lines} lines in {:.1} s as {shown} ({ended})", end.offset.as_secs_f64());
    if replaced > 0 {
        eprintln!("{replaced} lines held bytes that are not UTF-8; those became U+FFFD");
    }
    Ok(ended_as(status))
}
