//! Errors of a store, told apart by what its caller can do about them.
//!
//! A trouble that passes by itself ([`StoreError::NotWritten`], [`StoreError::Crowded`]) is told from one that lasts:
//! after the first, the call can be repeated.

use std::io;
use std::path::PathBuf;

use nix::errno::Errno;
use wirelab_clients::wire::{DeploymentId, Seq, Status};

/// Error of a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no deployment with this id, or it was deleted.
    #[error("there is no deployment {0}; GET /api/deployments lists those that exist")]
    NotFound(DeploymentId),
    /// The log has ended.
    #[error("deployment {id} has ended ({status}) and takes no more lines; use another deployment")]
    Ended {
        /// Id of the deployment.
        id: DeploymentId,
        /// How the deployment ended.
        status: Status,
    },
    /// The line after the asked seq is no longer kept.
    #[error("lines up to seq {first} are no longer kept; start from the first kept line")]
    Trimmed {
        /// Seq before the first kept line.
        first: Seq,
    },
    /// An idempotency key was used again with another body.
    #[error("idempotency key {0:?} was used with a different body; use a new key for new lines")]
    KeyReused(String),
    /// Nothing was written, and nothing was lost; the call can be repeated.
    #[error(transparent)]
    NotWritten(#[from] Unwritten),
    /// More appends wait for the disk than the server holds; the call can be repeated.
    #[error("too many appends wait for the server's disk, so this one was not taken; try again")]
    Crowded,
    /// A flush failed; the log takes no more lines until the server is restarted.
    #[error(
        "deployment {id} takes no more lines since a write could not be flushed: {reason}; repair the disk and restart \
         the server, every acknowledged line is kept"
    )]
    WriteFailed {
        /// Id of the deployment.
        id: DeploymentId,
        /// First failure of a flush.
        reason: String,
    },
    /// A file holds bytes that no store wrote, or lacks bytes that were acknowledged.
    #[error(
        "{path}: {what} at byte {offset}; nothing was changed: restore the file from a copy, or move the folder away; to \
         keep only the bytes before, cut it at that byte, remove acknowledged.json beside it and change the epoch in \
         deployment.json"
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Offset in the file, in bytes.
        offset: u64,
        /// What was found there.
        what: String,
    },
    /// A file or folder of a deployment is missing or is something else.
    #[error("{path} {what}; nothing was changed")]
    Unusable {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong, and what to do.
        what: String,
    },
    /// Another server uses the folder.
    #[error("{path} is in use by another wirelab server; stop that one or choose another folder with --data")]
    InUse {
        /// The store's folder.
        path: PathBuf,
    },
    /// The folder cannot be locked, so two servers could write to it.
    #[error(
        "{path} cannot be locked against a second server ({error}); its file system has no locks: choose a folder on \
         another one, such as a local disk, with --data"
    )]
    NoLocks {
        /// The store's folder.
        path: PathBuf,
        /// Error of locking.
        #[source]
        error: io::Error,
    },
    /// The operating system refused an access.
    #[error("{path}: {error}; {}", remedy(error))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Error of the access.
        #[source]
        error: io::Error,
    },
}

impl StoreError {
    /// Tells whether the trouble passes by itself, so that the call can be repeated.
    pub fn passes(&self) -> bool {
        match self {
            Self::NotWritten(_) | Self::Crowded => true,
            Self::Io { error, .. } => Shortage::of(error) != Shortage::Other,
            Self::NotFound(_)
            | Self::Ended { .. }
            | Self::Trimmed { .. }
            | Self::KeyReused(_)
            | Self::WriteFailed { .. }
            | Self::Corrupt { .. }
            | Self::Unusable { .. }
            | Self::InUse { .. }
            | Self::NoLocks { .. } => false,
        }
    }
}

/// Why nothing was written, in words that name no path of the server.
#[derive(Debug, Clone, thiserror::Error)]
#[error("nothing was written: {reason}; {}", self.remedy())]
pub struct Unwritten {
    /// What the server lacks.
    pub shortage: Shortage,
    /// Error of the operating system.
    pub reason: String,
}

impl Unwritten {
    fn remedy(&self) -> &'static str {
        match self.shortage {
            Shortage::Room => "delete deployments that are no longer needed, or try again later",
            Shortage::Descriptors | Shortage::Other => "try again",
        }
    }
}

impl From<&io::Error> for Unwritten {
    fn from(error: &io::Error) -> Self {
        Self { shortage: Shortage::of(error), reason: error.to_string() }
    }
}

/// What an access of the disk lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortage {
    /// The disk or the user's part of it is full, in bytes or in files.
    Room,
    /// The process or the machine has no free file descriptor.
    Descriptors,
    /// Something else is wrong.
    Other,
}

impl Shortage {
    /// Tells from an error what is lacking.
    pub fn of(error: &io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::ENOSPC | Errno::EDQUOT) => Self::Room,
            Some(Errno::EMFILE | Errno::ENFILE) => Self::Descriptors,
            Some(_) | None => Self::Other,
        }
    }
}

/// Returns what a person who started the server can do about an error.
fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EACCES | Errno::EPERM) => {
            "make it readable and writable for this user, or choose another folder with --data"
        }
        Some(Errno::ENOSPC | Errno::EDQUOT) => "make room on that disk, or choose another folder with --data",
        Some(Errno::EROFS) => {
            "its file system is read-only: make it writable, or choose another folder with --data"
        }
        Some(Errno::EMFILE | Errno::ENFILE) => "raise the limit of open files with `ulimit -n`",
        Some(Errno::ENOENT) => "it is missing: restore it from a copy, or choose another folder with --data",
        Some(Errno::ENOTDIR | Errno::EEXIST) => "it is no folder: choose another one with --data",
        Some(_) | None => "check the disk, or choose another folder with --data",
    }
}
