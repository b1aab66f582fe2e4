//! A stderr that nobody reads holds up nothing but who writes there by himself.

use std::fs::OpenOptions;
use std::io::{ErrorKind, PipeReader, PipeWriter, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::{publish_to, record_in};
use crate::server::holds_within;

/// The bounds of a server that was never reached, with room for a busy machine.
const BOUND: Duration = Duration::from_secs(9);

/// A pipe that takes not one byte more.
fn full() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    for chunk in [4_096, 1] {
        loop {
            match writer.write(&vec![b'x'; chunk]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    (reader, writer)
}

/// Its exit code, with such a pipe as its stderr.
#[track_caller]
fn code_unread(command: &mut Command) -> Option<i32> {
    let (reader, writer) = full();
    let mut child = command.stdout(Stdio::null()).stderr(writer).spawn().unwrap();
    let is_over = holds_within(BOUND, || child.try_wait().unwrap().is_some());
    if !is_over {
        child.kill().unwrap();
    }
    let code = child.wait().unwrap().code();
    drop(reader);
    assert!(is_over, "{command:?} hangs");
    code
}

#[test]
fn what_nobody_reads_does_not_hold_up_the_end() {
    let folder = tempfile::tempdir().unwrap();
    for (command, published, recorded) in [
        (&["echo", "line"][..], 6, 0),
        (&["sh", "-c", "echo line; exit 3"], 3, 3),
        (&["no-such-command"], 127, 127),
    ] {
        assert_eq!(code_unread(publish_to("http://127.0.0.1:1").args(command)), Some(published));
        assert_eq!(code_unread(record_in(folder.path()).args(command)), Some(recorded));
        // There is none of a command that did not start.
        let _ = std::fs::remove_file(folder.path().join("web.ndjson"));
    }
}

#[test]
fn the_url_stands_above_the_output_and_the_last_word_below() {
    let server = crate::server::Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shown");
    let url = format!("http://{}", server.authority);
    // Repeated: what is written by two threads is in order by chance, too.
    for _ in 0..20 {
        let file = || OpenOptions::new().create(true).append(true).open(&path).unwrap();
        let mut publish = publish_to(&url);
        publish.args(["printf", "text\\377\\n"]).stdout(file()).stderr(file());
        assert_eq!(publish.status().unwrap().code(), Some(0));
        let shown = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        let shown: Vec<_> = shown.lines().collect();
        assert!(shown[0].starts_with("publishing to "), "{shown:?}");
        assert_eq!(shown[1], "text\u{fffd}");
        assert_eq!(shown[2], "1 line held bytes that are not UTF-8; those became U+FFFD");
        std::fs::remove_file(&path).unwrap();
    }
}
