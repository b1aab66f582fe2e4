//! The open files of all logs that are written, and their bound: 10,000 running deployments do not need 10,000
//! descriptors.
//!
//! A writer leases one descriptor while it writes. An idle log's file stays open until another log needs its place; the
//! log then opens it again at its next append. When every descriptor is leased, a writer waits for one. Used by `log`;
//! never writes.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use wirelab_clients::wire::DeploymentId;

/// The write descriptors of one store.
pub(super) struct WriteFiles {
    max: usize,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    /// Descriptors that writers hold.
    leased: usize,
    /// Writers that wait for a descriptor.
    waiting: usize,
    /// Open files that no writer holds, the one that was used longest ago first.
    idle: BTreeMap<u64, (DeploymentId, File)>,
    /// Keys in `idle`.
    idle_keys: HashMap<DeploymentId, u64>,
    parked_count: u64,
}

/// An open file of a log with its lease.
pub(super) struct WriteFile {
    // Closed before its lease ends.
    file: File,
    _lease: Lease,
}

impl Deref for WriteFile {
    type Target = File;
    fn deref(&self) -> &File {
        &self.file
    }
}

/// The right to hold one descriptor.
struct Lease(Arc<WriteFiles>);

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.state().leased -= 1;
        self.0.freed.notify_one();
    }
}

impl WriteFiles {
    /// Allows `max` descriptors, at least one.
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max: max.max(1), state: Mutex::default(), freed: Condvar::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    /// Opens a file by `open` once a descriptor is free. Blocks.
    pub(super) fn open(self: &Arc<Self>, open: impl FnOnce() -> io::Result<File>) -> io::Result<WriteFile> {
        let lease = self.lease();
        Ok(WriteFile { file: open()?, _lease: lease })
    }

    fn lease(self: &Arc<Self>) -> Lease {
        let mut state = self.state();
        while state.leased + state.idle.len() >= self.max {
            if let Some((_, (log, file))) = state.idle.pop_first() {
                state.idle_keys.remove(&log);
                drop(file);
            } else {
                state.waiting += 1;
                state = self.freed.wait(state).expect("no holder panics");
                state.waiting -= 1;
            }
        }
        state.leased += 1;
        Lease(self.clone())
    }

    /// Tells whether a writer waits for a descriptor, so that a busy one gives its own away between two batches.
    pub(super) fn are_wanted(&self) -> bool {
        self.state().waiting > 0
    }

    /// Keeps a file open for the log's next append, as long as no other log needs its descriptor.
    pub(super) fn park(&self, log: &DeploymentId, file: WriteFile) {
        let WriteFile { file, _lease: lease } = file;
        let mut state = self.state();
        state.parked_count += 1;
        let key = state.parked_count;
        state.idle_keys.insert(log.clone(), key);
        state.idle.insert(key, (log.clone(), file));
        drop(state);
        // Wakes a writer that waits: it may close the parked file.
        drop(lease);
    }

    /// Returns the log's parked file.
    pub(super) fn take(self: &Arc<Self>, log: &DeploymentId) -> Option<WriteFile> {
        let mut state = self.state();
        let key = state.idle_keys.remove(log)?;
        let (_, file) = state.idle.remove(&key)?;
        state.leased += 1;
        Some(WriteFile { file, _lease: Lease(self.clone()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> DeploymentId {
        format!("{number:08}").parse().unwrap()
    }

    fn open(files: &Arc<WriteFiles>) -> WriteFile {
        files.open(|| File::open("/dev/null")).unwrap()
    }

    fn open_count(files: &WriteFiles) -> usize {
        let state = files.state();
        state.leased + state.idle.len()
    }

    #[test]
    fn the_file_that_was_used_longest_ago_is_closed_first() {
        let files = WriteFiles::new(3);
        for number in 0..3 {
            files.park(&id(number), open(&files));
        }
        let used = files.take(&id(0)).unwrap();
        files.park(&id(0), used);
        let other = open(&files);
        assert!(files.take(&id(1)).is_none(), "it was used longest ago");
        assert!(files.take(&id(0)).is_some() && files.take(&id(2)).is_some());
        drop(other);
        assert_eq!(open_count(&files), 0);
    }

    #[test]
    fn a_writer_waits_for_a_descriptor_and_gets_it() {
        let files = WriteFiles::new(1);
        let held = open(&files);
        let waiting = {
            let files = files.clone();
            std::thread::spawn(move || drop(open(&files)))
        };
        while !files.are_wanted() {
            std::thread::yield_now();
        }
        files.park(&id(0), held);
        waiting.join().unwrap();
        assert_eq!(open_count(&files), 0);
        assert!(files.open(|| Err(io::ErrorKind::NotFound.into())).is_err());
        assert_eq!(open_count(&files), 0, "a file that cannot be opened takes no descriptor");
    }
}
