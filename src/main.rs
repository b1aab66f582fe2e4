//! The program `wirelab`: parses the command line, runs one command, exits with its code.

#![warn(clippy::print_stderr)]

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use wirelab::commands;
use wirelab::commands::cli::{Cli, Command};
use wirelab::terminal::{complain, flush};

/// How long the last words may wait for a stderr that nobody reads.
const LAST_WORDS_MAX: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    wirelab_clients::os::name_process(c"wirelab");
    let cli = Cli::parse();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be started");
    let ended = runtime.block_on(async {
        match cli.command.unwrap_or_else(default_command) {
            Command::Run(arguments) => commands::run::run(arguments).await,
            Command::Serve(arguments) => commands::serve::run(arguments).await,
            Command::Token(arguments) => commands::token::run(&arguments),
            Command::Publish(arguments) => commands::publish::run(arguments).await,
            Command::Tail(arguments) => commands::tail::run(arguments).await,
            Command::Crowd(arguments) => commands::crowd::run(arguments).await,
            Command::Record(arguments) => commands::record::run(arguments).await,
            Command::Claims(arguments) => commands::claims::run(arguments).await,
            Command::Compare(arguments) => commands::compare::run(&arguments),
            Command::Report(arguments) => commands::report::run(&arguments),
            Command::Reproduce(arguments) => commands::reproduce::run(arguments).await,
            Command::Plans(arguments) => commands::plans::run(&arguments),
            Command::Completions(arguments) => commands::completions::run(&arguments),
            Command::Man(arguments) => commands::man::run(&arguments),
            Command::Dictionary => commands::plans::dictionary(),
        }
    });
    // Ends without waiting for the runtime: a replay that is still fed, or a read of stdin, must not keep the process
    // alive.
    runtime.shutdown_background();
    let exit = match ended {
        Ok(exit) => exit,
        Err(failure) => {
            complain(format!("wirelab: {failure}"));
            failure.exit
        }
    };
    flush(LAST_WORDS_MAX);
    ExitCode::from(exit.code())
}

/// Returns the command of `wirelab` without arguments: `wirelab run`.
fn default_command() -> Command {
    Cli::parse_from(["wirelab", "run"]).command.expect("run is a command")
}
