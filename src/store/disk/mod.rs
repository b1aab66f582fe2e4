//! The disk store: logs that survive a crash, in files that people can read.
//!
//! It is the server's default. An append is acknowledged once it would survive power loss. The files:
//!
//! ```text
//! data/deployments/
//!   lock                          held by the one server that uses the folder
//!   01k3…/deployment.json         id, name, epoch, creation time, source
//!   01k3…/00000000000000000001.ndjson   a segment, named after its first seq; one line of the log per line
//!   .creating-…  .deleted-…       what a crash interrupted; removed at the next start
//! ```
//!
//! Acknowledged lines are never changed or cut: damage is refused at the start, with file and byte. Only one thing is
//! cut: an append at the very end that a crash left incomplete.
//!
//! File descriptors: [`DescriptorBudget`] bounds those of the logs, and the lock has one. Memory: all logs together keep
//! at most 64 MiB of what can be read again from disk; besides that a running log keeps its idempotency keys.

mod index;
mod joint;
mod log;
mod manifest;
mod queue;
mod read;
mod records;
mod segments;
mod tail;
mod warmth;
mod write_files;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use async_trait::async_trait;
use wirelab_clients::wire::{DeploymentId, Source};

use tokio::sync::Semaphore;

use super::{DeploymentLog, IdempotencyKey, LogStore, StoreError, Tally, new_epoch, new_id, now_us};
use joint::Joint;
use log::{DiskLog, Home};
use manifest::DeploymentManifest;
use warmth::{WARM_BYTES_MAX, Warmth};
use write_files::WriteFiles;

use crate::terminal::complain;

/// Size at which a segment takes no further batch. It is small enough that retention frees space in time and that a
/// start can read a segment into memory. It is large enough that a million lines are a dozen files.
const SEGMENT_BYTES: u64 = 16 << 20;

/// Descriptors that a store may have open at once for its logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DescriptorBudget {
    /// Files that are open for appends. A log that is not among them opens its file again at its next append, which
    /// costs microseconds beside the flush to disk. Each may need a second descriptor for a moment when a file is full.
    pub writes: usize,
    /// Reads, creations and deletions under way. Each opens one file at a time; the others wait.
    pub accesses: usize,
}

impl Default for DescriptorBudget {
    /// More files than a machine flushes at a time, and as many reads as keep a disk busy.
    fn default() -> Self {
        Self { writes: 256, accesses: 128 }
    }
}

impl DescriptorBudget {
    /// Returns the most descriptors that the logs can have open at once.
    pub fn descriptors_max(self) -> usize {
        2 * self.writes + self.accesses
    }
}

/// The bounds of a store.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    retain_lines: u64,
    segment_bytes: u64,
    warm_bytes_max: usize,
    descriptors: DescriptorBudget,
}

const CREATING: &str = ".creating-";
const DELETED: &str = ".deleted-";

/// A store in a folder.
pub struct DiskStore {
    shared: Arc<Shared>,
}

struct Shared {
    folder: PathBuf,
    retain_lines: u64,
    segment_bytes: u64,
    logs: RwLock<HashMap<DeploymentId, Arc<DiskLog>>>,
    /// Logs that were ever created here.
    created_count: AtomicU64,
    lock: Arc<File>,
    joint: Arc<Joint>,
}

impl DiskStore {
    /// Opens the logs in the folder `path`, which is made if it is missing. Keeps the newest `retain_lines` of each
    /// log; 0 keeps all.
    ///
    /// Blocks while it reads and checks every log. Fails if another server uses the folder, if it cannot be written, or
    /// if a file is damaged.
    pub fn open(path: PathBuf, retain_lines: u64) -> Result<Self, StoreError> {
        Self::open_within(path, retain_lines, DescriptorBudget::default())
    }

    /// Opens a store like [`open`](Self::open), with another bound on its descriptors.
    pub fn open_within(
        path: PathBuf,
        retain_lines: u64,
        descriptors: DescriptorBudget,
    ) -> Result<Self, StoreError> {
        let (segment_bytes, warm_bytes_max) = (SEGMENT_BYTES, WARM_BYTES_MAX);
        Self::with_bounds(path, Bounds { retain_lines, segment_bytes, warm_bytes_max, descriptors })
    }

