//! The processes that the lab has started: crowds and runs, beside the server.
//!
//! The state belongs to the lab's own scope; the rest of the server does not depend on it.

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::crowds::Crowds;
use super::runs::Runs;

/// The processes that the lab has started.
#[derive(Debug)]
pub(crate) struct Children {
    pub(super) crowds: Crowds,
    pub(super) runs: Runs,
}

impl Children {
    /// Makes an empty set of processes. Processes that are started later are told to stop when `shutdown` is cancelled.
    /// Must be called inside a tokio runtime that lives as long as the server.
    pub(crate) fn new(shutdown: CancellationToken) -> Self {
        let runtime = Handle::current();
        Self { crowds: Crowds::new(runtime.clone(), shutdown.clone()), runs: Runs::new(runtime, shutdown) }
    }
}
