//! What all logs of a store share: their bounds on memory and descriptors, and their counts.
//!
//! The store makes it, and each log holds it. It reads and writes no file itself.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::blocking;
use super::health::Health;
use super::warmth::Warmth;
use super::write_files::WriteFiles;
use crate::store::Tally;
use crate::store::reservation::Capacity;

/// The bounds and counts that all logs of a store share.
pub(super) struct Joint {
    pub(super) tally: Tally,
    /// How the newest writes went.
    pub(super) health: Health,
    /// Room for the appends of all logs that wait for the disk.
    pub(super) capacity: Arc<Capacity>,
    pub(super) write_files: Arc<WriteFiles>,
    pub(super) warmth: Warmth,
    /// Accesses that open files for a moment: reads, creations and deletions. Each needs one descriptor at a time.
    pub(super) accesses: Arc<Semaphore>,
}

impl Joint {
    /// Runs work that opens files for a moment on a blocking thread, once a descriptor is free for it.
    pub(super) async fn access<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let access = self.accesses.clone().acquire_owned().await.expect("the semaphore is never closed");
        blocking(move || {
            // Held by the work: its caller may leave earlier.
            let _access = access;
            work()
        })
        .await
    }
}
