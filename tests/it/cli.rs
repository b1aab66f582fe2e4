//! The command line, through the real binary.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::http::{SOON, path};
use crate::server::{Binary, holds_within, wait_until, wirelab};
use wirelab_clients::wire::Transport;

/// Runs to the end, which must come by itself.
#[track_caller]
fn run(arguments: &[&str]) -> Output {
    let command = wirelab().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = command.expect("the binary was built");
    let ended = holds_within(SOON, || child.try_wait().expect("it was started").is_some());
    if !ended {
        child.kill().expect("it runs");
    }
    let output = child.wait_with_output().expect("it was started");
    assert!(ended, "{arguments:?} went on for {SOON:?} and said {}", String::from_utf8_lossy(&output.stdout));
    output
}

/// Exit code and what was said on stderr; stdout must be silent, so that nobody takes it for an address.
#[track_caller]
fn refused(arguments: &[&str]) -> (i32, String) {
    let output = run(arguments);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    (output.status.code().expect("it exits by itself"), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_port_in_use_is_named_with_the_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, said) = refused(&["serve", "--store", "memory", "--bind", &address]);
    assert_eq!(code, 6, "{said}");
    assert!(said.contains(&address) && said.contains("--bind"), "{said}");
}

#[test]
fn an_unknown_subcommand_is_a_usage_error() {
    let (code, said) = refused(&["dance"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("dance"), "{said}");
}

#[test]
fn a_data_folder_that_cannot_be_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "not a folder").unwrap();
    let below = file.join("deployments");
    let (code, said) =
        refused(&["serve", "--bind", "127.0.0.1:0", "--store", "disk", "--data", below.to_str().unwrap()]);
    assert_eq!(code, 6, "{said}");
    // Not the folder that was asked for is in the way, but a file above it.
    let named = format!("{}: ", file.display());
    assert!(said.contains(&named) && said.contains("it is no folder"), "{said}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "not a folder");
}

#[test]
fn values_out_of_range_are_named() {
    let rows = [
        ["--heartbeat", "soon"],
        ["--heartbeat", "15"],
        ["--heartbeat", "0s"],
        ["--hold-max", "-1s"],
        ["--write-timeout", "0s"],
        ["--keep-alive", "200ms"],
        ["--connections-max", "0"],
        ["--connections-max", "many"],
        ["--store", "cloud"],
        ["--bind", "nowhere"],
        ["--retain-lines", "-1"],
        ["--linger", "11s"],
        ["--linger", "50"],
        ["--poll-advice", "1500ms"],
        ["--poll-advice", "0s"],
        ["--poll-advice", "301s"],
        ["--compression", "br"],
        ["--transports", "sse,sock"],
    ];
    for [flag, value] in rows {
        let given = format!("{flag}={value}");
        let mut arguments = vec!["serve", given.as_str()];
        if flag != "--bind" {
            arguments.extend(["--bind", "127.0.0.1:0"]);
        }
        if flag != "--store" {
            arguments.extend(["--store", "memory"]);
        }
        let (code, said) = refused(&arguments);
        assert_eq!(code, 2, "{flag} {value}: {said}");
        assert!(said.contains(flag), "{flag} {value}: {said}");
    }
    let (_, said) = refused(&["serve", "--store", "cloud"]);
    assert!(said.contains("disk") && said.contains("memory"), "{said}");
}

#[test]
fn help_and_version_are_no_errors() {
    for flag in ["--help", "--version"] {
        let output = run(&[flag]);
        assert!(output.status.success() && !output.stdout.is_empty(), "{flag}");
    }
    let help = run(&["serve", "--help"]);
    let help = String::from_utf8_lossy(&help.stdout);
    for flag in [
        "--connections-max",
        "--heartbeat",
        "--hold-max",
        "--write-timeout",
        "--retain-lines",
        "--compression",
        "--linger",
        "--poll-advice",
        "--transports",
    ] {
        assert!(help.contains(flag), "{flag} is not in the help");
    }
}

#[test]
fn sigterm_ends_a_server_with_open_streams_in_under_two_seconds() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let id = server.create().id;
    let mut sse = server.stream(&path(Transport::Sse, &id, ""), &[]).unwrap();
    sse.until("hello").unwrap();
    let mut held = server.connection();
    held.send("GET", &path(Transport::LongPoll, &id, "?wait=55"), &[], b"").unwrap();
    wait_until("the poll is held", || server.waiters(Transport::LongPoll) == 1);
    let (status, took) = server.terminate();
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    sse.rest().unwrap();
    assert_eq!(held.answer("GET").unwrap().status, 204);
}

#[test]
fn the_bounds_on_the_command_line_reach_the_server() {
    let server =
        Binary::serve("127.0.0.1:0", &["--store", "memory", "--heartbeat", "50ms", "--retain-lines", "2"]);
    let id = server.create().id;
    server.append(&id, &["a", "b", "c"]);
    assert_eq!(server.show(&id).first.after, 1);
    let mut sse = server.stream(&path(Transport::Sse, &id, "?from=now"), &[]).unwrap();
    sse.until(": heartbeat").unwrap();
}

#[test]
fn what_a_server_offers_is_said_on_the_command_line() {
    let offered = ["--transports", "sse,short-poll", "--compression", "gzip", "--poll-advice", "3s"];
    let server =
        Binary::serve("127.0.0.1:0", &[&["--store", "memory", "--linger", "300ms"][..], &offered].concat());
    let id = server.create().id;
    let poll = server.ask("GET", &path(Transport::ShortPoll, &id, ""), &[("accept-encoding", "gzip")], b"");
    assert_eq!((poll.header("content-encoding"), poll.header("retry-after")), (Some("gzip"), Some("3")));
    assert_eq!(server.get(&path(Transport::LongPoll, &id, "")).status, 404);
    let mut sse = server.stream(&path(Transport::Sse, &id, ""), &[]).unwrap();
    sse.until("hello").unwrap();
    wait_until("the stream waits", || server.waiters(Transport::Sse) == 1);
    let asked = std::time::Instant::now();
    server.append(&id, &["x"]);
    sse.until("\"x\"").unwrap();
    assert!(asked.elapsed() >= Duration::from_millis(300));
}

#[test]
fn a_server_whose_terminal_is_closed_ends_well_unless_it_was_started_with_nohup() {
    let serve = |signals: &str| {
        let mut serve = Command::new("env");
        serve.args([signals, wirelab().get_program().to_str().unwrap()]);
        Binary::of(serve.args(["serve", "--store", "memory", "--bind", "127.0.0.1:0"]))
    };
    let mut on_terminal = serve("--default-signal=HUP");
    on_terminal.signal(Signal::SIGHUP);
    assert_eq!(on_terminal.ended_within(SOON).expect("it ends").code(), Some(0));
    let mut with_nohup = serve("--ignore-signal=HUP");
    with_nohup.signal(Signal::SIGHUP);
    assert_eq!(with_nohup.get("/healthz").status, 200);
    assert!(with_nohup.ended_within(Duration::from_millis(50)).is_none());
}
