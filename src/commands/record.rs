//! `wirelab record`: writes a command's output with its own gaps, bursts and silences as a recording.

use std::fs::{self, File};
use std::io::BufWriter;
use std::time::Instant;

use wirelab_clients::recording::{RecordedEnd, RecordingWriter, path_in};
use wirelab_clients::wire::Status;

use super::{Exit, Failure, Interrupts, ended_as, remark};
use crate::commands::cli::RecordArguments;
use crate::commands::command_output::{CommandOutput, Repairs};

/// Runs the command, shows what it prints, records it, and exits with the command's code.
pub async fn run(arguments: RecordArguments) -> Result<Exit, Failure> {
    let path = path_in(&arguments.recordings, &arguments.name).map_err(Failure::usage)?;
    let shown = path.display();
    if path.exists() && !arguments.force {
        return Err(Failure::usage(format!(
            "{shown} exists already; choose another --name, or add --force to overwrite it"
        )));
    }
    let cannot_write = |error| Failure::environment(format!("{shown}: {error}"));
    fs::create_dir_all(&arguments.recordings).map_err(cannot_write)?;
    // Written under another name first: an interrupted recording must not look complete.
    let unfinished = path.with_extension("unfinished");
    let file = File::create(&unfinished).map_err(cannot_write)?;
    let mut writer = RecordingWriter::new(shown.to_string(), BufWriter::new(file));

    // Signals are caught before the command runs: a program that sees its first line may send one.
    let mut interrupts = Interrupts::listen();
    let start = Instant::now();
    let mut output = CommandOutput::spawn(&arguments.command).map_err(|error| {
        // An error leaves an empty file that does no harm.
        let _ = fs::remove_file(&unfinished);
        Failure::usage(format!("cannot run {:?}: {error}", arguments.command[0]))
    })?;
    let (mut lines, mut repairs) = (0_u64, Repairs::default());
    // Two tasks read two pipes, so lines that are close together may arrive here in the other order.
    let mut latest = std::time::Duration::ZERO;
    let mut was_interrupted = false;
    let ended = loop {
        let next = tokio::select! {
            next = output.next() => next,
            interrupt = interrupts.next() => {
                // The command may clean up, which belongs to the recording. A second signal ends it.
                if was_interrupted || !output.pass_on(interrupt) {
                    break output.end().await;
                }
                was_interrupted = true;
                continue;
            }
        };
        let Some(read) = next else { break output.wait().await };
        let mut read = read.map_err(Failure::environment)?;
        for (from, to) in &arguments.replace {
            read.line.text = read.line.text.replace(from, to);
        }
        latest = latest.max(read.at - start);
        writer.line(latest, &read.line).map_err(Failure::environment)?;
        lines += 1;
        repairs.note(&read);
    };
    let status = ended.map_err(Failure::environment)?.expect("a command has a status");
    let (ended, exit) = match was_interrupted {
        true => (Status::Cancelled, Exit::Interrupted),
        false if status.success() => (Status::Succeeded, Exit::Ok),
        false => (Status::Failed, ended_as(status)),
    };
    let end = RecordedEnd { offset: start.elapsed().max(latest), status: ended };
    let file = writer.end(end).map_err(Failure::environment)?;
    file.into_inner().map_err(|error| cannot_write(error.into_error()))?.sync_all().map_err(cannot_write)?;
    fs::rename(&unfinished, &path).map_err(cannot_write)?;
    remark(&format!("recorded {lines} lines in {:.1} s as {shown} ({ended})", end.offset.as_secs_f64()));
    repairs.tell();
    Ok(exit)
}
