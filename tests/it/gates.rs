//! Each gate is provoked with real parts: a late publisher, a starved harness, a server that breaks its promises, a
//! client that counts what was not sent. What cannot be provoked from outside is in the gates' own tests.

use std::fs;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use wirelab_clients::harness::gates::{Check, CheckVerdict};
use wirelab_clients::harness::plan::Plan;
use wirelab_clients::harness::results::Verdict;
use wirelab_clients::harness::run::run;
use wirelab_clients::wire::Deployment;

use crate::faulty_store::{Fault, FaultyStore};
use crate::http::Api;
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
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("broken.toml"), PLAN).unwrap();
        Self { results: TempDir::new().unwrap(), folder }
    }

    fn command(&self, server: &Api) -> Command {
        let mut command = wirelab();
        command.args(["run", "--target", &format!("http://{}", server.authority)]);
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
    let experiment = Experiment::new();
    let code = experiment.command(&server).status().unwrap().code();
    (experiment, code)
}

#[test]
fn a_server_that_drops_a_line_is_unresolved_and_misses_the_threshold() {
    let (experiment, code) = on_a_store_that(Fault::DropsALine);
    // 5 says that a busy machine made the figures unbelievable besides.
    assert!(matches!(code, Some(3 | 5)), "{code:?}");
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
    let experiment = Experiment::new();
    let code = experiment.command(&proxy.api()).status().unwrap().code();
    assert_eq!(code, Some(5));
    assert_eq!(experiment.check("l7-down").1, "fail");
    assert_eq!(experiment.check("l7-up").1, "pass");
    assert_eq!(experiment.check("requests-data").1, "pass");
}

/// The only deployment, once it has more than 20 lines.
fn deployment_with_lines(server: &Api) -> Deployment {
    let listed = || server.get("/api/deployments").json::<Vec<Deployment>>();
    wait_until("lines are published", || listed().first().is_some_and(|known| known.lines > 20));
    listed().remove(0)
}

#[test]
fn lines_that_come_before_they_are_due_are_invalid() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let experiment = Experiment::new();
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
    let experiment = Experiment::new();
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
}

#[test]
fn a_server_that_goes_away_is_a_problem_and_its_books_do_not_balance() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let experiment = Experiment::new();
    let mut running = experiment.command(&server).spawn().unwrap();
    deployment_with_lines(&server);
    server.kill();
    assert_eq!(running.wait().unwrap().code(), Some(6));
    experiment.assert_check("problem", "1", "fail");
    assert_eq!(experiment.check("published").1, "fail");
}

/// The harness is this process here, so that its processors can be taken away from within.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_harness_without_a_free_processor_is_saturated() {
    let plan = Plan::parse("broken.toml", PLAN).unwrap();
    let cell = &plan.cells()[0];
    let schedules = cell.schedules(|_| Err("nothing is replayed")).unwrap();
    let is_over = AtomicBool::new(false);
    let cores = thread::available_parallelism().unwrap().get();
    let result = thread::scope(|scope| {
        for _ in 0..4 * cores {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let ran = tokio::task::block_in_place(|| {
            let program = env!("CARGO_BIN_EXE_wirelab").into();
            let running = run(&plan.name, program, cell, &schedules, |_| (), pending());
            tokio::runtime::Handle::current().block_on(running)
        });
        is_over.store(true, Ordering::Relaxed);
        ran
    })
    .unwrap();
    let check =
        |name: &str| -> Check { result.checks.iter().find(|check| check.name == name).unwrap().clone() };
    let saturated = check("harness-cores");
    assert_eq!((saturated.verdict, result.verdict), (CheckVerdict::Fail, Verdict::Invalid), "{saturated:?}");
    assert!(saturated.said.unwrap().starts_with("the harness is saturated: "));
    assert_eq!(check("harness-run-delay").verdict, CheckVerdict::Unresolved);
}
