//! One log on disk: its queue, its writer and its readers.
//!
//! Appends of all callers gather in one batch while the batch before is written: group commit. The writer, in `writer`,
//! is a plain loop on a blocking thread: write, fdatasync, then move the head, then answer. A caller that goes away never
//! stalls the others. There are three locks: `queue` for appenders, `kept` for readers, `writer` for the code that
//! changes files. `writer` is taken before another; the other two are never held together.

mod writer;

#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;
use tokio::sync::watch;
use wirelab_clients::wire::{Appended, Cursor, Deployment, DeploymentId, Epoch, Seq, Source, Status};

use self::writer::PANICKED;
use super::files::LockedFolder;
use super::joint::Joint;
use super::manifest::DeploymentManifest;
use super::queue::{Committed, Fate, Novelty, Queue};
use super::read::DiskRead;
use super::readers::Readers;
use super::segments::{Loaded, Segments};
use super::tail::Tail;
use super::warmth::{Age, Cool};
use super::write_files::WriteFile;
use crate::store::reservation::{Capacity, Size};
use crate::store::{
    AppendRequest, DeploymentLog, EncodedLine, Head, IdempotencyKey, IdempotencyKeys, ReadLimit, Reservation,
    StoreError, Stored,
};

/// Description and place of a log.
pub(super) struct Home {
    pub(super) manifest: DeploymentManifest,
    pub(super) folder: PathBuf,
    /// Number of newest lines that are kept; 0 keeps all.
    pub(super) retain_lines: u64,
    /// Size at which a segment takes no further batch.
    pub(super) segment_bytes: u64,
    /// The store's folder, locked as long as this log can be written.
    pub(super) store: Arc<LockedFolder>,
    pub(super) joint: Arc<Joint>,
}

/// The log of one deployment: a handle that is shared with the writer's thread.
pub(super) struct DiskLog(Arc<Log>);

struct Log {
    home: Home,
    me: Weak<Log>,
    age: Age,
    head: watch::Sender<Head>,
    queue: Mutex<Queue>,
    /// Wakes the writer when all appends have come that it waits for.
    gathered: Condvar,
    capacity: Capacity,
    kept: Mutex<Kept>,
    /// The file that takes appends, while the writer runs. In between it is parked, open or not: see `write_files.rs`.
    writer: Mutex<Option<WriteFile>>,
    /// Whether the file may hold bytes of a batch that was not written as a whole. They are cut before the next one.
    torn: AtomicBool,
}

/// The lines that can be read, and when the log ended.
struct Kept {
    segments: Segments,
    tail: Tail,
    finished_us: Option<u64>,
}

impl DiskLog {
    /// Makes the log of a deployment whose folder was just made.
    pub(super) fn new(home: Home) -> Self {
        let segments = Segments::new(home.folder.clone());
        Self::with(home, Loaded { segments, keys: IdempotencyKeys::default(), finished: None, torn: false })
    }

    /// Reads and checks an existing log.
    pub(super) fn load(home: Home, readers: &Readers) -> Result<Self, StoreError> {
        let loaded = Segments::load(home.folder.clone(), readers)?;
        let log = Self::with(home, loaded);
        log.0.remove_dropped_segments();
        let Head { first, last, ended, .. } = *log.0.head.borrow();
        if ended.is_some() {
            log.0.queue().cool_keys();
        } else if last > first {
            // The wall clock may have been set back while the server was away.
            let newest = log.0.read_disk(last - 1, ReadLimit { lines: 1, bytes: 1 })?;
            let newest_us = newest.first().map_or(0, |line| line.decode().at_us);
            log.0.queue().wind(newest_us.max(log.manifest().created_us));
        }
        Ok(log)
    }

    fn with(home: Home, Loaded { segments, keys, finished, torn }: Loaded) -> Self {
        let last = segments.last();
        let first = first_kept(segments.first() - 1, last, home.retain_lines);
        let (ended, finished_us) = finished.unzip();
        let mut queue = Queue::new(home.manifest.id.clone(), last, keys, ended);
        queue.wind(home.manifest.created_us);
        if ended.is_none() {
            home.joint.tally.began();
        }
        Self(Arc::new_cyclic(|me| Log {
            me: me.clone(),
            age: Age::default(),
            home,
            head: watch::Sender::new(Head { first, last, ended, deleted: false }),
            queue: Mutex::new(queue),
            gathered: Condvar::new(),
            capacity: Capacity::of_a_log(),
            kept: Mutex::new(Kept { segments, tail: Tail::default(), finished_us }),
            writer: Mutex::default(),
            torn: AtomicBool::new(torn),
        }))
    }

