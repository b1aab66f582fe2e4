//! The commands, one file each.

pub mod claims;
pub mod cli;
pub mod command_output;
pub mod compare;
pub mod completions;
pub mod crowd;
pub mod man;
pub mod plans;
pub mod publish;
pub mod record;
pub mod report;
mod results_folder;
pub mod run;
pub mod serve;
pub mod tail;

use std::io::{self, Write};
use std::process::ExitStatus;
use std::thread;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use wirelab_clients::harness::ending::Ending;
use wirelab_clients::os::exit_code;

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// All is well.
    Ok,
    /// With the code of a command that was run, or of the deployment that was followed.
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
    /// The process exit code. Of several reasons the higher one is given.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Command(code) => code,
            Self::Usage => 2,
            Self::Delivery => 3,
            Self::Theory => 4,
            Self::Invalid => 5,
            Self::Environment => 6,
            Self::Interrupted => 130,
        }
    }
}

/// With the code of the command that ended.
pub(crate) fn ended_as(status: ExitStatus) -> Exit {
    match exit_code(status) {
        0 => Exit::Ok,
        code => Exit::Command(code),
    }
}

/// Why a command ended early: one sentence for people, and the exit code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What is wrong, and the remedy.
    pub message: String,
}

impl Failure {
    /// The command line or a plan is wrong.
    pub fn usage(message: impl ToString) -> Self {
        Self { exit: Exit::Usage, message: message.to_string() }
    }

    /// A server or the environment failed.
    pub fn environment(message: impl ToString) -> Self {
        Self { exit: Exit::Environment, message: message.to_string() }
    }
}

/// Ctrl-C and SIGTERM, from the moment this is made: one that comes while nobody waits is not missed.
pub(crate) struct Interrupts {
    ctrl_c: Signal,
    terminate: Signal,
}

/// What somebody wants us to end with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interrupt {
    /// From a terminal, which tells our children too.
    CtrlC,
    /// To us alone.
    Terminate,
}

impl Interrupts {
    pub(crate) fn listen() -> Self {
        let on = |kind| signal(kind).expect("signal handlers can be installed");
        Self { ctrl_c: on(SignalKind::interrupt()), terminate: on(SignalKind::terminate()) }
    }

    /// Waits for the next one. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Interrupt {
        tokio::select! {
            _ = self.ctrl_c.recv() => Interrupt::CtrlC,
            _ = self.terminate.recv() => Interrupt::Terminate,
        }
    }
}

/// Whether the end of stdin ends a command too. A pipe ends with whoever holds its other end, however that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StdinEnd {
    Ignored,
    Stops,
}

impl StdinEnd {
    /// What `--stop-at-stdin-end` says.
    pub(crate) fn of_flag(stop_at_stdin_end: bool) -> Self {
        if stop_at_stdin_end { Self::Stops } else { Self::Ignored }
    }
}

/// Whether somebody wants an end of it: by a signal or by the end of stdin, from the moment this is made.
pub(crate) struct Stop {
    interrupts: Interrupts,
    stdin_ended: CancellationToken,
}

impl Stop {
    /// From now on. Must be called inside a tokio runtime.
    pub(crate) fn listen(stdin: StdinEnd) -> Self {
        let stdin_ended = CancellationToken::new();
        match stdin {
            StdinEnd::Ignored => {}
            StdinEnd::Stops => {
                let ended = stdin_ended.clone();
                // A thread of its own: a runtime that is busy with subscribers would see the end late. It ends with
                // the process.
                thread::spawn(move || {
                    // What it says is of no interest. An error, like the end, means that nobody is there.
                    let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
                    ended.cancel();
                });
            }
        }
        Self { interrupts: Interrupts::listen(), stdin_ended }
    }

    /// Waits until somebody does. Cancel-safe.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupts.next() => {}
            () = self.stdin_ended.cancelled() => {}
        }
    }
}

/// Whether anybody reads our stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    There,
    /// As `… | head` leaves it: it wants no more, which is no failure.
    Gone,
}

/// Prints on stdout.
pub(crate) fn say(text: &str) -> Result<Reader, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Failure::environment(format!("cannot write to stdout: {error}"))),
    }
}

/// Prints a line on stderr, if anybody reads it.
pub(crate) fn remark(text: &str) {
    // Not eprintln!, which panics when stderr is closed; there is nobody to tell.
    let _ = writeln!(io::stderr(), "{text}");
}
