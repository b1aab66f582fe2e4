//! The commands `run`, `publish`, `tail`, `record` and `plans`, through the real binary.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use wirelab_clients::wire::{Deployment, Status, Transport};

use crate::run_metrics::{assert_requests_are_timed, assert_the_kernel_was_asked};
use crate::server::{Binary, wait_until, wirelab};

/// The project: plans and recordings are found from here.
const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

fn output(command: &mut Command) -> Output {
    command.current_dir(PROJECT).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A run of two seconds; its results folder.
fn short_run(results: &Path, more: &[&str]) -> (Output, PathBuf) {
    let output = output(
        wirelab()
            .args(["run", "--rate", "60", "--duration", "2s", "--subscribers", "2"])
            .arg("--results")
            .arg(results)
            .args(more),
    );
    let folder = only_folder(&results.join("ad-hoc"));
    (output, folder)
}

fn only_folder(parent: &Path) -> PathBuf {
    let folders: Vec<_> = fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(folders.len(), 1, "{folders:?}");
    folders[0].clone()
}

/// The rows of a CSV file, each as a function from column name to cell.
pub(crate) fn rows(file: &Path) -> Vec<impl Fn(&str) -> String + use<>> {
    let mut reader = csv::Reader::from_path(file).unwrap();
    let header = reader.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    rows.into_iter()
        .map(|row| {
            let header = header.clone();
            move |name: &str| {
                let column = header.iter().position(|column| column == name);
                row[column.unwrap_or_else(|| panic!("no column {name}"))].to_owned()
            }
        })
        .collect()
}

/// 4 and 5 say that a busy machine made the figures unbelievable; the lines must have arrived all the same.
fn assert_measured(output: &Output) {
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 4 | 5)), "{code:?}: {}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn a_run_of_every_transport_delivers_every_line_once() {
    let results = TempDir::new().unwrap();
    let (output, folder) = short_run(results.path(), &["--poll-interval", "50ms"]);
    assert_measured(&output);
    let mut rows = rows(&folder.join("runs.csv"));
    let place = |name: &str| Transport::ALL.iter().position(|transport| transport.name() == name);
    rows.sort_by_key(|row| place(&row("transport")));
    let transports: Vec<_> = rows.iter().map(|row| row("transport")).collect();
    assert_eq!(transports, Transport::ALL.map(Transport::name));
    for row in &rows {
        let count = |name: &str| row(name).parse::<u64>().unwrap();
        assert!(count("published_count") > 30, "{}", count("published_count"));
        assert_eq!(count("expected_count"), 2 * count("published_count"));
        assert_eq!(count("delivered_count"), count("expected_count"));
        for defect in ["lost_count", "censored_count", "duplicated_count", "out_of_order_count"] {
            assert_eq!(count(defect), 0, "{defect} on {}", row("transport"));
        }
        // What the server counted is compared inside the run: a difference would stand here.
        assert!(!row("verdict_reasons").contains("the server"), "{}", row("verdict_reasons"));
        if cfg!(target_os = "linux") {
            assert_the_kernel_was_asked(row);
        }
    }
    // A short poll is answered at once, a long poll is away between two holds, a stream is always there.
    let held = |i: usize| rows[i]("waiters_count_mean").parse::<f64>().unwrap();
    assert!(held(0) < held(1) && held(1) <= held(2), "{} {} {}", held(0), held(1), held(2));
    assert!((1.5..=2.0).contains(&held(2)), "{} of two on {}", held(2), rows[2]("transport"));
    assert_requests_are_timed(&folder);
    // The one that waits at the client takes a good part of its interval; a stream takes none of it.
    let p50_us = |i: usize| rows[i]("delivery_latency_us_p50").parse::<u64>().unwrap();
    assert!(p50_us(0) > 10_000, "short poll: {} µs", p50_us(0));
    assert!(p50_us(2) < p50_us(0));
    assert!(text(&output.stdout).contains("| websocket"), "no table");
    assert!(text(&output.stdout).contains(&*folder.to_string_lossy()), "it does not say where the files are");
}

