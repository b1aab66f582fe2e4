//! `wirelab publish`: streams a command's output, or stdin, into a deployment while it is still shown.
//!
//! The command has priority: whatever happens to the server, the command runs to its own end, and its exit code is
//! passed on.

use std::time::Duration;

use rand::RngExt;
use wirelab_clients::api::{Api, ApiError};
use wirelab_clients::wire::{BODY_BYTES_MAX, DeploymentId, NewLine, Status};

use super::wanted::Wanted;
use super::{Exit, Failure, Interrupts, ended_as, remark};
use crate::commands::cli::PublishArguments;
use crate::commands::command_output::{CommandOutput, OutputLine, Repairs};

/// Lines per append when they come faster than the server accepts them.
const APPEND_LINES_MAX: usize = 512;
/// Largest JSON of one byte of a line: escaped as `\u0000`. The frame holds the member names.
const JSON_BYTES_PER_BYTE_MAX: usize = 6;
const JSON_FRAME_BYTES_MAX: usize = 64;
/// Attempts at a server that is away or overloaded before publishing is given up.
const RETRIES: u32 = 60;
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Publishes until the command or stdin ends. Then finishes the deployment, unless it is to stay open.
pub async fn run(arguments: PublishArguments) -> Result<Exit, Failure> {
    let wanted = Wanted::parse(&arguments.deployment, &arguments.server)?;
    let mut api = Api::new(wanted.server.clone());
    let found = wanted.find_running(&mut api).await.map_err(failure)?;
    let created = found.is_none();
    let deployment = match found {
        Some(deployment) => deployment,
        None => api.create(wanted.name_of_a_new_one()?, None).await.map_err(failure)?,
    };
    if let Some(status) = deployment.ended {
        let ended = format!("deployment {} has ended ({status}); publish to another name", deployment.id);
        return Err(Failure::usage(ended));
    }
    let id = deployment.id;
    remark(&format!("publishing to {}/api/deployments/{id} ({})", api.server(), deployment.name));

    // Signals are caught before the command runs: a program that sees its first line may send one.
    let mut interrupts = Interrupts::listen();
    let started = match arguments.command.split_first() {
        None => Ok(CommandOutput::stdin()),
        Some((program, _)) => CommandOutput::spawn(&arguments.command)
            .map_err(|error| Failure::usage(format!("cannot run {program:?}: {error}"))),
    };
    let mut output = match started {
        Ok(output) => output,
        Err(failure) => {
            // The new deployment gets no lines. If it stayed open, the next attempt would publish into it.
            if created && !arguments.keep_open {
                api.finish(&id, Status::Failed).await.map_err(self::failure)?;
            }
            return Err(failure);
        }
    };
    let (mut repairs, mut unpublished) = (Repairs::default(), 0);
    let mut was_interrupted = false;
    let mut held_back = None;
    // After a final refusal nothing more is sent, but the command goes on and is still shown.
    let mut refused: Option<ApiError> = None;
    let ended = loop {
        let first = match held_back.take() {
            Some(first) => first,
            None => {
                let next = tokio::select! {
                    next = output.next() => next,
                    interrupt = interrupts.next() => {
                        // The command may clean up and print. A second signal ends it, and so does the first while
                        // stdin is read.
                        if was_interrupted || !output.pass_on(interrupt) {
                            was_interrupted = true;
                            break output.end().await;
                        }
                        was_interrupted = true;
                        continue;
                    }
                };
                let Some(read) = next else { break output.wait().await };
                read.map_err(Failure::environment)?
            }
        };
        let lines = gather(first, &mut output, &mut held_back, &mut repairs).map_err(Failure::environment)?;
        if refused.is_some() {
            unpublished += lines.len();
            continue;
        }
        let appending = append(&mut api, &id, &lines);
        tokio::pin!(appending);
        let appended = loop {
            tokio::select! {
                appended = &mut appending => break appended,
                interrupt = interrupts.next() => {
                    if was_interrupted || !output.pass_on(interrupt) {
                        remark(&format!("{} lines were shown and perhaps not published", lines.len()));
                        return Ok(Exit::Interrupted);
                    }
                    was_interrupted = true;
                }
            }
        };
        if let Err(error) = appended {
            remark(&format!("wirelab: {error}; from here on nothing is published"));
            unpublished += lines.len();
            refused = Some(error);
        }
    };
    repairs.tell();
    if unpublished > 0 {
        remark(&format!("{unpublished} lines were shown and not published"));
    }
    let (status, exit) = match ended.map_err(Failure::environment)? {
        _ if was_interrupted => (Status::Cancelled, Exit::Interrupted),
        Some(status) if !status.success() => (Status::Failed, ended_as(status)),
        Some(_) | None => (Status::Succeeded, Exit::Ok),
    };
    if refused.is_some() {
        return Ok(if exit == Exit::Ok { Exit::Environment } else { exit });
    }
    if !arguments.keep_open {
        api.finish(&id, status).await.map_err(failure)?;
    }
    Ok(exit)
}

/// Gathers the lines that have piled up into one append: one append per round trip, however fast lines come. A line
/// that would make the body too large is held back for the next append.
fn gather(
    first: OutputLine,
    output: &mut CommandOutput,
    held_back: &mut Option<OutputLine>,
    repairs: &mut Repairs,
) -> std::io::Result<Vec<NewLine>> {
    let mut lines = Vec::new();
    let mut body_bytes_max = 0;
    let mut next = Some(first);
    while let Some(read) = next {
        body_bytes_max += JSON_BYTES_PER_BYTE_MAX * read.line.text.len() + JSON_FRAME_BYTES_MAX;
        if !lines.is_empty() && body_bytes_max > BODY_BYTES_MAX {
            *held_back = Some(read);
            break;
        }
        repairs.note(&read);
        lines.push(read.line);
        next = if lines.len() < APPEND_LINES_MAX { output.try_next().transpose()? } else { None };
    }
    Ok(lines)
}

/// Appends lines exactly once, even after retries: the key tells the server that it is the same append.
async fn append(api: &mut Api, id: &DeploymentId, lines: &[NewLine]) -> Result<(), ApiError> {
    let key = format!("{:032x}", rand::rng().random::<u128>());
    let mut retries = 0;
    loop {
        let error = match api.append(id, lines, &key).await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        let passes = match &error {
            ApiError::Unreachable { .. } => true,
            ApiError::Refused { problem, .. } => matches!(problem.status, 429 | 503),
            ApiError::Contract { .. } => false,
        };
        if !passes || retries == RETRIES {
            return Err(error);
        }
        retries += 1;
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

fn failure(error: ApiError) -> Failure {
    Failure::environment(error)
}
