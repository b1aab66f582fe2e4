//! `wirelab crowd`: runs many subscribers of one deployment and prints what they see, once a second.

use std::time::Duration;

use tokio::time::MissedTickBehavior;
use wirelab_clients::api::Api;
use wirelab_clients::harness::crowd::{Figures, RunningCrowd};
use wirelab_clients::wire::Position;
use wirelab_clients::{Options, Polling, SubscribeError, Target, connect, os};

use super::reach::Reach;
use super::wanted::Wanted;
use super::{Exit, Failure, StdinEnd, StdoutReader, StopRequest, say};
use crate::commands::cli;

/// Time between two lines of figures.
const FIGURES_INTERVAL: Duration = Duration::from_secs(1);
/// File descriptors besides the connections: runtime, stdin and stdout, the call that finds the deployment.
const OTHER_DESCRIPTORS: u64 = 64;

/// Prints figures until the log is over or deleted, all subscribers have given up, or the command is told to stop. The
/// exit code says whether every line arrived once.
pub async fn run(arguments: cli::CrowdArguments) -> Result<Exit, Failure> {
    let mut stop = StopRequest::listen(StdinEnd::of_flag(arguments.stop_at_stdin_end));
    let wanted = Wanted::parse(&arguments.deployment, &arguments.server, &Reach::of(&arguments.trust)?)?;
    check_descriptors(arguments.subscribers)?;
    let mut api = Api::new(wanted.server.clone());
    let deployment = tokio::select! {
        found = wanted.find(&mut api) => found?,
        // A server that does not answer must not keep this process alive.
        () = stop.asked() => {
            let nothing = Figures { subscribers: arguments.subscribers.into(), ended: true, ..Figures::default() };
            tell(&nothing)?;
            return Ok(Exit::Ok);
        }
    };
    let id = deployment.id.clone();
    // All subscribers begin after the same line, so that they must see the same lines.
    let after = deployment.next.after;
    let target =
        Target { server: wanted.server, deployment: deployment.id, from: Position::After(deployment.next) };
    let options = Options { polling: Polling::every(arguments.poll_interval), ..Options::default() };
    let transport = arguments.transport.or(wanted.transport).unwrap_or(cli::TRANSPORT_DEFAULT);
    let mut crowd = RunningCrowd::start(arguments.subscribers, after, move |meter| {
        connect(transport, target.clone(), &options, meter)
    });

    let mut ticks = tokio::time::interval(FIGURES_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = crowd.ended() => break,
            () = stop.asked() => break,
            _ = ticks.tick() => {
                if tell(&crowd.figures())? == StdoutReader::Gone {
                    break;
                }
            }
        }
    }
    let mut figures = Figures { ended: true, ..crowd.figures() };
    if figures.gave_up > 0 {
        // The server answers a poll of a deleted deployment like one of an unknown deployment. A call tells which it
        // was.
        let is_deleted = tokio::select! {
            found = api.find(id.as_str()) => matches!(found, Ok(None)),
            () = stop.asked() => false,
        };
        if is_deleted {
            figures.gave_up = 0;
            figures.problem = Some(SubscribeError::Deleted.to_string());
        }
    }
    tell(&figures)?;
    if figures.gave_up > 0 {
        let problem = figures.problem.as_deref().unwrap_or("unknown");
        return Err(Failure::environment(format!(
            "{} of {} subscribers gave up; the first problem: {problem}",
            figures.gave_up, figures.subscribers
        )));
    }
    Ok(if figures.flawless() { Exit::Ok } else { Exit::Delivery })
}

fn check_descriptors(subscribers: u32) -> Result<(), Failure> {
    let needed = u64::from(subscribers) + OTHER_DESCRIPTORS;
    match os::raise_open_files() {
        Some(limit) if limit < needed => Err(Failure::usage(format!(
            "{subscribers} subscribers need {needed} open files, and this process may have {limit}; raise the limit \
             with `ulimit -n`, or start fewer subscribers"
        ))),
        Some(_) | None => Ok(()),
    }
}

fn tell(figures: &Figures) -> Result<StdoutReader, Failure> {
    let json = serde_json::to_string(figures).map_err(Failure::environment)?;
    say(&(json + "\n"))
}
