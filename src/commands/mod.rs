//! The commands, one file each.

pub mod plans;
pub mod publish;
pub mod record;
pub mod run;
pub mod serve;
pub mod tail;

use std::process::ExitStatus;

use crate::command_output::exit_code;

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// All is well.
    Ok,
    /// With the code of a command that was run, or of the deployment that was followed.
    Command(u8),
    /// The command line or a plan is wrong.
    Usage,
    /// A line was lost, censored, reordered or duplicated.
    Delivery,
    /// A run is invalid.
    Invalid,
    /// A server or the environment failed.
    Environment,
    /// Ctrl-C.
    Interrupted,
}

impl Exit {
    /// The process exit code. Of several reasons the higher one is given.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Command(code) => code,
            Self::Usage => 2,
            Self::Delivery => 3,
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

/// Waits for Ctrl-C or SIGTERM.
pub(crate) async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).expect("signal handlers can be installed");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
