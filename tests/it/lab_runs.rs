//! Runs that the lab starts: their progress, their end, and what is left when they are ended early.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use wirelab::context::Lab;

use crate::crowds::{children_of, is_gone};
use crate::http::{Answer, Api};
use crate::server::{Binary, Server, Setup, lab, wait_until};

const JSON: &str = "application/json";
const RUNS: &str = "/api/lab/runs";
const PROGRESS: &str = "/api/lab/runs/progress";

/// Two runs of two seconds, long enough to be met in the middle of the second.
const PLAN: &str = r#"
name = "short"
question = "Does it arrive?"
transports = ["sse", "ndjson"]
subscribers = 2

[lines]
process = "periodic"
rate_hz = 50.0
duration = "2s"
"#;

/// Folders for a lab with one plan.
struct Folders(TempDir);

impl Folders {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("plans")).unwrap();
        fs::write(folder.path().join("plans/short.toml"), PLAN).unwrap();
        Self(folder)
    }

    fn data(&self) -> &Path {
        self.0.path()
    }

    fn results(&self) -> PathBuf {
        self.0.path().join("results")
    }

    /// A server in this process with this lab.
    fn serve(&self) -> Server {
        let mut setup = Setup::default();
        setup.options.lab = Some(Lab { results: self.results(), data: self.data().to_owned(), ..lab() });
        setup.start()
    }

    /// Rows of the only folder's `runs.csv`, once it is there.
    fn measured(&self) -> Option<usize> {
        let folder = fs::read_dir(self.results().join("short")).ok()?.next()?.ok()?.path();
        Some(fs::read_to_string(folder.join("runs.csv")).ok()?.lines().count() - 1)
    }
}

fn start(api: &Api, plan: &str) -> Answer {
    api.post(RUNS, JSON, json!({ "plan": plan }).to_string())
}

/// Names and data of an event stream that has ended.
fn events(text: &str) -> Vec<(String, Value)> {
    let event = |event: &str| {
        let (name, data) = event.split_once('\n')?;
        let name = name.strip_prefix("event: ")?.to_owned();
        Some((name, serde_json::from_str(data.strip_prefix("data: ")?).expect("data is JSON")))
    };
    text.split("\n\n").filter_map(event).collect()
}

/// Everything that is told of the run, to its end; the last is how it ended.
fn followed(api: &Api) -> (Vec<Value>, Value) {
    let stream = api.stream(PROGRESS, &[]).unwrap_or_else(|answer| panic!("{answer:?}"));
    assert_eq!(stream.head.header("content-type"), Some("text/event-stream"));
    let mut events = events(&stream.rest().unwrap());
    let (name, ended) = events.pop().unwrap();
    assert_eq!(name, "ended");
    let told = events.into_iter().map(|(name, data)| {
        assert_eq!(name, "progress");
        data
    });
    (told.collect(), ended)
}

/// The plan of that name among those that are offered, of the folder and of the binary.
fn listed(server: &Server, name: &str) -> Value {
    let plans: Vec<Value> = server.get("/api/lab/plans").json();
    plans.into_iter().find(|plan| plan["name"] == name).expect("it is listed")
}

