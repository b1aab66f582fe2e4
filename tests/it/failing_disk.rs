//! Calls of the disk that fail: what is answered, what is there afterwards, and whether it passes.
//!
//! `strace` makes the calls of the real binary fail, on one file or folder only.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use wirelab_clients::wire::{Deployment, DeploymentId};

use crate::durability::strace;
use crate::server::Binary;

/// Serves `data` while each `call` that concerns `path` fails with `error`.
fn serve_failing(data: &Path, call: &str, error: &str, path: &Path) -> Binary {
    let mut command = strace();
    command.args(["-f", "-qq", "-o", "/dev/null", "-P"]).arg(path);
    command.args(["-e", &format!("trace={call}"), "-e", &format!("inject={call}:error={error}")]);
    command.arg(env!("CARGO_BIN_EXE_wirelab"));
    command.args(["serve", "--bind", "127.0.0.1:0", "--stop-at-stdin-end", "--data"]).arg(data);
    Binary::of(command.stdin(Stdio::piped()).stderr(Stdio::null()))
}

/// A folder of two deployments, one line each.
fn two_deployments() -> (TempDir, DeploymentId, DeploymentId) {
    let data = TempDir::new().unwrap();
    let server = Binary::serve("127.0.0.1:0", &["--data", data.path().to_str().unwrap()]);
    let (first, second) = (server.create().id, server.create().id);
    server.append(&first, &["a"]);
    server.append(&second, &["a"]);
    server.terminate();
    (data, first, second)
}

fn segment(data: &Path, id: &DeploymentId) -> std::path::PathBuf {
    data.join(id.as_str()).join("00000000000000000001.ndjson")
}

fn append(server: &Binary, id: &DeploymentId) -> u16 {
    server.post(&format!("/api/deployments/{id}/lines"), "text/plain", "b").status
}

#[test]
fn a_failed_flush_ends_its_log_until_a_restart_and_no_other() {
    let (data, bad, good) = two_deployments();
    let server = serve_failing(data.path(), "fdatasync", "EIO", &segment(data.path(), &bad));
    assert_eq!(server.get("/readyz").status, 200);
    for _ in 0..3 {
        assert_eq!(append(&server, &bad), 500);
    }
    let end = format!("/api/deployments/{bad}/finish");
    let refused = server.post(&end, "application/json", r#"{"status":"failed"}"#);
    assert_eq!((refused.status, refused.header("retry-after")), (500, None));
    let detail = refused.problem().unwrap().detail;
    assert!(detail.contains("restart") && !detail.contains(data.path().to_str().unwrap()), "{detail}");
    assert_eq!((append(&server, &good), server.show(&bad).lines), (201, 1));
    let ready = server.get("/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.problem().unwrap().detail.contains(bad.as_str()));
    assert_eq!(server.ask("DELETE", &format!("/api/deployments/{bad}"), &[], b"").status, 204);
    assert_eq!(server.get("/readyz").status, 200, "the one that failed is gone");
    server.end_by_stdin();
}

#[test]
fn a_failed_write_leaves_nothing_and_passes() {
    let (data, bad, good) = two_deployments();
    let path = segment(data.path(), &bad);
    let before = fs::read(&path).unwrap();
    let server = serve_failing(data.path(), "pwrite64", "EIO", &path);
    for _ in 0..3 {
        let refused = server.post(&format!("/api/deployments/{bad}/lines"), "text/plain", "b");
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")), "{refused:?}");
    }
    assert_eq!(append(&server, &good), 201);
    assert_eq!(server.get("/readyz").status, 200, "the newest write succeeded");
    assert_eq!(fs::read(&path).unwrap(), before);
    server.end_by_stdin();
    let server = Binary::serve("127.0.0.1:0", &["--data", data.path().to_str().unwrap()]);
    assert_eq!((append(&server, &bad), server.show(&bad).lines), (201, 2));
}

#[test]
fn a_creation_or_deletion_whose_folder_cannot_be_flushed_has_not_happened() {
    let (data, first, second) = two_deployments();
    let server = serve_failing(data.path(), "fsync", "EIO", data.path());
    let created = server.post("/api/deployments", "application/json", r#"{"name":"x"}"#);
    assert_eq!(created.status, 500, "{}", created.text());
    let detail = created.problem().unwrap().detail;
    assert!(!detail.contains(data.path().to_str().unwrap()), "{detail}");
    assert_eq!(server.ask("DELETE", &format!("/api/deployments/{first}"), &[], b"").status, 500);
    let expected = |server: &Binary, lines: [u64; 2]| {
        let listed: Vec<Deployment> = server.get("/api/deployments").json();
        let mut ids: Vec<_> = listed.into_iter().map(|deployment| deployment.id).collect();
        ids.sort();
        assert_eq!(ids, [first.clone(), second.clone()]);
        assert_eq!([server.show(&first).lines, server.show(&second).lines], lines);
    };
    expected(&server, [1, 1]);
    assert_eq!(append(&server, &first), 201, "the deployment that was not deleted goes on");
    server.end_by_stdin();

    let server = Binary::serve("127.0.0.1:0", &["--data", data.path().to_str().unwrap()]);
    expected(&server, [2, 1]);
    assert_eq!(server.ask("DELETE", &format!("/api/deployments/{first}"), &[], b"").status, 204);
}

#[test]
fn a_folder_that_cannot_be_locked_is_refused_with_the_right_advice() {
    let data = TempDir::new().unwrap();
    for error in ["EOPNOTSUPP", "ENOLCK"] {
        let mut command = strace();
        command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=flock"]);
        command.args(["-e", &format!("inject=flock:error={error}"), env!("CARGO_BIN_EXE_wirelab")]);
        let run =
            command.args(["serve", "--bind", "127.0.0.1:0", "--data"]).arg(data.path()).output().unwrap();
        let said = String::from_utf8(run.stderr).unwrap();
        assert_eq!(run.status.code(), Some(6), "{said}");
        assert!(said.contains("its file system has no locks: choose a folder on another one"), "{said}");
        assert!(!said.contains("readable and writable"), "{said}");
    }
}

#[test]
fn a_new_data_folder_is_durable_in_its_parent() {
    let parent = TempDir::new().unwrap();
    let (trace, data) = (parent.path().join("trace"), parent.path().join("new/data"));
    let mut command = strace();
    command.args(["-f", "-qq", "-y", "-e", "trace=fsync,mkdir", "-o"]).arg(&trace);
    command.arg(env!("CARGO_BIN_EXE_wirelab"));
    command.args(["serve", "--bind", "127.0.0.1:0", "--stop-at-stdin-end", "--data"]).arg(&data);
    Binary::of(command.stdin(Stdio::piped())).end_by_stdin();
    let calls = fs::read_to_string(trace).unwrap();
    for (folder, above) in [(data.parent().unwrap(), parent.path()), (&data, data.parent().unwrap())] {
        let (_, after) = calls.split_once(&format!("mkdir(\"{}\"", folder.display())).expect("it was made");
        assert!(
            after.contains(&format!("<{}>)", above.display())),
            "{} is not flushed: {calls}",
            above.display()
        );
    }
}
