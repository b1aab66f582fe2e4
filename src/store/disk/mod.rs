//! The disk store: logs that survive a crash, in files that people can read.
//!
//! It is the server's default. An append is acknowledged once it would survive power loss. The files:
//!
//! ```text
//! data/deployments/               locked by the one server that uses it
//!   lock                          the lock that servers up to version 0.3 know
//!   01k3…/deployment.json         id, name, epoch, creation time, source
//!   01k3…/00000000000000000001.ndjson   a segment, named after its first seq; one line of the log per line
//!   01k3…/acknowledged.json       how far the segments were acknowledged
//!   01k3…/keys.ndjson             idempotency keys of segments that retention has removed
//!   .creating-…  .deleted-…       what a crash interrupted; removed at the next start
//! ```
//!
//! Acknowledged lines are never changed or cut: damage is refused at the start, with file and byte. Only one thing is
//! cut: an append at the very end that a crash left incomplete.
//!
//! A write that fails before a flush is undone, answered as a trouble that passes, and tried again with the next call. A
//! failed flush ends its log until the next start. On a full or read-only disk the store opens for reading.
//!
//! File descriptors: [`DescriptorBudget`] bounds those of the logs, and the locks have two. Memory: all logs together keep
//! at most 64 MiB of what can be read again from disk; besides that a running log keeps its idempotency keys.

mod carried_keys;
mod files;
mod gathering;
mod health;
mod index;
mod joint;
mod log;
mod manifest;
mod mark;
mod queue;
mod read;
mod readers;
mod records;
mod segments;
mod tail;
mod warmth;
mod write_files;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use async_trait::async_trait;
use wirelab_clients::wire::{DeploymentId, Source};

use tokio::sync::Semaphore;

use super::reservation::Capacity;
use super::{DeploymentLog, IdempotencyKey, LogStore, StoreError, Tally, new_epoch, new_id, now_us};
use files::{LockedFolder, at, sync_folder};
use health::Health;
use joint::Joint;
use log::{DiskLog, Home};
use manifest::{Age, DeploymentManifest};
use readers::Readers;
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
    /// costs microseconds beside the flush to disk. Each may need a second descriptor for a moment: when a file is full, and to mark its end.
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
    logs: RwLock<Logs>,
    /// Logs that were ever created here.
    created_count: AtomicU64,
    lock: Arc<LockedFolder>,
    joint: Arc<Joint>,
}

#[derive(Default)]
struct Logs {
    by_id: HashMap<DeploymentId, Arc<DiskLog>>,
    /// The same logs in the order of their creation, so that a list need not sort them.
    by_age: BTreeMap<Age, Arc<DiskLog>>,
}

impl Logs {
    fn insert(&mut self, log: &Arc<DiskLog>) {
        let manifest = log.manifest();
        self.by_id.insert(manifest.id.clone(), log.clone());
        self.by_age.insert(manifest.age(), log.clone());
    }

    fn remove(&mut self, log: &DiskLog) {
        let manifest = log.manifest();
        self.by_id.remove(&manifest.id);
        self.by_age.remove(&manifest.age());
    }
}

impl DiskStore {
    /// Opens the logs in the folder `path`, which is made if it is missing. Keeps the newest `retain_lines` of each
    /// log; 0 keeps all.
    ///
    /// Blocks while it reads and checks every log. Fails if another server uses the folder, if this user may not write
    /// it, or if a file is damaged. A disk that is full or read-only is no reason to fail: what is there can be read.
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
        files::make_folder(&folder)?;
        let lock = Arc::new(LockedFolder::lock(&folder)?);
        let joint = Arc::new(Joint {
            tally: Tally::default(),
            health: open_to_writes(&folder)?,
            capacity: Arc::new(Capacity::of_all_logs()),
            write_files: WriteFiles::new(descriptors.writes),
            warmth: Warmth::new(warm_bytes_max),
            accesses: Arc::new(Semaphore::new(descriptors.accesses.max(1))),
        });
        let (logs, created_count) = (RwLock::default(), AtomicU64::new(0));
        let shared =
            Arc::new(Shared { folder, retain_lines, segment_bytes, logs, created_count, lock, joint });
        let (ids, readers) = (shared.ids_after_clean_up()?, Readers::of_machine());
        for loaded in readers.each(&ids, |id| shared.load(id, &readers)) {
            shared.insert(loaded?);
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
        let logs = self.shared.logs.read().expect("no holder panics");
        let newest_first = logs.by_age.values().rev().take(limit);
        Ok(newest_first.map(|log| log.clone() as Arc<dyn DeploymentLog>).collect())
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

    async fn check(&self) -> Result<(), StoreError> {
        self.shared.logs.read().expect("no holder panics").by_id.values().try_for_each(|log| log.check())?;
        if !self.shared.joint.health.is_in_trouble() {
            return Ok(());
        }
        let shared = self.shared.clone();
        self.shared.joint.access(move || shared.joint.health.check(&shared.folder)).await
    }
}

impl Shared {
    fn find(&self, id: &DeploymentId) -> Result<Arc<DiskLog>, StoreError> {
        let logs = self.logs.read().expect("no holder panics");
        logs.by_id.get(id).cloned().ok_or_else(|| StoreError::NotFound(id.clone()))
    }