#[test]
fn a_run_on_the_disk_store_delivers_every_line_once() {
    let results = TempDir::new().unwrap();
    let (output, folder) = short_run(results.path(), &["--store", "disk", "--transport", "sse"]);
    assert_measured(&output);
    let rows = rows(&folder.join("runs.csv"));
    assert_eq!((rows[0]("store"), rows[0]("lost_count")), ("disk".to_owned(), "0".to_owned()));
}

#[test]
fn the_written_plan_can_be_run_again() {
    let results = TempDir::new().unwrap();
    let (_, folder) = short_run(results.path(), &["--transport", "ndjson"]);
    let again = TempDir::new().unwrap();
    let output =
        output(wirelab().arg("run").arg(folder.join("plan.toml")).arg("--results").arg(again.path()));
    assert_measured(&output);
    let published = |folder: &Path| rows(&folder.join("runs.csv"))[0]("published_count");
    assert_eq!(published(&only_folder(&again.path().join("ad-hoc"))), published(&folder), "another schedule");
}

#[test]
fn the_manifest_does_not_name_the_machine() {
    let results = TempDir::new().unwrap();
    let (_, folder) = short_run(results.path(), &["--transport", "sse"]);
    let text = fs::read_to_string(folder.join("manifest.json")).unwrap();
    let mut manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    // The command line is kept as it was typed, whatever it names.
    let argv = manifest["argv"].take();
    assert!(argv.as_array().unwrap().iter().any(|word| *word == *results.path().to_string_lossy()), "{argv}");
    let manifest = manifest.to_string();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert!(!manifest.contains(&format!("\"{}\"", host.trim())), "{manifest}");
    assert!(
        !manifest.contains(PROJECT) && !manifest.contains(&*results.path().to_string_lossy()),
        "{manifest}"
    );
    for member in ["cpu_steal_s", "average_before", "average_after", "net.ipv4.tcp_rmem", "virtualisation"] {
        assert!(manifest.contains(&format!("\"{member}\":")), "{member} is not in {manifest}");
    }
    assert!(manifest.contains("\"rustc\":\"rustc "), "{manifest}");
}

