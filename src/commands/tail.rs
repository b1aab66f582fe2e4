//! `wirelab tail`: follows a deployment in the terminal over any transport.

use wirelab_clients::api::Api;
use wirelab_clients::meter::Meter;
use wirelab_clients::wire::{DeploymentId, Position, Status};
use wirelab_clients::{Options, Polling, Target, connect};

use super::reach::Reach;
use super::wanted::Wanted;
use super::{Exit, Failure, Interrupts, StdoutReader, remark, say};
use crate::commands::cli::{TRANSPORT_DEFAULT, TailArguments};

/// Prints lines until the deployment ends. Exits with 0 if it succeeded and with 1 otherwise.
pub async fn run(arguments: TailArguments) -> Result<Exit, Failure> {
    let wanted = Wanted::parse(&arguments.deployment, &arguments.server, &Reach::of(&arguments.trust)?)?;
    let mut api = Api::new(wanted.server.clone());
    let deployment = wanted.find(&mut api).await?;
    let from = arguments.from.or(wanted.from).unwrap_or(Position::Start);
    let transport = arguments.transport.or(wanted.transport).unwrap_or(TRANSPORT_DEFAULT);
    let target = Target { server: wanted.server, deployment: deployment.id.clone(), from };
    let options = Options { polling: Polling::every(arguments.poll_interval), ..Options::default() };
    let meter = Meter::new();
    let mut outage = meter.outage();
    let mut subscriber = connect(transport, target, &options, meter);
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
