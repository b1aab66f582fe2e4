//! Runs of `wirelab run` over a link of packets, and what is left when they end.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use wirelab_clients::harness::network::laid::Laid;
use wirelab_clients::wire::Transport;

use crate::commands::rows;
use crate::server::{holds_within, wait_until, wirelab};

fn plan(network: &str, duration: &str) -> String {
    format!(
        r#"
name = "far"
question = "?"
targets = ["wirelab"]
subscribers = 2
repetitions = 1
poll_interval = "50ms"
lines = {{ process = "poisson", rate_hz = 30, duration = "{duration}" }}
{network}
"#
    )
}

/// A run of a plan with these keys, ready to be started; its folder keeps the plan and the results.
fn command(folder: &Path, network: &str, duration: &str) -> Command {
    let file = folder.join("far.toml");
    fs::write(&file, plan(network, duration)).unwrap();
    let mut command = wirelab();
    command.arg("run").arg(file).arg("--results").arg(folder.join("results"));
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn results(folder: &Path) -> PathBuf {
    let mut found = fs::read_dir(folder.join("results").join("far")).unwrap();
    found.next().unwrap().unwrap().path()
}

/// Whether links of packets are possible. If not, the refusal of a run is checked, and that it is right.
fn is_possible() -> bool {
    let Err(error) = Laid::can_lay_tun() else { return true };
    println!("no run was made, only its refusal was checked: {error}");
    assert!(!super::may_lay(), "this process may: {error}");
    let folder = TempDir::new().unwrap();
    assert_refused(&command(folder.path(), "network = \"tun\"", "1s").output().unwrap());
    false
}

fn assert_refused(output: &Output) {
    let said = text(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("network = \"tun\" is not possible here"), "{said}");
    assert!(said.contains("as root") && said.contains("network = \"line\""), "{said}");
}

/// 4 and 5 say that a busy machine made the figures unbelievable; the lines must have arrived all the same.
fn assert_complete(
    output: &Output,
    folder: &Path,
    transports: usize,
) -> Vec<impl Fn(&str) -> String + use<>> {
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 4 | 5)), "{code:?}: {}{}", text(&output.stdout), text(&output.stderr));
    let rows = rows(&results(folder).join("runs.csv"));
    assert_eq!(rows.len(), transports);
    for row in &rows {
        let count = |name: &str| row(name).parse::<u64>().unwrap();
        assert!(count("expected_count") > 0);
        assert_eq!(count("delivered_count"), count("expected_count"), "{}", row("transport"));
        for defect in ["lost_count", "censored_count", "duplicated_count", "out_of_order_count"] {
            assert_eq!(count(defect), 0, "{defect} on {}", row("transport"));
        }
        assert!(!row("verdict_reasons").contains("the link dropped"), "{}", row("verdict_reasons"));
    }
    rows
}

#[test]
fn a_run_of_every_transport_over_packets_delivers_every_line() {
    if !is_possible() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let output = command(folder.path(), "network = \"tun\"\nrtt_ms = 50", "3s").output().unwrap();
    let rows = assert_complete(&output, folder.path(), Transport::ALL.len());
    let us = |column: &str| rows.iter().map(|row| row(column).parse::<u64>().unwrap()).min().unwrap();
    assert!(rows.iter().all(|row| row("network") == "tun"));
    assert!(
        us("delivery_latency_us_p50") >= 25_000,
        "{} µs for a way of 25 ms",
        us("delivery_latency_us_p50")
    );
    // One of the runs shows it, also on a busy machine.
    assert!(
        us("append_us_p50") < 50_000,
        "the publisher is not beside the server: {} µs",
        us("append_us_p50")
    );
}

#[test]
fn a_run_with_losses_delivers_every_line() {
    if !is_possible() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let network = "network = \"tun\"\nrtt_ms = 20\nloss_ratio = 0.03\ntransports = [\"short-poll\", \"sse\"]";
    let output = command(folder.path(), network, "8s").output().unwrap();
    let rows = assert_complete(&output, folder.path(), 2);
    // A poll sends much, so that it meets losses; they are the kernel's own count.
    let again: u64 = rows.iter().map(|row| row("retransmits_count").parse::<u64>().unwrap()).sum();
    assert!(again > 0, "nothing was lost and sent again");
}

