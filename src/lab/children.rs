//! What the lab has started: crowds and runs, each a process beside the server.
//!
//! Lives in the lab's own scope; the rest of the server knows nothing of it.

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
    /// None yet; all are told to stop when `shutdown` is cancelled. Must be called inside a tokio runtime that lives as
    /// long as the server.
    pub(crate) fn new(shutdown: CancellationToken) -> Self {
        let runtime = Handle::current();
        Self { crowds: Crowds::new(runtime.clone(), shutdown.clone()), runs: Runs::new(runtime, shutdown) }
    }
}
