//! The writer of one log: batch after batch is written, flushed, made readable and answered.
//!
//! It runs on a blocking thread while appends are pending. `log` starts it. Nothing else changes a segment, but for a
//! start, which may cut a torn end.

use std::fs::File;
use std::io;
use std::ops::RangeInclusive;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use wirelab_clients::wire::Seq;

use super::super::carried_keys;
use super::super::files;
use super::super::gathering::Came;
use super::super::queue::{Fate, QueuedBatch};
use super::super::segments;
use super::super::tail::TAIL_ENDED;
use super::super::write_files::WriteFile;
use super::{Log, first_kept};
use crate::store::StoreError;
use crate::terminal::complain;

pub(super) const PANICKED: &str = "its writer panicked";

/// Error of a write, with its file.
enum Failure {
    /// Nothing was flushed, so the file is what it was.
    Unwritten(PathBuf, io::Error),
    /// A flush failed, so nothing is known of the file.
    Unflushed(PathBuf, io::Error),
}

fn unwritten(path: &Path) -> impl FnOnce(io::Error) -> Failure + use<> {
    let path = path.to_owned();
    |error| Failure::Unwritten(path, error)
}

fn unflushed(path: &Path) -> impl FnOnce(io::Error) -> Failure + use<> {
    let path = path.to_owned();
    |error| Failure::Unflushed(path, error)
}

impl Log {
    /// Writes batch after batch until nothing is pending.
    pub(super) fn commit_pending(&self) {
        let _abandon = AbandonOnPanic(self);
        loop {
            let mut writer = self.writer();
            let write_files = &self.home.joint.write_files;
            let Some((batch, failed)) = self.queue().take() else {
                if let Some(file) = writer.take() {
                    write_files.park(&self.home.manifest.id, file);
                }
                if self.head.borrow().ended.is_some() {
                    // Its keys can be given up from now on.
                    self.note_warmth();
                }
                return;
            };
            if writer.is_none() {
                *writer = write_files.take(&self.home.manifest.id);
            }
            let (answered, began) = (batch.append_count(), Instant::now());
            let outcome = self.commit(&mut writer, &batch, failed);
            let took = began.elapsed();
            let (is_durable, is_end) = (matches!(outcome, Fate::Durable), batch.finished.is_some());
            if is_end || !is_durable || write_files.are_wanted() {
                *writer = None;
            }
            let pending = {
                let mut queue = self.queue();
                queue.settle(batch, outcome);
                queue.pending_append_count()
            };
            if is_durable {
                if !is_end {
                    self.mark_acknowledged();
                }
                self.remove_dropped_segments();
                self.note_warmth();
            }
            // Not held during the wait: a deletion takes it.
            drop(writer);
            if is_durable && !is_end {
                self.gather(answered, pending, took);
            }
        }
    }

    /// Waits a moment for the publishers that were just answered, so that their next appends share one flush with those
    /// that are pending.
    fn gather(&self, answered: usize, pending: usize, took: Duration) {
        let mut queue = self.queue();
        let Some(wait) = queue.gathering.wait(answered, pending, took) else { return };
        queue.awaited = Some(pending + answered);
        // Some may have come since `pending` was counted, before they could be awaited.
        queue.all_came();
        let (mut queue, _) = self
            .gathered
            .wait_timeout_while(queue, wait, |queue| queue.awaited.is_some())
            .expect("no holder panics");
        let came = if queue.awaited.take().is_none() { Came::All } else { Came::NotAll };
        queue.gathering.waited(came);
    }

    /// Makes a batch durable and then readable, unless an earlier failure forbids it.
    fn commit(&self, writer: &mut Option<WriteFile>, batch: &QueuedBatch, failed: Option<String>) -> Fate {
        // A log is deleted under the writer's lock: a batch that comes later must not be acknowledged.
        if self.head.borrow().deleted {
            return Fate::Deleted;
        }
        if let Some(reason) = failed {
            return Fate::Failed(reason);
        }
        match self.write(writer, batch) {
            Ok(()) => {
                self.publish(batch);
                if batch.finished.is_some() {
                    // No later batch would mark the end, so it is not left to a moment after the answer.
                    self.mark_acknowledged();
                }
                self.home.joint.health.succeeded();
                Fate::Durable
            }
            Err(failure) => self.fate_of(failure),
        }
    }

    fn fate_of(&self, failure: Failure) -> Fate {
        match failure {
            Failure::Unwritten(path, error) => Fate::Unwritten(self.home.joint.health.failed(&path, &error)),
            Failure::Unflushed(path, error) => {
                // Each publisher gets the error; this line is for the person who can repair the disk.
                let id = &self.home.manifest.id;
                complain(format!(
                    "deployment {id} takes no more lines until a restart: {}: {error}",
                    path.display()
                ));
                Fate::Failed(error.to_string())
            }
        }
    }

