//! Signals that a wrapper passes on to its command.
//!
//! The command must notice no difference: a signal that was ignored when wirelab was started stays ignored, in the
//! command too (`nohup`), and one that a terminal sends to the whole process group is not sent twice. A wrapper never
//! kills its command.

use std::fs::OpenOptions;
use std::future::poll_fn;
use std::os::unix::fs::OpenOptionsExt;
use std::task::Poll;

use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpgrp, tcgetpgrp};
use tokio::process::Child;
use tokio::signal::unix::{self, SignalKind, signal};
use wirelab_clients::os;

/// Signals that people and programs send to end a command, or to ask it for something.
const PASSED_ON: [(Signal, SignalKind); 6] = [
    (Signal::SIGINT, SignalKind::interrupt()),
    (Signal::SIGQUIT, SignalKind::quit()),
    (Signal::SIGHUP, SignalKind::hangup()),
    (Signal::SIGTERM, SignalKind::terminate()),
    (Signal::SIGUSR1, SignalKind::user_defined1()),
    (Signal::SIGUSR2, SignalKind::user_defined2()),
];

/// Catches signals from the moment it is made, even while no task waits for them.
pub(crate) struct Signals {
    caught: Vec<(Signal, unix::Signal)>,
}

impl Signals {
    pub(crate) fn listen() -> Self {
        let caught = PASSED_ON.into_iter().filter(|(named, _)| !os::is_ignored(*named));
        let listening = |kind| signal(kind).expect("signal handlers can be installed");
        Self { caught: caught.map(|(named, kind)| (named, listening(kind))).collect() }
    }

    /// Waits for the next signal. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Signal {
        poll_fn(|context| {
            for (named, caught) in &mut self.caught {
                if caught.poll_recv(context).is_ready() {
                    return Poll::Ready(*named);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// Lets a write beyond the limit of a file's size (`ulimit -f`) fail like one on a full disk, in place of ending this
/// process and with it the command.
pub(crate) fn outlive_file_limit() {
    if !os::is_ignored(Signal::SIGXFSZ) {
        // A handler, which ends at exec: an ignored signal would be ignored by the command too. The program need not hear of
        // it, and tokio never takes a handler away.
        let _ = signal(SignalKind::from_raw(Signal::SIGXFSZ as i32));
    }
}

/// Whether a signal asks a command to end.
pub(crate) fn is_end(signal: Signal) -> bool {
    !matches!(signal, Signal::SIGUSR1 | Signal::SIGUSR2)
}

/// Sends the command a signal that wirelab got, unless the terminal has told it already.
pub(super) fn pass_on(signal: Signal, child: &Child) {
    let is_key = matches!(signal, Signal::SIGINT | Signal::SIGQUIT);
    if is_key && is_in_foreground() {
        return;
    }
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        // An error means that the command has ended already.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// Whether the terminal sends the signals of its keys to this process and its command, which share a process group.
fn is_in_foreground() -> bool {
    // A line that hung up must not be waited for.
    let flags = OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
    let terminal = OpenOptions::new().read(true).custom_flags(flags.bits()).open("/dev/tty");
    terminal.is_ok_and(|terminal| tcgetpgrp(terminal) == Ok(getpgrp()))
}
