//! A command whose output is published or recorded, and which must not notice it.
//!
//! A wrapper's own trouble, and its own working, never change the command's life, exit code, output or timing beyond the
//! bounds that are written here. `publish` and `record` start a [`Wrapped`] command: its output is shown at once by the
//! `relay`, and waits in a [`Backlog`] for the [`publisher`] or the [`recorder`].

pub(crate) mod backlog;
pub(crate) mod lines;
mod patience;
pub(crate) mod publisher;
pub(crate) mod recorder;
mod relay;
mod signals;

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use nix::sys::signal::Signal;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use wirelab_clients::wire::{Status, Stream};

pub(crate) use self::backlog::{Backlog, HoldUp};
use self::relay::{Relayed, ShownOn, Source, relay};
pub(crate) use self::signals::{Signals, is_end, outlive_file_limit};
use super::{Exit, Failure, ended_as};
use crate::access::TOKEN_VARIABLE;
use crate::terminal::complain;

/// How long a full [`Backlog`] may hold up a command, in total: long enough for a server to restart on the same machine.
pub(crate) const HOLD_UP_MAX: Duration = Duration::from_secs(5);
/// How long the output is read after the command has ended, if a process that it left behind keeps it open.
const LEFT_BEHIND_WAIT: Duration = Duration::from_secs(1);

/// A running command, or our own stdin, shown and put into a backlog.
pub(crate) struct Wrapped {
    child: Option<Child>,
    stop: UnixStream,
    relayed: oneshot::Receiver<Relayed>,
    backlog: Arc<Backlog>,
}

/// How a wrapped command ended.
pub(crate) struct Ended {
    /// When.
    pub(crate) at: Instant,
    status: io::Result<Option<ExitStatus>>,
    was_interrupted: bool,
    /// `None`: it was not waited for until all was shown.
    relayed: Option<Relayed>,
}

impl Wrapped {
    /// Starts a command. Its outputs are shown on ours; its stdin is ours.
    ///
    /// Fails with the exit code of a shell: 127 if there is no such command, 126 if it cannot be run.
    pub(crate) fn command(command: &[OsString], backlog: Arc<Backlog>) -> Result<Self, Failure> {
        let (program, arguments) =
            command.split_first().expect("the command line asks for one word at least");
        let cannot_run = |error: io::Error| {
            let code = if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 };
            let message = format!("cannot run {program:?}: {error}; check its path and its permissions");
            Failure { exit: Exit::Command(code), message }
        };
        let mut child = Command::new(program)
            .args(arguments)
            // A command that prints its environment would publish the token in its log.
            .env_remove(TOKEN_VARIABLE)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(cannot_run)?;
        let stdout = child.stdout.take().expect("asked for a pipe").into_owned_fd().map_err(cannot_run)?;
        let stderr = child.stderr.take().expect("asked for a pipe").into_owned_fd().map_err(cannot_run)?;
        let sources = vec![
            Source { from: stdout, stream: Some(Stream::Stdout), shown_on: ShownOn::Stdout(io::stdout()) },
            Source { from: stderr, stream: Some(Stream::Stderr), shown_on: ShownOn::Stderr(io::stderr()) },
        ];
        Self::start(Some(child), sources, LEFT_BEHIND_WAIT, backlog).map_err(cannot_run)
    }

    /// Reads our own stdin, showing it on stdout.
    pub(crate) fn stdin(backlog: Arc<Backlog>) -> Result<Self, Failure> {
        let cannot_read = |error: io::Error| Failure::environment(format!("stdin: {error}"));
        let from: OwnedFd = io::stdin().as_fd().try_clone_to_owned().map_err(cannot_read)?;
        let source = Source { from, stream: None, shown_on: ShownOn::Stdout(io::stdout()) };
        Self::start(None, vec![source], Duration::ZERO, backlog).map_err(cannot_read)
    }

    fn start(
        child: Option<Child>,
        sources: Vec<Source>,
        grace: Duration,
        backlog: Arc<Backlog>,
    ) -> io::Result<Self> {
        let (stop, stopped) = UnixStream::pair()?;
        let (told, relayed) = oneshot::channel();
        let filled = backlog.clone();
        thread::Builder::new().name("relay".to_owned()).spawn(move || {
            let relayed = relay(sources, &stopped, grace, &filled);
            filled.close();
            // After a second signal the other end is gone.
            let _ = told.send(relayed);
        })?;
        Ok(Self { child, stop, relayed, backlog })
    }

    /// Passes a signal on to the command; stdin is asked for nothing.
    pub(crate) fn pass_on(&self, signal: Signal) {
        if let Some(child) = &self.child {
            signals::pass_on(signal, child);
        }
    }

    /// Waits for the end, passing on every signal. Stdin ends at the first signal that asks to end.
    pub(crate) async fn ended(self, signals: &mut Signals) -> Ended {
        let Self { child, stop, mut relayed, backlog } = self;
        let mut was_interrupted = false;
        let status = match child {
            None => Ok(None),
            Some(mut child) => loop {
                tokio::select! {
                    status = child.wait() => break status.map(Some),
                    signal = signals.next() => {
                        was_interrupted |= is_end(signal);
                        signals::pass_on(signal, &child);
                    }
                }
            },
        };
        let at = Instant::now();
        // Ctrl-C in a terminal ends the command and tells us in the same moment.
        was_interrupted |= signals.next().now_or_never().is_some_and(is_end);
        // Dropped at the end of a command; stdin goes on until a signal comes.
        let mut stop = status.as_ref().is_ok_and(Option::is_none).then_some(stop);
        let killed_by = status.as_ref().ok().and_then(|status| status.as_ref()?.signal());
        let mut is_told_again = false;
        let relayed = loop {
            tokio::select! {
                relayed = &mut relayed => break relayed.ok(),
                signal = signals.next() => match stop.take_if(|_| is_end(signal)) {
                    // There is no command any more that could be asked for something.
                    _ if !is_end(signal) => {}
                    Some(_) => (was_interrupted, is_told_again) = (true, true),
                    // Our own stdout may be a terminal that was stopped.
                    None if is_told_again => break None,
                    // The first one may be what has ended the command, seen late.
                    None => {
                        is_told_again = true;
                        was_interrupted |= killed_by == Some(signal as i32);
                    }
                },
            }
        };
        backlog.close();
        Ended { at, status, was_interrupted, relayed }
    }
}

