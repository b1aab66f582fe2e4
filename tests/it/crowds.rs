//! Crowds: `wirelab crowd` by itself, and crowds that the lab starts and ends.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};
use wirelab_clients::harness::crowd::Figures;
use wirelab_clients::wire::{DeploymentId, Status, Transport};

use crate::faulty_store::{Fault, FaultyStore};
use crate::http::{Answer, Api, SOON};
use crate::server::{Binary, Server, Setup, wait_until, wirelab};

const JSON: &str = "application/json";
const CROWDS: &str = "/api/lab/crowds";

/// A crowd that was started and has said its first figures: whatever is appended now, it is to see.
struct Started {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Started {
    fn at(api: &Api, id: &DeploymentId, transport: Transport, subscribers: u32) -> Self {
        let mut child = command(api, id, transport, subscribers)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it was built");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut started = Self { child, stdout };
        let first = started.next();
        assert_eq!((first.subscribers, first.lines, first.ended), (subscribers.into(), 0, false));
        started
    }

    fn next(&mut self) -> Figures {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("it can be read");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"))
    }

    fn all_connected(&mut self) {
        while let Figures { connected, subscribers, .. } = self.next()
            && connected < subscribers
        {}
    }

    /// Its last figures and its exit code, once it has ended.
    fn end(mut self) -> (Figures, Option<i32>) {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).expect("it can be read");
        let lines: Vec<Figures> = rest
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}")))
            .collect();
        let (last, before) = lines.split_last().expect("there are last figures");
        assert!(last.ended && before.iter().all(|figures| !figures.ended), "{lines:?}");
        (last.clone(), self.child.wait().expect("it was started").code())
    }
}

fn command(api: &Api, id: &DeploymentId, transport: Transport, subscribers: u32) -> Command {
    let mut command = wirelab();
    command.args(["crowd", "--stop-at-stdin-end", "--poll-interval", "50ms"]);
    command.args(["--server", &format!("http://{}", api.authority), "--deployment", id.as_str()]);
    command.args(["--transport", transport.name(), "--subscribers", &subscribers.to_string()]);
    command
}

fn lines(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("line {i}")).collect()
}

#[test]
fn a_crowd_over_every_transport_sees_every_line_once() {
    let server = Server::start();
    let crowds = Transport::ALL.map(|transport| {
        let id = server.create().id;
        server.append(&id, &["before the crowd"]);
        (transport, Started::at(&server, &id, transport, 20), id)
    });
    for (transport, mut crowd, id) in crowds {
        // Of lines that were there before its subscribers there is no latency.
        crowd.all_connected();
        server.append(&id, &lines(30));
        server.append(&id, &lines(30));
        server.finish(&id, Status::Succeeded);
        let (figures, exit) = crowd.end();
        assert_eq!((figures.lines, figures.lost, figures.duplicated), (20 * 60, 0, 0), "{transport}");
        assert_eq!((figures.out_of_order, figures.gave_up), (0, 0), "{transport}: {figures:?}");
        let latency = figures.latency_ms.unwrap_or_else(|| panic!("{transport}: no latency"));
        assert!(latency.p50 > 0.0 && latency.p50 <= latency.p99 && latency.p99 <= latency.max, "{latency:?}");
        assert_eq!(exit, Some(0), "{transport}");
    }
}

#[test]
fn a_crowd_notices_what_a_broken_server_does() {
    for (fault, expected) in [
        (Fault::DropsALine, "5 lost, 0 again, 0 late"),
        (Fault::RepeatsALine, "0 lost, 5 again, 0 late"),
        (Fault::SwapsTwoLines, "0 lost, 0 again, 5 late"),
    ] {
        let server = Server::over(FaultyStore::new(fault, 0));
        let id = server.create().id;
        let crowd = Started::at(&server, &id, Transport::Ndjson, 5);
        server.append(&id, &lines(20));
        server.finish(&id, Status::Succeeded);
        let (figures, exit) = crowd.end();
        let Figures { lost, duplicated, out_of_order, .. } = figures;
        assert_eq!(format!("{lost} lost, {duplicated} again, {out_of_order} late"), expected, "{fault:?}");
        assert_eq!(exit, Some(3), "{fault:?}");
    }
}