    #[cfg(test)]
    fn with_segment_bytes(
        folder: PathBuf,
        retain_lines: u64,
        segment_bytes: u64,
    ) -> Result<Self, StoreError> {
        let (warm_bytes_max, descriptors) = (WARM_BYTES_MAX, DescriptorBudget::default());
        Self::with_bounds(folder, Bounds { retain_lines, segment_bytes, warm_bytes_max, descriptors })
    }

    fn with_bounds(folder: PathBuf, bounds: Bounds) -> Result<Self, StoreError> {
        let Bounds { retain_lines, segment_bytes, warm_bytes_max, descriptors } = bounds;
        fs::create_dir_all(&folder).map_err(at(&folder))?;
        let lock = Arc::new(lock(&folder)?);
        let joint = Arc::new(Joint {
            tally: Tally::default(),
            write_files: WriteFiles::new(descriptors.writes),
            warmth: Warmth::new(warm_bytes_max),
            accesses: Arc::new(Semaphore::new(descriptors.accesses.max(1))),
        });
        check_writable(&folder)?;
        let (logs, created_count) = (RwLock::default(), AtomicU64::new(0));
        let shared =
            Arc::new(Shared { folder, retain_lines, segment_bytes, logs, created_count, lock, joint });
        for id in shared.ids_after_clean_up()? {
            let folder = shared.folder.join(id.as_str());
            let manifest = DeploymentManifest::read(&folder, &id)?;
            shared.created_count.fetch_max(manifest.order, Ordering::Relaxed);
            shared.insert(DiskLog::load(shared.home(manifest, folder))?);
        }
        Ok(Self { shared })
    }
}

#[async_trait]
impl LogStore for DiskStore {
    async fn create_keyed(
        &self,
        name: String,
        source: Option<Source>,
        key: Option<IdempotencyKey>,
    ) -> Result<Arc<dyn DeploymentLog>, StoreError> {
        let created_us = now_us();
        let manifest = DeploymentManifest {
            id: new_id(created_us),
            name,
            epoch: new_epoch(),
            created_us,
            source,
            order: self.shared.created_count.fetch_add(1, Ordering::Relaxed) + 1,
            key: key.as_ref().map(Into::into),
        };
        let shared = self.shared.clone();
        let log = self.shared.joint.access(move || shared.create(manifest)).await?;
        Ok(log)
    }

    async fn open(&self, id: &DeploymentId) -> Result<Arc<dyn DeploymentLog>, StoreError> {
        let log = self.shared.find(id)?;
        Ok(log)
    }

    async fn list(&self, limit: usize) -> Result<Vec<Arc<dyn DeploymentLog>>, StoreError> {
        let mut logs: Vec<_> = self.shared.logs.read().expect("no holder panics").values().cloned().collect();
        logs.sort_unstable_by(|a, b| b.manifest().age().cmp(&a.manifest().age()));
        Ok(logs.into_iter().take(limit).map(|log| log as Arc<dyn DeploymentLog>).collect())
    }

    async fn delete(&self, id: &DeploymentId) -> Result<(), StoreError> {
        let log = self.shared.find(id)?;
        let shared = self.shared.clone();
        self.shared.joint.access(move || shared.delete(&log)).await
    }

    fn name(&self) -> &'static str {
        "disk"
    }

    fn durable(&self) -> bool {
        true
    }

    fn tally(&self) -> Tally {
        self.shared.joint.tally.clone()
    }

    fn check(&self) -> Result<(), StoreError> {
        self.shared.logs.read().expect("no holder panics").values().try_for_each(|log| log.check())
    }
}

impl Shared {
    fn find(&self, id: &DeploymentId) -> Result<Arc<DiskLog>, StoreError> {
        let logs = self.logs.read().expect("no holder panics");
        logs.get(id).cloned().ok_or_else(|| StoreError::NotFound(id.clone()))
    }