    /// Makes a batch durable: as a whole in one segment, or not at all.
    fn write(&self, writer: &mut Option<WriteFile>, batch: &QueuedBatch) -> Result<(), Failure> {
        let write_files = &self.home.joint.write_files;
        let (mut path, mut bytes) = self.kept().segments.end();
        if bytes >= self.home.segment_bytes {
            path = self.kept().segments.next_path();
            // Closed first: a writer holds one descriptor, and a second one for a moment.
            *writer = None;
            // Opened first: once the file is made, nothing but its flush may fail.
            let folder = File::open(&self.home.folder).map_err(unwritten(&self.home.folder))?;
            let created = write_files.open(|| File::create_new(&path));
            *writer = Some(created.map_err(unwritten(&path))?);
            folder.sync_all().map_err(unflushed(&path))?;
            self.kept().segments.rotate();
            bytes = 0;
        }
        let file = match writer {
            Some(file) => file,
            None => {
                let opened = write_files.open(|| files::open_to_write(&path));
                writer.insert(opened.map_err(unwritten(&path))?)
            }
        };
        // A part of a batch must not stay: its publishers get an error and may repeat the lines.
        if self.torn.load(Ordering::Relaxed) {
            file.set_len(bytes).map_err(unwritten(&path))?;
        }
        self.torn.store(true, Ordering::Relaxed);
        if let Err(error) = file.write_all_at(&batch.records, bytes) {
            // If this cut fails, it is made before the next batch, or by the next start.
            self.torn.store(file.set_len(bytes).is_err(), Ordering::Relaxed);
            return Err(unwritten(&path)(error));
        }
        // After a failed flush the system may have dropped what was to be written and call the next flush a success. So
        // nothing can be known of this file until it is read again.
        file.sync_data().map_err(|error| {
            let _ = file.set_len(bytes);
            unflushed(&path)(error)
        })?;
        self.torn.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Notes how far the log is acknowledged. Its failure is not an error: an older mark proves less.
    fn mark_acknowledged(&self) {
        let mark = self.kept().segments.mark();
        let _ = mark.write(&self.home.folder);
    }

    /// Makes a durable batch readable: first the lines, then the head, so that a woken reader finds them.
    fn publish(&self, batch: &QueuedBatch) {
        let mut kept = self.kept();
        kept.segments.extend(batch.records.len() as u64, batch.lines.iter().map(|(offset, _)| *offset));
        for (_, line) in &batch.lines {
            kept.tail.push(line.clone());
        }
        if let Some((_, at_us)) = batch.finished {
            kept.finished_us = Some(at_us);
            kept.tail.shrink(TAIL_ENDED);
        }
        let last = kept.segments.last();
        self.head.send_modify(|head| {
            head.first = first_kept(head.first, last, self.home.retain_lines);
            head.last = last;
            head.ended = batch.finished.map(|(status, _)| status);
        });
        // Counted here: the callers may have left.
        self.home.joint.tally.appended(batch.lines.len());
        if batch.finished.is_some() {
            self.home.joint.tally.ended();
        }
    }

    /// Removes the files whose lines retention has dropped. A file that cannot be removed is tried again after the next
    /// batch; younger files wait for it, because a hole between segments is damage.
    pub(super) fn remove_dropped_segments(&self) {
        let first = self.head.borrow().first;
        while let Some((path, seqs)) = { self.kept().segments.oldest_up_to(first) } {
            if let Err(error) = self.carry_keys(&seqs).and_then(|()| segments::remove(&path)) {
                complain(format!("cannot remove lines that are no longer kept: {error}"));
                return;
            }
            self.kept().segments.forget_oldest();
        }
    }

    /// Writes the keys of a segment down, which would go with it.
    fn carry_keys(&self, seqs: &RangeInclusive<Seq>) -> Result<(), StoreError> {
        let keys = self.queue().keys_up_to(*seqs.end());
        let is_new = keys.last().is_some_and(|(_, _, last)| seqs.contains(last));
        if is_new { carried_keys::write(&self.home.folder, &keys) } else { Ok(()) }
    }
}

/// Gives up the queue when the writer panics: later appenders would otherwise wait for a writer that never comes.
struct AbandonOnPanic<'a>(&'a Log);

impl Drop for AbandonOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Ok(mut queue) = self.0.queue.lock()
        {
            queue.abandon(PANICKED);
        }
    }
}
