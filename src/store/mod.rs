//! Where logs live: the seam between the server and a store.
//!
//! A store keeps one append-only log per deployment. It promises what `conformance.rs` lists, whatever it is
//! made of; the server never learns which one it runs on. A store knows no HTTP and no transport.

pub mod disk;
mod idempotency;
pub mod memory;

#[cfg(test)]
mod conformance;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;
use rand::RngExt;
use serde::Serialize;
use tokio::sync::watch;
use wirelab_clients::wire::{Appended, Deployment, DeploymentId, Epoch, Line, NewLine, Seq, Source, Status};

use crate::clock::now_us;

pub use idempotency::{IdempotencyKey, IdempotencyKeys, KEYS_MAX};

/// A set of logs. One per server.
#[async_trait]
pub trait LogStore: Send + Sync {
    /// Makes an empty, running log. Returns once it would survive what the store promises to survive.
    async fn create(
        &self,
        name: String,
        source: Option<Source>,
    ) -> Result<Arc<dyn DeploymentLog>, StoreError>;

    /// The log of a deployment. The 404 is decided here.
    async fn open(&self, id: &DeploymentId) -> Result<Arc<dyn DeploymentLog>, StoreError>;

    /// Every log, newest first, at most `limit`.
    async fn list(&self, limit: usize) -> Result<Vec<Arc<dyn DeploymentLog>>, StoreError>;

    /// Forgets a log for good; its readers see [`Head::deleted`].
    async fn delete(&self, id: &DeploymentId) -> Result<(), StoreError>;

    /// The store's name on the command line.
    fn name(&self) -> &'static str;

    /// Whether an acknowledged line survives power loss.
    fn durable(&self) -> bool;

    /// Whether every log can be written; else [`StoreError::WriteFailed`] of one that takes no more since a write
    /// failed. Asks the disk nothing.
    fn check(&self) -> Result<(), StoreError>;
}

/// One deployment's log.
#[async_trait]
pub trait DeploymentLog: Send + Sync {
    /// Appends all lines or none and returns once they are durable (if the store is) and readable.
    ///
    /// An idempotency key seen before with the same digest gives the same answer again, as [`Stored::Repeated`] and
    /// without appending; while its first use is under way, this call waits for it.
    async fn append(&self, request: AppendRequest) -> Result<Stored, StoreError>;

    /// Lines with a seq above `after`, in order. Never waits: an empty answer means there is none yet.
    /// Errors with [`StoreError::Trimmed`] when the line after `after` is no longer kept.
    async fn read_after(&self, after: Seq, limit: ReadLimit) -> Result<Vec<Arc<EncodedLine>>, StoreError>;

    /// Ends the log. Repeated with the same status it changes nothing.
    async fn finish(&self, status: Status) -> Result<(), StoreError>;

    /// The deployment as it is now.
    fn info(&self) -> Deployment;

    /// What feeds the log; `None`: whoever appends.
    fn source(&self) -> Option<Source>;

    /// The log's newest state; wakes waiters and coalesces bursts.
    fn head(&self) -> watch::Receiver<Head>;
}

/// The newest state of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The seq just before the first kept line: 0 until retention drops lines.
    pub first: Seq,
    /// The last seq appended and readable.
    pub last: Seq,
    /// How the log ended, if it did. Set with or after its last line, never before.
    pub ended: Option<Status>,
    /// The deployment is gone.
    pub deleted: bool,
}

/// Lines to append, and the key that makes repeating it safe.
#[derive(Debug, Clone)]
pub struct AppendRequest {
    /// At least one line.
    pub lines: Vec<NewLine>,
    /// Committed in the same write as the lines.
    pub key: Option<IdempotencyKey>,
}

impl From<Vec<NewLine>> for AppendRequest {
    /// Lines that are appended again when they are sent again.
    fn from(lines: Vec<NewLine>) -> Self {
        Self { lines, key: None }
    }
}

/// What became of an append: only the store knows whether a key was used before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// The lines are new in the log.
    Fresh(Appended),
    /// The key had been used for these lines: this is where they stand, and nothing was appended.
    Repeated(Appended),
}

