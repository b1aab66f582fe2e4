//! The descriptors of a server with few of them: logs and connections do not take each other's.

use std::process::Command;

use tempfile::TempDir;
use wirelab_clients::wire::Status;

use crate::http::Connection;
use crate::http::SOON;
use crate::server::{Binary, wait_until};

const LIMIT: usize = 128;
const RUNNING: usize = 200;

fn open_descriptors(server: &Binary) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("it runs").count()
}

fn serve_with_few_descriptors(data: &TempDir) -> Binary {
    let program = format!(
        "ulimit -n {LIMIT}; exec {} serve --bind 127.0.0.1:0 --no-lab --data {}",
        env!("CARGO_BIN_EXE_wirelab"),
        data.path().display()
    );
    Binary::of(Command::new("sh").args(["-c", &program]))
}

#[test]
fn more_deployments_run_than_descriptors_are_allowed_and_every_connection_is_answered() {
    let data = TempDir::new().unwrap();
    let server = serve_with_few_descriptors(&data);
    let ids: Vec<_> = (0..RUNNING).map(|_| server.create().id).collect();
    for turn in 1..=2 {
        for (i, id) in ids.iter().enumerate() {
            assert_eq!(server.append(id, &["x"]).last, turn, "append {turn} to deployment {i}");
        }
    }
    assert!(open_descriptors(&server) < LIMIT - 40, "{} are open", open_descriptors(&server));
    assert_eq!(server.get("/readyz").status, 200);
    // At once, by more publishers than files may be open.
    std::thread::scope(|scope| {
        for part in ids.chunks(RUNNING / 16) {
            let server = &*server;
            scope.spawn(move || part.iter().for_each(|id| assert_eq!(server.append(id, &["y"]).last, 3)));
        }
    });
    for id in &ids {
        server.finish(id, Status::Succeeded);
    }
    assert_eq!(server.get("/readyz").status, 200);
}

#[test]
fn connections_that_take_every_socket_take_none_from_the_logs() {
    let data = TempDir::new().unwrap();
    let server = serve_with_few_descriptors(&data);
    let ids: Vec<_> = (0..60).map(|_| server.create().id).collect();
    // One connection that is served, on which the appends come.
    let mut publisher = server.connection();
    let lines = |id| format!("/api/deployments/{id}/lines");
    let plain = [("content-type", "text/plain")];
    assert_eq!(publisher.ask("POST", &lines(&ids[0]), &plain, b"a").unwrap().status, 201);
    let silent: Vec<_> =
        (0..2 * LIMIT).filter_map(|_| Connection::open(&server.authority, SOON).ok()).collect();
    for id in &ids {
        let appended = publisher.ask("POST", &lines(id), &plain, b"b").unwrap();
        assert_eq!(appended.status, 201, "{}", appended.text());
    }
    assert_eq!(publisher.ask("GET", "/readyz", &[], b"").unwrap().status, 200);
    drop(silent);
    wait_until("a new connection is answered", || {
        server.try_ask("GET", "/healthz", &[], b"").is_ok_and(|answer| answer.status == 200)
    });
}
