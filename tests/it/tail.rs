//! `wirelab tail` while its server is away.

use std::io::{BufRead, BufReader, Read};
use std::process::{ChildStderr, Stdio};
use std::sync::mpsc;
use std::thread;

use wirelab_clients::wire::{Status, Transport};

use crate::http::SOON;
use crate::server::{Binary, wirelab};

/// The lines of an output, as they come.
fn lines_of(output: ChildStderr) -> mpsc::Receiver<String> {
    let (send, lines) = mpsc::channel();
    thread::spawn(move || {
        BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| send.send(line))
    });
    lines
}

#[test]
fn an_outage_is_told_once_and_lines_go_on_after_it() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let data = ["--data", data.path().to_str().expect("a plain path")];
    let server = Binary::serve("127.0.0.1:0", &data);
    let id = server.create().id;
    server.append(&id, &["before"]);
    let tails = Transport::ALL.map(|transport| {
        let url = format!("http://{}/api/deployments/{id}", server.authority);
        let mut tail = wirelab();
        tail.args(["tail", &url, "--transport", transport.name(), "--poll-interval", "20ms"]);
        let mut tail = tail.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it was built");
        let mut stdout = BufReader::new(tail.stdout.take().expect("it is piped"));
        let mut first = String::new();
        stdout.read_line(&mut first).expect("it prints");
        assert_eq!(first, "before\n", "{transport}");
        let said = lines_of(tail.stderr.take().expect("it is piped"));
        (transport, tail, stdout, said)
    });
    let bind = server.authority.clone();
    server.kill();
    let told = tails.map(|(transport, tail, stdout, said)| {
        let note = said.recv_timeout(SOON).unwrap_or_else(|_| panic!("{transport}: nothing is told"));
        assert!(note.starts_with("reconnecting: "), "{transport}: {note}");
        (transport, tail, stdout, said)
    });
    let server = Binary::serve(&bind, &data);
    server.append(&id, &["after"]);
    server.finish(&id, Status::Succeeded);
    for (transport, mut tail, mut stdout, said) in told {
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).expect("it prints");
        assert_eq!(rest, "after\n", "{transport}");
        assert!(tail.wait().expect("it was started").success(), "{transport}");
        let said: Vec<_> = said.into_iter().collect();
        assert_eq!(said, ["succeeded"], "{transport}: told more than once");
    }
}
