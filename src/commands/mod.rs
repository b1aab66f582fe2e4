//! The commands, one file each.

pub mod serve;

/// How a process ends; the larger wins when several apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// All is well.
    Ok = 0,
    /// The command line or a plan is wrong.
    Usage = 2,
    /// A line was lost, censored, reordered or duplicated.
    Delivery = 3,
    /// A run is invalid.
    Invalid = 5,
    /// A server or the environment failed.
    Environment = 6,
    /// Ctrl-C.
    Interrupted = 130,
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