#[test]
fn ctrl_c_keeps_what_was_measured() {
    let results = TempDir::new().unwrap();
    let mut child = wirelab()
        .current_dir(PROJECT)
        .args(["run", "--transport", "sse,ndjson", "--rate", "50", "--duration", "2s", "--results"])
        .arg(results.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let parent = results.path().join("ad-hoc");
    let measured = || {
        let folder = fs::read_dir(&parent).ok()?.next()?.ok()?.path();
        Some(fs::read_to_string(folder.join("runs.csv")).ok()?.lines().count() - 1)
    };
    wait_until("the first run is written", || measured() == Some(1));
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(measured(), Some(1));
}

#[test]
fn a_run_killed_with_kill_9_is_gone_on_with_and_keeps_what_it_had() {
    let results = TempDir::new().unwrap();
    let mut child = wirelab()
        .current_dir(PROJECT)
        .args(["run", "--transport", "sse,ndjson", "--rate", "50", "--duration", "2s", "--results"])
        .arg(results.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let parent = results.path().join("ad-hoc");
    let folder = || Some(fs::read_dir(&parent).ok()?.next()?.ok()?.path());
    let lines = || Some(fs::read_to_string(folder()?.join("runs.csv")).ok()?.lines().count());
    wait_until("the first run is written", || lines() == Some(2));
    child.kill().unwrap();
    child.wait().unwrap();
    let folder = folder().unwrap();
    let row =
        |n: usize| fs::read_to_string(folder.join("runs.csv")).unwrap().lines().nth(n).map(str::to_owned);
    let before = row(1).unwrap();

    let resume = || output(wirelab().args(["run", "--resume"]).arg(&folder));
    assert_measured(&resume());
    assert_eq!(row(1), Some(before), "the first run is another one");
    assert!(row(2).is_some_and(|row| row.contains(",ad-hoc,")) && row(3).is_none());
    let page = fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(page.contains("sse") && page.contains("ndjson"));
    // With nothing left it only says again what there is.
    let all = fs::read_to_string(folder.join("runs.csv")).unwrap();
    assert_measured(&resume());
    assert_eq!(fs::read_to_string(folder.join("runs.csv")).unwrap(), all);

    for (file, from, to, said) in [
        ("manifest.json", "\"cores_count\": ", "\"cores_count\": 9", "the machine's cores_count was 9"),
        (
            "manifest.json",
            "\"executable_sha256\": \"",
            "\"executable_sha256\": \"0",
            "the SHA-256 of the executable was",
        ),
        (
            "manifest.json",
            "\"wirelab_version\": \"",
            "\"wirelab_version\": \"9",
            "the version of wirelab was",
        ),
        ("manifest.json", "{", "[", "manifest.json: "),
        ("plan.toml", "subscribers", "subscriber", "unknown field `subscriber`"),
    ] {
        let path = folder.join(file);
        let good = fs::read_to_string(&path).unwrap();
        fs::write(&path, good.replacen(from, to, 1)).unwrap();
        let refused = resume();
        assert_eq!(refused.status.code(), Some(2));
        assert!(text(&refused.stderr).contains(said), "{}", text(&refused.stderr));
        fs::write(&path, good).unwrap();
    }
    // What the folder's version says comes first: that version's plan may name what no longer exists.
    let (manifest, plan) = (folder.join("manifest.json"), folder.join("plan.toml"));
    let good = [&manifest, &plan].map(|path| fs::read_to_string(path).unwrap());
    fs::write(&manifest, good[0].replace("\"schema_version\": 4", "\"schema_version\": 1")).unwrap();
    fs::write(&plan, good[1].replace("ndjson", "websocket-actor")).unwrap();
    let refused = resume();
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("schema_version 1 is not known"), "{}", text(&refused.stderr));
    fs::write(&manifest, &good[0]).unwrap();
    fs::remove_file(&plan).unwrap();
    assert!(text(&resume().stderr).contains("plan.toml is missing; the experiment cannot be continued"));
    let nowhere = output(wirelab().args(["run", "--resume", "/nowhere"]));
    assert!(text(&nowhere.stderr).contains("name the folder of an interrupted `wirelab run`"), "{nowhere:?}");
}

#[test]
fn bad_arguments_of_run_are_named_with_what_is_allowed() {
    for (arguments, expected) in [
        (vec!["nope"], "unknown plan \"nope\"; one of "),
        (vec!["--transport", "sock"], "invalid value 'sock' for '--transport <TRANSPORT>'"),
        (vec!["--subscribers", "0"], "subscribers is 0"),
        (vec!["--recording", "nope"], "cargo-build, debian-install, pip-install"),
        (vec!["--rate=-1"], "rate"),
        (vec!["--repetitions", "0"], "repetitions is 0; 1 to 1000"),
        (vec!["--hold", "56s"], "hold is 56s; 0s to 55s"),
        (vec!["--payload", "0"], "lines.payload_bytes is 0; 1 to 1048576"),
        (vec!["--http", "3"], "invalid value '3' for '--http <VERSION>'"),
        (vec!["--http", "2"], "http is \"2\"; websocket does not support that"),
        (vec!["--compression", "br"], "invalid value 'br' for '--compression <COMPRESSION>'"),
        (vec!["--recording", "cargo-build", "--payload", "9"], "cannot be used with"),
        (vec!["--poll-interval", "soon"], "poll-interval"),
        (vec!["--subscribers", "60000"], "ulimit -n"),
    ] {
        let results = TempDir::new().unwrap();
        // Few enough descriptors that 60 000 subscribers do not fit, whatever this machine allows.
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n 4096; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_wirelab"), "run"]);
        let output = output(command.args(&arguments).arg("--results").arg(results.path()));
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(expected), "{arguments:?}: {error}");
        assert_eq!(fs::read_dir(results.path()).unwrap().count(), 0, "{arguments:?} left something behind");
    }
}

#[test]
fn an_unknown_transport_is_refused_with_all_there_are() {
    let names = format!("[possible values: {}]", Transport::ALL.map(Transport::name).join(", "));
    for arguments in [
        ["run", "--transport", "sock"].as_slice(),
        &["serve", "--transports", "sse,sock"],
        &["tail", "web", "--transport", "sock"],
        &["crowd", "--deployment", "web", "--transport", "sock"],
    ] {
        let output = output(wirelab().args(arguments));
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains("invalid value 'sock'") && error.contains(&names), "{arguments:?}: {error}");
    }
}

