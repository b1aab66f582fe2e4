//! `wirelab run` on servers that are not wirelab's, and with cut connections, through the real binary.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use wirelab_clients::wire::{Deployment, Transport};

use crate::http::path;
use crate::nginx::{Nginx, documented_locations};
use crate::server::{Binary, wait_until, wirelab};

/// The project: plans and recordings are found from here.
const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn run(results: &Path, more: &[&str]) -> Command {
    let mut command = wirelab();
    command.current_dir(PROJECT).args(["run", "--subscribers", "2", "--rate", "60"]).args(more);
    command.arg("--results").arg(results);
    command
}

/// The rows of a run's `runs.csv`, each as a function from column name to cell.
fn rows(results: &Path) -> Vec<impl Fn(&str) -> String + use<>> {
    let mut reader = csv::Reader::from_path(folder(results).join("runs.csv")).unwrap();
    let header = reader.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    rows.into_iter()
        .map(|row| {
            let header = header.clone();
            move |name: &str| row[header.iter().position(|column| column == name).unwrap()].to_owned()
        })
        .collect()
}

/// The only results folder of an ad-hoc run.
fn folder(results: &Path) -> PathBuf {
    let mut folders = fs::read_dir(results.join("ad-hoc")).unwrap();
    let folder = folders.next().unwrap().unwrap().path();
    assert!(folders.next().is_none());
    folder
}

/// 4 and 5 say that a busy machine made the figures unbelievable.
#[track_caller]
fn assert_exit(output: &Output, expected: i32) {
    let code = output.status.code().unwrap();
    assert!([expected, 4, 5].contains(&code), "{code}: {}{}", text(&output.stdout), text(&output.stderr));
}

fn assert_each_line_once(row: &impl Fn(&str) -> String) {
    let count = |name: &str| row(name).parse::<u64>().unwrap();
    assert!(count("published_count") > 20, "{}", count("published_count"));
    assert_eq!(count("delivered_count"), 2 * count("published_count"), "{}", row("verdict_reasons"));
    for defect in ["lost_count", "censored_count", "duplicated_count", "out_of_order_count"] {
        assert_eq!(count(defect), 0, "{defect} on {}", row("transport"));
    }
}

fn deployments(server: &Binary) -> Vec<Deployment> {
    server.get("/api/deployments").json()
}

fn url_of(server: &Binary) -> String {
    format!("http://{}", server.authority)
}

#[test]
fn a_running_server_is_measured_and_nothing_stays_there() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let (results, url) = (TempDir::new().unwrap(), url_of(&server));
    let arguments = ["--target", &url, "--duration", "2s", "--poll-interval", "50ms"];
    let output = run(results.path(), &arguments).output().unwrap();
    assert_exit(&output, 0);
    let rows = rows(results.path());
    assert_eq!(rows.len(), Transport::ALL.len());
    for row in &rows {
        assert_each_line_once(row);
        assert_eq!(row("arm"), "url-1");
        for unknown in ["store", "engine", "server_cpu_us"] {
            assert_eq!(row(unknown), "", "{unknown}");
        }
        // What the server counted is compared: a difference would stand here.
        assert!(!row("verdict_reasons").contains("the server"), "{}", row("verdict_reasons"));
    }
    assert!(text(&output.stdout).contains("| url-1 "), "{}", text(&output.stdout));
    let manifest = fs::read_to_string(folder(results.path()).join("manifest.json")).unwrap();
    assert!(manifest.contains("\"server_cpu_us\"") && manifest.contains("\"url-1-sse-1\""), "{manifest}");
    // The command line is kept as it was typed; nothing else names the server.
    let mut members: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let argv = members.as_object_mut().unwrap().remove("argv").unwrap();
    assert!(argv.as_array().unwrap().contains(&url.into()), "{argv}");
    assert!(!members.to_string().contains(&server.authority), "{members}");
    assert_eq!(deployments(&server).len(), 0);
}

