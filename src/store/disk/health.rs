//! What the newest write of a store came to, so that the server can say whether it takes lines now.
//!
//! Logs and the store note here how their writes went. A trouble that passes is remembered until a write succeeds: that
//! of any log, or the probe that [`Health::check`] makes. Nothing here decides what a trouble means for its log.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::store::{StoreError, Unwritten};
use crate::terminal::complain;

/// Bytes that a probe writes: a block, since a folder or an empty file may need none on a full disk.
const PROBE_BYTES: usize = 4_096;
/// Name of the folder that a probe makes; opening the store removes what a crash left of it.
const PROBE: &str = ".creating-probe";

/// Time between two complaints about a trouble that comes and goes, as where some logs have descriptors and others lack
/// them.
const COMPLAINT_PAUSE: Duration = Duration::from_secs(60);

/// The newest trouble of a store's writes.
#[derive(Debug, Default)]
struct Trouble {
    /// `None` while writing works.
    lasting: Option<Unwritten>,
    /// When a trouble was last said on stderr.
    said: Option<Instant>,
    /// Whether the end of the trouble that was said is to be said.
    end_is_due: bool,
}

/// How the newest writes of a store went.
#[derive(Debug, Default)]
pub(super) struct Health {
    trouble: Mutex<Trouble>,
    /// Held while a probe runs: two would meet in one file.
    probing: Mutex<()>,
}

impl Health {
    /// Notes that nothing could be written at `path`, and returns the error for the caller. It is said on stderr when the
    /// trouble begins, and not again while it lasts or soon after.
    pub(super) fn failed(&self, path: &Path, error: &io::Error) -> Unwritten {
        let unwritten = Unwritten::from(error);
        let mut trouble = self.trouble();
        let is_new = trouble.lasting.replace(unwritten.clone()).is_none();
        if is_new && trouble.said.is_none_or(|said| said.elapsed() > COMPLAINT_PAUSE) {
            (trouble.said, trouble.end_is_due) = (Some(Instant::now()), true);
            complain(format!(
                "{}: {error}; what cannot be written is refused, and it is tried again with every write",
                path.display()
            ));
        }
        unwritten
    }

    /// Notes that a write succeeded.
    pub(super) fn succeeded(&self) {
        let mut trouble = self.trouble();
        if trouble.lasting.take().is_some() && std::mem::take(&mut trouble.end_is_due) {
            complain("writing to the store works again");
        }
    }

    /// Returns the trouble if it lasts: tries in `folder` whether it does. Blocks.
    pub(super) fn check(&self, folder: &Path) -> Result<(), StoreError> {
        let _alone = self.probing.lock().expect("no holder panics");
        if self.trouble().lasting.is_none() {
            return Ok(());
        }
        match probe(folder) {
            Ok(()) => {
                self.succeeded();
                Ok(())
            }
            Err(error) => Err(self.failed(folder, &error).into()),
        }
    }

    /// Tells whether the newest write failed.
    pub(super) fn is_in_trouble(&self) -> bool {
        self.trouble().lasting.is_some()
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().expect("no holder panics")
    }
}

/// Tries whether a folder, a file and a block can be made in `folder`, and removes them.
pub(super) fn probe(folder: &Path) -> io::Result<()> {
    let made = folder.join(PROBE);
    match fs::create_dir(&made) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let file = made.join("probe");
    let written = File::create(&file).and_then(|mut file| file.write_all(&[0; PROBE_BYTES]));
    let _ = fs::remove_file(&file);
    let removed = fs::remove_dir(&made);
    written.and(removed)
}