#[test]
fn a_plan_with_an_unknown_key_is_refused_with_its_line() {
    let folder = TempDir::new().unwrap();
    let plan = folder.path().join("mine.toml");
    fs::write(&plan, "name = \"mine\"\nquestion = \"Why?\"\nsubscriber = 3\n").unwrap();
    let output = output(wirelab().arg("run").arg(&plan));
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(error.contains("line 3") && error.contains("subscriber"), "{error}");
    assert!(error.contains("subscribers"), "the allowed keys are missing: {error}");
}

#[test]
fn an_unwritable_results_folder_is_named() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let output = output(wirelab().args(["run", "--duration", "3s", "--results"]).arg(&file));
    assert_eq!(output.status.code(), Some(6));
    assert!(text(&output.stderr).contains("--results"), "{}", text(&output.stderr));
}

fn publish(server: &Binary, name: &str, more: &[&str]) -> Command {
    let mut command = wirelab();
    command
        .args(["publish", "--deployment", name, "--server", &format!("http://{}", server.authority)])
        .args(more);
    command
}

fn tail(server: &Binary, name: &str, transport: &str) -> Output {
    let server = format!("http://{}", server.authority);
    output(wirelab().args([
        "tail",
        name,
        "--server",
        &server,
        "--transport",
        transport,
        "--poll-interval",
        "20ms",
    ]))
}

#[test]
fn what_is_published_is_shown_streamed_and_followed_on_every_transport() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let script = "echo one; echo two >&2; printf 'three\\377'; exit 7";
    let output = output(&mut publish(&server, "web", &["--", "sh", "-c", script]));
    assert_eq!(output.status.code(), Some(7), "the command's own code");
    assert_eq!(output.stdout, b"one\nthree\xff", "shown byte by byte");
    let said = text(&output.stderr);
    assert!(said.contains("two\n") && said.contains("1 line held bytes that are not UTF-8"), "{said}");
    for transport in Transport::ALL.map(Transport::name) {
        let followed = tail(&server, "web", transport);
        let mut lines: Vec<_> = text(&followed.stdout).lines().map(str::to_owned).collect();
        lines.sort();
        assert_eq!(lines, ["one", "three\u{fffd}", "two"], "{transport}: {}", text(&followed.stderr));
        assert_eq!(followed.status.code(), Some(1), "the deployment failed, and tail says so");
    }
}

#[test]
fn publish_goes_on_with_a_running_deployment_of_that_name() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    assert_eq!(
        output(&mut publish(&server, "web", &["--keep-open", "--", "echo", "one"])).status.code(),
        Some(0)
    );
    let mut stdin = publish(&server, "web", &[])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    stdin.stdin.take().unwrap().write_all(b"two\nthree").unwrap();
    assert!(stdin.wait().unwrap().success());
    let followed = tail(&server, "web", "sse");
    assert_eq!((text(&followed.stdout).as_str(), followed.status.code()), ("one\ntwo\nthree\n", Some(0)));
    // It has ended, so the same name now means a new deployment.
    assert_eq!(output(&mut publish(&server, "web", &["--", "echo", "new"])).status.code(), Some(0));
    assert_eq!(text(&tail(&server, "web", "ndjson").stdout), "new\n");
}

#[test]
fn publishing_survives_a_server_that_is_killed_and_comes_back() {
    let data = TempDir::new().unwrap();
    let data = data.path().to_str().unwrap();
    let server = Binary::serve("127.0.0.1:0", &["--data", data]);
    let bind = server.authority.clone();
    let script = "for i in $(seq 1 60); do echo line $i; sleep 0.02; done";
    let mut child = publish(&server, "web", &["--", "sh", "-c", script])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(400));
    server.kill();
    let server = Binary::serve(&bind, &["--data", data]);
    assert!(child.wait().unwrap().success());
    let expected: String = (1..=60).map(|i| format!("line {i}\n")).collect();
    assert_eq!(text(&tail(&server, "web", "sse").stdout), expected);
}