#[test]
fn a_run_tells_its_progress_and_ends_with_its_folder() {
    let folders = Folders::new();
    let server = folders.serve();
    let plan = listed(&server, "short");
    assert_eq!((&plan["name"], &plan["question"]), (&"short".into(), &"Does it arrive?".into()));
    assert_eq!((&plan["runs"], &plan["size"]), (&2.into(), &"full".into()), "it has no smaller size");
    assert!(plan["estimate_s"].as_f64().is_some_and(|seconds| seconds >= 4.0), "{plan}");

    let started = start(&server, "short");
    assert_eq!((started.status, started.header("location")), (201, Some(PROGRESS)));
    let (told, ended) = followed(&server);
    assert!(told.iter().all(|progress| progress["plan"] == "short" && progress["runs"] == 2), "{told:?}");
    for run in [1, 2] {
        let of_run: Vec<_> = told.iter().filter(|progress| progress["run"] == run).collect();
        assert!(of_run.len() > 3, "{told:?}");
        assert!(of_run.iter().all(|progress| progress["received"].as_u64() <= progress["expected"].as_u64()));
    }
    // A busy machine makes figures unbelievable; lines arrive all the same.
    assert!(matches!(ended["exit"].as_u64(), Some(0 | 4 | 5)), "{ended}");
    let folder = ended["folder"].as_str().unwrap();
    assert!(folder.starts_with("short/"), "{ended}");
    assert_eq!(folders.measured(), Some(2));
    assert_eq!(server.get(&format!("/api/lab/results/{folder}/report.html")).status, 200);
    // Who comes late is told how it ended, and another can be started.
    assert_eq!(followed(&server), (vec![], ended));
    assert_eq!(start(&server, "short").status, 201);
}

#[test]
fn the_newest_run_is_listed_with_its_end() {
    let folders = Folders::new();
    let server = folders.serve();
    let listed = || server.get(RUNS).json::<Value>();
    assert_eq!(listed(), json!([]));
    assert_eq!(start(&server, "short").status, 201);
    assert_eq!(listed(), json!([{ "plan": "short", "ended": null }]));
    assert_eq!(server.ask("DELETE", RUNS, &[], b"").status, 202);
    let (_, ended) = followed(&server);
    assert_eq!(listed(), json!([{ "plan": "short", "ended": ended }]));
}

#[test]
fn a_cancelled_run_leaves_what_was_measured() {
    let folders = Folders::new();
    let server = folders.serve();
    assert_eq!(start(&server, "short").status, 201);
    wait_until("the first run is written", || folders.measured() == Some(1));
    assert_eq!(server.ask("DELETE", RUNS, &[], b"").status, 202);
    let (_, ended) = followed(&server);
    assert_eq!((&ended["exit"], folders.measured()), (&130.into(), Some(1)));
    assert!(ended["folder"].as_str().is_some_and(|folder| folder.starts_with("short/")), "{ended}");
    assert_eq!(server.ask("DELETE", RUNS, &[], b"").status, 404, "there is none to be cancelled any more");
}

#[test]
fn the_name_of_a_plan_is_no_option() {
    let folders = Folders::new();
    fs::rename(folders.data().join("plans/short.toml"), folders.data().join("plans/--help.toml")).unwrap();
    let server = folders.serve();
    assert_eq!(start(&server, "--help").status, 201);
    wait_until("the first run is written", || folders.measured() == Some(1));
    assert_eq!(server.ask("DELETE", RUNS, &[], b"").status, 202);
    assert_eq!(followed(&server).1["exit"], 130);
}

#[test]
fn of_a_run_that_was_killed_the_folder_is_known() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let folders = Folders::new();
    let (results, data) = (folders.results(), folders.data().to_str().unwrap().to_owned());
    let lab = ["--store", "memory", "--lab-data", &data, "--results", results.to_str().unwrap()];
    let server = Binary::serve("127.0.0.1:0", &lab);
    assert_eq!(start(&server, "short").status, 201);
    wait_until("the first run is written", || folders.measured() == Some(1));
    let [run] = children_of(server.pid())[..] else { panic!("one run, one process") };
    assert!(Command::new("kill").args(["-KILL", &run.to_string()]).status().unwrap().success());
    let (_, ended) = followed(&server);
    let folder = ended["folder"].as_str().unwrap();
    assert!(folder.starts_with("short/") && results.join(folder).join("runs.csv").is_file(), "{ended}");
}

#[test]
fn a_second_run_waits_for_the_first() {
    let folders = Folders::new();
    let server = folders.serve();
    assert_eq!(start(&server, "short").status, 201);
    let second = start(&server, "short");
    assert_eq!(second.status, 409);
    assert!(second.problem().unwrap().detail.contains("DELETE /api/lab/runs"));
}