#[test]
fn somebody_else_on_a_running_server_is_noticed() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let (results, url) = (TempDir::new().unwrap(), url_of(&server));
    let arguments = ["--target", &url, "--transport", "sse", "--duration", "2s"];
    let mut running = run(results.path(), &arguments).stdout(Stdio::null()).spawn().unwrap();
    // Not one of the calibration, which comes before it.
    let of_the_run = || deployments(&server).into_iter().find(|known| known.name == "ad-hoc");
    wait_until("it has a deployment", || of_the_run().is_some());
    let id = of_the_run().expect("it was there").id;
    let mut other = server.stream(&path(Transport::Sse, &id, ""), &[]).unwrap();
    other.until("hello").unwrap();
    running.wait().unwrap();
    let reasons = rows(results.path())[0]("verdict_reasons");
    assert!(
        // In requests, or only in bytes if it came before the run first looked.
        reasons.contains("another client uses the server too: clients counted"),
        "{reasons}"
    );
}

/// A proxy writes heads of its own, so the two sides count other bytes; everything else is compared.
#[test]
fn a_server_behind_the_documented_nginx_is_measured_and_only_bytes_are_not_compared() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory", "--no-lab"]);
    let nginx = Nginx::with(&documented_locations(&server.authority));
    let (results, url) = (TempDir::new().unwrap(), format!("http://{}", nginx.api().authority));
    let arguments =
        ["--target", &url, "--transport", "short-poll,long-poll,sse,websocket", "--duration", "2s"];
    assert_exit(&run(results.path(), &arguments).output().unwrap(), 0);
    let rows = rows(results.path());
    assert_eq!(rows.len(), 4);
    let checks = fs::read_to_string(folder(results.path()).join("checks.csv")).unwrap();
    for row in &rows {
        assert_each_line_once(row);
        let reasons = row("verdict_reasons");
        assert!(reasons.contains("nginx") && reasons.contains("bytes are not compared"), "{reasons}");
        assert!(!reasons.contains("clients counted"), "{reasons}");
        let verdict_of = |check: &str| {
            let begin = format!("{},{check},", row("run_id"));
            let line = checks.lines().find(|line| line.starts_with(&begin)).expect("it is checked");
            line.rsplit(',').next().unwrap().to_owned()
        };
        for compared in ["requests-data", "requests-empty", "cohort-books", "published"] {
            assert_eq!(verdict_of(compared), "pass", "{compared} of {}", row("run_id"));
        }
        assert_eq!(verdict_of("l7-up"), "not-measured", "{}", row("run_id"));
    }
}

/// While it calibrates, and while it measures.
#[test]
fn an_interrupted_run_leaves_nothing_on_a_running_server() {
    for (name, signal) in [("calibration", Signal::SIGTERM), ("ad-hoc", Signal::SIGHUP)] {
        let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
        let (results, url) = (TempDir::new().unwrap(), url_of(&server));
        let arguments = ["--target", &url, "--transport", "sse", "--duration", "60s"];
        let run = run(results.path(), &arguments);
        // A test that was started with nohup would ignore the hangup, and so would what it starts.
        let mut settled = Command::new("env");
        settled.arg("--default-signal=HUP,TERM").arg(run.get_program()).args(run.get_args());
        settled.current_dir(run.get_current_dir().unwrap_or(Path::new(".")));
        let mut running = settled.stdout(Stdio::null()).spawn().unwrap();
        let published = || deployments(&server).iter().any(|known| known.name == name && known.lines > 0);
        wait_until("lines are published", published);
        kill(Pid::from_raw(running.id().cast_signed()), signal).unwrap();
        assert_eq!(running.wait().unwrap().code(), Some(130));
        assert_eq!(deployments(&server).len(), 0);
    }
}