    pub(super) fn manifest(&self) -> &DeploymentManifest {
        &self.0.home.manifest
    }

    /// Checks that no flush of this log has failed.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.0.queue().refuse_failed()
    }

    /// Moves the log's folder to `grave` for good, and tells its readers. If that fails, the log goes on; only if it can
    /// not be moved back either is it deleted despite the error. Blocks.
    pub(super) fn bury(&self, grave: &Path) -> Result<(), StoreError> {
        let log = &*self.0;
        // Set before the writer's lock is taken: that lock is not fair, so a busy publisher could keep it for ever.
        if std::mem::replace(&mut log.queue().deleted, true) {
            return Err(StoreError::NotFound(self.manifest().id.clone()));
        }
        let mut writer = log.writer();
        if let Err(error) = fs::rename(&log.home.folder, grave) {
            log.queue().deleted = false;
            return Err(log.home.joint.health.failed(&log.home.folder, &error).into());
        }
        let synced = log.home.store.sync();
        if synced.is_err() && fs::rename(grave, &log.home.folder).is_ok() {
            log.queue().deleted = false;
            return synced;
        }
        *writer = None;
        drop(log.home.joint.write_files.take(&self.manifest().id));
        log.home.joint.warmth.forget(&log.age);
        // Every change of the head happens under the lock of `kept`.
        let _kept = log.kept();
        log.head.send_modify(|head| head.deleted = true);
        if log.head.borrow().ended.is_none() {
            log.home.joint.tally.ended();
        }
        synced
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.0.head.borrow().deleted
    }

    /// Starts the writer unless it already runs. Wakes it if all have come that it waits for.
    fn start_or_wake_writer(&self, queue: &mut Queue) {
        if queue.claim_writer() {
            let log = self.0.clone();
            tokio::task::spawn_blocking(move || log.commit_pending());
        } else if queue.all_came() {
            self.0.gathered.notify_one();
        }
    }

    /// Waits until a batch is durable; the error says why it never will be.
    async fn settled(&self, mut committed: Committed) -> Result<(), StoreError> {
        let outcome = committed.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone());
        outcome.unwrap_or_else(|| Fate::Failed(PANICKED.to_owned())).into_result(&self.manifest().id)
    }
}

#[async_trait]
impl DeploymentLog for DiskLog {
    async fn append(&self, request: AppendRequest) -> Result<Stored, StoreError> {
        assert!(!request.lines.is_empty(), "an append has at least one line");
        if request.key.is_some() {
            self.0.warm_keys().await?;
        }
        let request = if request.reservation.is_taken() {
            request
        } else {
            let reservation = self.0.reserve(Size::of_lines(&request.lines)).await?;
            AppendRequest { reservation, ..request }
        };
        let enqueued = {
            let mut queue = self.0.queue();
            let enqueued = queue.append(request)?;
            self.start_or_wake_writer(&mut queue);
            enqueued
        };
        self.settled(enqueued.committed).await?;
        let cursor = Cursor { epoch: self.manifest().epoch.clone(), after: enqueued.last };
        let appended = Appended { first: enqueued.first, last: enqueued.last, cursor };
        Ok(match enqueued.novelty {
            Novelty::Fresh => Stored::Fresh(appended),
            Novelty::Repeated => Stored::Repeated(appended),
        })
    }

    async fn reserve(&self, body: &[u8]) -> Result<Reservation, StoreError> {
        self.0.reserve(Size::of_body(body)).await
    }

    async fn read_after(&self, after: Seq, limit: ReadLimit) -> Result<Vec<Arc<EncodedLine>>, StoreError> {
        {
            let kept = self.0.kept();
            let head = *self.0.head.borrow();
            if after < head.first {
                return Err(StoreError::Trimmed { first: head.first });
            }
            if after >= head.last {
                return Ok(Vec::new());
            }
            if let Some(lines) = kept.tail.read_after(after, limit) {
                return Ok(lines);
            }
        }
        let log = self.0.clone();
        self.0.home.joint.access(move || log.read_disk(after, limit)).await
    }

