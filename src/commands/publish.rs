//! `wirelab publish`: a command's output, or stdin, streamed live into a deployment while it is still shown.
//!
//! The command comes first: whatever becomes of the server, it runs to its own end and its code is ours.

use std::pin::pin;
use std::time::Duration;

use rand::RngExt;
use wirelab_clients::ServerUrl;
use wirelab_clients::api::{Api, ApiError};
use wirelab_clients::wire::{BODY_BYTES_MAX, DeploymentId, NewLine, Status};

use super::{Exit, Failure, ended_as};
use crate::cli::Publish;
use crate::command_output::{CommandOutput, OutputLine};

/// Lines per append when they come faster than the server takes them.
const APPEND_LINES_MAX: usize = 512;
/// JSON of one line at most: every byte escaped as `\u0000`, and its member names.
const JSON_BYTES_PER_BYTE_MAX: usize = 6;
const JSON_FRAME_BYTES_MAX: usize = 64;
/// How often a server that is away or overloaded is asked again before the rest is given up.
const RETRIES: u32 = 60;
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Publishes until the command or stdin ends; then finishes the deployment, unless it is to stay open.
pub async fn run(arguments: Publish) -> Result<Exit, Failure> {
    let server: ServerUrl = arguments.server.parse().map_err(Failure::usage)?;
    let mut api = Api::new(server);
    let deployment = match api.find_running(&arguments.deployment).await.map_err(failure)? {
        Some(deployment) => deployment,
        None => api.create(&arguments.deployment, None).await.map_err(failure)?,
    };
    if let Some(status) = deployment.ended {
        let ended = format!("deployment {} has ended ({status}); publish to another name", deployment.id);
        return Err(Failure::usage(ended));
    }
    let id = deployment.id;
    eprintln!("publishing to {}/api/deployments/{id} ({})", api.server(), deployment.name);

    let mut output = if arguments.command.is_empty() {
        CommandOutput::stdin()
    } else {
        CommandOutput::spawn(&arguments.command)
            .map_err(|error| Failure::usage(format!("cannot run {:?}: {error}", arguments.command[0])))?
    };
    let mut counts = Counts::default();
    let mut interrupted = pin!(super::interrupted());
    let mut held_back = None;
    // Once the server has refused for good nothing more is sent, but the command goes on and is still shown.
    let mut refused: Option<ApiError> = None;
    let was_interrupted = loop {
        let first = match held_back.take() {
            Some(first) => first,
            None => {
                let next = tokio::select! {
                    next = output.next() => next,
                    () = &mut interrupted => break true,
                };
                let Some(read) = next else { break false };
                read.map_err(Failure::environment)?
            }
        };
        let lines = gather(first, &mut output, &mut held_back, &mut counts).map_err(Failure::environment)?;
        if refused.is_some() {
            counts.unpublished += lines.len();
            continue;
        }
        let appended = tokio::select! {
            appended = append(&mut api, &id, &lines) => appended,
            () = &mut interrupted => break true,
        };
        if let Err(error) = appended {
            eprintln!("wirelab: {error}; from here on nothing is published");
            counts.unpublished += lines.len();
            refused = Some(error);
        }
    };
    counts.tell();
    let (status, exit) = if was_interrupted {
        (Status::Cancelled, Exit::Interrupted)
    } else {
        match output.wait().await.map_err(Failure::environment)? {
            Some(status) if !status.success() => (Status::Failed, ended_as(status)),
            Some(_) | None => (Status::Succeeded, Exit::Ok),
        }
    };
    if refused.is_some() {
        return Ok(if exit == Exit::Ok { Exit::Environment } else { exit });
    }
    if !arguments.keep_open {
        api.finish(&id, status).await.map_err(failure)?;
    }
    Ok(exit)
}

#[derive(Default)]
struct Counts {
    replaced: usize,
    cut: usize,
    unpublished: usize,
}

impl Counts {
    fn tell(&self) {
        let Self { replaced, cut, unpublished } = self;
        if *replaced > 0 {
            eprintln!("{replaced} lines held bytes that are not UTF-8; those became U+FFFD");
        }
        if *cut > 0 {
            eprintln!("{cut} pieces of lines above the bound became lines of their own");
        }
        if *unpublished > 0 {
            eprintln!("{unpublished} lines were shown and not published");
        }
    }
}

/// What has piled up meanwhile goes along: one append per round trip, however fast lines come. A line that would
/// make the body too large is held back for the next.
fn gather(
    first: OutputLine,
    output: &mut CommandOutput,
    held_back: &mut Option<OutputLine>,
    counts: &mut Counts,
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
        counts.replaced += usize::from(read.replaced);
        counts.cut += usize::from(read.cut);
        lines.push(read.line);
        next = if lines.len() < APPEND_LINES_MAX { output.try_next().transpose()? } else { None };
    }
    Ok(lines)
}

/// Appends once, however often it must be tried: the key tells the server that it is the same append.
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
