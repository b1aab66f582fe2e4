//! Where logs live: the interface between the server and a store.
//!
//! A store keeps one append-only log per deployment. Every store keeps the promises in `conformance.rs`; the server
//! does not know which store it runs on. A store depends on no HTTP and no transport.

pub mod disk;
mod encoded_line;
mod error;
mod idempotency;
mod log_clock;
pub mod memory;
mod reservation;
mod tally;

#[cfg(test)]
mod conformance;

use std::sync::Arc;

use async_trait::async_trait;
use rand::RngExt;
use tokio::sync::watch;
use wirelab_clients::wire::{Appended, Deployment, DeploymentId, Epoch, NewLine, Seq, Source, Status};

use crate::clock::now_us;

pub use encoded_line::EncodedLine;
pub use error::{Shortage, StoreError, Unwritten};
pub use idempotency::{IdempotencyKey, IdempotencyKeys, KEYS_MAX};
pub use reservation::Reservation;
pub use tally::Tally;

/// The logs of one server.
#[async_trait]
pub trait LogStore: Send + Sync {
    /// Creates an empty, running log. Returns once the log would survive what the store promises to survive.
    async fn create(
        &self,
        name: String,
        source: Option<Source>,
    ) -> Result<Arc<dyn DeploymentLog>, StoreError> {
        self.create_keyed(name, source, None).await
    }

    /// Creates a log that keeps the idempotency key of its creation: the same write creates both. The store does not
    /// look for another log with that key; [`DeploymentLog::creation_key`] gives it to the code that does.
    async fn create_keyed(
        &self,
        name: String,
        source: Option<Source>,
        key: Option<IdempotencyKey>,
    ) -> Result<Arc<dyn DeploymentLog>, StoreError>;

    /// Returns the log of a deployment; an unknown id is [`StoreError::NotFound`].
    async fn open(&self, id: &DeploymentId) -> Result<Arc<dyn DeploymentLog>, StoreError>;

    /// Returns the logs, newest first, at most `limit`. The order is that of creation, whatever the wall clock did.
    async fn list(&self, limit: usize) -> Result<Vec<Arc<dyn DeploymentLog>>, StoreError>;

    /// Deletes a log for good; its readers see [`Head::deleted`].
    async fn delete(&self, id: &DeploymentId) -> Result<(), StoreError>;

    /// Returns the store's name on the command line.
    fn name(&self) -> &'static str;

    /// Tells whether an acknowledged line survives power loss.
    fn durable(&self) -> bool;

    /// Returns what this store counts.
    fn tally(&self) -> Tally;

    /// Checks that logs can be written now. Otherwise returns [`StoreError::WriteFailed`] of a log that takes no more
    /// lines until a restart, or [`StoreError::NotWritten`] as long as a trouble lasts that passes by itself.
    async fn check(&self) -> Result<(), StoreError>;
}

/// The log of one deployment.
#[async_trait]
pub trait DeploymentLog: Send + Sync {
    /// Appends all lines or none. Returns once they are readable and, in a durable store, durable.
    ///
    /// An idempotency key that was used before with the same digest gets the same answer as [`Stored::Repeated`], and
    /// nothing is appended. While its first use is under way, this call waits for it.
    async fn append(&self, request: AppendRequest) -> Result<Stored, StoreError>;

    /// Waits until there is room for an append of `body`, which must not be parsed before. Returns
    /// [`StoreError::Crowded`] if too much waits already.
    async fn reserve(&self, body: &[u8]) -> Result<Reservation, StoreError>;

    /// Reads the lines with a seq above `after`, in order. Never waits: an empty answer means that there is none yet.
    /// Returns [`StoreError::Trimmed`] when the line after `after` is no longer kept.
    async fn read_after(&self, after: Seq, limit: ReadLimit) -> Result<Vec<Arc<EncodedLine>>, StoreError>;

    /// Ends the log with a status. A repeated call with the same status changes nothing.
    async fn finish(&self, status: Status) -> Result<(), StoreError>;

    /// Returns the deployment's id.
    fn id(&self) -> &DeploymentId;

    /// Returns the epoch of the log, which stays the same as long as this value lives.
    fn epoch(&self) -> &Epoch;

    /// Returns the deployment as it is now.
    fn info(&self) -> Deployment;

    /// Tells whether the deployment has this name. Stores need not describe the whole deployment for it: a list asks it
    /// of every log.
    fn is_named(&self, name: &str) -> bool {
        self.info().name == name
    }

    /// Returns the source that feeds the log; `None` if publishers append to it.
    fn source(&self) -> Option<Source>;

    /// Returns the idempotency key that the log was created with.
    fn creation_key(&self) -> Option<IdempotencyKey>;

    /// Returns a watch on the log's newest state. It wakes waiters and merges bursts into one change.
    fn head(&self) -> watch::Receiver<Head>;
}

/// The newest state of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Seq just before the first kept line: 0 until retention drops lines.
    pub first: Seq,
    /// Last seq that was appended and can be read.
    pub last: Seq,
    /// How the log ended, if it has ended. Set together with its last line or after it, never before.
    pub ended: Option<Status>,
    /// Whether the deployment was deleted.
    pub deleted: bool,
}

/// Lines to append, with an optional key that makes it safe to repeat the append.
#[derive(Debug, Clone)]
pub struct AppendRequest {
    /// The lines, at least one.
    pub lines: Vec<NewLine>,
    /// Idempotency key, which is committed in the same write as the lines.
    pub key: Option<IdempotencyKey>,
    /// Room that was reserved for it. Without one, the append waits for room by itself.
    pub reservation: Reservation,
}

impl AppendRequest {
    /// Makes a request that has reserved nothing.
    pub fn new(lines: Vec<NewLine>, key: Option<IdempotencyKey>) -> Self {
        Self { lines, key, reservation: Reservation::default() }
    }
}

impl From<Vec<NewLine>> for AppendRequest {
    /// Makes a request without a key: if it is repeated, the lines are appended again.
    fn from(lines: Vec<NewLine>) -> Self {
        Self::new(lines, None)
    }
}

/// Result of an append. Only the store knows whether a key was used before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// The lines are new in the log.
    Fresh(Appended),
    /// The key was used for these lines before: they are in the log already, and nothing was appended.
    Repeated(Appended),
}

impl Stored {
    /// Returns where the lines are in the log, which is the publisher's answer in both cases.
    pub fn into_appended(self) -> Appended {
        match self {
            Self::Fresh(appended) | Self::Repeated(appended) => appended,
        }
    }
}

/// Bound on one read. At least one line is returned if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReadLimit {
    /// Largest number of lines, ≥ 1.
    pub lines: usize,
    /// Largest number of bytes of JSON; a first line that is larger is returned alone.
    pub bytes: usize,
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Makes a new id: creation time in ms, then 40 random bits, in 18 letters and digits that sort by time.
pub(crate) fn new_id(created_us: u64) -> DeploymentId {
    let bits = (u128::from(created_us / 1_000) << 40) | u128::from(rand::rng().random::<u64>() >> 24);
    let text: String = (0..18).rev().map(|i| ALPHABET[(bits >> (5 * i)) as usize & 31] as char).collect();
    text.parse().expect("18 plain characters")
}

/// Makes a new epoch, which names one life of a log: 40 random bits.
pub(crate) fn new_epoch() -> Epoch {
    let bits: u64 = rand::rng().random();
    let text: String = (0..8).map(|i| ALPHABET[(bits >> (5 * i)) as usize & 31] as char).collect();
    text.parse().expect("8 plain characters")
}
