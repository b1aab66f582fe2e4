//! `wirelab completions` and `wirelab man`, through the real binary.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use clap::CommandFactory;
use wirelab::commands::cli::Cli;

use crate::server::wirelab;

fn said(arguments: &[&str]) -> String {
    let output = wirelab().args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn commands() -> Vec<String> {
    Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect()
}

/// Runs bash without its own files on a script.
fn bash(arguments: &[&str], script: &str) -> Output {
    let mut bash = Command::new("bash")
        .args(["--norc", "--noprofile"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    bash.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    bash.wait_with_output().unwrap()
}

#[test]
fn bash_takes_its_completions_and_completes_every_command() {
    let script = said(&["completions", "bash"]);
    let checked = bash(&["-n"], &script);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let asked = format!(
        "{script}\nCOMP_WORDS=(wirelab '') COMP_CWORD=1\n_wirelab wirelab '' wirelab\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
    );
    let completed = bash(&["-s"], &asked);
    let completed = String::from_utf8(completed.stdout).unwrap();
    for command in commands() {
        assert!(completed.lines().any(|line| line == command), "{command} is not in {completed}");
    }
}

#[test]
fn every_shell_has_completions_that_know_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = said(&["completions", shell]);
        for command in commands() {
            assert!(script.contains(&command), "{shell}: {command}");
        }
    }
    let output = wirelab().args(["completions", "tcsh"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("fish"), "it does not say which there are");
}

/// Titles of sections, without the quotes of roff.
fn sections<'a>(page: &'a str, request: &str) -> Vec<&'a str> {
    page.lines().filter_map(|line| Some(line.strip_prefix(request)?.trim().trim_matches('"'))).collect()
}

#[test]
fn the_manual_page_has_a_section_for_every_command() {
    let page = said(&["man"]);
    assert_eq!(page.matches(".TH ").count(), 1, "one page has one title");
    assert_eq!(page.matches(".ie ").count(), 1, "one page begins once");
    let sections = sections(&page, ".SH ");
    assert_eq!(sections[..4], ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS"]);
    for command in commands() {
        let title = format!("WIRELAB {}", command.to_uppercase());
        assert!(sections.contains(&title.as_str()), "{title} is not in {sections:?}");
    }
    for flag in ["\\-\\-connections\\-max", "\\-\\-poll\\-interval", "\\-\\-allow\\-origin"] {
        assert!(page.contains(flag), "{flag}");
    }
    assert!(page.contains("Exit codes, the highest wins"), "what stands below the options is missing");
}

#[test]
fn each_command_has_a_page_of_its_own() {
    for command in commands() {
        let page = said(&["man", &command]);
        let title = format!(".TH wirelab-{command} 1");
        assert!(page.lines().any(|line| line.starts_with(&title)), "{command}: {page:.200}");
        assert!(sections(&page, ".SH ").starts_with(&["NAME", "SYNOPSIS", "DESCRIPTION"]), "{command}");
    }
    let output = wirelab().args(["man", "dance"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("unknown command \"dance\"; one of run, serve"), "{error}");
}