impl Stored {
    /// Returns where the lines stand, which is the answer to the publisher in both cases.
    pub fn into_appended(self) -> Appended {
        match self {
            Self::Fresh(appended) | Self::Repeated(appended) => appended,
        }
    }
}

/// Appends, and adds the lines that are new in the log to `count`.
pub(crate) async fn append(
    log: &dyn DeploymentLog,
    request: AppendRequest,
    count: &Counter,
) -> Result<Appended, StoreError> {
    let stored = log.append(request).await?;
    if let Stored::Fresh(appended) = &stored {
        count.inc_by(appended.last + 1 - appended.first);
    }
    Ok(stored.into_appended())
}

/// How much one read may return. At least one line is returned if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimit {
    /// Lines at most, ≥ 1.
    pub lines: usize,
    /// Bytes of JSON at most, unless the first line alone is larger.
    pub bytes: usize,
}

/// A line with its JSON, encoded once at append and shared by every reader.
#[derive(Debug, PartialEq, Eq)]
pub struct EncodedLine {
    /// Its position.
    pub seq: Seq,
    /// The line object of the wire, without line end. Contains no raw CR or LF.
    pub json: Bytes,
}

impl EncodedLine {
    /// Encodes `line` as the wire has it: `{"seq":42,"at_us":…,"text":"…"}`.
    pub fn new(seq: Seq, at_us: u64, line: &NewLine) -> Self {
        // The wire's `Line` owns its text; this borrows it, in the same order.
        #[derive(Serialize)]
        struct Borrowed<'a> {
            seq: Seq,
            at_us: u64,
            #[serde(flatten)]
            line: &'a NewLine,
        }
        let json =
            serde_json::to_vec(&Borrowed { seq, at_us, line }).expect("a line has no key that JSON refuses");
        Self { seq, json: json.into() }
    }

    /// The line as a value.
    pub fn decode(&self) -> Line {
        serde_json::from_slice(&self.json).expect("encoded by EncodedLine::new or checked at open")
    }
}

/// What can go wrong in a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No such deployment, or it was deleted.
    #[error("there is no deployment {0}; GET /api/deployments lists those that exist")]
    NotFound(DeploymentId),
    /// The log has ended.
    #[error("deployment {id} has ended ({status}); nothing can be added to it")]
    Ended {
        /// Which.
        id: DeploymentId,
        /// How it ended.
        status: Status,
    },
    /// The line after the asked seq is no longer kept.
    #[error("lines up to seq {first} are no longer kept; start from the first kept line")]
    Trimmed {
        /// The seq before the first kept line.
        first: Seq,
    },
    /// An idempotency key came back with another body.
    #[error("idempotency key {0:?} was used with a different body; use a new key for new lines")]
    KeyReused(String),
    /// A write failed; the log takes no more until the server is restarted.
    #[error(
        "deployment {id} cannot be written since {reason}; restart the server once the disk is well, every \
         acknowledged line is kept"
    )]
    WriteFailed {
        /// Which.
        id: DeploymentId,
        /// The first failure.
        reason: String,
    },
    /// A file holds what no store wrote.
    #[error(
        "{path}: {what} at byte {offset}; nothing was changed: restore the file from a copy, cut it at that \
         byte to keep what stands before it, or move the folder away"
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What stands there.
        what: String,
    },
    /// Two servers want the same folder.
    #[error("{path} is in use by another wirelab server; stop that one or choose another folder with --data")]
    InUse {
        /// The store's folder.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{path}: {error}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        error: std::io::Error,
    },
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A new id: creation time in ms, then 40 random bits, in 18 letters and digits that sort by time.
pub(crate) fn new_id(created_us: u64) -> DeploymentId {
    let bits = (u128::from(created_us / 1_000) << 40) | u128::from(rand::rng().random::<u64>() >> 24);
    let text: String = (0..18).rev().map(|i| ALPHABET[(bits >> (5 * i)) as usize & 31] as char).collect();
    text.parse().expect("18 plain characters")
}

/// A new life of a log: 40 random bits.
pub(crate) fn new_epoch() -> Epoch {
    let bits: u64 = rand::rng().random();
    let text: String = (0..8).map(|i| ALPHABET[(bits >> (5 * i)) as usize & 31] as char).collect();
    text.parse().expect("8 plain characters")
}