#[test]
fn a_crowd_ends_with_its_stdin() {
    let server = Server::start();
    let id = server.create().id;
    let mut crowd = Started::at(&server, &id, Transport::Sse, 3);
    crowd.all_connected();
    drop(crowd.child.stdin.take());
    let (figures, exit) = crowd.end();
    assert_eq!((figures.connected, figures.lines, exit), (3, 0, Some(0)));
}

#[test]
fn a_crowd_whose_server_does_not_answer_ends_with_its_stdin() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let api = Api::new(silent.local_addr().unwrap().to_string());
    let id: DeploymentId = "0123456789".parse().unwrap();
    let mut command = command(&api, &id, Transport::Sse, 3);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // It asks, and is left without an answer.
    let _asking = silent.accept().unwrap();
    drop(child.stdin.take());
    let began = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(began.elapsed() < SOON, "it waited for the server");
    let figures: Figures = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((figures.subscribers, figures.ended, output.status.code()), (3, true, Some(0)));
}

#[test]
fn a_deleted_deployment_is_the_end_of_a_crowd_over_every_transport_and_no_failure() {
    let server = Server::start();
    let crowds = Transport::ALL.map(|transport| {
        let id = server.create().id;
        (transport, Started::at(&server, &id, transport, 3), id)
    });
    for (transport, mut crowd, id) in crowds {
        crowd.all_connected();
        server.ask("DELETE", &format!("/api/deployments/{id}"), &[], b"");
        let mut stderr = crowd.child.stderr.take().expect("it is piped");
        let (figures, exit) = crowd.end();
        assert_eq!((figures.gave_up, exit), (0, Some(0)), "{transport}: {figures:?}");
        assert_eq!(figures.problem.as_deref(), Some("the deployment was deleted"), "{transport}");
        let mut remarks = String::new();
        stderr.read_to_string(&mut remarks).unwrap();
        assert_eq!(remarks, "", "{transport}");
    }
}

#[test]
fn a_crowd_says_why_its_subscribers_gave_up() {
    let server = Server::start();
    let id = server.create().id;
    let mut crowd = Started::at(&server, &id, Transport::Sse, 3);
    crowd.all_connected();
    drop(server);
    let (figures, exit) = crowd.end();
    assert_eq!((figures.gave_up, exit), (3, Some(6)));
    assert!(figures.problem.is_some_and(|problem| problem.contains("times in a row")));
}

#[test]
fn wrong_arguments_of_a_crowd_are_named() {
    let server = Server::start();
    let id = server.create().id;
    let unknown: DeploymentId = "0123456789".parse().unwrap();
    for (mut command, said) in [
        (command(&server, &id, Transport::Sse, 2_001), "2001 is not in 1..=2000"),
        (command(&server, &id, Transport::Sse, 0), "0 is not in 1..=2000"),
        (command(&server, &unknown, Transport::Sse, 1), "has no deployment \"0123456789\""),
    ] {
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Held open: at its end the crowd would stop before it asked.
        let _stdin = child.stdin.take();
        let output = child.wait_with_output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains(said), "{error}");
        assert_eq!(output.status.code(), Some(2), "{error}");
    }
}

fn start(api: &Api, id: &str, transport: &str, subscribers: u32) -> Answer {
    let body = json!({ "deployment": id, "transport": transport, "subscribers": subscribers });
    api.post(CROWDS, JSON, body.to_string())
}

