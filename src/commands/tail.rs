//! `wirelab tail`: follows a deployment in the terminal over any transport.

use wirelab_clients::api::Api;
use wirelab_clients::meter::Meter;
use wirelab_clients::wire::{DeploymentId, Position, Status};
use wirelab_clients::{Options, Polling, ServerUrl, Target, connect};

use super::{Exit, Failure, Interrupts, StdoutReader, remark, say};
use crate::commands::cli::TailArguments;

/// Prints lines until the deployment ends. Exits with 0 if it succeeded and with 1 otherwise.
pub async fn run(arguments: TailArguments) -> Result<Exit, Failure> {
    let (server, name) = located(&arguments)?;
    let server: ServerUrl = server.parse().map_err(Failure::usage)?;
    let mut api = Api::new(server.clone());
    let found = api.find(&name).await.map_err(Failure::environment)?;
    let deployment = found.ok_or_else(|| {
        Failure::usage(format!(
            "{server} has no deployment {name:?}; GET {server}/api/deployments lists them"
        ))
    })?;
    let target =
        Target { server, deployment: deployment.id.clone(), from: arguments.from.unwrap_or(Position::Start) };
    let options = Options { polling: Polling::every(arguments.poll_interval), ..Options::default() };
    let meter = Meter::new();
    let mut outage = meter.outage();
    let mut subscriber = connect(arguments.transport, target, &options, meter);
    let mut interrupts = Interrupts::listen();
    loop {
        let mut next = subscriber.next_batch();
        let received = loop {
            tokio::select! {
                received = &mut next => break received.map_err(Failure::environment)?,
                _ = interrupts.next() => return Ok(Exit::Interrupted),
                // One message per outage: the reason changes only from none to one and back.
                Ok(()) = outage.changed() => {
                    if let Some(why) = outage.borrow_and_update().as_deref() {
                        remark(&format!("reconnecting: {why}"));
                    }
                }
            }
        };
        drop(next);
        let texts = received.batch.lines.iter().flat_map(|line| [line.line.text.as_str(), "\n"]);
        if say(&texts.collect::<String>())? == StdoutReader::Gone {
            return Ok(Exit::Ok);
        }
        if received.batch.finished {
            break;
        }
    }
    status(&mut api, &deployment.id).await
}

async fn status(api: &mut Api, id: &DeploymentId) -> Result<Exit, Failure> {
    let ended = api.get(id).await.map_err(Failure::environment)?.ended;
    remark(&ended.map_or_else(|| "running".to_owned(), |status| status.to_string()));
    Ok(if ended == Some(Status::Succeeded) { Exit::Ok } else { Exit::Command(1) })
}

/// Returns server and deployment, from a URL such as `http://host:port/api/deployments/01k3…` or from the two options.
fn located(arguments: &TailArguments) -> Result<(String, String), Failure> {
    let given = &arguments.deployment;
    let Some(rest) = given.strip_prefix("http://") else {
        return Ok((arguments.server.clone(), given.clone()));
    };
    let parts: Vec<_> = rest.split('/').collect();
    match parts[..] {
        [authority, "api", "deployments", id] => Ok((format!("http://{authority}"), id.to_owned())),
        _ => Err(Failure::usage(format!(
            "{given:?} is not a deployment's URL; write http://host:port/api/deployments/ID"
        ))),
    }
}
