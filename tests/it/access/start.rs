//! What a start says: who may use the server, and why it does not begin.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use tempfile::TempDir;

use super::*;
use crate::server::{Binary, wirelab};

fn file(folder: &TempDir, text: &str, mode: u32) -> PathBuf {
    let path = folder.path().join("tokens");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

/// A server that does not start. Its port is one that nobody may have.
#[track_caller]
fn refused(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let mut command = wirelab();
    command.args(["serve", "--store", "memory"]).args(arguments).env_remove("WIRELAB_ACCESS");
    let Output { status, stdout, stderr } = command.envs(environment.iter().copied()).output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!((status.code(), stdout.len()), (Some(2), 0), "{said}");
    said
}

#[test]
fn a_server_that_others_can_reach_does_not_start_open_by_mistake() {
    for bind in ["0.0.0.0:0", "[::]:0", "192.0.2.2:0", "[::ffff:0.0.0.0]:0"] {
        let said = refused(&["--bind", bind], &[]);
        for part in ["delete every log", "--access FILE", "wirelab token owner", "--open"] {
            assert!(said.contains(part), "{bind}: {part} is not in {said}");
        }
    }
    let open = Binary::serve("0.0.0.0:0", &["--store", "memory", "--open"]);
    let (_, port) = open.authority.rsplit_once(':').unwrap();
    let (folder, open) = (tempfile::tempdir().unwrap(), Api::new(format!("127.0.0.1:{port}")));
    assert_eq!(open.get("/api/deployments").status, 200);
    let tokens = file(&folder, &token_lines(), 0o600);
    let said = refused(&["--open", "--access", tokens.to_str().unwrap()], &[]);
    assert!(said.contains("cannot be used with"), "{said}");
}

#[test]
fn tokens_come_from_a_file_or_from_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = file(&folder, &token_lines(), 0o600);
    let of_file = Binary::serve("127.0.0.1:0", &["--store", "memory", "--access", tokens.to_str().unwrap()]);
    let mut command = wirelab();
    command.args(["serve", "--store", "memory", "--bind", "127.0.0.1:0", "--access", "env"]);
    let of_environment = Binary::of(command.env("WIRELAB_ACCESS", token_lines()));
    for server in [of_file, of_environment] {
        assert_eq!(server.get("/api/deployments").status, 401);
        assert_eq!(ask_as(&server, READER, "GET", "/api/deployments", &[], b"").status, 200);
    }
    let said = refused(&["--access", "env"], &[]);
    assert!(said.contains("WIRELAB_ACCESS") && said.contains("not set"), "{said}");
    let said = refused(&["--access", "env"], &[("WIRELAB_ACCESS", "# none")]);
    assert!(said.contains("WIRELAB_ACCESS has no token"), "{said}");
    let said = refused(&["--access", "/nowhere/tokens"], &[]);
    assert!(said.contains("/nowhere/tokens") && said.contains("wirelab token"), "{said}");
}

#[test]
fn a_wrong_line_is_named_and_its_token_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = file(&folder, &format!("reader {READER}\nteacher {OWNER}\n"), 0o600);
    let said = refused(&["--access", tokens.to_str().unwrap()], &[]);
    assert!(said.contains("tokens, line 2: ") && said.contains("reader, publisher, owner"), "{said}");
    assert!(!said.contains("wl_"), "{said}");
}

#[test]
fn a_file_that_others_may_read_is_said_to_be_one() {
    let said = |mode: u32| {
        let folder = tempfile::tempdir().unwrap();
        let (tokens, said) = (file(&folder, &token_lines(), mode), folder.path().join("said"));
        let mut command = wirelab();
        command.args(["serve", "--store", "memory", "--bind", "127.0.0.1:0", "--access"]).arg(&tokens);
        let server = Binary::of(command.stderr(fs::File::create(&said).unwrap()));
        assert_eq!(server.get("/healthz").status, 200, "it starts all the same");
        fs::read_to_string(said).unwrap()
    };
    assert_eq!(said(0o600), "");
    for mode in [0o644, 0o640, 0o602] {
        assert!(said(mode).contains("chmod 600"), "{mode:o}");
    }
}

/// Two runs of `wirelab token`, as a teacher makes a file of them.
#[test]
fn a_made_token_is_a_line_of_a_file_that_works() {
    let made = |arguments: &[&str]| {
        let output = wirelab().arg("token").args(arguments).output().unwrap();
        assert!(output.status.success());
        let (line, said) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        let token = line.split_whitespace().nth(1).unwrap().to_owned();
        assert!(said.contains("--access") && said.contains("/login") && !said.contains(&token), "{said}");
        (line, token)
    };
    let (reader, readers_token) = made(&["reader", "--name", "class 7b"]);
    let (owner, owners_token) = made(&["owner"]);
    assert!(reader.starts_with("reader wl_") && reader.ends_with(" class 7b\n"), "{reader}");
    assert!(readers_token.len() >= 3 + 22, "128 bits in base64: {readers_token}");
    assert_ne!(readers_token, owners_token);
    let folder = tempfile::tempdir().unwrap();
    let tokens = file(&folder, &(reader + &owner), 0o600);
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory", "--access", tokens.to_str().unwrap()]);
    assert_eq!(ask_as(&server, &readers_token, "GET", "/api/deployments", &[], b"").status, 200);
    assert_eq!(ask_as(&server, &readers_token, "GET", "/api/lab", &[], b"").status, 403);
    assert_eq!(ask_as(&server, &owners_token, "GET", "/api/lab", &[], b"").status, 200);
    let wrong = wirelab().args(["token", "teacher"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert!(Path::new(&tokens).exists());
}
