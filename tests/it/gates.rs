//! The gates, each provoked with real parts: a late publisher, a starved harness, a server that breaks its promises,
//! a client that counts what was not sent. Gates that cannot be provoked from outside have their own unit tests.

use std::fs;
use std::future::pending;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use wirelab_clients::harness::plan::Plan;
use wirelab_clients::harness::run::run;
use wirelab_clients::harness::run_result::{Check, CheckVerdict};
use wirelab_clients::harness::run_result::{RunResult, Verdict};
use wirelab_clients::wire::{Deployment, Transport};

use crate::faulty_store::{Fault, FaultyStore};
use crate::http::{Api, path};
use crate::proxy::{self, Proxy};
use crate::server::{Binary, Server, wait_until, wirelab};

/// 120 lines for two subscribers, all of them measured: a fault of line 7 is in the cohort.
const PLAN: &str = "
name = \"broken\"
question = \"Is it noticed?\"
transports = [\"sse\"]
subscribers = 2
warm_up = \"0s\"
drain = \"1s\"
thresholds = [\"*.lost_count == 0\"]
lines = { process = \"periodic\", rate_hz = 60.0, duration = \"2s\" }
";

/// An experiment on a server, and what became of it.
struct Experiment {
    results: TempDir,
    folder: TempDir,
}

impl Experiment {
    fn new(plan: &str) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("broken.toml"), plan).unwrap();
        Self { results: TempDir::new().unwrap(), folder }
    }

    /// On a server that is running.
    fn command(&self, server: &Api) -> Command {
        self.run(&["--target", &format!("http://{}", server.authority)])
    }

    fn run(&self, more: &[&str]) -> Command {
        let mut command = wirelab();
        command.arg("run").args(more);
        command.arg(self.folder.path().join("broken.toml")).arg("--results").arg(self.results.path());
        command.current_dir(env!("CARGO_MANIFEST_DIR")).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn file(&self, name: &str) -> PathBuf {
        let folders = fs::read_dir(self.results.path().join("broken")).unwrap();
        folders.map(|folder| folder.unwrap().path()).next().unwrap().join(name)
    }

    /// Left side and verdict of a check of the only run.
    #[track_caller]
    fn check(&self, name: &str) -> (String, String) {
        let rows = rows(&self.file("checks.csv"));
        let row = rows.iter().find(|row| row[1] == name);
        let row = row.unwrap_or_else(|| panic!("no check {name} in {rows:?}"));
        (row[2].clone(), row[6].clone())
    }

    #[track_caller]
    fn assert_check(&self, name: &str, left: &str, verdict: &str) {
        assert_eq!(self.check(name), (left.to_owned(), verdict.to_owned()), "{name}");
    }
}

fn rows(file: &Path) -> Vec<Vec<String>> {
    let mut reader = csv::Reader::from_path(file).unwrap();
    reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
}

/// Runs the plan on a server over a store with a fault; the exit code.
fn on_a_store_that(fault: Fault) -> (Experiment, Option<i32>) {
    let server = Server::over(FaultyStore::new(fault, 0));
    let experiment = Experiment::new(PLAN);
    let code = experiment.command(&server).status().unwrap().code();
    (experiment, code)
}

#[test]
fn a_server_that_drops_a_line_is_unresolved_and_misses_the_threshold() {
    let (experiment, code) = on_a_store_that(Fault::DropsALine);
    // 5 says that a busy machine made the figures unbelievable besides.
    assert!(matches!(code, Some(3..=5)), "{code:?}");
    experiment.assert_check("missing", "2", "unresolved");
    experiment.assert_check("threshold: *.lost_count == 0", "2", "fail");
    experiment.assert_check("cohort-books", "240", "pass");
}

#[test]
fn a_server_that_repeats_a_line_is_invalid() {
    let (experiment, code) = on_a_store_that(Fault::RepeatsALine);
    assert_eq!(code, Some(5));
    experiment.assert_check("received-again", "2", "fail");
    experiment.assert_check("missing", "0", "pass");
}

#[test]
fn a_server_that_invents_lines_is_invalid() {
    let (experiment, code) = on_a_store_that(Fault::InventsLines);
    assert_eq!(code, Some(5));
    let (left, verdict) = experiment.check("received-unpublished");
    assert!(left != "0" && verdict == "fail", "{left} {verdict}");
}

#[test]
fn a_client_that_counts_what_the_server_did_not_send_is_invalid() {
    let server = Server::start();
    let proxy = Proxy::start(&server, proxy::Fault::AddsAHeader);
    let experiment = Experiment::new(PLAN);
    let code = experiment.command(&proxy.api()).status().unwrap().code();
    assert_eq!(code, Some(5));
    assert_eq!(experiment.check("l7-down").1, "fail");
    assert_eq!(experiment.check("l7-up").1, "pass");
    assert_eq!(experiment.check("requests-data").1, "pass");
}

/// The run's deployment, once it has more than 20 lines; those of the calibration before it have other names.
fn deployment_with_lines(server: &Api) -> Deployment {
    let of_the_run = || {
        let listed = server.get("/api/deployments").json::<Vec<Deployment>>();
        listed.into_iter().find(|known| known.name == "broken" && known.lines > 20)
    };
    wait_until("lines are published", || of_the_run().is_some());
    of_the_run().expect("it was there")
}

#[test]
fn lines_that_come_before_they_are_due_are_invalid() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let experiment = Experiment::new(PLAN);
    let mut running = experiment.command(&server).spawn().unwrap();
    let deployment = deployment_with_lines(&server);
    // Somebody else writes too: these get the seqs of lines that are still to come.
    server.append(&deployment.id, &["not due"; 50]);
    assert_eq!(running.wait().unwrap().code(), Some(6));
    let (left, verdict) = experiment.check("received-before-due");
    assert!(left != "0" && verdict == "fail", "{left} {verdict}");
    experiment.assert_check("problem", "1", "fail");
}

#[test]
fn a_late_publisher_is_invalid() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let experiment = Experiment::new(PLAN);
    let mut running = experiment.command(&server).spawn().unwrap();
    deployment_with_lines(&server);
    let harness = Pid::from_raw(running.id().cast_signed());
    kill(harness, Signal::SIGSTOP).unwrap();
    // This is how late it gets: 30 of the 120 lines are due meanwhile.
    thread::sleep(Duration::from_millis(500));
    kill(harness, Signal::SIGCONT).unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(5));
    let (late_us, verdict) = experiment.check("send-lateness");
    assert!(verdict == "fail" && late_us.parse::<f64>().unwrap() > 300_000.0, "{late_us} {verdict}");
    assert_eq!(experiment.check("send-lateness-share").1, "unresolved");
    // Its probe woke as late.
    assert_eq!(experiment.check("hiccup").1, "fail");
}