    async fn finish(&self, status: Status) -> Result<(), StoreError> {
        let committed = {
            let mut queue = self.0.queue();
            let committed = queue.finish(status)?;
            self.start_or_wake_writer(&mut queue);
            committed
        };
        self.settled(committed).await
    }

    fn id(&self) -> &DeploymentId {
        &self.manifest().id
    }

    fn epoch(&self) -> &Epoch {
        &self.manifest().epoch
    }

    fn info(&self) -> Deployment {
        let kept = self.0.kept();
        let head = *self.0.head.borrow();
        let manifest = self.manifest();
        let cursor = |after| Cursor { epoch: manifest.epoch.clone(), after };
        Deployment {
            id: manifest.id.clone(),
            name: manifest.name.clone(),
            ended: head.ended,
            created_us: manifest.created_us,
            finished_us: kept.finished_us,
            lines: head.last,
            first: cursor(head.first),
            next: cursor(head.last),
            source: manifest.source.clone(),
        }
    }

    fn is_named(&self, name: &str) -> bool {
        self.manifest().name == name
    }

    fn source(&self) -> Option<Source> {
        self.manifest().source.clone()
    }

    fn creation_key(&self) -> Option<IdempotencyKey> {
        self.manifest().creation_key()
    }

    fn head(&self) -> watch::Receiver<Head> {
        self.0.head.subscribe()
    }
}

impl Log {
    async fn reserve(&self, size: Size) -> Result<Reservation, StoreError> {
        self.capacity.reserve(&self.home.joint.capacity, size).await
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no holder panics")
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("no holder panics")
    }

    /// Takes the writer's lock, also after a writer that panicked: no batch follows that one, but the log can still be
    /// deleted.
    fn writer(&self) -> MutexGuard<'_, Option<WriteFile>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the store what this log keeps in memory, which may cool other logs.
    fn note_warmth(&self) {
        let ended = self.head.borrow().ended.is_some();
        let keys = if ended { self.queue().keys_bytes() } else { 0 };
        let bytes = self.kept().tail.bytes() + keys;
        self.home.joint.warmth.used(self.me.clone(), &self.age, bytes);
    }

    /// Reads the keys of an ended log again if they were given up.
    async fn warm_keys(self: &Arc<Self>) -> Result<(), StoreError> {
        if !self.queue().keys_are_cold() {
            return Ok(());
        }
        let _alone = self.home.joint.warmth.reading_keys.lock().await;
        if !self.queue().keys_are_cold() {
            return Ok(());
        }
        let folder = self.home.folder.clone();
        let loaded = self.home.joint.access(move || Segments::load(folder, &Readers::alone())).await;
        if self.head.borrow().deleted {
            return Err(StoreError::NotFound(self.home.manifest.id.clone()));
        }
        self.queue().warm_keys(loaded?.keys);
        self.note_warmth();
        Ok(())
    }

    fn read_disk(&self, after: Seq, limit: ReadLimit) -> Result<Vec<Arc<EncodedLine>>, StoreError> {
        let read = DiskRead::new(after, limit).run(|seq, lines| self.kept().segments.place(seq, lines));
        // The lines may have been removed since the read began.
        let head = *self.head.borrow();
        match read {
            Ok(lines) if lines.is_empty() && after < head.first => {
                Err(StoreError::Trimmed { first: head.first })
            }
            Err(StoreError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound && head.deleted => {
                Err(StoreError::NotFound(self.home.manifest.id.clone()))
            }
            Err(StoreError::Io { error, .. })
                if error.kind() == io::ErrorKind::NotFound && after < head.first =>
            {
                Err(StoreError::Trimmed { first: head.first })
            }
            read => read,
        }
    }
}

impl Cool for Log {
    /// Gives up the tail and, once the log has ended, the keys.
    fn cool(&self) {
        self.kept().tail.clear();
        if self.head.borrow().ended.is_some() {
            self.queue().cool_keys();
        }
    }
}

/// Returns the seq before the first line that is kept.
fn first_kept(first: Seq, last: Seq, retain_lines: u64) -> Seq {
    match retain_lines {
        0 => first,
        _ => first.max(last.saturating_sub(retain_lines)),
    }
}
