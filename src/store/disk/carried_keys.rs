//! `keys.ndjson`: idempotency keys of segments that retention has removed.
//!
//! A key is remembered longer than its lines are kept. So before a segment goes, its keys are written here, as headers
//! without their lines. The file is replaced as a whole, never appended to: it is there as it was or as it is.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use wirelab_clients::wire::Seq;

use super::files::{self, at, sync_folder};
use super::records::{self, ControlRecord, Record};
use crate::store::{IdempotencyKey, IdempotencyKeys, StoreError};

/// Writes `keys`, oldest first, each with its first and last seq, for the log in `folder`. Returns once they are durable.
pub(super) fn write(folder: &Path, keys: &[(IdempotencyKey, Seq, Seq)]) -> Result<(), StoreError> {
    let mut bytes = Vec::new();
    for (key, first, last) in keys {
        let append = ControlRecord::Append { first: *first, last: *last, key: Some(key.into()) };
        records::push_control(&mut bytes, &append);
    }
    let new = folder.join("keys.ndjson.new");
    let write = |mut file: File| file.write_all(&bytes).and_then(|()| file.sync_all());
    let written = File::create(&new).and_then(write).map_err(at(&new));
    if let Err(error) = written {
        // Frees the room again.
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    fs::rename(&new, path(folder)).map_err(at(&new))?;
    sync_folder(folder)
}

/// Reads the keys of the log in `folder` into `keys`.
pub(super) fn read(folder: &Path, keys: &mut IdempotencyKeys) -> Result<(), StoreError> {
    let path = path(folder);
    let Some(bytes) = files::read_if_there(&path)? else { return Ok(()) };
    let mut at = 0;
    while at < bytes.len() {
        let corrupt =
            |what: &str| StoreError::Corrupt { path: path.clone(), offset: at as u64, what: what.to_owned() };
        let (record, end) = records::record_at(&bytes, at).map_err(|flaw| corrupt(flaw.what()))?;
        let Record::ControlRecord(ControlRecord::Append { first, last, key: Some(key) }) = record else {
            return Err(corrupt("a record that is no key"));
        };
        let key = key.decode().ok_or_else(|| corrupt("an idempotency key without a digest"))?;
        keys.insert(key, first, last);
        at = end;
    }
    Ok(())
}

fn path(folder: &Path) -> PathBuf {
    folder.join("keys.ndjson")
}