#[test]
fn a_cut_costs_no_transport_a_line() {
    let results = TempDir::new().unwrap();
    let arguments = ["--duration", "2s", "--poll-interval", "50ms", "--cut-at", "1s"];
    let output = run(results.path(), &arguments).output().unwrap();
    assert_exit(&output, 0);
    let rows = rows(results.path());
    assert_eq!(rows.len(), Transport::ALL.len());
    for row in &rows {
        assert_each_line_once(row);
        assert_eq!((row("fault").as_str(), row("connections_cut_count").as_str()), ("cut", "2"));
        assert_eq!(row("reconnects_count"), "2", "{}", row("transport"));
        assert!(row("verdict_reasons").contains("not compared"), "{}", row("verdict_reasons"));
        // Of the server as of the others nothing is known but its own faults.
        assert!(!row("verdict_reasons").contains("clients counted"), "{}", row("verdict_reasons"));
    }
    assert!(text(&output.stdout).contains("| reconnects |"), "{}", text(&output.stdout));
}

/// How a small server treats who comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Returning {
    /// Whoever connects gets what is published from then on.
    Forgets,
    /// Whoever connects gets everything from the beginning.
    Repeats,
}

/// A server of log streams, as small as they get: POST /lines, GET /stream. Never ends.
struct Small {
    authority: String,
}

#[derive(Default)]
struct Log {
    lines: Vec<String>,
    streams: Vec<mpsc::Sender<String>>,
}

impl Small {
    fn start(returning: Returning) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let log: Arc<Mutex<Log>> = Arc::default();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let log = log.clone();
                // A connection that breaks is that connection's end.
                thread::spawn(move || serve(stream, returning, &log).unwrap_or_default());
            }
        });
        Self { authority }
    }
}

fn serve(stream: TcpStream, returning: Returning, log: &Mutex<Log>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        if head.starts_with("GET /stream") {
            let (sender, lines) = mpsc::channel();
            {
                let mut log = log.lock().unwrap();
                if returning == Returning::Repeats {
                    log.lines.iter().for_each(|line| sender.send(line.clone()).unwrap());
                }
                log.streams.push(sender);
            }
            let client = reader.get_mut();
            // Away for long enough that lines are published meanwhile.
            client.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\nretry: 300\n\n")?;
            for line in lines {
                client.write_all(format!("data: {line}\n\n").as_bytes())?;
            }
            return Ok(());
        }
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        let mut line = vec![0; length.parse().unwrap()];
        reader.read_exact(&mut line)?;
        let line = String::from_utf8(line).unwrap();
        let mut log = log.lock().unwrap();
        log.streams.retain(|stream| stream.send(line.clone()).is_ok());
        log.lines.push(line);
        reader.get_mut().write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
    }
}

/// A project folder with the profile `small` in its data folder. `server` is the profile's line that says where it is.
fn project(server: &str) -> TempDir {
    let project = TempDir::new().unwrap();
    let targets = project.path().join("data/targets");
    fs::create_dir_all(&targets).unwrap();
    let profile = format!(
        "about = \"A test's.\"\n{server}\npublish = {{ path = \"/lines\", body = \"{{text}}\" }}\n\
         subscribe = {{ wire = \"sse\", path = \"/stream\" }}\n"
    );
    fs::write(targets.join("small.toml"), profile).unwrap();
    project
}

/// One whose server runs already.
fn project_of(small: &Small) -> TempDir {
    project(&format!("url = \"http://{}\"", small.authority))
}

/// One whose server is started by this script, which writes its pid to `pid`.
fn project_with_script(body: &str) -> TempDir {
    let project = project("start = \"start\"");
    let script = project.path().join("start");
    fs::write(&script, format!("#!/bin/sh\necho $$ >\"$(dirname \"$0\")/pid\"\n{body}\n")).unwrap();
    fs::set_permissions(script, fs::Permissions::from_mode(0o755)).unwrap();
    project
}

fn run_profile(project: &TempDir, results: &TempDir, more: &[&str]) -> Command {
    let mut command = run(results.path(), &["--target", "small", "--duration", "2s"]);
    command.arg("--data").arg(project.path().join("data")).args(more);
    command
}

const CUT: [&str; 2] = ["--cut-at", "1s"];