    fn insert(&self, log: DiskLog) -> Arc<DiskLog> {
        let log = Arc::new(log);
        let id = log.manifest().id.clone();
        self.logs.write().expect("no holder panics").insert(id, log.clone());
        log
    }

    fn home(&self, manifest: DeploymentManifest, folder: PathBuf) -> Home {
        let Self { retain_lines, segment_bytes, .. } = *self;
        let (_lock, joint) = (self.lock.clone(), self.joint.clone());
        Home { manifest, folder, retain_lines, segment_bytes, _lock, joint }
    }

    /// Makes a deployment under a name that opening ignores, and renames it when it is complete and durable. After a
    /// crash it is there as a whole or not at all.
    fn create(&self, manifest: DeploymentManifest) -> Result<Arc<DiskLog>, StoreError> {
        let making = self.folder.join(format!("{CREATING}{}", manifest.id));
        let folder = self.folder.join(manifest.id.as_str());
        let made = self.make(&making, &manifest).and_then(|()| {
            fs::rename(&making, &folder).map_err(at(&folder))?;
            sync_folder(&self.folder)
        });
        if let Err(error) = made {
            // Frees the space on a full disk; the next start removes what stays.
            let _ = fs::remove_dir_all(&making);
            return Err(error);
        }
        Ok(self.insert(DiskLog::new(self.home(manifest, folder))))
    }

    fn make(&self, folder: &Path, manifest: &DeploymentManifest) -> Result<(), StoreError> {
        fs::create_dir(folder).map_err(at(folder))?;
        manifest.write(folder)?;
        // The first segment is made now, so that its absence is always damage.
        let segment = segments::segment_path(folder, 1);
        File::create_new(&segment).and_then(|file| file.sync_all()).map_err(at(&segment))?;
        sync_folder(folder)
    }

    fn delete(&self, log: &DiskLog) -> Result<(), StoreError> {
        let id = &log.manifest().id;
        let grave = self.folder.join(format!("{DELETED}{id}"));
        log.bury(&grave)?;
        self.logs.write().expect("no holder panics").remove(id);
        // The deployment is deleted even if its space is not free yet: the next start removes what stays.
        if let Err(error) = fs::remove_dir_all(&grave) {
            let grave = grave.display();
            complain(format!("a deleted deployment takes space until the next start: {grave}: {error}"));
        }
        Ok(())
    }

    /// Removes what a crash left of creations and deletions, and returns the ids of all deployments. Other files are
    /// left alone: to put a damaged deployment aside, its folder can be renamed to something that is not an id.
    fn ids_after_clean_up(&self) -> Result<Vec<DeploymentId>, StoreError> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(at(&self.folder))? {
            let entry = entry.map_err(at(&self.folder))?;
            let (path, name) = (entry.path(), entry.file_name());
            if !entry.file_type().map_err(at(&path))?.is_dir() {
                continue;
            }
            let Some(name) = name.to_str() else { continue };
            if name.starts_with(CREATING) || name.starts_with(DELETED) {
                fs::remove_dir_all(&path).map_err(at(&path))?;
            } else {
                ids.extend(name.parse::<DeploymentId>());
            }
        }
        Ok(ids)
    }
}

/// Locks the folder: two servers that append to one log would give a seq twice.
fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(at(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: folder.to_owned() }),
        Err(TryLockError::Error(error)) => Err(at(&path)(error)),
    }
}

/// Checks at the start that the folder can be written, before a publisher's append fails. The lock file proves nothing:
/// another user may have made it.
fn check_writable(folder: &Path) -> Result<(), StoreError> {
    let probe = folder.join(format!("{CREATING}probe"));
    match fs::create_dir(&probe) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(at(folder)(error)),
        Ok(()) | Err(_) => fs::remove_dir(&probe).map_err(at(folder)),
    }
}

/// Makes the names in a folder durable, which an fsync of a file does not.
fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}

/// Makes an error of the operating system name its file.
fn at(path: &Path) -> impl FnOnce(io::Error) -> StoreError + use<> {
    let path = path.to_owned();
    |error| StoreError::Io { path, error }
}

/// Runs work that waits for the disk on a blocking thread, where no stream waits behind it.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