#[test]
fn a_server_that_goes_away_is_a_problem_and_its_books_do_not_balance() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let experiment = Experiment::new(PLAN);
    let mut running = experiment.command(&server).spawn().unwrap();
    deployment_with_lines(&server);
    server.kill();
    assert_eq!(running.wait().unwrap().code(), Some(6));
    experiment.assert_check("problem", "1", "fail");
    assert_eq!(experiment.check("published").1, "fail");
}

#[test]
fn a_run_of_long_polls_agrees_with_the_kernel_and_with_littles_law() {
    let experiment = Experiment::new(&PLAN.replace("sse", "long-poll"));
    let code = experiment.run(&[]).status().unwrap().code();
    assert!(matches!(code, Some(0 | 4 | 5)), "{code:?}");
    for gate in ["tcp-up", "tcp-down", "waiters", "l7-up", "l7-down", "requests-data"] {
        assert_eq!(experiment.check(gate).1, "pass", "{gate}: {}", experiment.check(gate).0);
    }
}

/// Runs the only cell of a plan within this process, on a server that `program` starts.
async fn within_this_process(plan: &str, program: PathBuf) -> RunResult {
    let plan = Plan::parse("broken.toml", plan).unwrap();
    let cell = &plan.cells()[0];
    let schedules = cell.schedules(|_| Err("nothing is replayed")).unwrap();
    run(&plan.name, program, cell, &schedules, |_| (), pending()).await.unwrap()
}

fn check_of(result: &RunResult, name: &str) -> Check {
    result.checks.iter().find(|check| check.name == name).unwrap().clone()
}

/// More polls than the run has subscribers.
const OTHERS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_holds_more_polls_than_there_are_breaks_littles_law() {
    let folder = TempDir::new().unwrap();
    let (program, said) = (folder.path().join("server"), folder.path().join("said"));
    // The real server; what it says of its address is kept.
    let binary = env!("CARGO_BIN_EXE_wirelab");
    fs::write(&program, format!("#!/bin/sh\n{binary} \"$@\" | tee {}\n", said.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let plan = PLAN.replace("sse", "long-poll");
    let running = tokio::spawn(async move { within_this_process(&plan, program).await });

    let others = tokio::task::spawn_blocking(move || {
        let authority = || {
            let line = fs::read_to_string(&said).ok()?;
            Some(line.lines().next()?.strip_prefix("listening on http://")?.to_owned())
        };
        wait_until("it listens", || authority().is_some());
        let server = Api::new(authority().unwrap());
        // Of a deployment that says nothing, so that they are held all the time.
        let id = server.create().id;
        let poll = || {
            let mut connection = server.connection();
            connection.send("GET", &path(Transport::LongPoll, &id, "?wait=50"), &[], b"").unwrap();
            connection
        };
        let held: Vec<_> = (0..OTHERS).map(|_| poll()).collect();
        let is_nearly_over = || {
            let listed = server.get("/api/deployments").json::<Vec<Deployment>>();
            listed.iter().any(|deployment| deployment.lines > 110)
        };
        wait_until("the lines are published", is_nearly_over);
        drop(held);
    });
    others.await.unwrap();
    let result = running.await.unwrap();
    let waiters = check_of(&result, "waiters");
    assert_eq!((waiters.verdict, result.verdict), (CheckVerdict::Fail, Verdict::Invalid), "{waiters:?}");
    assert!(waiters.left.unwrap() > OTHERS as f64 / 2.0, "{waiters:?}");
}

/// Tells this test that it is the harness.
const SATURATED_VARIABLE: &str = "WIRELAB_MEASURE_WITHOUT_A_PROCESSOR";

/// The harness is a process of its own, so that its processors can be taken away from within: this test again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_harness_without_a_free_processor_is_saturated() {
    const THIS_TEST: &str = "gates::a_harness_without_a_free_processor_is_saturated";
    if std::env::var_os(SATURATED_VARIABLE).is_none() {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([THIS_TEST, "--exact", "--nocapture"]).env(SATURATED_VARIABLE, "1");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let cores = thread::available_parallelism().unwrap().get();
    for _ in 0..4 * cores {
        let is_over = is_over.clone();
        thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
    }
    let result = within_this_process(PLAN, env!("CARGO_BIN_EXE_wirelab").into()).await;
    is_over.store(true, Ordering::Relaxed);
    let saturated = check_of(&result, "harness-cores");
    assert_eq!((saturated.verdict, result.verdict), (CheckVerdict::Fail, Verdict::Invalid), "{saturated:?}");
    assert!(saturated.said.unwrap().starts_with("the harness is saturated: "));
    assert_eq!(check_of(&result, "harness-run-delay").verdict, CheckVerdict::Unresolved);
}
