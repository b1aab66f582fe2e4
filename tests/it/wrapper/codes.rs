//! The exit code is the command's; 6 stands only in place of a success that was not published or recorded whole.

use std::fs;
use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use wirelab_clients::wire::{Deployment, Status};

use super::{Wrapper, ended, lines, piped, publish_to, the_deployment};
use crate::between::{Between, Lie};
use crate::server::{Binary, holds_within, wait_until, wirelab};

/// A server that refuses, and says that it will for longer than anybody waits.
const OVERLOADED: &str =
    "HTTP/1.1 503 X\r\nretry-after: 120\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const NO_ROOM: &str = "HTTP/1.1 507 X\r\nretry-after: 120\r\ncontent-type: text/html\r\n\r\n<html>";

#[test]
fn a_command_that_cannot_run_has_the_codes_of_a_shell() {
    for (command, code) in [("no-such-command", 127), ("/etc/passwd", 126), ("/", 126)] {
        let wrapper = Wrapper::new();
        for mut wrapped in wrapper.both() {
            let (was, _, said) = ended(wrapped.arg(command).output().unwrap());
            assert_eq!(was, Some(code), "{said}");
            assert!(said.contains(&format!("{command:?}")), "{said}");
        }
        assert_eq!(wrapper.deployment().ended, Some(Status::Failed));
        assert_eq!(fs::read_dir(wrapper.folder.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_command_that_is_killed_has_the_code_of_a_shell() {
    let wrapper = Wrapper::new();
    for mut wrapped in wrapper.both() {
        assert_eq!(wrapped.args(["sh", "-c", "kill -9 $$"]).status().unwrap().code(), Some(137));
    }
    wrapper.assert_ended(Status::Failed);
}

#[test]
fn a_command_runs_whatever_the_server_says() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    let lied = |line, lie: &str| Between::start(&server, line, usize::MAX, Lie::Answer(lie.to_owned()));
    let (find, create) = (("GET", "running"), ("POST", "/api/deployments"));
    let (find, create, room) = (lied(find, OVERLOADED), lied(create, OVERLOADED), lied(create, NO_ROOM));
    let urls = ["http://127.0.0.1:1", &silent, &find.url, &create.url, &room.url];
    // They wait, each for its second, and do nothing else.
    std::thread::scope(|scope| {
        for (url, (code, expected)) in urls.iter().flat_map(|url| [(url, (3, 3)), (url, (0, 6))]) {
            scope.spawn(move || {
                let script = format!("echo ran; exit {code}");
                let (was, shown, said) = ended(publish_to(url).args(["sh", "-c", &script]).output().unwrap());
                assert_eq!((was, shown.as_str()), (Some(expected), "ran\n"), "{url}: {said}");
                assert!(said.contains("1 line was shown and not published"), "{url}: {said}");
            });
        }
    });
}

#[test]
fn a_command_runs_though_its_deployment_has_ended() {
    let wrapper = Wrapper::new();
    assert_eq!(wrapper.publish().arg("true").status().unwrap().code(), Some(0));
    let id = wrapper.deployment().id;
    let url = format!("http://{}", wrapper.server.authority);
    for (code, expected) in [("3", 3), ("0", 6)] {
        let mut again = wirelab();
        again.args(["publish", "--server", &url, "--deployment", id.as_str(), "--", "sh", "-c"]);
        let (was, shown, said) = ended(again.arg(format!("echo ran; exit {code}")).output().unwrap());
        assert_eq!((was, shown.as_str()), (Some(expected), "ran\n"), "{said}");
        assert!(said.contains("has ended") && said.contains("another name"), "{said}");
    }
}

#[test]
fn what_is_wrong_usage_is_known_before_the_command_starts() {
    let folder = tempfile::tempdir().unwrap();
    let ran = folder.path().join("ran");
    for name in ["", &"é".repeat(201)] {
        let mut publish = wirelab();
        publish
            .args(["publish", "--deployment", name, "--server", "http://127.0.0.1:1", "--", "touch"])
            .arg(&ran);
        let (code, _, said) = ended(publish.output().unwrap());
        assert_eq!((code, ran.exists()), (Some(2), false), "{said}");
        assert!(said.contains("--deployment"), "{said}");
    }
}

#[test]
fn a_trouble_that_passes_costs_neither_a_line_nor_the_end() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    for status in [408, 429, 500, 502, 503, 504, 507] {
        for path in ["/lines", "/finish"] {
            let answer =
                format!("HTTP/1.1 {status} X\r\ncontent-type: text/html\r\n\r\n<html>no upstream</html>");
            let between = Between::start(&server, ("POST", path), 2, Lie::Answer(answer));
            let (code, _, said) = ended(publish_to(&between.url).args(["echo", "hi"]).output().unwrap());
            assert_eq!(code, Some(0), "{status} to {path}: {said}");
            let newest = &server.get("/api/deployments").json::<Vec<Deployment>>()[0];
            assert_eq!(
                (newest.ended, newest.lines),
                (Some(Status::Succeeded), 1),
                "{status} to {path}: {said}"
            );
            assert_eq!(between.asked("POST", path).len(), 3, "{status} to {path}: {said}");
        }
    }
}

#[test]
fn a_server_is_not_asked_before_the_time_that_it_advises() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let answer =
        "HTTP/1.1 503 X\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned();
    let between = Between::start(&server, ("POST", "/lines"), 1, Lie::Answer(answer));
    assert_eq!(publish_to(&between.url).args(["echo", "hi"]).status().unwrap().code(), Some(0));
    let asked = between.asked("POST", "/lines");
    assert_eq!(asked.len(), 2);
    let away = asked[1].at - asked[0].at;
    assert!(away >= Duration::from_secs(1), "{away:?}");
}

#[test]
fn a_server_that_is_back_after_the_command_is_told_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let (data, ran) = (folder.path().join("data"), folder.path().join("ran"));
    let serve = |bind: &str| Binary::serve(bind, &["--data", data.to_str().unwrap()]);
    let server = serve("127.0.0.1:0");
    let authority = server.authority.clone();
    // With no line in flight, the end is all that is left to say.
    let script = "echo one; read go; touch \"$0\"; exit 3";
    let mut child = piped(publish_to(&format!("http://{authority}")).args(["sh", "-c", script]).arg(&ran));
    wait_until("a line is there", || {
        let listed: Vec<Deployment> = server.get("/api/deployments").json();
        listed.first().is_some_and(|deployment| deployment.lines == 1)
    });
    server.kill();
    // Closed, so that the command goes on.
    drop(child.stdin.take());
    wait_until("the command has ended", || ran.exists());
    // Longer than a client needs that tries twice.
    std::thread::sleep(Duration::from_millis(500));
    let server = serve(&authority);
    let (code, _, said) = ended(child.wait_with_output().unwrap());
    assert_eq!(code, Some(3), "{said}");
    assert_eq!(the_deployment(&server).ended, Some(Status::Failed), "{said}");
    assert_eq!(lines(&server), ["one"], "{said}");
}