#[test]
fn a_publisher_across_the_link_waits_for_its_round_trip() {
    let kinds = if is_possible() { vec!["line", "tun"] } else { vec!["line"] };
    for kind in kinds {
        let folder = TempDir::new().unwrap();
        let network = format!(
            "network = \"{kind}\"\nrtt_ms = 50\npublisher = \"across\"\ntransports = [\"sse\"]\nwarm_up = \"500ms\""
        );
        let output = command(folder.path(), &network, "3s").output().unwrap();
        let rows = assert_complete(&output, folder.path(), 1);
        let [append_us, delivery_us] = ["append_us_p50", "delivery_latency_us_p50"]
            .map(|column| rows[0](column).parse::<u64>().unwrap());
        assert!(append_us >= 50_000, "{kind}: {append_us} µs");
        assert!(delivery_us >= 50_000, "{kind}: there and back are {delivery_us} µs");
    }
}

#[test]
fn auto_says_what_it_took_and_why() {
    let folder = TempDir::new().unwrap();
    let network = "network = \"auto\"\nrtt_ms = 20\ntransports = [\"sse\"]";
    let output = command(folder.path(), network, "1s").output().unwrap();
    let kind = if Laid::can_lay_tun().is_ok() { "tun" } else { "line" };
    let said = format!("network = \"auto\" is \"{kind}\" here");
    assert!(text(&output.stderr).contains(&said), "{}", text(&output.stderr));
    let rows = assert_complete(&output, folder.path(), 1);
    assert_eq!(rows[0]("network"), kind);
    let read = |name: &str| fs::read_to_string(results(folder.path()).join(name)).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&read("manifest.json")).unwrap();
    assert!(
        manifest["network_choice"].as_str().unwrap().starts_with(&said),
        "{}",
        manifest["network_choice"]
    );
    assert!(read("plan.toml").contains(&format!("network = \"{kind}\"")));
}

/// The command as a user that may not make namespaces; only root can become another user.
fn unprivileged(folder: &Path, network: &str) -> Command {
    let mut asked = command(folder, network, "1s");
    if !nix::unistd::geteuid().is_root() {
        return asked;
    }
    // Where every user may read and write.
    let program = folder.join("wirelab");
    fs::copy(asked.get_program(), &program).unwrap();
    let open = |path: &Path| {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    };
    fs::create_dir_all(folder.join("results")).unwrap();
    [folder, &folder.join("results"), &program].into_iter().for_each(open);
    let mut command = Command::new(program);
    command.args(asked.get_args()).uid(65_534).gid(65_534).current_dir(folder);
    asked = command;
    asked
}

#[test]
fn without_privileges_tun_is_refused_and_auto_takes_the_line() {
    let folder = TempDir::new().unwrap();
    assert_refused(&unprivileged(folder.path(), "network = \"tun\"\nrtt_ms = 20").output().unwrap());
    let lossy = "network = \"auto\"\nrtt_ms = 20\nloss_ratio = 0.01";
    let said = text(&unprivileged(folder.path(), lossy).output().unwrap().stderr);
    assert!(said.contains("packets are needed") && said.contains("as root"), "{said}");
    let auto = "network = \"auto\"\nrtt_ms = 20\ntransports = [\"sse\"]";
    let output = unprivileged(folder.path(), auto).output().unwrap();
    let said = text(&output.stderr);
    assert!(said.contains("network = \"auto\" is \"line\" here") && said.contains("namespaces"), "{said}");
    assert_eq!(assert_complete(&output, folder.path(), 1)[0]("network"), "line");
}

/// A run that has begun, and the namespaces in which it works.
struct Running {
    child: Child,
    namespaces: BTreeSet<PathBuf>,
    /// Open, so that the run may say how far it is.
    _progress: BufReader<ChildStdout>,
    _folder: TempDir,
}

