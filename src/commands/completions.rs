//! `wirelab completions`: prints the completions of a shell.

use clap::CommandFactory;

use super::{Exit, Failure, say};
use crate::commands::cli::{Cli, Completions};

/// Prints the completion script of a shell.
pub fn run(arguments: &Completions) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "wirelab", &mut script);
    say(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}
