//! `docs/operations.md` against the program: every limit with its default, every role, and the commands as they stand.

use std::fs;
use std::path::Path;
use std::process::Command;

use wirelab::access::Role;

use super::*;
use crate::server::wirelab;

fn document() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md")).unwrap()
}

/// The flags of `serve` whose default is a number or a time, each with that default.
fn limits() -> Vec<(String, String)> {
    let help = wirelab().args(["serve", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let (mut limits, mut flag) = (Vec::new(), String::new());
    for line in help.lines() {
        if let Some(rest) = line.trim_start().strip_prefix("--") {
            flag = format!("--{}", rest.split_whitespace().next().unwrap());
        }
        let default = line.split_once("[default: ").and_then(|(_, rest)| rest.split(']').next());
        if let Some(default) = default.filter(|default| default.trim_end_matches('s').parse::<u64>().is_ok())
        {
            limits.push((flag.clone(), default.to_owned()));
        }
    }
    limits
}

#[test]
fn every_limit_of_serve_stands_in_the_document_with_its_default() {
    let (document, limits) = (document(), limits());
    assert!(limits.len() >= 10, "{limits:?}");
    for (flag, default) in &limits {
        let row = format!("| `{flag}` | {default} | ");
        assert!(document.contains(&row), "docs/operations.md has no row {row}");
    }
    let rows = document.lines().filter(|line| line.starts_with("| `--")).count();
    assert_eq!(rows, limits.len(), "a row is of a flag that is no more");
}

#[test]
fn every_role_stands_in_the_document() {
    for role in Role::ALL {
        assert!(document().contains(&format!("| `{role}` | ")), "{role}");
    }
}

/// What the document shows of the refusal is what a reader sees.
#[test]
fn the_refusal_that_is_shown_is_said() {
    let refused = wirelab().args(["serve", "--bind", "0.0.0.0:8080"]).output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(document().contains(said.trim()), "{said}");
}

/// The shell block that makes tokens, as a teacher pastes it, but on a free port of the loopback.
#[test]
fn the_commands_make_a_file_that_a_server_takes() {
    let document = document();
    let (_, block) = document.split_once("### Make tokens\n\n```sh\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let (make, serve) = block.split_once("wirelab serve").unwrap();
    assert!(serve.contains("--access tokens"), "{serve}");
    let folder = tempfile::tempdir().unwrap();
    let program = wirelab().get_program().to_owned();
    let made = Command::new("sh")
        .args(["-euc", &format!("wirelab() {{ \"$WIRELAB\" \"$@\"; }}\n{make}")])
        .env("WIRELAB", program)
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mut command = wirelab();
    command.args(["serve", "--store", "memory", "--bind", "127.0.0.1:0", "--access", "tokens"]);
    let said = folder.path().join("said");
    let server =
        crate::server::Binary::of(command.current_dir(&folder).stderr(fs::File::create(&said).unwrap()));
    let tokens = fs::read_to_string(folder.path().join("tokens")).unwrap();
    let mut tokens = tokens.lines().map(|line| line.split(' ').nth(1).unwrap());
    let (owner, reader) = (tokens.next().unwrap(), tokens.next().unwrap());
    assert_eq!(ask_as(&server, owner, "GET", "/api/lab", &[], b"").status, 200);
    assert_eq!(ask_as(&server, reader, "GET", "/api/deployments", &[], b"").status, 200);
    assert_eq!(fs::read_to_string(said).unwrap(), "", "umask 077 keeps the file to its owner");
}
