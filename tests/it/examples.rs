//! The example programs of the clients, each as a process against the real server.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use wirelab_clients::wire::{Status, Transport};

use crate::http::SOON;
use crate::proxy::{Fault, Proxy};
use crate::server::{Server, holds_within};

/// The programs, built now: `cargo test` builds them only when the clients are tested too.
fn example(name: &str) -> Command {
    static BUILT: OnceLock<Vec<PathBuf>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        // The whole workspace's: with the clients' alone, every dependency is compiled again with other features.
        cargo.args(["build", "--locked", "--workspace", "--examples"]);
        cargo.args(["--message-format", "json-render-diagnostics"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        let output = cargo.stderr(Stdio::inherit()).output().expect("cargo runs");
        assert!(output.status.success(), "the examples cannot be built");
        let messages = output.stdout.split(|byte| *byte == b'\n');
        let messages = messages.filter_map(|message| serde_json::from_slice::<Value>(message).ok());
        messages.filter_map(|message| Some(message.get("executable")?.as_str()?.into())).collect()
    });
    let program = built.iter().find(|program| program.file_stem().is_some_and(|stem| stem == name));
    Command::new(program.unwrap_or_else(|| panic!("there is no example {name}")))
}

/// Runs to the end, which must come by itself.
fn run(command: &mut Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it was built");
    if !holds_within(SOON, || child.try_wait().expect("it was started").is_some()) {
        child.kill().expect("it runs");
        panic!("{command:?} went on for {SOON:?}: {:?}", child.wait_with_output());
    }
    child.wait_with_output().expect("it was started")
}

/// One example per transport.
fn stems() -> [String; Transport::ALL.len()] {
    Transport::ALL.map(|transport| transport.name().replace('-', "_"))
}

#[test]
fn each_example_prints_a_deployment_to_its_end() {
    const LINES: [&str; 4] = ["first", "zweite – \"é\"", "", "last"];
    let server = Server::start();
    let id = server.create().id;
    let after_the_first = server.append(&id, &LINES[..1]).cursor.to_string();
    server.append(&id, &LINES[1..]);
    server.finish(&id, Status::Succeeded);
    for stem in stems() {
        // The whole log, over a network that cuts once.
        let proxy = Proxy::start(&server, Fault::CutsTheFirst(400)).api();
        let mut command = example(&stem);
        printed(command.arg(format!("http://{}/api/deployments/{id}", proxy.authority)), &LINES);
        // The rest of it, from a transport's URL.
        let mut command = example(&stem);
        let url = format!("http://{}/api/deployments/{id}/{}", server.authority, stem.replace('_', "-"));
        printed(command.args([&url, &after_the_first]), &LINES[1..]);
    }
}

/// That a program succeeds and prints these lines.
#[track_caller]
fn printed(command: &mut Command, lines: &[&str]) {
    let output = run(command);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
    let expected = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{command:?}: {said}");
}

#[test]
fn an_example_says_how_it_is_used_and_what_the_server_refused() {
    let server = Server::start();
    let unknown = format!("http://{}/api/deployments/01k3aaaaaaaa", server.authority);
    for stem in stems() {
        for (arguments, expected) in [
            (&[][..], format!("usage: {stem} URL [CURSOR]")),
            (&["http://127.0.0.1:1"], "write http://host:port/api/deployments/ID".to_owned()),
            (&[&unknown, "k.01"], "cursor \"k.01\" is not valid".to_owned()),
            (&[&unknown], "404".to_owned()),
        ] {
            let output = run(example(&stem).args(arguments));
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!output.status.success() && output.stdout.is_empty());
            assert!(said.contains(&expected), "{stem} {arguments:?}: {said}");
        }
    }
}