#[test]
fn an_unknown_plan_is_refused_with_those_there_are() {
    let folders = Folders::new();
    let server = folders.serve();
    let path = folders.data().join("plans/short.toml");
    for plan in ["nope", "", "../short", "short.toml", path.to_str().unwrap()] {
        let answer = start(&server, plan);
        assert_eq!(answer.status, 400, "{plan:?}");
        let detail = answer.problem().unwrap().detail;
        assert!(detail.starts_with("unknown plan "), "{detail}");
        assert!(detail.contains(", quick, ") && detail.contains(", short, "), "{detail}");
    }
    for (method, path) in [("GET", PROGRESS), ("DELETE", RUNS)] {
        let answer = server.ask(method, path, &[], b"");
        assert_eq!(answer.status, 404, "{method} {path}");
        assert!(answer.problem().unwrap().detail.contains("POST /api/lab/runs starts one"));
    }
}

#[test]
fn a_mistake_in_the_short_form_of_a_plan_does_not_start_the_long_one() {
    let folders = Folders::new();
    fs::write(folders.data().join("plans/short.toml"), format!("{PLAN}\n[smoke]\nsubscribers = 0\n"))
        .unwrap();
    let server = folders.serve();
    let answer = start(&server, "short");
    assert_eq!(answer.status, 500);
    let detail = answer.problem().unwrap().detail;
    assert!(detail.contains("plan \"short\"") && detail.contains("subscribers"), "{detail}");
    assert_eq!(server.get(RUNS).json::<Value>(), json!([]));
}

#[test]
fn a_plan_that_cannot_be_read_is_listed_with_its_problem_and_in_nobodys_way() {
    let folders = Folders::new();
    fs::write(folders.data().join("plans/broken.toml"), "name = [").unwrap();
    let server = folders.serve();
    let broken = listed(&server, "broken");
    assert_eq!(broken["runs"], Value::Null);
    assert!(broken["problem"].as_str().is_some_and(|problem| problem.contains("broken")), "{broken}");
    assert_eq!(listed(&server, "short")["problem"], Value::Null);
    let refused = start(&server, "broken");
    assert_eq!(
        (refused.status, refused.problem().unwrap().detail),
        (500, broken["problem"].as_str().unwrap().into())
    );
    assert_eq!(start(&server, "short").status, 201);
}

#[test]
fn a_folder_of_plans_that_cannot_be_read_is_named_with_its_option() {
    let folders = Folders::new();
    fs::remove_dir_all(folders.data().join("plans")).unwrap();
    fs::write(folders.data().join("plans"), "not a folder").unwrap();
    let server = folders.serve();
    let answer = server.get("/api/lab/plans");
    assert_eq!(answer.status, 500);
    assert!(answer.problem().unwrap().detail.contains("--lab-data"));
}

#[test]
fn the_repositorys_plans_are_offered_but_for_those_that_need_other_servers() {
    let plans: Vec<Value> = Server::start().get("/api/lab/plans").json();
    let size = |name: &str| plans.iter().find(|plan| plan["name"] == name).map(|plan| plan["size"].clone());
    assert_eq!(size("e02-interval"), Some("smoke".into()));
    assert_eq!(size("quick"), Some("full".into()));
    assert_eq!(size("compare-peers"), None);
}

#[test]
fn a_run_does_not_outlive_its_server_and_keeps_what_it_had() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let folders = Folders::new();
    let (results, data) = (folders.results(), folders.data().to_str().unwrap().to_owned());
    let lab = ["--store", "memory", "--lab-data", &data, "--results", results.to_str().unwrap()];
    let server = Binary::serve("127.0.0.1:0", &lab);
    assert_eq!(start(&server, "short").status, 201);
    wait_until("the first run is written", || folders.measured() == Some(1));
    let run = children_of(server.pid());
    assert_eq!(run.len(), 1);
    let measured_servers = children_of(run[0]);
    server.kill();
    wait_until("the run is gone, and so is the server that it measured", || {
        run.iter().chain(&measured_servers).all(|pid| is_gone(*pid))
    });
    assert_eq!(folders.measured(), Some(1));
}