#[test]
fn a_server_that_refuses_lines_does_not_stop_the_command() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let script = "echo one; sleep 0.5; echo two; sleep 0.5; echo three; exit 5";
    let child = publish(&server, "web", &["--", "sh", "-c", script])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let id = || {
        let listed: Vec<Deployment> = server.get("/api/deployments").json();
        listed.first().filter(|deployment| deployment.lines == 1).map(|deployment| deployment.id.clone())
    };
    wait_until("the first line is published", || id().is_some());
    let finish = format!("/api/deployments/{}/finish", id().unwrap());
    assert_eq!(server.post(&finish, "application/json", r#"{"status":"cancelled"}"#).status, 200);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(5), "one\ntwo\nthree\n"));
    let said = text(&output.stderr);
    assert!(
        said.contains("nothing is published") && said.contains("2 lines were shown and not published"),
        "{said}"
    );
}

/// Says "ready", and cleans up for a while when it is told to end.
const CLEANS_UP: &str = "trap 'echo cleaning; sleep 0.3; echo clean; exit 0' TERM; echo ready; \
                         while :; do sleep 0.05; done";

#[test]
fn a_command_that_is_told_to_end_cleans_up_and_is_published_to_its_end() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let child = publish(&server, "web", &["--", "sh", "-c", CLEANS_UP])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let listed = || server.get("/api/deployments").json::<Vec<Deployment>>();
    wait_until("it is ready", || listed().first().is_some_and(|deployment| deployment.lines == 1));
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), text(&output.stdout).as_str()),
        (Some(0), "ready\ncleaning\nclean\n"),
        "the code of its trap"
    );
    assert_eq!(listed()[0].ended, Some(Status::Cancelled));
    assert_eq!(text(&tail(&server, "web", "ndjson").stdout), "ready\ncleaning\nclean\n");
}

#[test]
fn a_recording_that_is_interrupted_is_kept_as_cancelled() {
    let folder = TempDir::new().unwrap();
    let mut child = wirelab()
        .args(["record", "--name", "mine", "--recordings"])
        .arg(folder.path())
        .args(["--", "sh", "-c", CLEANS_UP])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let unfinished = folder.path().join("mine.unfinished");
    wait_until("it records", || unfinished.exists());
    // Its trap is set once it has said that it is ready.
    let mut ready = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    assert_eq!(&ready, b"ready\n");
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0), "the code of its trap");
    let recording = fs::read_to_string(folder.path().join("mine.ndjson")).unwrap();
    assert!(recording.contains("\"clean\""), "{recording}");
    assert!(recording.lines().last().unwrap().contains("\"cancelled\""), "{recording}");
    assert!(!unfinished.exists());
}

#[test]
fn a_command_that_does_not_exist_leaves_nothing_running() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    assert_eq!(output(&mut publish(&server, "web", &["--", "no-such-command"])).status.code(), Some(127));
    let listed: Vec<Deployment> = server.get("/api/deployments").json();
    assert_eq!(listed[0].ended, Some(Status::Failed));
    let folder = TempDir::new().unwrap();
    let output = output(
        wirelab()
            .args(["record", "--name", "x", "--recordings"])
            .arg(folder.path())
            .args(["--", "no-such-command"]),
    );
    assert_eq!(output.status.code(), Some(127));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_reader_that_goes_away_is_no_failure_but_a_full_disk_is() {
    for arguments in ["plans", "dictionary"] {
        let piped = format!("\"$0\" {arguments} | true; echo ${{PIPESTATUS[0]}}");
        let gone = output(Command::new("bash").args(["-c", &piped, env!("CARGO_BIN_EXE_wirelab")]));
        assert_eq!((text(&gone.stdout).as_str(), text(&gone.stderr).as_str()), ("0\n", ""), "{arguments}");
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let full = wirelab().current_dir(PROJECT).arg(arguments).stdout(full).output().unwrap();
        assert_eq!(full.status.code(), Some(6));
        assert!(text(&full.stderr).contains("stdout"), "{}", text(&full.stderr));
    }
}

