//! The code blocks of `docs/clients.md` and `scripts/slice`, which that document names: each is run as it stands and
//! must work.
//!
//! A block gets a deployment of which half is published, over a network that cuts its first answer. It must print the
//! text of each line once, up to the end that comes later. Needs bash, curl and jq, and the Python that
//! `scripts/test` sets up.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use wirelab_clients::wire::{Status, Transport};

use crate::proxy::{Fault, Proxy};
use crate::server::Server;

/// Bytes of answers until the cut: within the lines, whatever stands before them.
const CUT_AFTER_BYTES: usize = 1_500;
/// Lines that a block is not asked for, then those that are there when it starts, then those that come later.
const SKIPPED: usize = 3;
const THERE: usize = 30;
const LATER: usize = 6;

/// One fenced piece of code.
struct Block {
    /// The heading above it.
    heading: String,
    language: String,
    code: String,
}

fn blocks(document: &str) -> Vec<Block> {
    let (mut blocks, mut heading): (Vec<Block>, String) = (Vec::new(), String::new());
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        if let Some(text) = line.strip_prefix("## ") {
            text.clone_into(&mut heading);
        } else if let Some(language) = line.strip_prefix("```") {
            let code = lines.by_ref().take_while(|line| *line != "```");
            let code = code.map(|line| line.to_owned() + "\n").collect();
            blocks.push(Block { heading: heading.clone(), language: language.to_owned(), code });
        }
    }
    blocks
}

fn document() -> Vec<Block> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/clients.md");
    blocks(&std::fs::read_to_string(path).expect("the document is there"))
}

impl Block {
    /// The block as a process.
    fn command(&self) -> Command {
        let mut command = match self.language.as_str() {
            "bash" => {
                for tool in ["bash", "curl", "jq"] {
                    let found = Command::new(tool).arg("--version").stdout(Stdio::null()).status();
                    assert!(found.is_ok(), "{tool} is missing: apt-get install {tool}, or run scripts/test");
                }
                Command::new("bash")
            }
            "python" => {
                let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
                let ready = Command::new(&python).args(["-c", "import websockets"]).status();
                let ready = ready.is_ok_and(|status| status.success());
                assert!(ready, "{} with websockets is missing: scripts/test makes it", python.display());
                Command::new(python)
            }
            language => panic!("{}: nobody runs {language:?}", self.heading),
        };
        command.args(["-c", &self.code]);
        command
    }

    fn name(&self) -> String {
        format!("{} in {}", self.heading, self.language)
    }
}

/// Time for a block to end. One of them starts three programs for each line, beside other tests.
const PATIENCE: Duration = Duration::from_secs(90);

/// Runs a block through the life of a deployment.
fn prints_each_line_once(block: &Block) {
    let name = block.name();
    let texts: Vec<_> =
        (1..=SKIPPED + THERE + LATER).map(|number| format!("{number} – \"é\" \\n $HOME")).collect();
    let (there, later) = texts.split_at(SKIPPED + THERE);
    let server = Server::start();
    let id = server.create().id;
    server.append(&id, there);
    let epoch = server.show(&id).next.epoch;
    let proxy = Proxy::start(&server, Fault::CutsTheFirst(CUT_AFTER_BYTES));
    let mut child = block
        .command()
        .env("URL", format!("http://{}/api/deployments/{id}", proxy.api().authority))
        .env("CURSOR", format!("{epoch}.{SKIPPED}"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("its program was found");
    let (print, printed) = mpsc::channel();
    let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| print.send(line)));
    let deadline = Instant::now() + PATIENCE;
    let mut lines = Vec::new();
    // To the end of its output, which comes with its own end.
    while let Ok(line) = printed.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        lines.push(line);
        if lines.len() == THERE {
            server.append(&id, later);
            server.finish(&id, Status::Succeeded);
        }
    }
    let in_time = Instant::now() < deadline;
    // Gone already, or not to be waited for any longer.
    let _ = child.kill();
    let status = child.wait().expect("it was started");
    let mut said = String::new();
    child.stderr.take().expect("it is piped").read_to_string(&mut said).expect("it speaks UTF-8");
    assert!(in_time, "{name} does not end; it printed {lines:?} and said {said}");
    assert_eq!(lines, texts[SKIPPED..], "{name} said {said}");
    assert!(status.success(), "{name}: {status}, {said}");
    assert_eq!(proxy.cuts(), 1, "{name} was not cut");
}

/// The one block that prints frames: reading them is left to the next one.
fn is_handshake(block: &Block) -> bool {
    block.heading == "WebSocket" && block.language == "bash"
}

#[test]
fn every_client_of_the_document_follows_and_resumes() {
    let blocks = document();
    let clients = blocks.iter().filter(|block| block.language != "console" && !is_handshake(block));
    let clients: Vec<_> = clients.collect();
    // Each transport in two languages, but the frames of a WebSocket in one.
    assert_eq!(clients.len(), 2 * Transport::ALL.len() - 1, "a transport without its clients");
    thread::scope(|scope| {
        for block in clients {
            scope.spawn(|| prints_each_line_once(block));
        }
    });
}

#[test]
fn the_handshake_of_the_document_is_answered() {
    let blocks = document();
    let handshake = blocks.iter().find(|block| is_handshake(block)).expect("it is there");
    let server = Server::start();
    let id = server.create().id;
    server.append(&id, &["a line in a frame"]);
    let mut command = handshake.command();
    command.env("URL", format!("http://{}/api/deployments/{id}", server.authority));
    let output = command.env("CURSOR", server.show(&id).first.to_string()).output().expect("bash runs");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.starts_with("HTTP/1.1 101 Switching Protocols"), "{printed:?}");
    assert!(printed.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{printed:?}");
    assert!(printed.contains("\"text\":\"a line in a frame\""), "{printed:?}");
}

#[test]
fn the_slice_of_every_transport_shows_its_halves() {
    let slice = |name: &str| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/slice");
        let output = Command::new(script).arg(name).output().expect("bash runs");
        let printed = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        (output.status.code(), printed)
    };
    for transport in Transport::ALL {
        let stem = transport.name().replace('-', "_");
        let (code, [printed, said]) = slice(transport.name());
        assert_eq!((code, said.as_str()), (Some(0), ""), "{transport}");
        let head: String = printed.lines().take(2).collect();
        for half in [
            format!("server: src/transports/{stem}.rs"),
            format!("client: clients/src/transports/{stem}.rs"),
            format!("browser: static/transports/{stem}.js"),
        ] {
            assert!(head.contains(&half), "{half} is not in {head}");
        }
        assert!(head.matches(" lines of code").count() >= 2, "{head}");
    }
    for unknown in ["", "carrier-pigeon", "data", "short"] {
        let (code, [printed, said]) = slice(unknown);
        assert_eq!((code, printed.as_str()), (Some(2), ""), "{unknown}");
        let names: Vec<_> = said.lines().skip(1).collect();
        assert_eq!(names, Transport::ALL.map(Transport::name), "{unknown}");
    }
}

#[test]
fn clients_in_python_stay_short() {
    // About 15 lines, imports and what happens after a cut included.
    const LINES_MAX: usize = 20;
    for block in document().iter().filter(|block| block.language == "python") {
        let lines = block.code.lines().filter(|line| !line.trim().is_empty()).count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines", block.name());
    }
}