    fn insert(&self, log: DiskLog) -> Arc<DiskLog> {
        let log = Arc::new(log);
        self.logs.write().expect("no holder panics").insert(&log);
        log
    }

    /// Reads and checks the log of the deployment `id`.
    fn load(&self, id: &DeploymentId, readers: &Readers) -> Result<DiskLog, StoreError> {
        let folder = self.folder.join(id.as_str());
        let manifest = DeploymentManifest::read(&folder, id)?;
        self.created_count.fetch_max(manifest.order, Ordering::Relaxed);
        DiskLog::load(self.home(manifest, folder), readers)
    }

    fn home(&self, manifest: DeploymentManifest, folder: PathBuf) -> Home {
        let Self { retain_lines, segment_bytes, .. } = *self;
        let (store, joint) = (self.lock.clone(), self.joint.clone());
        Home { manifest, folder, retain_lines, segment_bytes, store, joint }
    }

    /// Makes a deployment under a name that opening ignores, and renames it when it is complete and durable. After a
    /// crash it is there as a whole or not at all. After an error it is not there.
    fn create(&self, manifest: DeploymentManifest) -> Result<Arc<DiskLog>, StoreError> {
        let making = self.folder.join(format!("{CREATING}{}", manifest.id));
        let folder = self.folder.join(manifest.id.as_str());
        let made = self.make(&making, &manifest);
        let made = made.and_then(|()| fs::rename(&making, &folder).map_err(at(&folder)));
        if let Err(error) = made {
            // Frees the space on a full disk; the next start removes what stays.
            let _ = fs::remove_dir_all(&making);
            return Err(self.unwritten(error));
        }
        if let Err(error) = self.lock.sync() {
            if fs::rename(&folder, &making).is_ok() {
                let _ = fs::remove_dir_all(&making);
            } else {
                // It is there despite the error, so that it can be deleted.
                self.insert(DiskLog::new(self.home(manifest, folder)));
            }
            return Err(error);
        }
        let log = self.insert(DiskLog::new(self.home(manifest, folder)));
        self.joint.health.succeeded();
        Ok(log)
    }

    /// Notes an error by which nothing was written, and makes it one that passes.
    fn unwritten(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::Io { path, error } => self.joint.health.failed(&path, &error).into(),
            error => error,
        }
    }

    fn make(&self, folder: &Path, manifest: &DeploymentManifest) -> Result<(), StoreError> {
        fs::create_dir(folder).map_err(at(folder))?;
        // The first segment is made now, so that its absence is always damage. Both files are there before one is flushed:
        // a file system with a journal then makes them durable with one commit.
        let segment = segments::segment_path(folder, 1);
        File::create_new(&segment).map_err(at(&segment))?;
        manifest.write(folder)?;
        File::open(&segment).and_then(|file| file.sync_all()).map_err(at(&segment))?;
        sync_folder(folder)
    }

    fn delete(&self, log: &DiskLog) -> Result<(), StoreError> {
        let id = &log.manifest().id;
        let grave = self.folder.join(format!("{DELETED}{id}"));
        let buried = log.bury(&grave);
        if log.is_deleted() {
            self.logs.write().expect("no holder panics").remove(log);
        }
        buried?;
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
            let kind = entry.file_type().map_err(at(&path))?;
            let Some(name) = name.to_str() else { continue };
            let id = name.parse::<DeploymentId>();
            if kind.is_symlink() && id.is_ok() {
                let what = "is a symbolic link in place of a deployment, and links are not followed: move the \
                            folder itself here, or remove the link";
                return Err(StoreError::Unusable { path, what: what.to_owned() });
            }
            if !kind.is_dir() {
                continue;
            }
            if name.starts_with(CREATING) || name.starts_with(DELETED) {
                // What cannot be removed, for example on a read-only disk, does no harm.
                if let Err(error) = fs::remove_dir_all(&path) {
                    complain(format!("{}: {error}; it takes space until the next start", path.display()));
                }
            } else {
                ids.extend(id);
            }
        }
        Ok(ids)
    }
}

/// Tries at the start whether the folder can be written, before a publisher's append fails. One that this user may not
/// write is refused. One that cannot be written for another reason can be read, and says on stderr what it lacks.
fn open_to_writes(folder: &Path) -> Result<Health, StoreError> {
    let health = Health::default();
    match health::probe(folder) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(at(folder)(error)),
        Err(error) => {
            health.failed(folder, &error);
            complain(match error.kind() {
                io::ErrorKind::ReadOnlyFilesystem => "deployments can be read, and not deleted",
                _ => "deployments can be read and deleted",
            });
        }
        Ok(()) => {}
    }
    Ok(health)
}

/// Runs work that waits for the disk on a blocking thread, where no stream waits behind it.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
