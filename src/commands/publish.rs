//! `wirelab publish`: streams a command's output, or stdin, into a deployment while it is still shown.
//!
//! The command has priority. It starts, runs to its own end and is shown whatever happens to the server, and its exit code
//! is passed on. What could not be published is counted.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wirelab_clients::api::Api;
use wirelab_clients::wire::NAME_CHARS_MAX;

use super::reach::Reach;
use super::wanted::Wanted;
use super::wrapper::publisher::{AtEnd, OutputEnd, Published, Publisher};
use super::wrapper::{
    Backlog, Ended, HOLD_UP_MAX, HoldUp, Kept, Signals, Wrapped, is_end, lines_were, outlive_file_limit,
};
use super::{Exit, Failure};
use crate::commands::cli::PublishArguments;
use crate::terminal::{complain, flush};

/// How long the command waits for the server's first answers, so that the deployment's URL stands above the output. A
/// server that is well answers within milliseconds; the command starts without any other.
const START_WAIT_MAX: Duration = Duration::from_millis(300);

/// Publishes until the command or stdin ends. Then finishes the deployment, unless it is to stay open.
pub async fn run(arguments: PublishArguments) -> Result<Exit, Failure> {
    let wanted = Wanted::parse(&arguments.deployment, &arguments.server, &Reach::of(&arguments.trust)?)?;
    if let Ok(name) = wanted.name_of_a_new_one() {
        check_name(name)?;
    }
    // Signals are caught before the command runs: a program that sees its first line may send one.
    let mut signals = Signals::listen();
    outlive_file_limit();
    // Stdin may be a file, which the server may take as slowly as it likes.
    let is_stdin = arguments.command.is_empty();
    let hold_up = if is_stdin { HoldUp::WithoutProgress(HOLD_UP_MAX) } else { HoldUp::InTotal(HOLD_UP_MAX) };
    let backlog = Arc::new(Backlog::new(hold_up));
    let at_end = if arguments.keep_open { AtEnd::KeepOpen } else { AtEnd::Finish };
    let mut publisher = Publisher::start(Api::new(wanted.server.clone()), wanted, at_end, backlog.clone());
    let start_limit = Instant::now() + START_WAIT_MAX;
    let mut meanwhile = Vec::new();
    let is_interrupted = loop {
        tokio::select! {
            () = publisher.begun_before(start_limit) => break false,
            signal = signals.next() => match is_end(signal) {
                true => break true,
                // Waiting signals of one kind are one, as in the system.
                false if meanwhile.contains(&signal) => {}
                false => meanwhile.push(signal),
            },
        }
    };
    if is_interrupted {
        backlog.close();
        publisher.end(OutputEnd::NeverBegun, &mut signals).await;
        return Ok(Exit::Interrupted);
    }
    // The deployment's URL stands above what the command prints.
    flush(start_limit.saturating_duration_since(Instant::now()));

    let started = match is_stdin {
        true => Wrapped::stdin(backlog.clone()),
        false => Wrapped::command(&arguments.command, backlog.clone()),
    };
    let wrapped = match started {
        Ok(wrapped) => wrapped,
        Err(failure) => {
            backlog.close();
            publisher.end(OutputEnd::NeverBegun, &mut signals).await;
            return Err(failure);
        }
    };
    meanwhile.into_iter().for_each(|signal| wrapped.pass_on(signal));
    let ended = wrapped.ended(&mut signals).await;
    ended.tell();
    let published = publisher.end(OutputEnd::With(ended.outcome()), &mut signals).await;
    Ok(ended.exit(tell(&ended, published)))
}

/// Says what is missing at the server.
fn tell(ended: &Ended, published: Option<Published>) -> Kept {
    let Some(Published { lines, doubtful_lines, is_ended, repairs }) = published else {
        complain("wirelab: interrupted; how much was published is not known");
        return Kept::InPart;
    };
    repairs.tell();
    let missing = ended.missing_lines(lines);
    if let Some(missing @ 1..) = missing {
        let perhaps = match doubtful_lines {
            0 => String::new(),
            lines => format!("; {lines} of them may be published, the server did not say"),
        };
        complain(format!("{} shown and not published{perhaps}", lines_were(missing)));
    }
    if missing == Some(0) && is_ended { Kept::Whole } else { Kept::InPart }
}

/// Checks what every server would refuse. It is known before anything starts.
fn check_name(name: &str) -> Result<(), Failure> {
    match name.chars().count() {
        1..=NAME_CHARS_MAX => Ok(()),
        chars => Err(Failure::usage(format!(
            "--deployment: the name has {chars} characters; give it 1 to {NAME_CHARS_MAX}"
        ))),
    }
}