impl Running {
    /// Starts a run that is ended before its time, and waits until it has begun and its server is there. What is measured before it has
    /// namespaces of its own.
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let network = "network = \"tun\"\nrtt_ms = 20\ntransports = [\"sse\"]";
        let mut command = command(folder.path(), network, "600s");
        command.args(["--progress", "json"]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut progress = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("\"run\":1,") {
            line.clear();
            assert!(progress.read_line(&mut line).unwrap() > 0, "it ended");
        }
        let mut namespaces = BTreeSet::new();
        wait_until("two namespaces, and a server in one", || {
            namespaces = namespaces_of(child.id());
            // Its main thread is in the host's.
            let own = fs::read_link(format!("/proc/{}/ns/net", child.id())).unwrap();
            namespaces.remove(&own);
            namespaces.len() == 2 && processes_in(&namespaces).len() == 2
        });
        Self { child, namespaces, _progress: progress, _folder: folder }
    }

    fn end(&mut self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ended already, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The network namespaces of a process's threads.
fn namespaces_of(pid: u32) -> BTreeSet<PathBuf> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.filter_map(|thread| fs::read_link(thread.path().join("ns/net")).ok()).collect()
}

/// The processes that have a thread in one of these namespaces.
fn processes_in(namespaces: &BTreeSet<PathBuf>) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| !namespaces_of(*pid).is_disjoint(namespaces)).collect()
}

/// What is mounted, a line each.
fn mounts() -> BTreeSet<String> {
    fs::read_to_string("/proc/mounts").unwrap().lines().map(str::to_owned).collect()
}

/// A namespace lives as long as a process, an open file or a name holds it. Files die with their process. `mounted` is
/// what was mounted before the run.
fn assert_nothing_is_left(namespaces: &BTreeSet<PathBuf>, mounted: &BTreeSet<String>) {
    wait_until("no process is in a namespace of the run", || processes_in(namespaces).is_empty());
    let mounts = mounts();
    let ours: Vec<_> = mounts.difference(mounted).filter(|mount| mount.contains("wirelab")).collect();
    assert!(ours.is_empty(), "{ours:?}");
    let names = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let ours: Vec<_> = names.filter(|name| name.file_name().to_string_lossy().contains("wirelab")).collect();
    assert!(ours.is_empty(), "{ours:?}");
    assert!(!Path::new("/sys/class/net/link").exists(), "a device is in the host's network");
}

#[test]
fn no_namespace_outlives_a_run_and_another_run_is_left_alone() {
    if !is_possible() {
        return;
    }
    let mounted = mounts();
    // All at once: what is measured before a run takes seconds.
    let [mut beside, interrupted, terminated, killed] = thread::scope(|scope| {
        let starting: [_; 4] = std::array::from_fn(|_| scope.spawn(Running::start));
        starting.map(|run| run.join().unwrap())
    });
    for (signal, mut ended) in
        [(Signal::SIGINT, interrupted), (Signal::SIGTERM, terminated), (Signal::SIGKILL, killed)]
    {
        assert!(ended.namespaces.is_disjoint(&beside.namespaces));
        ended.end(signal);
        assert_nothing_is_left(&ended.namespaces, &mounted);
    }
    // Another start sweeps nothing either.
    drop(Running::start());
    assert_eq!(processes_in(&beside.namespaces).len(), 2, "harness and server");
    beside.end(Signal::SIGINT);
    assert_nothing_is_left(&beside.namespaces, &mounted);
}

#[test]
fn a_run_that_ends_by_itself_leaves_no_namespace() {
    if !is_possible() {
        return;
    }
    let (folder, mounted) = (TempDir::new().unwrap(), mounts());
    let network = "network = \"tun\"\nrtt_ms = 20\ntransports = [\"sse\"]";
    let mut child =
        command(folder.path(), network, "2s").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut namespaces = BTreeSet::new();
    let ended = holds_within(Duration::from_secs(300), || {
        namespaces.append(&mut namespaces_of(child.id()));
        child.try_wait().unwrap().is_some()
    });
    assert!(ended, "the run goes on");
    namespaces.remove(&fs::read_link("/proc/self/ns/net").unwrap());
    assert!(!namespaces.is_empty(), "the run was not seen");
    assert_nothing_is_left(&namespaces, &mounted);
}
