//! The commands of `wirelab`, one file each, and what they share: exit codes, failures, signals, output.

pub mod claims;
pub mod cli;
mod closing;
pub mod compare;
pub mod completions;
pub mod crowd;
mod descriptors;
pub mod man;
pub mod plans;
pub mod publish;
mod reach;
pub mod record;
pub mod report;
pub mod reproduce;
mod results_folder;
pub mod run;
pub mod serve;
pub mod tail;
pub mod token;
mod tokens;
mod wanted;
mod wrapper;

use std::future::poll_fn;
use std::io::{self, IsTerminal, Write};
use std::process::ExitStatus;
use std::task::Poll;
use std::thread;

use nix::sys::signal::Signal;
use tokio::signal::{self, unix::SignalKind};
use tokio_util::sync::CancellationToken;

use wirelab_clients::harness::ending::Ending;
use wirelab_clients::os::{exit_code, is_ignored};

pub(crate) use crate::terminal::{remark, visible};

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// All is well.
    Ok,
    /// The exit code of a command that was run, or of the deployment that was followed.
    Command(u8),
    /// The command line or a plan is wrong.
    Usage,
    /// A line was lost, censored, reordered or duplicated, a threshold was missed, or a figure got worse than tolerated.
    Delivery,
    /// A run contradicts the theory.
    Theory,
    /// A run is invalid.
    Invalid,
    /// A server or the environment failed.
    Environment,
    /// Ctrl-C.
    Interrupted,
}

impl From<Ending> for Exit {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Good => Self::Ok,
            Ending::Delivery => Self::Delivery,
            Ending::Theory => Self::Theory,
            Ending::Invalid => Self::Invalid,
            Ending::Environment => Self::Environment,
        }
    }
}

impl Exit {
    /// Returns the exit code of the process. If there are several reasons, the highest code is used.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => Ending::Good.code(),
            Self::Command(code) => code,
            Self::Usage => 2,
            Self::Delivery => Ending::Delivery.code(),
            Self::Theory => Ending::Theory.code(),
            Self::Invalid => Ending::Invalid.code(),
            Self::Environment => Ending::Environment.code(),
            Self::Interrupted => 130,
        }
    }

    /// Returns what the exit code of a run says.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => Ending::Good.meaning(),
            Self::Command(_) => "a command ended by itself",
            Self::Usage => "the command line or the plan is wrong",
            Self::Delivery => Ending::Delivery.meaning(),
            Self::Theory => Ending::Theory.meaning(),
            Self::Invalid => Ending::Invalid.meaning(),
            Self::Environment => Ending::Environment.meaning(),
            Self::Interrupted => "stopped early; what was measured is written",
        }
    }
}

/// Returns the exit of a command that ended with `status`.
pub(crate) fn ended_as(status: ExitStatus) -> Exit {
    match exit_code(status) {
        0 => Exit::Ok,
        code => Exit::Command(code),
    }
}

/// Reason why a command ended early: one sentence for people, and the exit code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What went wrong, and the remedy.
    pub message: String,
}

impl Failure {
    /// Makes a failure with [`Exit::Usage`]: the command line or a plan is wrong.
    pub fn usage(message: impl ToString) -> Self {
        Self { exit: Exit::Usage, message: message.to_string() }
    }

    /// Makes a failure with [`Exit::Environment`]: a server or the environment failed.
    pub fn environment(message: impl ToString) -> Self {
        Self { exit: Exit::Environment, message: message.to_string() }
    }
}

/// Catches Ctrl-C, SIGTERM and SIGHUP (a terminal that is closed) from the moment it is made, even while no task waits for
/// them. One that was ignored when wirelab was started stays ignored: `nohup wirelab serve` outlives its terminal.
pub(crate) struct Interrupts {
    caught: Vec<signal::unix::Signal>,
}

impl Interrupts {
    pub(crate) fn listen() -> Self {
        Self::of(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP])
    }

    fn of(signals: &[Signal]) -> Self {
        let ends = [
            (Signal::SIGINT, SignalKind::interrupt()),
            (Signal::SIGTERM, SignalKind::terminate()),
            (Signal::SIGHUP, SignalKind::hangup()),
        ];
        let caught = ends.into_iter().filter(|(named, _)| signals.contains(named) && !is_ignored(*named));
        let on = |kind| signal::unix::signal(kind).expect("signal handlers can be installed");
        Self { caught: caught.map(|(_, kind)| on(kind)).collect() }
    }

    /// Waits for the next signal. Cancel-safe.
    pub(crate) async fn next(&mut self) {
        poll_fn(|context| {
            let is_caught = self.caught.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
            if is_caught { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Catches SIGHUP where it does not end a command but asks for something.
pub(crate) struct Hangups(signal::unix::Signal);

impl Hangups {
    pub(crate) fn listen() -> Self {
        Self(signal::unix::signal(SignalKind::hangup()).expect("signal handlers can be installed"))
    }

    /// Waits for the next one. Cancel-safe.
    pub(crate) async fn next(&mut self) {
        self.0.recv().await;
    }
}

/// Whether the end of stdin ends the command. The pipe is closed when the process at its other end is gone, for
/// whatever reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StdinEnd {
    Ignored,
    Stops,
}

impl StdinEnd {
    /// Returns the meaning of `--stop-at-stdin-end`.
    pub(crate) fn of_flag(stop_at_stdin_end: bool) -> Self {
        if stop_at_stdin_end { Self::Stops } else { Self::Ignored }
    }
}

/// Catches a request to stop, by a signal or by the end of stdin, from the moment it is made.
pub(crate) struct StopRequest {
    interrupts: Interrupts,
    stdin_ended: CancellationToken,
}

impl StopRequest {
    /// Starts to listen. Must be called inside a tokio runtime.
    pub(crate) fn listen(stdin: StdinEnd) -> Self {
        Self::of(Interrupts::listen(), stdin)
    }

    /// Starts to listen to all but SIGHUP, which means something else to the command.
    pub(crate) fn listen_but_for_hangups(stdin: StdinEnd) -> Self {
        Self::of(Interrupts::of(&[Signal::SIGINT, Signal::SIGTERM]), stdin)
    }

    fn of(interrupts: Interrupts, stdin: StdinEnd) -> Self {
        let stdin_ended = CancellationToken::new();
        match stdin {
            StdinEnd::Ignored => {}
            StdinEnd::Stops => {
                let ended = stdin_ended.clone();
                // Stdin has its own thread: a runtime that is busy with subscribers would see the end late. The thread
                // ends with the process.
                thread::spawn(move || {
                    // The content of stdin is ignored. An error counts like the end.
                    let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
                    ended.cancel();
                });
            }
        }
        Self { interrupts, stdin_ended }
    }

    /// Waits for a request to stop. Cancel-safe.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            () = self.interrupts.next() => {}
            () = self.stdin_ended.cancelled() => {}
        }
    }
}

/// Whether stdout is still read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StdoutReader {
    There,
    /// The reader has closed the pipe, as `… | head` does, which is not a failure.
    Gone,
}

/// Prints a text on stdout: byte for byte to a pipe or a file, and to a terminal as [`visible`] text. Lines of a log, names
/// and plans come from other people, and a terminal would obey them.
pub(crate) fn say(text: &str) -> Result<StdoutReader, Failure> {
    let mut stdout = io::stdout().lock();
    let shown = if stdout.is_terminal() { visible(text) } else { text.into() };
    match stdout.write_all(shown.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(StdoutReader::There),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(StdoutReader::Gone),
        Err(error) => Err(Failure::environment(format!("cannot write to stdout: {error}"))),
    }
}