#[test]
fn a_server_with_a_profile_is_measured_like_ours() {
    let small = Small::start(Returning::Forgets);
    let (project, results) = (project_of(&small), TempDir::new().unwrap());
    let output = run_profile(&project, &results, &[]).output().unwrap();
    assert_exit(&output, 0);
    let rows = rows(results.path());
    assert_each_line_once(&rows[0]);
    assert_eq!((rows[0]("arm").as_str(), rows[0]("transport").as_str()), ("small", "sse"));
    assert_eq!((rows[0]("run_id").as_str(), rows[0]("requests_data_count").as_str()), ("small-1", "2"));
    assert!(
        rows[0]("verdict_reasons").contains("the server has no /metrics"),
        "{}",
        rows[0]("verdict_reasons")
    );
    let percentiles = fs::read_to_string(folder(results.path()).join("percentiles.csv")).unwrap();
    assert!(percentiles.contains("\nsmall-1,sse,small,delivery_latency,0.5,"), "{percentiles}");
}

#[test]
fn a_profile_that_matches_nothing_is_invalid_and_quotes_what_came() {
    let small = Small::start(Returning::Forgets);
    let url = format!("url = \"http://{}\"", small.authority);
    for (from, to, said) in [
        (
            "wire = \"sse\"",
            "wire = \"sse\", event = \"news\"",
            "first the event \"message\" with the data \"1 ",
        ),
        ("wire = \"sse\"", "wire = \"sse\", line = { text = \"/text\" }", "data that is not JSON"),
    ] {
        let (project, results) = (project(&url), TempDir::new().unwrap());
        let profile = project.path().join("data/targets/small.toml");
        let text_of = fs::read_to_string(&profile).unwrap();
        assert!(text_of.contains(from));
        fs::write(&profile, text_of.replacen(from, to, 1)).unwrap();
        let output = run_profile(&project, &results, &[]).output().unwrap();
        assert_eq!(output.status.code(), Some(5), "{to}: {}", text(&output.stderr));
        let row = &rows(results.path())[0];
        assert_eq!(row("verdict"), "invalid");
        let reasons = row("verdict_reasons");
        assert!(reasons.contains("nothing was delivered") && reasons.contains(said), "{to}: {reasons}");
        assert_eq!(
            (row("delivered_count").as_str(), row("expected_count")),
            ("0", row("censored_count")),
            "{to}"
        );
        assert!(text(&output.stdout).contains("censored"), "{}", text(&output.stdout));
    }
}

#[test]
fn a_server_that_forgets_who_was_away_loses_lines() {
    let small = Small::start(Returning::Forgets);
    let (project, results) = (project_of(&small), TempDir::new().unwrap());
    assert_exit(&run_profile(&project, &results, &CUT).output().unwrap(), 3);
    let row = &rows(results.path())[0];
    let count = |name: &str| row(name).parse::<u64>().unwrap();
    assert!(count("lost_count") > 0 && count("duplicated_count") == 0, "{}", row("verdict_reasons"));
    assert_eq!(count("censored_count"), 0, "the end tells lost from late");
    assert_eq!(count("expected_count"), count("delivered_count") + count("lost_count"));
    assert_eq!(count("reconnects_count"), 2);
}

#[test]
fn a_server_that_starts_from_the_beginning_repeats_lines() {
    let small = Small::start(Returning::Repeats);
    let (project, results) = (project_of(&small), TempDir::new().unwrap());
    assert_exit(&run_profile(&project, &results, &CUT).output().unwrap(), 3);
    let row = &rows(results.path())[0];
    let count = |name: &str| row(name).parse::<u64>().unwrap();
    assert_eq!((count("lost_count"), count("out_of_order_count")), (0, 0), "{}", row("verdict_reasons"));
    assert!(count("duplicated_count") > 0);
    assert!(!row("verdict_reasons").contains("were received again"), "nobody promised otherwise");
}

fn pid(project: &TempDir) -> Option<Pid> {
    let pid = fs::read_to_string(project.path().join("pid")).ok()?;
    pid.trim().parse().ok().map(Pid::from_raw)
}