#[test]
fn the_lab_starts_a_crowd_shows_its_figures_and_ends_it() {
    let server = Server::start();
    let id = server.create().id;
    let started = start(&server, id.as_str(), "websocket", 10);
    assert_eq!((started.status, started.header("location")), (201, Some("/api/lab/crowds/1")));
    let crowds = || server.get(CROWDS).json::<Vec<Value>>();
    wait_until("everybody is connected", || crowds()[0]["connected"] == 10);
    server.append(&id, &lines(7));
    wait_until("everybody has every line", || crowds()[0]["lines"] == 70);
    let ended: Value = server.ask("DELETE", "/api/lab/crowds/1", &[], b"").json();
    assert_eq!((&ended["lines"], &ended["lost"], &ended["ended"]), (&70.into(), &0.into(), &true.into()));
    assert_eq!((&ended["problem"], crowds().len()), (&Value::Null, 0));
    wait_until("no subscriber is left", || server.waiters(Transport::Websocket) == 0);
}

#[test]
fn a_crowd_that_ends_by_itself_stays_listed_until_it_is_deleted() {
    let server = Server::start();
    let id = server.create().id;
    start(&server, id.as_str(), "sse", 2);
    let crowd = || server.get(CROWDS).json::<Vec<Value>>().remove(0);
    wait_until("everybody is connected", || crowd()["connected"] == 2);
    server.finish(&id, Status::Succeeded);
    wait_until("it has ended", || crowd()["ended"] == true);
    assert_eq!(crowd()["problem"], Value::Null);
    assert_eq!(server.ask("DELETE", "/api/lab/crowds/1", &[], b"").status, 200);
    assert_eq!(server.ask("DELETE", "/api/lab/crowds/1", &[], b"").status, 404);
}

#[test]
fn a_crowd_that_cannot_be_is_refused_with_the_reason() {
    let mut setup = Setup::default();
    setup.options.transports = vec![Transport::Sse, Transport::Ndjson];
    setup.options.connections_max = 100;
    let server = setup.start();
    let (running, ended) = (server.create().id, server.create().id);
    server.finish(&ended, Status::Failed);
    let (running, ended) = (running.as_str(), ended.as_str());
    for (id, transport, subscribers, status, said) in [
        (running, "sse", 0, 400, "a crowd of 0 subscribers is not possible; give 1 to 2000"),
        (running, "sse", 2_001, 400, "a crowd of 2001 subscribers is not possible; give 1 to 2000"),
        (running, "websocket", 1, 400, "websocket is not served here; choose one of sse, ndjson"),
        (running, "sock", 1, 400, "unknown transport \"sock\""),
        ("no id", "sse", 1, 400, "8 to 26 characters"),
        ("0123456789", "sse", 1, 404, "0123456789"),
        (ended, "sse", 1, 409, "failed"),
        (running, "sse", 51, 409, "50 connections"),
    ] {
        let answer = start(&server, id, transport, subscribers);
        let detail = answer.problem().unwrap().detail;
        assert_eq!(answer.status, status, "{detail}");
        assert!(detail.contains(said), "{detail}");
    }
    for _ in 0..4 {
        assert_eq!(start(&server, running, "sse", 1).status, 201);
    }
    let detail = start(&server, running, "sse", 1).problem().unwrap().detail;
    assert!(detail.contains("DELETE one of /api/lab/crowds/1, "), "{detail}");
    // Once one is gone there is room again.
    assert_eq!(server.ask("DELETE", "/api/lab/crowds/2", &[], b"").status, 200);
    assert_eq!(start(&server, running, "ndjson", 1).status, 201);
}

/// The processes that `parent` has started. Linux only.
pub(crate) fn children_of(parent: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{parent}/task")).expect("it runs");
    let children = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok());
    let pids = children.flat_map(|pids| pids.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    pids.map(|pid| pid.parse().expect("a number")).collect()
}

/// Whether a process has ended, also when nobody has waited for it yet. Linux only.
pub(crate) fn is_gone(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with(['Z', 'X']))
}

#[test]
fn a_crowd_does_not_outlive_its_server() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let id = server.create().id;
    assert_eq!(start(&server, id.as_str(), "sse", 5).status, 201);
    let crowds = || server.get(CROWDS).json::<Vec<Value>>();
    wait_until("everybody is connected", || crowds()[0]["connected"] == 5);
    let children = children_of(server.pid());
    assert_eq!(children.len(), 1);
    server.kill();
    wait_until("the crowd is gone", || is_gone(children[0]));
}