impl Ended {
    /// Returns what the deployment or the recording ends with.
    pub(crate) fn outcome(&self) -> Status {
        match &self.status {
            _ if self.was_interrupted => Status::Cancelled,
            Ok(Some(status)) if status.success() => Status::Succeeded,
            Ok(None) if !self.has_read_error() => Status::Succeeded,
            Ok(_) | Err(_) => Status::Failed,
        }
    }

    /// Returns how many of the lines that were shown are not among `kept_lines`. `None`: unknown, it was not waited
    /// for until all was shown.
    pub(crate) fn missing_lines(&self, kept_lines: u64) -> Option<u64> {
        Some(self.relayed.as_ref()?.lines.saturating_sub(kept_lines))
    }

    fn has_read_error(&self) -> bool {
        self.relayed.as_ref().is_some_and(|relayed| relayed.read_error.is_some())
    }

    /// Says what went wrong with the output.
    pub(crate) fn tell(&self) {
        if let Some(Relayed { lines: _, read_error, unshown }) = &self.relayed {
            if let Some(error) = read_error {
                let output = if matches!(self.status, Ok(None)) { "stdin" } else { "the command's output" };
                complain(format!("wirelab: {output}: {error}"));
            }
            for relay::Unshown { output, bytes, error } in unshown {
                complain(format!("wirelab: {output}: {error}; {bytes} bytes of output are missing there"));
            }
        }
        if let Err(error) = &self.status {
            complain(format!("wirelab: how the command ended is not known: {error}"));
        }
    }

    /// Returns the exit code: always the command's own, as a shell gives it. Only in place of success it is that of the
    /// wrapper, if the output was not kept whole.
    pub(crate) fn exit(&self, kept: Kept) -> Exit {
        let own = match &self.status {
            Ok(Some(status)) => ended_as(*status),
            Ok(None) if self.was_interrupted => Exit::Interrupted,
            Ok(None) if !self.has_read_error() => Exit::Ok,
            Ok(None) | Err(_) => Exit::Environment,
        };
        match (own, kept) {
            (Exit::Ok, Kept::InPart) => Exit::Environment,
            (own, Kept::Whole | Kept::InPart) => own,
        }
    }
}

/// Returns `1 line`, `2 lines`.
pub(crate) fn counted_lines(count: u64) -> String {
    format!("{count} {}", if count == 1 { "line" } else { "lines" })
}

/// Returns `1 line was`, `2 lines were`.
pub(crate) fn lines_were(count: u64) -> String {
    format!("{} {}", counted_lines(count), if count == 1 { "was" } else { "were" })
}

/// Whether everything that was shown is published or recorded, and ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    Whole,
    InPart,
}

/// Waits for `kept`. A signal that asks to end calls `hurry`; a second one ends the wait.
pub(crate) async fn unless_twice_interrupted<T>(
    kept: impl Future<Output = T>,
    signals: &mut Signals,
    mut hurry: impl FnMut(),
) -> Option<T> {
    tokio::pin!(kept);
    let mut is_hurried = false;
    loop {
        tokio::select! {
            kept = &mut kept => return Some(kept),
            signal = signals.next() => {
                if is_end(signal) && is_hurried {
                    return None;
                }
                if is_end(signal) {
                    is_hurried = true;
                    hurry();
                }
            }
        }
    }
}