fn is_alive(pid: Pid) -> bool {
    kill(pid, None).is_ok()
}

#[test]
fn a_start_script_is_run_for_each_run_and_ended_after_it() {
    let small = Small::start(Returning::Forgets);
    // The shell waits for its stdin to end, as a server of a profile does.
    let project =
        project_with_script(&format!("echo listening on http://{}\ncat >/dev/null", small.authority));
    let results = TempDir::new().unwrap();
    assert_exit(&run_profile(&project, &results, &[]).output().unwrap(), 0);
    let row = &rows(results.path())[0];
    assert_each_line_once(row);
    assert!(row("server_cpu_us").parse::<u64>().is_ok(), "its processes were not sampled");
    assert!(!is_alive(pid(&project).unwrap()));
}

#[test]
fn a_start_script_does_not_outlive_a_run_that_is_killed_with_kill_9() {
    let small = Small::start(Returning::Forgets);
    let project =
        project_with_script(&format!("echo listening on http://{}\ncat >/dev/null", small.authority));
    let results = TempDir::new().unwrap();
    let mut running: Child = run_profile(&project, &results, &[]).stdout(Stdio::null()).spawn().unwrap();
    wait_until("the script runs", || pid(&project).is_some());
    running.kill().unwrap();
    running.wait().unwrap();
    wait_until("the script is gone", || !is_alive(pid(&project).unwrap()));
}

#[test]
fn a_start_script_that_fails_is_told_with_its_last_words() {
    let project = project_with_script("echo no such module >&2; exit 3");
    let results = TempDir::new().unwrap();
    let output = run_profile(&project, &results, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(6));
    let said = text(&output.stderr);
    assert!(
        said.contains("run small-1: the server ended before it listened") && said.contains("no such module"),
        "{said}"
    );
}

/// Answers every request with this body, for ever.
fn answers(body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let authority = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && request.read_line(&mut head).unwrap_or(0) > 0 {}
            let length = body.len();
            let answer =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    format!("http://{authority}")
}

#[test]
fn a_target_that_cannot_be_measured_is_named_with_the_remedy() {
    let nobody = "http://127.0.0.1:1";
    let stranger = answers("<html>");
    let poor = answers(r#"[{"name":"sse","path":"/","wire":"sse","waits":"x","summary":"x"}]"#);
    for (arguments, code, said) in [
        (vec!["--target", "ftp://x"], 2, "write http://host:port"),
        (vec!["--target", "http://x:port"], 2, "\"http://x:port\" is not a server URL"),
        (
            vec!["--target", "flask-see"],
            2,
            "unknown target \"flask-see\"; one of wirelab, http://host:port, axum-long-poll",
        ),
        (vec!["--target", "wirelab,wirelab"], 2, "targets is a list with wirelab twice"),
        (vec!["--target", nobody, "--store", "memory"], 2, "--store applies only to wirelab's own server"),
        (vec!["--target", "flask-sse", "--transport", "sse"], 2, "leave --transport out"),
        (vec!["--cut-at", "20s"], 2, "cut_at is 20s; must be before the last line, lines.duration is 10s"),
        (vec!["--cut-at", "2s,1s"], 2, "cut_at is 1s; must be 2s or more after the one before, 2s"),
        (vec!["--target", nobody], 6, "http://127.0.0.1:1 cannot be reached"),
        (vec!["--target", &stranger], 6, "does not speak wirelab's contract"),
    ] {
        let results = TempDir::new().unwrap();
        let output = run(results.path(), &arguments).output().unwrap();
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        assert!(told.contains(said), "{told}\ninstead of {said}");
        assert!(!results.path().join("ad-hoc").exists(), "{arguments:?} wrote results");
    }
    let results = TempDir::new().unwrap();
    let output = run(results.path(), &["--target", &poor, "--transport", "ndjson"]).output().unwrap();
    assert_eq!(output.status.code(), Some(6));
    let told = text(&output.stderr);
    assert!(told.contains("has no transport ndjson; it has sse"), "{told}");
}