#[test]
fn a_deployment_that_somebody_else_ended_does_not_change_the_code() {
    for (code, expected) in [("3", 3), ("0", 6)] {
        for is_deleted in [true, false] {
            let wrapper = Wrapper::new();
            let script = format!("echo one; read go; exit {code}");
            let child = piped(wrapper.publish().args(["sh", "-c", &script]));
            let listed = || -> Vec<Deployment> { wrapper.server.get("/api/deployments").json() };
            wait_until("a line is there", || {
                listed().first().is_some_and(|deployment| deployment.lines == 1)
            });
            let path = format!("/api/deployments/{}", wrapper.deployment().id);
            let done = match is_deleted {
                true => wrapper.server.ask("DELETE", &path, &[], b"").status,
                false => {
                    let body = r#"{"status":"cancelled"}"#;
                    wrapper.server.post(&format!("{path}/finish"), "application/json", body).status
                }
            };
            assert!(done < 300, "{done}");
            let (was, _, said) = ended(child.wait_with_output().unwrap());
            assert_eq!(was, Some(expected), "{said}");
        }
    }
}

#[test]
fn a_stopped_server_holds_a_command_up_for_seconds_and_no_longer() {
    let wrapper = Wrapper::new();
    let over = wrapper.folder.path().join("over");
    let script = "echo first; read go; seq 3000000; touch \"$0\"; exit 3";
    let mut child = piped(wrapper.publish().args(["sh", "-c", script]).arg(&over).stdout(Stdio::null()));
    drop(child.stdout.take());
    let first = || -> bool {
        let listed: Vec<Deployment> = wrapper.server.get("/api/deployments").json();
        listed.first().is_some_and(|deployment| deployment.lines == 1)
    };
    wait_until("a line is there", first);
    wrapper.server.signal(Signal::SIGSTOP);
    drop(child.stdin.take());
    let ended_in_time = holds_within(Duration::from_secs(12), || over.exists());
    wrapper.server.signal(Signal::SIGCONT);
    assert!(ended_in_time, "the command is still held up");
    let (code, _, said) = ended(child.wait_with_output().unwrap());
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("too slow") && said.contains("lines were shown and not published"), "{said}");
    assert_eq!(wrapper.deployment().ended, Some(Status::Failed), "{said}");
}
