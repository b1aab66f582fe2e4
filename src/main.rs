//! `wirelab`: parse, dispatch, exit code.

use std::process::ExitCode;

use clap::Parser;
use wirelab::cli::{Cli, Command};
use wirelab::commands;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be started");
    let ended = runtime.block_on(async {
        match cli.command.unwrap_or_else(default_command) {
            Command::Serve(arguments) => commands::serve::run(arguments).await,
            _ => todo!(),
        }
    });
    // A replay that is still being fed, or a read of stdin, must not keep the process.
    runtime.shutdown_background();
    match ended {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(failure) => {
            eprintln!("wirelab: {failure}");
            ExitCode::from(failure.exit as u8)
        }
    }
}

/// `wirelab` alone is `wirelab run`.
fn default_command() -> Command {
    Cli::parse_from(["wirelab", "run"]).command.expect("run is a command")
}
