//! Opens the store's files and folders so that nothing hangs, nothing is locked twice, and a new name stays.
//!
//! Knows paths, not logs.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::store::StoreError;

/// What to do about a file of a deployment that cannot be used.
const REMEDY: &str = "restore it from a copy, or move the deployment's folder away";

/// Makes the folder `path` with those above it, and makes each new name durable in the folder that holds it.
pub(super) fn make_folder(path: &Path) -> Result<(), StoreError> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        make_folder(parent)?;
    }
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(at(path)(error)),
        Ok(()) => sync_folder(parent.unwrap_or(Path::new("."))),
    }
}

/// The store's folder, open and locked: two servers that append to one log would give a seq twice.
#[derive(Debug)]
pub(super) struct LockedFolder {
    path: PathBuf,
    folder: File,
    _lock: Option<File>,
}

impl LockedFolder {
    /// Locks the folder itself. That works on a read-only disk, and it is not removed by chance, as the file `lock` in
    /// it is. That file is all that servers up to version 0.3 know, so it is locked as well where it can be made.
    pub(super) fn lock(path: &Path) -> Result<Self, StoreError> {
        let folder = File::open(path).map_err(at(path))?;
        lock(&folder, path)?;
        let name = path.join("lock");
        // A pipe in its place would wait for a reader.
        let opening = |options: &mut OpenOptions| options.custom_flags(OFlag::O_NONBLOCK.bits()).open(&name);
        let made = opening(OpenOptions::new().create(true).truncate(false).write(true));
        let file = made.or_else(|_| opening(OpenOptions::new().read(true))).ok();
        if let Some(file) = &file {
            lock(file, path)?;
        }
        Ok(Self { path: path.to_owned(), folder, _lock: file })
    }

    /// Makes the names in the folder durable. Needs no free descriptor.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.folder.sync_all().map_err(at(&self.path))
    }
}

fn lock(file: &File, folder: &Path) -> Result<(), StoreError> {
    let locked = loop {
        match file.try_lock() {
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            locked => break locked,
        }
    };
    match locked {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: folder.to_owned() }),
        Err(TryLockError::Error(error)) => Err(StoreError::NoLocks { path: folder.to_owned(), error }),
    }
}

/// Reads a whole file that must be there.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, StoreError> {
    read_if_there(path)?.ok_or_else(|| unusable(path, "is missing"))
}

/// Reads a whole file; `None` if there is none. Anything else than a plain file is refused: a pipe would hang.
pub(super) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let opened = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
    let mut file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(at(path))?,
    };
    let metadata = file.metadata().map_err(at(path))?;
    if !metadata.is_file() {
        return Err(unusable(path, "is not a plain file"));
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    file.read_to_end(&mut bytes).map_err(at(path))?;
    Ok(Some(bytes))
}

/// Opens a file for writing, without waiting for the reader of a pipe.
pub(super) fn open_to_write(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)
}

/// Makes an error that says what is wrong with a file of a deployment, and what to do.
pub(super) fn unusable(path: &Path, what: impl std::fmt::Display) -> StoreError {
    StoreError::Unusable { path: path.to_owned(), what: format!("{what}: {REMEDY}") }
}

/// Makes the names in a folder durable, which an fsync of a file does not.
pub(super) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}

/// Makes an error of the operating system name its file.
pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> StoreError + use<> {
    let path = path.to_owned();
    |error| StoreError::Io { path, error }
}
