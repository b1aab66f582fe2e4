//! `acknowledged.json`: how far a log was acknowledged, in its segments.
//!
//! The writer overwrites it after every batch, in place and without a flush. So it never says more than is durable, and
//! after a crash of the process it says all of it. After a power failure it may say less, by what the system keeps in
//! memory (half a minute). A start refuses a segment that ends before the mark: those lines were acknowledged, and a
//! crash does not take them. Without a mark, nothing is refused for it.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wirelab_clients::wire::Seq;

use super::{files, records};
use crate::store::StoreError;

/// Length of the file. Constant, so that a shorter mark leaves nothing of a longer one; within one sector, so that a
/// power failure leaves the old or the new one.
const MARK_BYTES: usize = 128;

/// The durable end of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// First seq of the newest segment.
    pub(super) segment: Seq,
    /// Durable bytes in it.
    pub(super) bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct Acknowledged {
    acknowledged: Mark,
}

impl Mark {
    /// Writes the mark of the log in `folder`.
    pub(super) fn write(self, folder: &Path) -> io::Result<()> {
        let json = serde_json::to_vec(&Acknowledged { acknowledged: self }).expect("numbers are JSON");
        let mut record = Vec::with_capacity(MARK_BYTES);
        records::push_record(&mut record, &json);
        // Blanks go before the line end.
        record.pop();
        record.resize(MARK_BYTES - 1, b' ');
        record.push(b'\n');
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path(folder))?;
        file.write_all_at(&record, 0)
    }

    /// Reads the mark of the log in `folder`. One that is absent or torn says nothing.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, StoreError> {
        let Some(bytes) = files::read_if_there(&path(folder))? else { return Ok(None) };
        let whole = records::checked(bytes.trim_ascii_end()).map(|open| [open, b"}"].concat());
        let read = whole.and_then(|json| serde_json::from_slice(&json).ok());
        Ok(read.map(|Acknowledged { acknowledged }| acknowledged))
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("acknowledged.json")
}