#[test]
fn long_lines_full_of_control_characters_are_published_whole() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let script = "head -c 3000000 /dev/zero";
    assert_eq!(output(&mut publish(&server, "zeros", &["--", "sh", "-c", script])).status.code(), Some(0));
    let followed = tail(&server, "zeros", "websocket");
    let zeros = followed.stdout.iter().filter(|byte| **byte == 0).count();
    assert_eq!(zeros, 3_000_000);
}

#[test]
fn a_long_poll_interval_is_waited_for() {
    let results = TempDir::new().unwrap();
    let (output, folder) = short_run(results.path(), &["--transport", "short-poll", "--poll-interval", "3s"]);
    assert_measured(&output);
    let rows = rows(&folder.join("runs.csv"));
    assert_eq!((rows[0]("censored_count"), rows[0]("lost_count")), ("0".to_owned(), "0".to_owned()));
}

#[test]
fn commands_without_a_server_say_how_to_start_one() {
    for command in [vec!["publish", "--deployment", "web", "--", "true"], vec!["tail", "web"]] {
        let (name, rest) = command.split_first().unwrap();
        let output = output(wirelab().args([name, "--server", "http://127.0.0.1:1"]).args(rest));
        assert_eq!(output.status.code(), Some(6));
        assert!(text(&output.stderr).contains("wirelab serve"), "{}", text(&output.stderr));
    }
    let output = output(wirelab().args(["tail", "web", "--server", "ftp://x"]));
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("http://host:port"), "{}", text(&output.stderr));
}

#[test]
fn a_recording_keeps_timing_streams_and_status_and_can_be_replayed() {
    let folder = TempDir::new().unwrap();
    let record = |name: &str, more: &[&str], script: &str| {
        output(
            wirelab()
                .args(["record", "--name", name, "--recordings"])
                .arg(folder.path())
                .args(more)
                .args(["--", "sh", "-c", script]),
        )
    };
    let script = "echo at secret7; sleep 0.3; echo end >&2; exit 4";
    let recorded = record("mine", &["--replace", "secret7=host"], script);
    assert_eq!(recorded.status.code(), Some(4));
    assert_eq!(text(&recorded.stdout), "at secret7\n", "shown as it is, written as it was asked");
    let recording = fs::read_to_string(folder.path().join("mine.ndjson")).unwrap();
    let lines: Vec<serde_json::Value> =
        recording.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["text"], &lines[0]["stream"]), (&"at host".into(), &"stdout".into()));
    assert_eq!((&lines[1]["text"], &lines[1]["stream"]), (&"end".into(), &"stderr".into()));
    let gap_us = lines[1]["offset_us"].as_u64().unwrap() - lines[0]["offset_us"].as_u64().unwrap();
    assert!(gap_us >= 250_000, "the silence was lost: {gap_us} µs");
    assert_eq!(lines[2]["status"], "failed");

    let again = record("mine", &[], "true");
    assert_eq!(again.status.code(), Some(2), "it was overwritten");
    assert!(text(&again.stderr).contains("--force"));
    assert_eq!(record("mine/../else", &[], "true").status.code(), Some(2));

    let recordings = folder.path().to_str().unwrap();
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory", "--recordings", recordings]);
    let answer = server.post(
        "/api/deployments",
        "application/json",
        r#"{"name":"again","source":{"kind":"replay","recording":"mine","speed":10}}"#,
    );
    assert_eq!(answer.status, 201);
    let followed = tail(&server, "again", "long-poll");
    assert_eq!((text(&followed.stdout).as_str(), followed.status.code()), ("at host\nend\n", Some(1)));
}

#[test]
fn a_run_killed_with_kill_9_leaves_no_server_behind() {
    let results = TempDir::new().unwrap();
    let mut child = wirelab()
        .current_dir(PROJECT)
        .args(["run", "--transport", "sse", "--duration", "60s", "--results"])
        .arg(results.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Any thread of the harness may have started it.
    let servers = || -> Vec<i32> {
        let threads = fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
        let children = threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("children")));
        let pids = children.map(Result::unwrap_or_default).collect::<Vec<_>>().join(" ");
        pids.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
    };
    wait_until("a server runs", || !servers().is_empty());
    let server = servers()[0];
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("the server is gone", || kill(Pid::from_raw(server), None).is_err());
}
