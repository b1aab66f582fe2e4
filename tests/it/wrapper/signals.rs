//! Signals reach the command as without a wrapper, and what was begun ends as cancelled.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use wirelab_clients::wire::Status;

use super::{Wrapper, ended, piped};
use crate::http::SOON;
use crate::server::wait_until;

/// Reads what must come next, and soon.
#[track_caller]
pub(super) fn read_exactly(from: &mut (impl Read + AsFd), expected: &str) {
    let mut read = Vec::new();
    while read.len() < expected.len() {
        let mut buffer = vec![0; expected.len() - read.len()];
        let mut asked = [PollFd::new(from.as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut asked, PollTimeout::try_from(SOON).unwrap()).unwrap();
        assert_eq!(ready, 1, "{expected:?} does not come; {:?} did", String::from_utf8_lossy(&read));
        let count = from.read(&mut buffer).unwrap();
        assert!(count > 0, "{expected:?} does not come; {:?} did", String::from_utf8_lossy(&read));
        read.extend_from_slice(&buffer[..count]);
    }
    assert_eq!(String::from_utf8_lossy(&read), expected);
}

/// Counts the signal that it traps, and ends with 5 a moment after it; with 0 if it is never told.
fn trapping(name: &str) -> String {
    format!(
        "trap 'echo told; sleep 0.3; exit 5' {name}; echo ready; for i in $(seq 200); do sleep 0.05; done"
    )
}

#[test]
fn a_signal_to_the_wrapper_alone_reaches_the_command_and_its_code_stands() {
    for (signal, name) in [
        (Signal::SIGINT, "INT"),
        (Signal::SIGTERM, "TERM"),
        (Signal::SIGHUP, "HUP"),
        (Signal::SIGQUIT, "QUIT"),
    ] {
        let wrapper = Wrapper::new();
        for mut wrapped in wrapper.both() {
            let mut child = piped(wrapped.args(["sh", "-c", &trapping(name)]).process_group(0));
            read_exactly(child.stdout.as_mut().unwrap(), "ready\n");
            kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
            let (code, shown, said) = ended(child.wait_with_output().unwrap());
            assert_eq!((code, shown.as_str()), (Some(5), "told\n"), "{signal}: {said}");
        }
        wrapper.assert_ended(Status::Cancelled);
        assert_eq!(wrapper.deployment().lines, 2);
    }
}

#[test]
fn a_signal_that_asks_for_something_else_reaches_the_command_and_ends_nothing() {
    let wrapper = Wrapper::new();
    for mut wrapped in wrapper.both() {
        let script = "trap 'echo half' USR1; echo ready; while ! read go; do :; done; exit 5";
        let mut child = piped(wrapped.args(["bash", "-c", script]));
        read_exactly(child.stdout.as_mut().unwrap(), "ready\n");
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGUSR1).unwrap();
        read_exactly(child.stdout.as_mut().unwrap(), "half\n");
        child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(5));
    }
    wrapper.assert_ended(Status::Failed);
}

/// The command in a session of its own, whose terminal is the returned master's.
fn on_a_terminal(wrapped: &Command, script: &str) -> (Child, PtyMaster) {
    // Closed in every child: the terminal hangs up when the last master is closed.
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname_r(&master).unwrap();
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).custom_flags(OFlag::O_NOCTTY.bits());
    let slave = || Stdio::from(options.open(&name).unwrap());
    let mut command = Command::new("setsid");
    command.arg("--ctty").arg(wrapped.get_program()).args(wrapped.get_args()).args(["sh", "-c", script]);
    (command.stdin(slave()).stdout(slave()).stderr(slave()).spawn().unwrap(), master)
}

#[test]
fn a_key_of_the_terminal_reaches_the_command_once() {
    let wrapper = Wrapper::new();
    for wrapped in wrapper.both() {
        let (mut child, mut terminal) = on_a_terminal(&wrapped, &trapping("INT"));
        read_until(&mut terminal, "ready");
        terminal.write_all(b"\x03").unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(5), "the code of its trap");
    }
    wrapper.assert_ended(Status::Cancelled);
    assert_eq!(super::lines(&wrapper.server), ["ready", "told"]);
}

#[test]
fn a_command_whose_terminal_is_closed_cleans_up() {
    let wrapper = Wrapper::new();
    for (index, wrapped) in wrapper.both().into_iter().enumerate() {
        let cleaned = wrapper.folder.path().join(format!("../{index}-{}", std::process::id()));
        let script = format!(
            "trap 'echo bye; echo cleaned >{}; exit 0' HUP; echo ready; \
             for i in $(seq 200); do echo x; sleep 0.05; done",
            cleaned.display()
        );
        let (mut child, mut terminal) = on_a_terminal(&wrapped, &script);
        read_until(&mut terminal, "ready");
        drop(terminal);
        wait_until("it cleans up", || cleaned.exists());
        assert_eq!(child.wait().unwrap().code(), Some(0));
        std::fs::remove_file(cleaned).unwrap();
    }
    wrapper.assert_ended(Status::Cancelled);
    assert_eq!(super::lines(&wrapper.server).last().map(String::as_str), Some("bye"));
}

#[test]
fn a_signal_that_comes_before_the_command_reaches_it_when_it_runs() {
    // Nobody answers, so the command is not started at once.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    for (signal, code) in [(Signal::SIGUSR1, 138), (Signal::SIGUSR2, 140)] {
        let child = piped(super::publish_to(&url).args(["sleep", "20"]));
        // It catches signals before it connects.
        let connection = silent.accept().unwrap();
        kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
        let (was, _, said) = ended(child.wait_with_output().unwrap());
        assert_eq!(was, Some(code), "{said}");
        drop(connection);
    }
}

fn read_until(from: &mut impl Read, expected: &str) {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(expected) {
        let mut buffer = [0; 4_096];
        let count = from.read(&mut buffer).unwrap();
        read.extend_from_slice(&buffer[..count]);
    }
}
