//! The bounds on what runs at once: running deployments, and sources among them.
//!
//! A creation takes its place before anything is made, so that concurrent creations never exceed the bound.

use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::store::Tally;

/// Default of `serve --running-max`. An idle running deployment takes some KiB of memory. Its idempotency keys take 2 MB
/// more after ten thousand appends with a key, each of which waits for the disk.
pub const RUNNING_MAX_DEFAULT: usize = 10_000;
/// Largest number of sources that run at once. Each has a task and may append 10,000 lines per second.
pub const SOURCES_MAX: usize = 100;

/// Why nothing more may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// As many deployments run as may.
    #[error(
        "{0} deployments run, which is the limit; finish or delete some (GET /api/deployments?status=running lists \
         them), or start the server with a larger --running-max"
    )]
    Running(usize),
    /// As many sources run as may.
    #[error(
        "{SOURCES_MAX} deployments with a source run, which is the limit; wait until one ends, or finish or delete one"
    )]
    Sources,
}

/// The places of one server.
#[derive(Debug)]
pub(super) struct Places {
    running_max: usize,
    tally: Tally,
    creating: Arc<Mutex<usize>>,
    sources: Arc<Semaphore>,
}

/// The place of a deployment that is being created. Once it is created, the store counts it.
#[derive(Debug)]
pub(super) struct Reserved(Arc<Mutex<usize>>);

impl Drop for Reserved {
    fn drop(&mut self) {
        *self.0.lock().expect("no holder panics") -= 1;
    }
}

impl Places {
    pub(super) fn new(running_max: usize, tally: Tally) -> Self {
        Self { running_max, tally, creating: Arc::default(), sources: Arc::new(Semaphore::new(SOURCES_MAX)) }
    }

    /// Takes the place of a running deployment.
    pub(super) fn reserve(&self) -> Result<Reserved, Full> {
        let mut creating = self.creating.lock().expect("no holder panics");
        if self.tally.running_count() + *creating >= self.running_max {
            return Err(Full::Running(self.running_max));
        }
        *creating += 1;
        Ok(Reserved(self.creating.clone()))
    }

    /// Takes the place of a source, which it holds until it ends.
    pub(super) fn source(&self) -> Result<OwnedSemaphorePermit, Full> {
        self.sources.clone().try_acquire_owned().map_err(|_| Full::Sources)
    }
}
