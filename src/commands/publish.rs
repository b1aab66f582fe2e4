//! `wirelab publish`: a command's output, or stdin, streamed live into a deployment while it is still shown.

use std::pin::pin;
use std::time::Duration;

use rand::RngExt;
use wirelab_clients::ServerUrl;
use wirelab_clients::api::{Api, ApiError};
use wirelab_clients::wire::{DeploymentId, NewLine, Status};

use super::{Exit, Failure, ended_as};
use crate::cli::Publish;
use crate::command_output::CommandOutput;

/// Lines per append when they come faster than the server takes them.
const APPEND_LINES_MAX: usize = 512;
/// Text per append: far below the bound on a body, even when JSON escapes every byte.
const APPEND_BYTES_MAX: usize = 1 << 20;
/// How long a server that went away is waited for before lines are given up.
const RETRIES: u32 = 20;
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Publishes until the command or stdin ends; then finishes the deployment, unless it is to stay open.
pub async fn run(arguments: Publish) -> Result<Exit, Failure> {
    let server: ServerUrl = arguments.server.parse().map_err(Failure::usage)?;
    let mut api = Api::new(server);
    let deployment = match api.find_running(&arguments.deployment).await.map_err(failure)? {
        Some(deployment) => deployment,
        None => api.create(&arguments.deployment, None).await.map_err(failure)?,
    };
    let id = deployment.id;
    eprintln!("publishing to {}/api/deployments/{id} ({})", api.server(), deployment.name);

    let mut output = if arguments.command.is_empty() {
        CommandOutput::stdin()
    } else {
        CommandOutput::spawn(&arguments.command)
            .map_err(|error| Failure::usage(format!("cannot run {:?}: {error}", arguments.command[0])))?
    };
    let mut replaced = 0_u64;
    let mut interrupted = pin!(super::interrupted());
    let was_interrupted = loop {
        let next = tokio::select! {
            next = output.next() => next,
            () = &mut interrupted => break true,
        };
        let Some(first) = next else { break false };
        let mut lines: Vec<NewLine> = Vec::new();
        let mut bytes = 0;
        let mut next = Some(first);
        // What has piled up meanwhile goes along: one append per round trip, however fast lines come.
        while let Some(read) = next {
            let read = read.map_err(Failure::environment)?;
            replaced += u64::from(read.replaced);
            bytes += read.line.text.len();
            lines.push(read.line);
            next = if lines.len() < APPEND_LINES_MAX && bytes < APPEND_BYTES_MAX {
                output.try_next()
            } else {
                None
            };
        }
        append(&mut api, &id, &lines).await?;
    };
    if replaced > 0 {
        eprintln!("{replaced} lines held bytes that are not UTF-8; those became U+FFFD");
    }
    let (status, exit) = if was_interrupted {
        (Status::Cancelled, Exit::Interrupted)
    } else {
        match output.wait().await.map_err(Failure::environment)? {
            Some(status) if !status.success() => (Status::Failed, ended_as(status)),
            Some(_) | None => (Status::Succeeded, Exit::Ok),
        }
    };
    if !arguments.keep_open {
        api.finish(&id, status).await.map_err(failure)?;
    }
    Ok(exit)
}

/// Appends once, however often it must be tried: the key tells the server that it is the same append.
async fn append(api: &mut Api, id: &DeploymentId, lines: &[NewLine]) -> Result<(), Failure> {
    let key = format!("{:032x}", rand::rng().random::<u128>());
    let mut retries = 0;
    loop {
        match api.append(id, lines, &key).await {
            Ok(_) => return Ok(()),
            Err(ApiError::Unreachable { .. }) if retries < RETRIES => {
                retries += 1;
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            Err(error) => {
                let lost = format!("{error}; {} lines were read and not published", lines.len());
                return Err(Failure::environment(lost));
            }
        }
    }
}

fn failure(error: ApiError) -> Failure {
    Failure::environment(error)
}
