//! `wirelab man`: prints the manual page of the program with all its commands, or of one command.

use std::io;

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::Roff;

use super::{Exit, Failure, say};
use crate::commands::cli::{Cli, ManPage};

/// Prints the page as roff, which `man -l -` shows.
pub fn run(arguments: &ManPage) -> Result<Exit, Failure> {
    let mut program = Cli::command();
    // Building the program gives commands their full names and the global options.
    program.build();
    let page = match &arguments.command {
        None => whole(&program),
        Some(name) => match program.get_subcommands().find(|command| command.get_name() == name.as_str()) {
            Some(command) => one(command),
            None => {
                let known: Vec<&str> = commands(&program).map(Command::get_name).collect();
                let known = known.join(", ");
                return Err(Failure::usage(format!("unknown command {name:?}; one of {known}")));
            }
        },
    };
    let page = page.expect("a vector takes every byte");
    say(&String::from_utf8_lossy(&page))?;
    Ok(Exit::Ok)
}

/// Returns the commands without `help`, which clap adds.
fn commands(program: &Command) -> impl Iterator<Item = &Command> {
    program.get_subcommands().filter(|command| command.get_name() != "help")
}

fn one(command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    man(command).render(&mut page)?;
    Ok(page)
}

fn man(command: &Command) -> Man {
    // Title of the page: `wirelab-run(1)` describes `wirelab run`.
    let title = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    Man::new(command.clone()).title(title).manual("wirelab")
}

/// Renders the program's page with a section for each command.
fn whole(program: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let of_program = man(program);
    of_program.render_title(&mut page)?;
    of_program.render_name_section(&mut page)?;
    of_program.render_synopsis_section(&mut page)?;
    of_program.render_description_section(&mut page)?;
    of_program.render_options_section(&mut page)?;
    for command in commands(program) {
        let name = command.get_bin_name().unwrap_or(command.get_name());
        Roff::new().control("SH", [name.to_uppercase().as_str()]).to_writer(&mut page)?;
        let mut section = Vec::new();
        let of_command = man(command);
        of_command.render_synopsis_section(&mut section)?;
        of_command.render_description_section(&mut section)?;
        of_command.render_options_section(&mut section)?;
        of_command.render_extra_section(&mut section)?;
        page.extend(String::from_utf8_lossy(&section).replace("\n.SH ", "\n.SS ").into_bytes());
    }
    of_program.render_version_section(&mut page)?;
    Ok(once(&page))
}

/// Keeps the lines that begin a page only at its start: each rendered piece brings its own.
fn once(page: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(page);
    let begins = |line: &str| line.starts_with(".ie ") || line.starts_with(".el ");
    let lines = text.lines().enumerate().filter(|(i, line)| *i < 2 || !begins(line));
    lines.flat_map(|(_, line)| [line, "\n"]).collect::<String>().into_bytes()
}
